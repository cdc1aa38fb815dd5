package tables

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/cgroup"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/holders"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// What a column may need besides the socket itself.
const (
	needServices schema.Need = 1 << iota
	needUsers
	needAttempts // retransmits and probes
	needCongestion
	needMemory // what the socket takes of the kernel's memory
	needTypeOfService
	needInterfaces // names of network interfaces
	needProtocols  // names of IP protocols
	needMembers    // what packet sockets have asked of interfaces
	needHolders    // the process that has the socket open
	needAllHolders
	needSCTPPaths
)

// names resolves numbers, for the columns of one query that need it.
type names struct {
	services   host.ServiceNames
	protocols  host.ProtocolNames
	users      *host.Usernames
	interfaces *host.InterfaceNames
	holders    []holders.Holder // sorted by inode and process; one of each socket unless all are needed
	processes  *process.Cache
}

// first returns the position of a socket's first holder.
func (n *names) first(inode uint64) (position int, ok bool) {
	if inode == 0 {
		return 0, false
	}
	return slices.BinarySearchFunc(n.holders, inode, func(h holders.Holder, inode uint64) int { return cmp.Compare(h.Inode, inode) })
}

// holder returns who has a socket open: of several processes the one with the
// lowest number.
func (n *names) holder(inode uint64) (h holders.Holder, ok bool) {
	i, ok := n.first(inode)
	if !ok {
		return h, false
	}
	return n.holders[i], true
}

// process returns what is known of the socket's holder.
func (n *names) process(inode uint64) process.Info {
	if h, ok := n.holder(inode); ok {
		return n.processes.Get(h.PID)
	}
	return process.Info{}
}

// all returns the processes that have a socket open, as PID/program.
func (n *names) all(inode uint64) string {
	var b strings.Builder
	i, ok := n.first(inode)
	if !ok {
		return ""
	}
	last := int32(0)
	for ; i < len(n.holders) && n.holders[i].Inode == inode; i++ {
		pid := n.holders[i].PID
		if pid == last {
			continue // by another file
		}
		if last != 0 {
			b.WriteByte(',')
		}
		last = pid
		b.WriteString(strconv.Itoa(int(pid)) + "/" + n.processes.Get(pid).Program)
	}
	return b.String()
}

// fewSockets is how many sockets are held back to look for their holders only.
// Those of more are looked for all at once, which takes less memory than a list of
// them.
const fewSockets = 1024

// withNames makes rows of sockets and the names that the query's columns need.
// Where those need the holders, pids are the processes that the query allows;
// nil means any.
func withNames[S, R any](ctx context.Context, h *host.Host, q schema.Query, pids []int32, sockets iter.Seq2[S, error], inode func(*S) uint64, row func(S, *names) R) iter.Seq2[R, error] {
	return withNamesOf(ctx, h, q, pids, sockets, func(inodes []uint64, s *S) []uint64 { return append(inodes, inode(s)) }, row)
}

// withNamesOf is withNames for rows that name the holders of several sockets, the
// inodes of which appendInodes appends.
func withNamesOf[S, R any](ctx context.Context, h *host.Host, q schema.Query, pids []int32, sockets iter.Seq2[S, error], appendInodes func([]uint64, *S) []uint64, row func(S, *names) R) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var none R
		n := &names{}
		if q.Needs(needServices) {
			var err error
			if n.services, err = h.ServiceNames(ctx); err != nil {
				yield(none, err)
				return
			}
		}
		if q.Needs(needProtocols) {
			var err error
			if n.protocols, err = h.ProtocolNames(ctx); err != nil {
				yield(none, err)
				return
			}
		}
		if q.Needs(needUsers) {
			n.users = h.Usernames()
		}
		if q.Needs(needInterfaces) {
			n.interfaces = h.InterfaceNames()
		}
		waiting := q.Needs(needHolders)
		lowest := !q.Needs(needAllHolders)
		if waiting {
			n.processes = h.Processes()
		}
		if waiting && pids != nil {
			// Only what these have open can match, whoever is its lowest holder.
			theirs, err := h.Holders(ctx, holders.Filter{PIDs: pids})
			if err == nil {
				f := holders.Filter{Lowest: lowest}
				if len(theirs) <= fewSockets {
					f.Inodes = []uint64{}
					for _, holder := range theirs {
						f.Inodes = append(f.Inodes, holder.Inode)
					}
				}
				n.holders, err = h.Holders(ctx, f)
			}
			if err != nil {
				yield(none, err)
				return
			}
			waiting = false
		}
		// emit yields a row, and checks that the processes of its columns could be
		// read.
		emit := func(s S) bool {
			if !yield(row(s, n), nil) {
				return false
			}
			if n.processes != nil && n.processes.Err() != nil {
				yield(none, n.processes.Err())
				return false
			}
			return true
		}
		var few []S
		// resolve finds the holders and emits the buffered rows.
		resolve := func(f holders.Filter) bool {
			var err error
			if n.holders, err = h.Holders(ctx, f); err != nil {
				yield(none, err)
				return false
			}
			waiting = false
			for _, s := range few {
				if !emit(s) {
					return false
				}
			}
			few = nil
			return true
		}
		for s, err := range sockets {
			if err != nil {
				yield(none, err)
				return
			}
			if waiting {
				if few = append(few, s); len(few) == fewSockets && !resolve(holders.Filter{Lowest: lowest}) {
					return
				}
			} else if !emit(s) {
				return
			}
		}
		if waiting {
			inodes := []uint64{}
			for i := range few {
				inodes = appendInodes(inodes, &few[i])
			}
			inodes = slices.DeleteFunc(inodes, func(inode uint64) bool { return inode == 0 })
			resolve(holders.Filter{Inodes: inodes, Lowest: lowest})
		}
	}
}

