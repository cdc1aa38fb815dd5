package osquerycore

import (
	"context"
	"iter"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/passwd"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// line is an entry of a file, with its position.
type line[T any] struct {
	at    int
	value T
}

func (l *line[T]) id() int64 { return int64(l.at) }

// lines numbers the entries that a sequence gives.
func lines[T any](all iter.Seq2[T, error]) iter.Seq2[line[T], error] {
	return func(yield func(line[T], error) bool) {
		at := 0
		for value, err := range all {
			at++
			if !yield(line[T]{at, value}, err) || err != nil {
				return
			}
		}
	}
}

// values is a sequence of values that are known.
func values[T any](read func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		all, err := read()
		if err != nil {
			yield(*new(T), err)
			return
		}
		for _, value := range all {
			if !yield(value, nil) {
				return
			}
		}
	}
}

// accounts are the lines of /etc/passwd.
func (m *machine) accounts() (all []passwd.Account, err error) {
	file, err := m.open("etc/passwd")
	if file == nil {
		return nil, err
	}
	defer file.Close()
	for a, err := range passwd.DecodeAccounts(file, nil) {
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// groupLines are the lines of /etc/group.
func (m *machine) groupLines() (all []passwd.Group, err error) {
	file, err := m.open("etc/group")
	if file == nil {
		return nil, err
	}
	defer file.Close()
	for g, err := range passwd.DecodeGroups(file, nil) {
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

func users(m *machine) schema.Table {
	type row = line[passwd.Account]
	return schema.Bind(schema.TableDef[row]{
		Name:     "users",
		Doc:      "osquery's table of the users of /etc/passwd. As in osquery without include_remote, users of directory servers are not in it.",
		Examples: []string{"SELECT username, uid, shell FROM users WHERE uid >= 1000"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("uid", "Number of the user.", func(r *row) int64 { return int64(r.value.UID) }),
			schema.NotNull("gid", "Number of the user's first group.", func(r *row) int64 { return int64(r.value.GID) }),
			schema.NotNull("uid_signed", "uid as a signed number of 32 bits.", func(r *row) int64 { return int64(int32(r.value.UID)) }),
			schema.NotNull("gid_signed", "gid as a signed number of 32 bits.", func(r *row) int64 { return int64(int32(r.value.GID)) }),
			schema.NotNull("username", "Name of the user.", func(r *row) string { return r.value.Name }),
			schema.NotNull("description", "Comment, such as the user's whole name.", func(r *row) string { return r.value.Description }),
			schema.NotNull("directory", "Home directory.", func(r *row) string { return r.value.Home }),
			schema.NotNull("shell", "Login shell.", func(r *row) string { return r.value.Shell }),
			schema.NotNull("uuid", "Empty, as in osquery on Linux.", func(*row) string { return "" }),
		},
		RowID: (*row).id,
		Rows:  func(context.Context, schema.Query) iter.Seq2[row, error] { return lines(values(m.accounts)) },
	})
}

func groups(m *machine) schema.Table {
	type row = line[passwd.Group]
	return schema.Bind(schema.TableDef[row]{
		Name:     "groups",
		Doc:      "osquery's table of the groups of /etc/group: of several with a number the first, as in osquery. Groups of other databases, which osquery's C library may ask, are not in it.",
		Examples: []string{"SELECT u.username FROM groups g JOIN user_groups ug USING (gid) JOIN users u ON u.uid = ug.uid WHERE g.groupname = 'adm'"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("gid", "Number of the group.", func(r *row) int64 { return int64(r.value.GID) }),
			schema.NotNull("gid_signed", "gid as a signed number of 32 bits.", func(r *row) int64 { return int64(int32(r.value.GID)) }),
			schema.NotNull("groupname", "Name of the group.", func(r *row) string { return r.value.Name }),
		},
		RowID: (*row).id,
		Rows: func(context.Context, schema.Query) iter.Seq2[row, error] {
			return lines(values(func() (first []passwd.Group, err error) {
				all, err := m.groupLines()
				seen := make(map[uint32]bool)
				for _, g := range all {
					if !seen[g.GID] {
						seen[g.GID] = true
						first = append(first, g)
					}
				}
				return first, err
			}))
		},
	})
}

// membership is that of a user in a group.
type membership struct{ uid, gid uint32 }

func userGroups(m *machine) schema.Table {
	return schema.Bind(schema.TableDef[membership]{
		Name:     "user_groups",
		Doc:      "osquery's table of the groups of each user of /etc/passwd: the user's own and those of /etc/group.",
		Examples: []string{"SELECT gid FROM user_groups WHERE uid = 0"},
		Columns: []schema.AnyColumn[membership]{
			schema.NotNull("uid", "Number of the user.", func(r *membership) int64 { return int64(r.uid) }),
			schema.NotNull("gid", "Number of the group.", func(r *membership) int64 { return int64(r.gid) }),
		},
		RowID: func(r *membership) int64 { return sock.Hash(0).Add(uint64(r.uid)).Add(uint64(r.gid)).ID() },
		Rows: func(context.Context, schema.Query) iter.Seq2[membership, error] {
			return values(m.memberships)
		},
	})
}

// memberships are the groups of the first user with each number.
func (m *machine) memberships() (all []membership, err error) {
	accounts, err := m.accounts()
	if err != nil {
		return nil, err
	}
	groups, err := m.groupLines()
	if err != nil {
		return nil, err
	}
	of := make(map[string][]uint32)
	for _, g := range groups {
		for _, name := range g.Members {
			of[name] = append(of[name], g.GID)
		}
	}
	seen := make(map[uint32]bool)
	for _, a := range accounts {
		if seen[a.UID] {
			continue
		}
		seen[a.UID] = true
		own := []uint32{a.GID}
		for _, gid := range of[a.Name] {
			if !slices.Contains(own, gid) {
				own = append(own, gid)
			}
		}
		for _, gid := range own {
			all = append(all, membership{a.UID, gid})
		}
	}
	return all, nil
}
