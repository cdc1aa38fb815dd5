package tables

import (
	"math"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// inetSocket is a pointer to a type of IP sockets.
type inetSocket[S any] interface {
	socket[S]
	IP() *sock.Inet
}

// inetColumns are the columns that tables of IP sockets share.
type inetColumns[S any, P inetSocket[S]] struct {
	ownerColumns[S, P]
	proto, localService, remoteService, localScope, remoteScope *schema.Column[row[S], string]
	recvQ, sendQ                                                *schema.Column[row[S], uint32]
	localAddress, remoteAddress                                 *schema.Column[row[S], netip.Addr]
	localPort, remotePort, protocol                             *schema.Column[row[S], uint16]
	family                                                      *schema.Column[row[S], uint8]
	cookie                                                      *schema.Column[row[S], int64]
	details                                                     []schema.AnyColumn[row[S]]
}

// unpushed is for the columns of a table that reads its whole list for any query.
func unpushed(*schema.ColumnInfo) {}

// noFile says when the owner of a connection is absent.
const noFile = "NULL if inode is, such as in TIME_WAIT and for a connection that its program has closed."

// transportDocs say how the tables name a protocol, and what the kernel counts in its
// queues.
type transportDocs struct {
	names          []string
	received, sent string
}

var (
	tcpDocs = transportDocs{
		[]string{"tcp", "tcp6"},
		"Bytes received and not yet read by the program; for a listener the connections that wait to be accepted.",
		"Bytes sent and not yet acknowledged by the peer; for a listener how many connections may wait to be accepted, NULL from /proc.",
	}
	// What sk_rmem_alloc_get and sk_wmem_alloc_get of include/net/sock.h count.
	datagramDocs = transportDocs{
		[]string{"udp", "udp6", "udplite", "udplite6"},
		"Kernel memory of the packets received and not yet read by the program, in bytes and with its overhead: several hundred for a packet of one byte.",
		"Kernel memory of the packets sent and still on their way out of this host, in bytes and with its overhead.",
	}
)

// newInetColumns makes them; pushed is schema.Pushed if the table narrows by
// addresses, ports, families and protocols, and noUID says when uid is absent.
func newInetColumns[S any, P inetSocket[S]](pushed schema.Option, docs transportDocs, noUID string) inetColumns[S, P] {
	inet := func(r *row[S]) *sock.Inet { return P(r.Socket).IP() }
	details := func(r *row[S]) *sock.Details { return &inet(r).Details }
	owner := newOwnerColumns[S, P](noUID)
	return inetColumns[S, P]{
		ownerColumns: owner,
		cookie:       owner.cookieColumn(""),
		details: append([]schema.AnyColumn[row[S]]{
			schema.Nullable("user", "Name in this machine's /etc/passwd of the effective user of the process pid; username is that of the socket's owner. Empty if there is no such process or no name.",
				func(r *row[S]) (string, bool) {
					status := r.lookups.process(inet(r).Inode).Status()
					if !status.HasUsers {
						return "", false
					}
					return r.lookups.users.Name(status.EUID), true
				}, schema.Hidden, schema.Needs(needHolders|needUsers), schema.Shared),
			schema.Nullable("interface", "Network interface that the socket is bound to; its number if its name is unknown. Empty if it is bound to none, and from /proc.",
				func(r *row[S]) (string, bool) {
					d := details(r)
					if d.Interface == 0 {
						return "", false
					}
					return r.lookups.interfaces.Name(inet(r).Namespace, d.Interface), true
				}, schema.Hidden, schema.Needs(needInterfaces), schema.Shared),
			schema.Nullable("mark", "SO_MARK of the socket, by which routing and packet filters may choose. NULL if unknown: sock_diag reports it with CAP_NET_ADMIN, /proc never.",
				known(details, sock.KnowsMark, func(d *sock.Details) uint32 { return d.Mark }), schema.Hidden, schema.Needs(needDetails), schema.Shared),
			schema.Nullable("cgroup_id", "Number of the control group in which the socket was made: the inode of its directory in the cgroup2 file system. NULL before Linux 5.9, and from /proc.",
				func(r *row[S]) (int64, bool) {
					d := details(r)
					return int64(d.CgroupID), d.Known&sock.KnowsCgroupID != 0 && d.CgroupID < 1<<63
				}, schema.Hidden, schema.Needs(needDetails), schema.Shared),
			schema.Nullable("tos", "IPv4 type of service of the packets that the socket sends, a byte. NULL if unknown, such as from /proc and for TCP in TIME_WAIT.",
				known(details, sock.KnowsTOS, func(d *sock.Details) uint8 { return d.TOS }), schema.Hidden, schema.Needs(needTypeOfService), schema.Shared),
			schema.Nullable("tclass", "IPv6 traffic class of the packets that the socket sends, a byte. NULL for IPv4 sockets, and as for tos.",
				known(details, sock.KnowsTClass, func(d *sock.Details) uint8 { return d.TClass }), schema.Hidden, schema.Needs(needTypeOfService), schema.Shared),
			schema.Nullable("v6only", "1 if an IPv6 socket takes no IPv4 packets, 0 if it takes both. NULL for IPv4 sockets, and as for tos.",
				known(details, sock.KnowsV6Only, func(d *sock.Details) bool { return d.V6Only }), schema.Hidden, schema.Needs(needDetails), schema.Shared),
			schema.Nullable("socket_options", "Options of the socket that are on, as ss --inet-sockopt names them, with commas between: recverr, freebind, hdrincl, mc_loop, transparent, mc_all, nodefrag, bind_addr_no_port, recverr_rfc4884, defer_connect. Empty where the kernel does not report them, in TIME_WAIT and from /proc.",
				func(r *row[S]) (string, bool) {
					d := details(r)
					return d.Options.String(), d.Known&sock.KnowsOptions != 0
				}, schema.Hidden, schema.Needs(needDetails), schema.Shared),
			schema.Nullable("class_id", "Class by which traffic control may choose: that of the process's net_cls control group, else SO_PRIORITY. NULL as for tos.",
				known(details, sock.KnowsClassID, func(d *sock.Details) uint32 { return d.ClassID }), schema.Hidden, schema.Needs(needTypeOfService), schema.Shared),
			schema.Nullable("shutdown", shutdownDoc,
				known(details, sock.KnowsShutdown, func(d *sock.Details) uint8 { return d.Shutdown }), schema.Hidden, schema.Needs(needDetails), schema.Shared),
		}, memoryColumns(details)...),
		proto: schema.NotNull("proto", "Protocol as netstat names it, with a 6 for sockets of the family inet6.",
			func(r *row[S]) string { return sock.Proto(inet(r).Family, inet(r).Protocol) }, pushed, schema.Shared, words(docs.names...)),
		recvQ: schema.NotNull("recv_q", docs.received,
			func(r *row[S]) uint32 { return inet(r).RecvQueue }),
		sendQ: schema.Nullable("send_q", docs.sent,
			func(r *row[S]) (uint32, bool) { return inet(r).SendQueue, !inet(r).NoBacklog }),
		localAddress: schema.NotNull("local_address", "Local IP address: 0.0.0.0 or :: for any. An IPv4-mapped one is spelled ::ffff:192.0.2.1.",
			func(r *row[S]) netip.Addr { return inet(r).Local.Addr() }, pushed, schema.Shared),
		localPort: schema.NotNull("local_port", "Local port.",
			func(r *row[S]) uint16 { return inet(r).Local.Port() }, pushed, schema.Shared),
		remoteAddress: schema.NotNull("remote_address", "Peer's IP address; 0.0.0.0 or :: if there is no peer.",
			func(r *row[S]) netip.Addr { return inet(r).Remote.Addr() }, pushed, schema.Synonym("foreign_address"), schema.Shared),
		remotePort: schema.NotNull("remote_port", "Peer's port; 0 if there is no peer.",
			func(r *row[S]) uint16 { return inet(r).Remote.Port() }, pushed, schema.Synonym("foreign_port"), schema.Shared),
		localService: schema.NotNull("local_service", "Name of the local port's service in the services file, for this protocol. Empty if it has none.",
			func(r *row[S]) string { return r.lookups.services.Name(inet(r).Local.Port(), inet(r).Protocol) }, schema.Hidden, schema.Needs(needServices), schema.Shared),
		remoteService: schema.NotNull("remote_service", "Name of the peer's port in the services file, for this protocol. Empty if it has none.",
			func(r *row[S]) string { return r.lookups.services.Name(inet(r).Remote.Port(), inet(r).Protocol) }, schema.Hidden, schema.Needs(needServices), schema.Synonym("foreign_service"), schema.Shared),
		localScope: schema.NotNull("local_scope", "What the local address is exposed to: wildcard, loopback, link_local, private, multicast, global.",
			func(r *row[S]) string { return string(sock.ScopeOf(inet(r).Local.Addr())) }, schema.Hidden, schema.Shared, scopes()),
		remoteScope: schema.NotNull("remote_scope", "What the peer's address is: wildcard (no peer), loopback, link_local, private, multicast, global.",
			func(r *row[S]) string { return string(sock.ScopeOf(inet(r).Remote.Addr())) }, schema.Hidden, schema.Synonym("foreign_scope"), schema.Shared, scopes()),
		family: schema.NotNull("family", "Address family as a number: 2 for IPv4, 10 for IPv6.",
			func(r *row[S]) uint8 { return uint8(inet(r).Family) }, schema.Hidden, pushed, schema.Shared),
		protocol: schema.NotNull("protocol", "IP protocol as a number, such as 6 for TCP and 17 for UDP.",
			func(r *row[S]) uint16 { return uint16(inet(r).Protocol) }, schema.Hidden, pushed, schema.Shared),
	}
}

// known returns an accessor that is absent unless the kernel reported the field.
func known[R any, V schema.Value](details func(*R) *sock.Details, field sock.Known, get func(*sock.Details) V) func(*R) (V, bool) {
	return func(r *R) (V, bool) {
		d := details(r)
		return get(d), d.Known&field != 0
	}
}

// shutdownDoc describes the column shutdown.
const shutdownDoc = "Directions that were shut down: 0 none, 1 receiving, 2 sending, 3 both. NULL if unknown, such as from /proc and for TCP in TIME_WAIT."

// memoryColumns are the numbers of ss's skmem, in its order.
func memoryColumns[R any](details func(*R) *sock.Details) (columns []schema.AnyColumn[R]) {
	for _, c := range []struct {
		name, doc string
		get       func(*sock.Memory) uint32
	}{
		{"received_memory_bytes", "Kernel memory in the receive queue, with its overhead: r of ss's skmem.", func(m *sock.Memory) uint32 { return m.Received }},
		{"receive_buffer_bytes", "Limit of received_memory_bytes, SO_RCVBUF: rb of ss's skmem.", func(m *sock.Memory) uint32 { return m.ReceiveBuffer }},
		{"sent_memory_bytes", "Kernel memory of the packets that the network layer holds: t of ss's skmem.", func(m *sock.Memory) uint32 { return m.Sent }},
		{"send_buffer_bytes", "Limit of the data that may wait to be sent, SO_SNDBUF: tb of ss's skmem.", func(m *sock.Memory) uint32 { return m.SendBuffer }},
		{"forward_memory_bytes", "Kernel memory set aside for what comes next: f of ss's skmem.", func(m *sock.Memory) uint32 { return m.Forward }},
		{"queued_memory_bytes", "Kernel memory of the data that wait to be sent or, for TCP, to be acknowledged: w of ss's skmem.", func(m *sock.Memory) uint32 { return m.Queued }},
		{"option_memory_bytes", "Kernel memory of socket options and filters: o of ss's skmem.", func(m *sock.Memory) uint32 { return m.Options }},
		{"backlog_memory_bytes", "Kernel memory of packets that came while the program held the socket: bl of ss's skmem.", func(m *sock.Memory) uint32 { return m.Backlog }},
	} {
		columns = append(columns, schema.Nullable(c.name, c.doc+" NULL as for shutdown.",
			known(details, sock.KnowsMemory, func(d *sock.Details) uint32 { return c.get(&d.Memory) }), schema.Hidden, schema.Needs(needMemory), schema.Shared))
	}
	return columns
}

// filter translates the query's constraints on the shared columns.
func (c *inetColumns[S, P]) filter(q schema.Query) host.InetFilter {
	f := host.InetFilter{
		LocalPorts: ports(c.localPort, q), RemotePorts: ports(c.remotePort, q),
		LocalAddrs: c.localAddress.Values(q), RemoteAddrs: c.remoteAddress.Values(q),
		Attempts: q.Needs(needAttempts), Memory: q.Needs(needMemory), TypeOfService: q.Needs(needTypeOfService), Details: q.Needs(needDetails),
		Namespaces: namespaces(c.netNamespace, q),
	}
	for _, n := range c.family.Values(q) {
		f.Families = append(f.Families, sock.Family(n))
	}
	for _, n := range c.protocol.Values(q) {
		f.Protocols = append(f.Protocols, sock.Protocol(n))
	}
	if protos := c.proto.Values(q); f.Families == nil && f.Protocols == nil && protos != nil {
		f.Families, f.Protocols = []sock.Family{}, []sock.Protocol{}
		for _, name := range protos {
			if family, protocol, ok := sock.ParseProto(name); ok {
				f.Families, f.Protocols = append(f.Families, family), append(f.Protocols, protocol)
			}
		}
	}
	return f
}

// ports translates the query's constraints on a port. If they exclude every port
// the answer is any port: no row will pass.
func ports[R any](c *schema.Column[R, uint16], q schema.Query) (ranges []sock.PortRange) {
	low, high := c.Range(q)
	low, high = max(low, 0), min(high, math.MaxUint16)
	if in := c.Values(q); in != nil {
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
// be the number of an unknown state, widens to any.
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