// ownerColumns are the columns of who owns a socket, which the tables of every
// kind of socket share. R is the row of such a table.
type ownerColumns[R any] struct {
	uid                             *schema.Typed[R, uint32]
	inode                           *schema.Typed[R, int64]
	pid                             *schema.Typed[R, int32]
	username, program, netNamespace *schema.Typed[R, string]
	containerID, systemdUnit        *schema.Typed[R, string]
	// hidden are those of the process, and net_namespace.
	hidden []schema.Column[R]
}

// newOwnerColumns makes them; noUID says, in the column's document, when uid is
// absent.
func newOwnerColumns[R any](names func(*R) *names, noUID string, uid func(*R) (uint32, bool), inode func(*R) uint64, namespace func(*R) uint32) ownerColumns[R] {
	c := ownerColumns[R]{
		uid: schema.Opt("uid", strings.TrimSpace("User who owns the socket. "+noUID), uid),
		username: schema.Opt("username", "Name of that user in this machine's /etc/passwd. Empty if there is no user or no name.",
			func(r *R) (string, bool) {
				number, ok := uid(r)
				if !ok {
					return "", false
				}
				return names(r).users.Name(number), true
			}, schema.Needs(needUsers)),
		inode: schema.Opt("inode", "Inode of the socket, as in the links /proc/PID/fd/N. NULL if no file refers to it, such as of a connection that waits to be accepted or that its program has closed.",
			func(r *R) (int64, bool) { return int64(inode(r)), inode(r)-1 < 1<<63-1 }, schema.Synonym("socket"), schema.Pushed),
		pid: schema.Opt("pid", "Process that has the socket open, of several the one with the lowest number; socket_processes has all. NULL if none has, as of a connection that waits to be accepted, or if we may not see it: without root only this user's processes are.",
			func(r *R) (int32, bool) { h, ok := names(r).holder(inode(r)); return h.PID, ok }, schema.Needs(needHolders)),
		program: schema.Col("program", "That process's name as netstat shows it: argv[0], of an absolute path its last part, else the kernel's name of it. Empty if there is no such process.",
			func(r *R) string { return names(r).process(inode(r)).Program }, schema.Needs(needHolders)),
		netNamespace: netNamespaceColumn(namespace),
		containerID: schema.Col("container_id", "Container that the control group belongs to: the identity that Docker, containerd, CRI-O and Podman give it, or the name that LXC and systemd-nspawn do. Empty if it is none.",
			func(r *R) string { return cgroup.ContainerID(names(r).process(inode(r)).Cgroup) }, schema.Hidden, schema.Needs(needHolders)),
		systemdUnit: schema.Col("systemd_unit", "Unit of the system's systemd that the control group belongs to, such as ssh.service. Empty if it is none.",
			func(r *R) string { return cgroup.Unit(names(r).process(inode(r)).Cgroup) }, schema.Hidden, schema.Needs(needHolders)),
	}
	c.hidden = []schema.Column[R]{
		schema.Opt("fd", "Lowest file descriptor by which that process has the socket. NULL as for pid.",
			func(r *R) (int32, bool) { h, ok := names(r).holder(inode(r)); return h.FD, ok }, schema.Hidden, schema.Needs(needHolders)),
		schema.Col("holders", "All processes that have the socket open, as PID/program with commas between. Empty if there are none that we may see.",
			func(r *R) string { return names(r).all(inode(r)) }, schema.Hidden, schema.Needs(needHolders|needAllHolders)),
		schema.Col("exe", "Path of that process's executable file. Empty if it cannot be told.",
			func(r *R) string { return names(r).process(inode(r)).Exe }, schema.Hidden, schema.Needs(needHolders)),
		schema.Col("cmdline", "That process's command line, its arguments separated by blanks. Empty if it cannot be told.",
			func(r *R) string { return strings.Join(names(r).process(inode(r)).Args, " ") }, schema.Hidden, schema.Needs(needHolders)),
		schema.Col("cgroup", "Path of that process's control group. Empty if it cannot be told.",
			func(r *R) string { return names(r).process(inode(r)).Cgroup }, schema.Hidden, schema.Needs(needHolders)),
		c.containerID, c.systemdUnit,
		c.netNamespace,
	}
	return c
}

// onlyProc says, in a column's document, when it is absent.
const onlyProc = "NULL where only /proc tells of it."

// cookieColumn is the column of the kernel's identity of a socket, which is absent
// if it is 0; absent says so in the column's document.
func cookieColumn[R any](absent string, cookie func(*R) uint64) *schema.Typed[R, int64] {
	return schema.Opt("cookie", strings.TrimSpace("The kernel's identity of the socket, which no other had since the host was started. "+absent),
		func(r *R) (int64, bool) { return int64(cookie(r)), cookie(r)-1 < 1<<63-1 }, schema.Hidden, schema.Pushed)
}

// namespaces selects the network namespaces that a query sees.
func namespaces[R any](netNamespace *schema.Typed[R, string], q schema.Query) host.Namespaces {
	return host.Namespaces{All: netNamespace.Uses(q), In: netNamespace.In(q)}
}

// netNamespaceColumn is the column by which a query reaches other network
// namespaces.
func netNamespaceColumn[R any](namespace func(*R) uint32) *schema.Typed[R, string] {
	return schema.Opt("net_namespace", "Inode number of the network namespace, as in network_namespaces. A statement that uses this column sees the network namespaces of the whole host; one that does not sees the program's own, as netstat does. Empty if the number is not known.",
		func(r *R) (string, bool) {
			if namespace(r) == 0 {
				return "", false
			}
			return strconv.FormatUint(uint64(namespace(r)), 10), true
		}, schema.Hidden, schema.Scope)
}
