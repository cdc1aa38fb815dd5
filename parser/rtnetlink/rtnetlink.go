// Package rtnetlink encodes questions to, and decodes answers of, the part of
// the kernel's netlink that knows routes and interfaces, NETLINK_ROUTE
// (rtnetlink(7)). It does no I/O: package host has the conversation.
//
// Numbers are of the host's byte order, addresses of the network's; the order is
// an argument so that captures of other machines decode too. Attributes that are
// not known pass by, structures may grow at their end; what is shorter than the
// fields that are read is an error.
package rtnetlink

import (
	"encoding/binary"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// The types of messages, include/uapi/linux/rtnetlink.h.
const (
	typeNewLink    = 16
	typeGetLink    = 18
	typeNewAddress = 20
	typeGetAddress = 22
	typeNewRoute   = 24
	typeGetRoute   = 26

	typeNewNeighbor = 28
	typeGetNeighbor = 30
	typeNewRule     = 32
	typeGetRule     = 34
	typeNewNSID     = 88
	typeGetNSID     = 90
	typeNewNextHop  = 104
	typeGetNextHop  = 106
)

// RouteRequest asks for the routes of all tables of one family.
type RouteRequest struct{ Family sock.Family }

// Append appends the netlink message of the request: struct nlmsghdr and struct
// rtmsg.
func (r *RouteRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGetRoute, netlink.FlagRequest|netlink.FlagDump, seq, routeSize)
	return append(append(b, byte(r.Family)), make([]byte, routeSize-1)...)
}

// LinkRequest asks for all interfaces. Only with a mask of extensions does the
// kernel make messages as large as an interface needs, such as one with hundreds of
// names (rtnl_calcit, net/core/rtnetlink.c). The extension of the mask is one of
// bridges' own lists: it adds nothing here.
type LinkRequest struct{}

// Append appends the netlink message of the request: struct nlmsghdr, struct
// ifinfomsg and IFLA_EXT_MASK.
func (LinkRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	const extMask, compressedVLANs = 29, 4 // RTEXT_FILTER_BRVLAN_COMPRESSED
	b = netlink.AppendHeader(b, order, typeGetLink, netlink.FlagRequest|netlink.FlagDump, seq, linkSize+netlink.AttributeHeaderSize+4)
	b = append(b, make([]byte, linkSize)...)
	var mask [4]byte
	order.PutUint32(mask[:], compressedVLANs)
	return netlink.AppendAttribute(b, order, extMask, mask[:])
}

// AddressRequest asks for the addresses of all interfaces, of both families.
type AddressRequest struct{}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// ifaddrmsg.
func (AddressRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGetAddress, netlink.FlagRequest|netlink.FlagDump, seq, addressSize)
	return append(b, make([]byte, addressSize)...)
}

// NeighborRequest asks for the neighbours of both families: the addresses that this
// host answers for in the place of others if Proxies is set, else all others.
type NeighborRequest struct{ Proxies bool }

// Append appends the netlink message of the request: struct nlmsghdr and struct
// ndmsg.
func (r *NeighborRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGetNeighbor, netlink.FlagRequest|netlink.FlagDump, seq, neighborSize)
	var header [neighborSize]byte
	if r.Proxies {
		header[10] = byte(network.ProxyNeighbor)
	}
	return append(b, header[:]...)
}

// RuleRequest asks for the policy rules of one family.
type RuleRequest struct{ Family sock.Family }

// Append appends the netlink message of the request: struct nlmsghdr and struct
// fib_rule_hdr.
func (r *RuleRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGetRule, netlink.FlagRequest|netlink.FlagDump, seq, ruleSize)
	return append(append(b, byte(r.Family)), make([]byte, ruleSize-1)...)
}

// NextHopRequest asks for all nexthop objects.
type NextHopRequest struct{}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// nhmsg.
func (NextHopRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGetNextHop, netlink.FlagRequest|netlink.FlagDump, seq, nextHopSize)
	return append(b, make([]byte, nextHopSize)...)
}

// addrSize returns the number of bytes of an address of the family.
func addrSize(family sock.Family) int {
	if family == sock.INET6 {
		return 16
	}
	return 4
}
