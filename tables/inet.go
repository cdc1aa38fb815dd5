package tables

import (
	"cmp"
	"context"
	"iter"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/cgroup"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// What a column may need besides the socket itself.
const (
	needServices schema.Need = 1 << iota
	needUsers
	needAttempts // retransmits and probes
	needDrops
	needHolders // the process that has the socket open
)

// names resolves numbers, for the columns of one query that need it.
type names struct {
	services  host.ServiceNames
	users     *host.Usernames
	holders   []host.Holder // one of each socket, sorted by inode
	processes *host.Processes
}

// holder returns who has a socket open: of several processes the one with the
// lowest number.
func (n *names) holder(inode uint64) (h host.Holder, ok bool) {
	i, ok := slices.BinarySearchFunc(n.holders, inode, func(h host.Holder, inode uint64) int { return cmp.Compare(h.Inode, inode) })
	if !ok || inode == 0 {
		return h, false
	}
	return n.holders[i], true
}

// process returns what is known of the socket's holder.
func (n *names) process(inode uint64) host.Process {
	if h, ok := n.holder(inode); ok {
		return n.processes.Get(h.PID)
	}
	return host.Process{}
}

// fewSockets is how many sockets are held back to look for their holders only.
// Those of more are looked for all at once.
const fewSockets = 1024

// withNames makes rows of sockets and the names that the query's columns need.
// Where those need the holders, pids are the processes that the query allows;
// nil means any.
func withNames[S, R any](ctx context.Context, h *host.Host, q schema.Query, pids []int32, sockets iter.Seq2[S, error], inode func(*S) uint64, row func(S, *names) R) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		n := &names{}
		if q.Needs(needServices) {
			var err error
			if n.services, err = h.ServiceNames(ctx); err != nil {
				var none R
				yield(none, err)
				return
			}
		}
		if q.Needs(needUsers) {
			n.users = h.Usernames()
		}
		var none R
		waiting := q.Needs(needHolders)
		if waiting {
			n.processes = h.Processes()
		}
		if waiting && pids != nil {
			// Only what these have open can match, whoever is its lowest holder.
			theirs, err := h.Holders(ctx, host.HolderFilter{PIDs: pids})
			if err == nil {
				inodes := []uint64{}
				for _, holder := range theirs {
					inodes = append(inodes, holder.Inode)
				}
				n.holders, err = h.Holders(ctx, host.HolderFilter{Inodes: inodes, Lowest: true})
			}
			if err != nil {
				yield(none, err)
				return
			}
			waiting = false
		}
		var few []S
		// look finds the holders and hands over who waited for them.
		look := func(f host.HolderFilter) bool {
			var err error
			if n.holders, err = h.Holders(ctx, f); err != nil {
				yield(none, err)
				return false
			}
			waiting = false
			for _, s := range few {
				if !yield(row(s, n), nil) {
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
				if few = append(few, s); len(few) == fewSockets && !look(host.HolderFilter{Lowest: true}) {
					return
				}
			} else if !yield(row(s, n), nil) {
				return
			}
		}
		if waiting {
			inodes := []uint64{}
			for i := range few {
				if number := inode(&few[i]); number != 0 {
					inodes = append(inodes, number)
				}
			}
			look(host.HolderFilter{Inodes: inodes, Lowest: true})
		}
	}
}

// inetColumns are the columns that tables of IP sockets share. R is the row of
// such a table.
type inetColumns[R any] struct {
	proto, username, localService, remoteService, localScope, remoteScope *schema.Typed[R, string]
	recvQ, sendQ, uid                                                     *schema.Typed[R, uint32]
	localAddress, remoteAddress                                           *schema.Typed[R, netip.Addr]
	localPort, remotePort                                                 *schema.Typed[R, uint16]
	family, protocol                                                      *schema.Typed[R, uint8]
	inode                                                                 *schema.Typed[R, int64]
	pid, fd                                                               *schema.Typed[R, int32]
	program, exe, cmdline, cgroup, containerID, systemdUnit               *schema.Typed[R, string]
}

