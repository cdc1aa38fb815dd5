package network

import (
	"net"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Group is a multicast group that an interface is a member of.
type Group struct {
	// Namespace is the inode number of its network namespace; 0 if it is not
	// known.
	Namespace uint32
	// Proto is the list in which it is: igmp, igmp6 or dev_mcast.
	Proto     string
	Index     uint32 // of the interface
	Interface string
	// Address is an IPv4 or IPv6 address or, in dev_mcast, the link layer's:
	// 4, 16 or any number of bytes, in the order of the network.
	Address []byte
	Users   uint32 // sockets and parts of the kernel that want its packets
	// Querier is the version of IGMP that the interface speaks, such as V3; ""
	// in the other lists.
	Querier string
}

// ID returns a 63-bit identity of the membership.
func (g *Group) ID() int64 {
	return sock.Hash(0).Add(uint64(g.Namespace)).Text(g.Proto).Add(uint64(g.Index)).Text(string(g.Address)).ID()
}

// String returns the address as it is written: of IP as osquery does, of the
// link layer as hexadecimal bytes with colons between.
func (g *Group) String() string {
	if a, ok := netip.AddrFromSlice(g.Address); ok && g.Family() != 0 {
		return string(sock.AppendAddr(nil, a))
	}
	return HardwareAddress(g.Address)
}

// Family returns the family of the address; 0 if it is the link layer's.
func (g *Group) Family() sock.Family {
	switch g.Proto {
	case "igmp":
		return sock.INET
	case "igmp6":
		return sock.INET6
	}
	return 0
}

// HardwareAddress writes an address of the link layer.
func HardwareAddress(b []byte) string { return net.HardwareAddr(b).String() }
