package endpoint

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Protocol is what an endpoint speaks.
type Protocol string

// The protocols.
const (
	TCP     Protocol = "tcp"
	UDP     Protocol = "udp"
	UDPLite Protocol = "udplite"
	SCTP    Protocol = "sctp"
	Raw     Protocol = "raw"
	ICMP    Protocol = "icmp" // ping sockets
	Vsock   Protocol = "vsock"
	Unix    Protocol = "unix"
)

// Key identifies an endpoint in its network namespace.
type Key struct {
	Protocol Protocol
	// Address is that of an IP endpoint; an IPv4-mapped one is IPv4. It is invalid
	// for others.
	Address netip.Addr
	// Port is that of IP and vsock; of a raw or a ping socket the IP protocol.
	Port uint32
	// Interface is the number of the interface that the sockets are bound to; 0
	// if they are bound to none.
	Interface uint32
	// CID is the context identifier of a vsock endpoint, sock.AnyVsock for any.
	CID uint32
	// Path is the name of a unix socket.
	Path string
}

// Endpoint is what one or more sockets take from outside their processes.
type Endpoint struct {
	Key
	// Namespace is the inode number of the network namespace; 0 if it is not
	// known.
	Namespace uint32
	// IPv4 and IPv6 are the versions of IP that the endpoint takes: both for an
	// IPv6 wildcard that is not limited to IPv6.
	IPv4, IPv6 bool
	// V6Only says of an IPv6 endpoint whether its sockets take no IPv4. It means
	// nothing unless KnowsV6Only.
	V6Only, KnowsV6Only bool
	Exposure            Exposure
	Role                Role
	// Reason is why the endpoint has that role.
	Reason string
	// Sockets are all sockets of the endpoint. For each of the Subflows, which are
	// TCP sockets that the kernel keeps and no file refers to, there is one of
	// Multipath TCP.
	Sockets  []Socket
	Subflows int
	// Queue counts the connections that wait to be accepted. QueueMax is how many
	// may wait, if KnowsQueueMax. Both are sums over the sockets.
	HasQueue, KnowsQueueMax bool
	Queue, QueueMax         uint64
	// Full says that no more connections may wait at one of the sockets.
	Full bool

	unconnected int // sockets of UDP on an ephemeral port
}

// Socket is one of an endpoint's sockets.
type Socket struct {
	Inode  uint64
	UID    uint32
	HasUID bool
}

// ID returns a 63-bit identity of the endpoint: a hash of namespace and key.
func (e *Endpoint) ID() int64 {
	return sock.Hash(e.Namespace).Add(uint64(e.Port)).Add(uint64(e.Interface)<<32 | uint64(e.CID)).
		Text(string(e.Protocol)).Text(e.Path).Addr(e.Address).ID()
}

// Address is an address of a network namespace.
type Address struct {
	netip.Addr
	Interface uint32
}

// Network is what the sockets of a namespace are judged by.
type Network struct {
	Namespace uint32
	// Addresses are those of the interfaces. They mean nothing unless
	// KnowsAddresses.
	Addresses      []Address
	KnowsAddresses bool
	// Ephemeral is the range that the kernel chooses ports from,
	// net.ipv4.ip_local_port_range; the zero value if it is not known. Reserved
	// are the ports that it leaves out, net.ipv4.ip_local_reserved_ports.
	Ephemeral sock.PortRange
	Reserved  []sock.PortRange
}

// isEphemeral reports whether the kernel may choose the port for a client.
func (n *Network) isEphemeral(port uint16) bool {
	in := func(r sock.PortRange) bool { return r.Low <= port && port <= r.High }
	return in(n.Ephemeral) && !slices.ContainsFunc(n.Reserved, in)
}

// Collector joins the sockets of one network namespace.
type Collector struct {
	network   Network
	endpoints map[Key]*Endpoint
	// subflows are the endpoints of Multipath TCP, whose listeners are beside the
	// TCP socket that the kernel keeps for each.
	subflows map[Key][]Socket
}

// NewCollector returns an empty collector.
func NewCollector(network Network) *Collector {
	return &Collector{network, make(map[Key]*Endpoint), make(map[Key][]Socket)}
}

// add joins a socket to its endpoint.
func (c *Collector) add(key Key, s *sock.Common) *Endpoint {
	e := c.endpoints[key]
	if e == nil {
		e = &Endpoint{Key: key, Namespace: c.network.Namespace}
		c.endpoints[key] = e
	}
	e.Sockets = append(e.Sockets, Socket{s.Inode, s.UID, s.HasUID})
	return e
}

