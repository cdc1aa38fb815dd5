package tables

import (
	"cmp"
	"context"
	"iter"
	"math"
	"net/netip"
	"slices"
	"strconv"
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
	needCongestion
	needMemory // what the socket takes of the kernel's memory
	needTypeOfService
	needInterfaces // names of network interfaces
	needHolders    // the process that has the socket open
)

// names resolves numbers, for the columns of one query that need it.
type names struct {
	services   host.ServiceNames
	users      *host.Usernames
	interfaces *host.InterfaceNames
	holders    []host.Holder // one of each socket, sorted by inode
	processes  *host.Processes
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
		if q.Needs(needInterfaces) {
			n.interfaces = h.InterfaceNames()
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
	netNamespace                                                          *schema.Typed[R, string]
	details                                                               []schema.Column[R]
}

func newInetColumns[R any](inet func(*R) *sock.Inet, names func(*R) *names) inetColumns[R] {
	details := func(r *R) *sock.Details { return &inet(r).Details }
	return inetColumns[R]{
		netNamespace: netNamespaceColumn(func(r *R) uint32 { return inet(r).Namespace }),
		details: append([]schema.Column[R]{
			schema.Opt("cookie", "The kernel's identity of the socket, which no other had since the host was started. NULL where only /proc tells of it.",
				func(r *R) (int64, bool) { return int64(inet(r).Cookie), inet(r).Cookie-1 < 1<<63-1 }, schema.Hidden),
			schema.Opt("interface", "Network interface that the socket is bound to; its number if it has no name that can be told. Empty if it is bound to none, or if only /proc tells of it.",
				func(r *R) (string, bool) {
					d := details(r)
					if d.Interface == 0 {
						return "", false
					}
					return names(r).interfaces.Name(inet(r).Namespace, d.Interface), true
				}, schema.Hidden, schema.Needs(needInterfaces)),
			schema.Opt("mark", "SO_MARK of the socket, by which routing and packet filters may choose. NULL if it cannot be told: it takes CAP_NET_ADMIN, and /proc does not.",
				known(details, sock.KnowsMark, func(d *sock.Details) uint32 { return d.Mark }), schema.Hidden),
			schema.Opt("cgroup_id", "Number of the control group in which the socket was made: the inode of its directory in the cgroup2 file system. NULL if the kernel does not tell (since Linux 5.9), or only /proc does.",
				func(r *R) (int64, bool) {
					d := details(r)
					return int64(d.CgroupID), d.Known&sock.KnowsCgroupID != 0 && d.CgroupID < 1<<63
				}, schema.Hidden),
			schema.Opt("tos", "IPv4 type of service of the packets that the socket sends, a byte. NULL if it cannot be told, as of TIME_WAIT and where only /proc does.",
				known(details, sock.KnowsTOS, func(d *sock.Details) uint8 { return d.TOS }), schema.Hidden, schema.Needs(needTypeOfService)),
			schema.Opt("tclass", "IPv6 traffic class of the packets that the socket sends, a byte. NULL of IPv4 sockets, and as for tos.",
				known(details, sock.KnowsTClass, func(d *sock.Details) uint8 { return d.TClass }), schema.Hidden, schema.Needs(needTypeOfService)),
			schema.Opt("v6only", "1 if an IPv6 socket takes no IPv4 packets, 0 if it takes both. NULL of IPv4 sockets, and as for tos.",
				known(details, sock.KnowsV6Only, func(d *sock.Details) bool { return d.V6Only }), schema.Hidden),
			schema.Opt("shutdown", "What was shut down: 0 nothing, 1 receiving, 2 sending, 3 both. NULL as for tos.",
				known(details, sock.KnowsShutdown, func(d *sock.Details) uint8 { return d.Shutdown }), schema.Hidden),
		}, memoryColumns(details)...),
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

// known returns an accessor that is absent unless the kernel told of the field.
func known[R any, V schema.Value](details func(*R) *sock.Details, field sock.Known, get func(*sock.Details) V) func(*R) (V, bool) {
	return func(r *R) (V, bool) {
		d := details(r)
		return get(d), d.Known&field != 0
	}
}

// memoryColumns are those of ss's skmem, in its order.
func memoryColumns[R any](details func(*R) *sock.Details) (columns []schema.Column[R]) {
	for _, c := range []struct {
		name, doc string
		get       func(*sock.Memory) uint32
	}{
		{"received_memory_bytes", "Kernel memory in the receive queue, with its overhead: r of ss's skmem.", func(m *sock.Memory) uint32 { return m.Received }},
		{"receive_buffer_bytes", "Limit of that, SO_RCVBUF: rb of ss's skmem.", func(m *sock.Memory) uint32 { return m.ReceiveBuffer }},
		{"sent_memory_bytes", "Kernel memory of what was given to the network layer: t of ss's skmem.", func(m *sock.Memory) uint32 { return m.Sent }},
		{"send_buffer_bytes", "Limit of what may wait to be sent, SO_SNDBUF: tb of ss's skmem.", func(m *sock.Memory) uint32 { return m.SendBuffer }},
		{"forward_memory_bytes", "Kernel memory set aside for what comes next: f of ss's skmem.", func(m *sock.Memory) uint32 { return m.Forward }},
		{"queued_memory_bytes", "Kernel memory of what waits to be sent or acknowledged: w of ss's skmem.", func(m *sock.Memory) uint32 { return m.Queued }},
		{"option_memory_bytes", "Kernel memory of socket options and filters: o of ss's skmem.", func(m *sock.Memory) uint32 { return m.Options }},
		{"backlog_memory_bytes", "Kernel memory of packets that came while the program held the socket: bl of ss's skmem.", func(m *sock.Memory) uint32 { return m.Backlog }},
	} {
		columns = append(columns, schema.Opt(c.name, c.doc+" NULL as for tos.",
			known(details, sock.KnowsMemory, func(d *sock.Details) uint32 { return c.get(&d.Memory) }), schema.Hidden, schema.Needs(needMemory)))
	}
	return columns
}

// netNamespaceColumn is the column of a socket table by which a query reaches
// other network namespaces.
func netNamespaceColumn[R any](namespace func(*R) uint32) *schema.Typed[R, string] {
	return schema.Opt("net_namespace", "Inode number of the network namespace. Without a comparison with it, by = or IN or a join, the table shows this process's own only; with one also others, see network_namespaces. Empty if it cannot be told.",
		func(r *R) (string, bool) {
			if namespace(r) == 0 {
				return "", false
			}
			return strconv.FormatUint(uint64(namespace(r)), 10), true
		}, schema.Hidden, schema.Pushed)
}

// filter translates what the query says of the shared columns.
func (c *inetColumns[R]) filter(q schema.Query) host.InetFilter {
	f := host.InetFilter{
		LocalPorts: ports(c.localPort, q), RemotePorts: ports(c.remotePort, q),
		LocalAddrs: c.localAddress.In(q), RemoteAddrs: c.remoteAddress.In(q),
		Attempts: q.Needs(needAttempts), Memory: q.Needs(needMemory), TypeOfService: q.Needs(needTypeOfService),
		Namespaces: c.netNamespace.All(q),
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
