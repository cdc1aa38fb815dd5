package passwd

import (
	"io"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Account is one line of /etc/passwd with all of its fields but the password.
type Account struct {
	User
	GID                      uint32
	Description, Home, Shell string
}

// DecodeAccounts is [Decode], of whole lines.
func DecodeAccounts(r io.Reader, skipped func(*parser.LineError)) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		for a, err := range parser.Entries(r, skipped, (*Account).parse) {
			if err == nil && otherDatabase(a.Name) {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

func (a *Account) parse(n int, line string) (reason string) {
	if reason = a.User.parse(n, line); reason != "" || otherDatabase(a.Name) {
		return reason
	}
	f := strings.SplitN(line, ":", 7)
	a.GID, _ = number(f[3]) // which User.parse has checked
	for i, to := range []*string{&a.Description, &a.Home, &a.Shell} {
		if len(f) > 4+i {
			*to = f[4+i]
		}
	}
	return ""
}

// otherDatabase reports whether a line stands for entries of another database.
func otherDatabase(name string) bool {
	return strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-")
}

// Group is one line of /etc/group, group(5), without the password:
//
//	name:password:gid:member,member
type Group struct {
	Name    string
	GID     uint32
	Members []string
}

// DecodeGroups streams the groups of /etc/group in the file's order, as getgrent(3)
// of the GNU C library does (grp/fgetgrent_r.c). See [Decode] for the rest.
func DecodeGroups(r io.Reader, skipped func(*parser.LineError)) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		for g, err := range parser.Entries(r, skipped, (*Group).parse) {
			if err == nil && otherDatabase(g.Name) {
				continue
			}
			if !yield(g, err) {
				return
			}
		}
	}
}

func (g *Group) parse(_ int, line string) (reason string) {
	f := strings.SplitN(line, ":", 4)
	if g.Name = f[0]; otherDatabase(g.Name) {
		return ""
	}
	ok := len(f) > 2
	if ok {
		g.GID, ok = number(f[2])
	}
	if !ok {
		return "expected name:password:gid"
	}
	if len(f) > 3 {
		for name := range strings.SplitSeq(f[3], ",") {
			if name = strings.TrimFunc(name, func(r rune) bool { return r < 0x80 && parser.IsSpace(byte(r)) }); name != "" {
				g.Members = append(g.Members, name)
			}
		}
	}
	return ""
}
