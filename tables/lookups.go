package tables

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/holders"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// needLookups are the needs that joinOwners meets.
const needLookups = needServices | needUsers | needInterfaces | needProtocols | needHolders | needAllHolders

// lookups resolves the numbers of sockets, for the columns of one query that need
// it.
type lookups struct {
	services   host.ServiceNames
	protocols  host.ProtocolNames
	users      host.Usernames
	interfaces *host.InterfaceNames
	holders    []holders.Holder // sorted by inode and process; one of each socket unless all are needed
	processes  *process.Cache
}

// first returns the position of a socket's first holder.
func (l *lookups) first(inode uint64) (position int, ok bool) {
	if inode == 0 {
		return 0, false
	}
	return slices.BinarySearchFunc(l.holders, inode, func(h holders.Holder, inode uint64) int { return cmp.Compare(h.Inode, inode) })
}

// holder returns who has a socket open: of several processes the one with the
// lowest number.
func (l *lookups) holder(inode uint64) (h holders.Holder, ok bool) {
	i, ok := l.first(inode)
	if !ok {
		return h, false
	}
	return l.holders[i], true
}

// process returns the socket's holder.
func (l *lookups) process(inode uint64) *process.Process {
	h, _ := l.holder(inode)
	return l.processes.Get(h.PID)
}

// all returns the processes that have a socket open, as PID/program.
func (l *lookups) all(inode uint64) string {
	var b strings.Builder
	i, ok := l.first(inode)
	if !ok {
		return ""
	}
	last := int32(0)
	for ; i < len(l.holders) && l.holders[i].Inode == inode; i++ {
		pid := l.holders[i].PID
		if pid == last {
			continue // by another file
		}
		if last != 0 {
			b.WriteByte(',')
		}
		last = pid
		b.WriteString(strconv.Itoa(int(pid)) + "/" + l.processes.Get(pid).Program())
	}
	return b.String()
}

// newLookups reads the names that the query's columns need.
func newLookups(ctx context.Context, h *host.Host, q schema.Query) (l *lookups, err error) {
	l = &lookups{}
	if q.Needs(needServices) {
		if l.services, err = h.ServiceNames(ctx); err != nil {
			return nil, err
		}
	}
	if q.Needs(needProtocols) {
		if l.protocols, err = h.ProtocolNames(ctx); err != nil {
			return nil, err
		}
	}
	if q.Needs(needUsers) {
		if l.users, err = h.Usernames(ctx); err != nil {
			return nil, err
		}
	}
	if q.Needs(needInterfaces) {
		l.interfaces = h.InterfaceNames()
	}
	if q.Needs(needHolders) {
		l.processes = h.Processes()
	}
	return l, nil
}

// findHoldersOf finds the holders of all sockets that any of these processes has
// open: no other row can match, whoever is its lowest holder.
func (l *lookups) findHoldersOf(ctx context.Context, h *host.Host, pids []int32, lowest bool) error {
	theirs, err := h.Holders(ctx, holders.Filter{PIDs: pids})
	if err != nil {
		return err
	}
	f := holders.Filter{Lowest: lowest}
	if len(theirs) <= fewSockets {
		f.Inodes = []uint64{}
		for _, holder := range theirs {
			f.Inodes = append(f.Inodes, holder.Inode)
		}
	}
	l.holders, err = h.Holders(ctx, f)
	return err
}

// fewSockets is how many sockets are held back to find the holders of only those.
// Of more sockets all holders are found at once, which takes less memory than the
// list of sockets.
const fewSockets = 1024

// joinOwners completes rows of sockets with the lookups that the query's columns
// need. Where those need the holders, pids are the processes that the query
// allows; nil means any.
func joinOwners[S any, P socket[S]](ctx context.Context, h *host.Host, q schema.Query, pids []int32, rows iter.Seq2[row[S], error]) iter.Seq2[row[S], error] {
	return func(yield func(row[S], error) bool) {
		fail := func(err error) { yield(row[S]{}, err) }
		l, err := newLookups(ctx, h, q)
		if err != nil {
			fail(err)
			return
		}
		waiting, lowest := q.Needs(needHolders), !q.Needs(needAllHolders)
		if waiting && pids != nil {
			if err := l.findHoldersOf(ctx, h, pids, lowest); err != nil {
				fail(err)
				return
			}
			waiting = false
		}
		// emit yields a row, and checks that the processes of its columns could be
		// read.
		emit := func(r row[S]) bool {
			r.lookups = l
			if !yield(r, nil) {
				return false
			}
			if l.processes != nil && l.processes.Err() != nil {
				fail(l.processes.Err())
				return false
			}
			return true
		}
		var few []S
		// resolve finds the holders and emits the buffered sockets.
		resolve := func(f holders.Filter) bool {
			if l.holders, err = h.Holders(ctx, f); err != nil {
				fail(err)
				return false
			}
			waiting = false
			for i := range few {
				if !emit(row[S]{Socket: &few[i]}) {
					return false
				}
			}
			few = nil
			return true
		}
		for r, err := range rows {
			if err != nil {
				fail(err)
				return
			}
			if waiting {
				if few = append(few, *r.Socket); len(few) == fewSockets && !resolve(holders.Filter{Lowest: lowest}) {
					return
				}
			} else if !emit(r) {
				return
			}
		}
		if waiting && len(few) > 0 {
			resolve(holders.Filter{Inodes: inodes[S, P](few), Lowest: lowest})
		}
	}
}

// inodes returns the inodes of the sockets that rows name the holders of: their own,
// or those that the type of socket appends.
func inodes[S any, P socket[S]](sockets []S) []uint64 {
	all := []uint64{}
	for i := range sockets {
		s := P(&sockets[i])
		if several, ok := any(s).(interface{ AppendInodes([]uint64) []uint64 }); ok {
			all = several.AppendInodes(all)
		} else {
			all = append(all, s.Base().Inode)
		}
	}
	return slices.DeleteFunc(all, func(inode uint64) bool { return inode == 0 })
}
