package sock

import "net/netip"

// The protocols of ping sockets, ICMP.
const (
	ProtoICMP   Protocol = 1
	ProtoICMPv6 Protocol = 58
)

// ProtoRaw is IPPROTO_RAW: a raw socket with it only sends.
const ProtoRaw uint16 = 255

// RawIP is a raw socket (raw(7)), or a ping socket (SOCK_DGRAM with IPPROTO_ICMP or
// IPPROTO_ICMPV6, icmp(7)).
type RawIP struct {
	// Inet is without a Protocol, which has too few bits, and its Local end is
	// without a port: it has none.
	Inet
	Ping bool
	// IPProtocol is what the socket sends and gets: an IP protocol number. A raw
	// socket with 255, IPPROTO_RAW, only sends.
	IPProtocol uint16
	// Identifier is the ICMP identifier of a ping socket's packets, by which it
	// gets the answers; 0 if it has not sent any nor was bound to one.
	Identifier uint16
	// Drops counts packets that were dropped because the receive queue was full
	// or a check failed.
	Drops uint64
}

// Proto returns the name of the kernel's list that the socket is in: raw, raw6,
// icmp or icmp6.
func (s *RawIP) Proto() string { return RawProto(s.Family, s.Ping) }

// RawProto returns the name of the list of such sockets.
func RawProto(family Family, ping bool) string {
	name := "raw"
	if ping {
		name = "icmp"
	}
	if family == INET6 {
		name += "6"
	}
	return name
}

// ID returns a 63-bit identity of the socket, as [Inet.ID] does.
func (s *RawIP) ID() int64 {
	i := s.Inet
	i.Local = netip.AddrPortFrom(i.Local.Addr(), s.IPProtocol)
	if s.Ping {
		i.Local = netip.AddrPortFrom(i.Local.Addr(), s.Identifier)
		i.Protocol = Protocol(s.IPProtocol)
	}
	return i.ID()
}