func newInetColumns[R any](inet func(*R) *sock.Inet, names func(*R) *names) inetColumns[R] {
	return inetColumns[R]{
		proto: schema.Col("proto", "Protocol as netstat names it: tcp, tcp6, udp, udp6, udplite, udplite6.",
			func(r *R) string { return sock.Proto(inet(r).Family, inet(r).Protocol) }, schema.Pushed),
		recvQ: schema.Col("recv_q", "Bytes received and not yet read by the program; for a TCP listener the connections that wait to be accepted.",
			func(r *R) uint32 { return inet(r).RecvQueue }),
		sendQ: schema.Opt("send_q", "Bytes sent and not yet acknowledged by the peer; for a TCP listener how many connections may wait to be accepted, NULL where only /proc tells of it.",
			func(r *R) (uint32, bool) { return inet(r).SendQueue, inet(r).Absent&sock.NoBacklog == 0 }),
		localAddress: schema.Col("local_address", "Local IP address: 0.0.0.0 or :: for any. An IPv4-mapped one is spelled ::ffff:192.0.2.1.",
			func(r *R) netip.Addr { return inet(r).Local.Addr() }, schema.Pushed),
		localPort: schema.Col("local_port", "Local port.",
			func(r *R) uint16 { return inet(r).Local.Port() }, schema.Pushed),
		remoteAddress: schema.Col("remote_address", "Peer's IP address; 0.0.0.0 or :: if there is no peer.",
			func(r *R) netip.Addr { return inet(r).Remote.Addr() }, schema.Pushed, schema.Synonym("foreign_address")),
		remotePort: schema.Col("remote_port", "Peer's port; 0 if there is no peer.",
			func(r *R) uint16 { return inet(r).Remote.Port() }, schema.Pushed, schema.Synonym("foreign_port")),
		uid: schema.Opt("uid", "User who owns the socket. NULL where it has none of its own: in TIME_WAIT, in SYN_RECV (it is the listener's) and, once the program has closed the connection, in FIN_WAIT2.",
			func(r *R) (uint32, bool) { return inet(r).UID, inet(r).Absent&sock.NoOwner == 0 }),
		username: schema.Opt("username", "Name of that user in this machine's /etc/passwd. Empty if there is no user or no name.",
			func(r *R) (string, bool) {
				if inet(r).Absent&sock.NoOwner != 0 {
					return "", false
				}
				return names(r).users.Name(inet(r).UID), true
			}, schema.Needs(needUsers)),
		inode: schema.Opt("inode", "Inode of the socket, as in the links /proc/PID/fd/N. NULL if no file refers to it: TIME_WAIT, SYN_RECV, connections that wait to be accepted and those that their program has closed.",
			func(r *R) (int64, bool) { return int64(inet(r).Inode), inet(r).Inode-1 < 1<<63-1 }, schema.Synonym("socket")),
		pid: schema.Opt("pid", "Process that has the socket open, of several the one with the lowest number; socket_processes has all. NULL if none has, as of a connection that waits to be accepted, or if we may not see it: without root only this user's processes are.",
			func(r *R) (int32, bool) { h, ok := names(r).holder(inet(r).Inode); return h.PID, ok }, schema.Needs(needHolders)),
		program: schema.Col("program", "That process's name as netstat shows it: argv[0], of an absolute path its last part, else the kernel's name of it. Empty if there is no such process.",
			func(r *R) string { return names(r).process(inet(r).Inode).Program }, schema.Needs(needHolders)),
		fd: schema.Opt("fd", "Lowest file descriptor by which that process has the socket. NULL as for pid.",
			func(r *R) (int32, bool) { h, ok := names(r).holder(inet(r).Inode); return h.FD, ok }, schema.Hidden, schema.Needs(needHolders)),
		exe: schema.Col("exe", "Path of that process's executable file. Empty if it cannot be told.",
			func(r *R) string { return names(r).process(inet(r).Inode).Exe }, schema.Hidden, schema.Needs(needHolders)),
		cmdline: schema.Col("cmdline", "That process's command line, its arguments separated by blanks. Empty if it cannot be told.",
			func(r *R) string { return strings.Join(names(r).process(inet(r).Inode).Args, " ") }, schema.Hidden, schema.Needs(needHolders)),
		cgroup: schema.Col("cgroup", "Path of that process's control group. Empty if it cannot be told.",
			func(r *R) string { return names(r).process(inet(r).Inode).Cgroup }, schema.Hidden, schema.Needs(needHolders)),
		containerID: schema.Col("container_id", "Container that the control group belongs to: the identity that Docker, containerd, CRI-O and Podman give it, or LXC's name. Empty if it is none.",
			func(r *R) string { return cgroup.ContainerID(names(r).process(inet(r).Inode).Cgroup) }, schema.Hidden, schema.Needs(needHolders)),
		systemdUnit: schema.Col("systemd_unit", "Unit of the system's systemd that the control group belongs to, such as ssh.service. Empty if it is none.",
			func(r *R) string { return cgroup.Unit(names(r).process(inet(r).Inode).Cgroup) }, schema.Hidden, schema.Needs(needHolders)),
		localService: schema.Col("local_service", "Name of the local port's service in the services file, for this protocol. Empty if it has none.",
			func(r *R) string { return names(r).services.Name(inet(r).Local.Port(), inet(r).Protocol) }, schema.Hidden, schema.Needs(needServices)),
		remoteService: schema.Col("remote_service", "Name of the peer's port in the services file, for this protocol. Empty if it has none.",
			func(r *R) string { return names(r).services.Name(inet(r).Remote.Port(), inet(r).Protocol) }, schema.Hidden, schema.Needs(needServices), schema.Synonym("foreign_service")),
		localScope: schema.Col("local_scope", "What the local address is exposed to: wildcard, loopback, link_local, private, multicast, global.",
			func(r *R) string { return string(sock.ScopeOf(inet(r).Local.Addr())) }, schema.Hidden),
		remoteScope: schema.Col("remote_scope", "What the peer's address is: wildcard (no peer), loopback, link_local, private, multicast, global.",
			func(r *R) string { return string(sock.ScopeOf(inet(r).Remote.Addr())) }, schema.Hidden, schema.Synonym("foreign_scope")),
		family: schema.Col("family", "Address family as a number: 2 for IPv4, 10 for IPv6.",
			func(r *R) uint8 { return uint8(inet(r).Family) }, schema.Hidden, schema.Pushed),
		protocol: schema.Col("protocol", "IP protocol as a number: 6 for TCP, 17 for UDP, 136 for UDP-Lite.",
			func(r *R) uint8 { return uint8(inet(r).Protocol) }, schema.Hidden, schema.Pushed),
	}
}

