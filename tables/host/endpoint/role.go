package endpoint

import (
	"fmt"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Role is what an endpoint is for. Of TCP, SCTP, vsock and unix only servers listen;
// for UDP and raw sockets the kernel does not say, and the role is judged by the
// sockets' ends: see [Collector.UDP] and [Collector.Raw].
type Role int

// The roles, in the order in which one socket's wins over another's of the same
// endpoint.
const (
	Client Role = iota
	Unclear
	Server
)

var roles = [...]string{"client", "unclear", "server"}

// String returns the role's name in SQL.
func (r Role) String() string { return roles[r] }

// Roles are the names of all roles.
func Roles() []string { return roles[:] }

// judge gives the endpoint a role, if that wins over the one that it has.
func (e *Endpoint) judge(role Role, reason string) {
	if e.Reason == "" || role > e.Role {
		e.Role, e.Reason = role, reason
	}
}

// UDP joins a UDP or UDP-Lite socket that has a port. It is a client if it is
// connected to one peer; a server if its port is not one that the kernel chooses, or
// is a multicast group's, or several sockets share it. A socket that is not
// connected and has an ephemeral port may be either.
func (c *Collector) UDP(s *sock.UDP) {
	protocol := UDP
	if s.Protocol == sock.ProtoUDPLite {
		protocol = UDPLite
	}
	e := c.inet(protocol, &s.Inet)
	port := s.Local.Port()
	switch {
	case s.Remote.Port() != 0:
		e.judge(Client, "connected to one peer")
	case sock.ScopeOf(s.Local.Addr()) == sock.ScopeMulticast:
		e.judge(Server, "bound to a multicast group")
	case c.network.Ephemeral == sock.PortRange{}:
		e.judge(Unclear, "the range of ephemeral ports is not known")
	case !c.network.isEphemeral(port):
		e.judge(Server, "the port is not ephemeral")
	default:
		e.judge(Unclear, "not connected, on an ephemeral port")
		if e.unconnected++; e.unconnected > 1 {
			e.judge(Server, "several sockets share the port")
		}
	}
}

// Raw joins a raw or a ping socket. It is a client if it is connected to one peer,
// only sends, or is a ping socket, which gets the answers to its own requests; a
// server otherwise. A raw socket of ICMP may be either: programs like ping use one.
func (c *Collector) Raw(s *sock.RawIP) {
	one := s.Inet
	one.Local = netip.AddrPortFrom(s.Local.Addr(), s.IPProtocol)
	one.V6Only, one.Known = true, one.Known|sock.KnowsV6Only // of either family only its own packets
	if s.Ping {
		c.inet(ICMP, &one).judge(Client, "gets only the answers to its own requests")
		return
	}
	e := c.inet(Raw, &one)
	switch {
	case s.IPProtocol == sock.ProtoRaw:
		e.judge(Client, "only sends")
	case !s.Remote.Addr().IsUnspecified():
		e.judge(Client, "connected to one peer")
	case s.IPProtocol == uint16(sock.ProtoICMP), s.IPProtocol == uint16(sock.ProtoICMPv6):
		e.judge(Unclear, "gets every ICMP packet, as ping and routing daemons do")
	default:
		e.judge(Server, fmt.Sprintf("gets every packet of IP protocol %d", s.IPProtocol))
	}
}

// setRole gives endpoints a role that have none of their sockets.
func (e *Endpoint) setRole() {
	if e.Reason != "" {
		return
	}
	e.Role, e.Reason = Server, "listens"
}