// inet joins an IP socket.
func (c *Collector) inet(protocol Protocol, s *sock.Inet) *Endpoint {
	e := c.add(inetKey(protocol, s), &s.Common)
	local := s.Local.Addr()
	switch {
	case local.Is4() || local.Is4In6():
		e.IPv4 = true
		return e
	case s.Known&sock.KnowsV6Only != 0:
		e.V6Only = s.V6Only && (e.V6Only || !e.KnowsV6Only)
		e.KnowsV6Only = true
	}
	e.IPv6 = true
	// A wildcard of which that is not known may take both.
	e.IPv4 = e.IPv4 || local.IsUnspecified() && !(s.Known&sock.KnowsV6Only != 0 && s.V6Only)
	return e
}

func inetKey(protocol Protocol, s *sock.Inet) Key {
	return Key{Protocol: protocol, Address: s.Local.Addr().Unmap(), Port: uint32(s.Local.Port()), Interface: s.Interface}
}

// accepts adds the queue of connections that wait to be accepted.
func (e *Endpoint) accepts(s *sock.Inet) {
	first := !e.HasQueue
	e.HasQueue = true
	e.Queue += uint64(s.RecvQueue)
	if s.NoBacklog {
		e.KnowsQueueMax = false
		return
	}
	e.KnowsQueueMax = first || e.KnowsQueueMax
	e.QueueMax += uint64(s.SendQueue)
	e.Full = e.Full || s.RecvQueue > s.SendQueue // sk_acceptq_is_full, include/net/sock.h
}

// TCP joins a TCP socket, which must be in the state Listen.
func (c *Collector) TCP(s *sock.TCP) { c.inet(TCP, &s.Inet).accepts(&s.Inet) }

// MPTCP adds a Multipath TCP socket in the state Listen to the endpoint of the TCP
// socket that the kernel keeps for it.
func (c *Collector) MPTCP(s *sock.MPTCP) {
	key := inetKey(TCP, &s.Inet)
	c.subflows[key] = append(c.subflows[key], Socket{s.Inode, s.UID, s.HasUID})
}

// SCTP joins a listening endpoint of SCTP: one of ours for each of its addresses.
func (c *Collector) SCTP(s *sock.SCTP) {
	addresses := s.LocalAddrs
	if len(addresses) == 0 {
		addresses = []netip.Addr{s.Local.Addr()}
	}
	for _, a := range addresses {
		one := s.Inet
		one.Local = netip.AddrPortFrom(a, s.Local.Port())
		c.inet(SCTP, &one)
	}
}

// Vsock joins a listening socket of AF_VSOCK.
func (c *Collector) Vsock(s *sock.Vsock) {
	c.add(Key{Protocol: Vsock, CID: s.LocalCID, Port: s.LocalPort}, &s.Common)
}

// Unix joins a unix socket that listens, or takes datagrams by its name.
func (c *Collector) Unix(s *sock.Unix) {
	e := c.add(Key{Protocol: Unix, Path: s.Path}, &s.Common)
	switch {
	case s.State != sock.UnixListening:
		e.judge(Server, "takes datagrams")
	case s.KnownUnix&sock.KnowsQueues != 0:
		e.HasQueue, e.KnowsQueueMax = true, true
		e.Queue, e.QueueMax = e.Queue+uint64(s.RecvQueue), e.QueueMax+uint64(s.SendQueue)
		e.Full = e.Full || s.RecvQueue > s.SendQueue // unix_recvq_full, net/unix/af_unix.c
	}
}

// Endpoints returns the endpoints, sorted.
func (c *Collector) Endpoints() []Endpoint {
	for key, listeners := range c.subflows {
		e := c.endpoints[key]
		if e == nil {
			continue // it has ended since
		}
		e.Subflows = len(listeners)
		e.Sockets = append(e.Sockets, listeners...)
	}
	all := make([]Endpoint, 0, len(c.endpoints))
	for _, e := range c.endpoints {
		e.Exposure = c.exposure(e)
		e.setRole()
		all = append(all, *e)
	}
	slices.SortFunc(all, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port), a.Address.Compare(b.Address),
			cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.CID, b.CID), cmp.Compare(a.Path, b.Path))
	})
	return all
}