// filter translates what the query says of the shared columns.
func (c *inetColumns[R]) filter(q schema.Query) host.InetFilter {
	f := host.InetFilter{
		LocalPorts: ports(c.localPort, q), RemotePorts: ports(c.remotePort, q),
		LocalAddrs: c.localAddress.In(q), RemoteAddrs: c.remoteAddress.In(q),
		Attempts: q.Needs(needAttempts), Drops: q.Needs(needDrops),
	}
	for _, n := range c.family.In(q) {
		f.Families = append(f.Families, sock.Family(n))
	}
	for _, n := range c.protocol.In(q) {
		f.Protocols = append(f.Protocols, sock.Protocol(n))
	}
	if protos := c.proto.In(q); f.Families == nil && f.Protocols == nil && protos != nil {
		f.Families, f.Protocols = []sock.Family{}, []sock.Protocol{}
		for _, name := range protos {
			if family, protocol, ok := sock.ParseProto(name); ok {
				f.Families, f.Protocols = append(f.Families, family), append(f.Protocols, protocol)
			}
		}
	}
	return f
}

// ports translates what the query says of a port. Where it excludes every port
// the answer is any: no row will pass.
func ports[R any](c *schema.Typed[R, uint16], q schema.Query) (ranges []sock.PortRange) {
	low, high := c.Range(q)
	low, high = max(low, 0), min(high, math.MaxUint16)
	if in := c.In(q); in != nil {
		for _, port := range in {
			if low <= int64(port) && int64(port) <= high {
				ranges = append(ranges, sock.PortRange{Low: port, High: port})
			}
		}
	} else if low <= high && (low > 0 || high < math.MaxUint16) {
		ranges = append(ranges, sock.PortRange{Low: uint16(low), High: uint16(high)})
	}
	return ranges
}

// states translates the states that a query names; an unknown name, which may
// be the number of a state that we do not know, widens to any.
func states(in []string) sock.StateSet {
	var all sock.StateSet
	for _, name := range in {
		set, ok := sock.ParseState(name)
		if !ok {
			return 0
		}
		all |= set
	}
	return all
}
