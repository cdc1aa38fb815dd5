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
	"fmt"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// The types of messages, include/uapi/linux/rtnetlink.h.
const (
	typeNewLink  = 16
	typeGetLink  = 18
	typeNewRoute = 24
	typeGetRoute = 26
)

// RouteRequest asks for the routes of all tables of one family.
type RouteRequest struct{ Family sock.Family }

// Append appends the netlink message of the request: struct nlmsghdr and struct
// rtmsg.
func (r *RouteRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGetRoute, netlink.FlagRequest|netlink.FlagDump, seq, routeSize)
	return append(append(b, byte(r.Family)), make([]byte, routeSize-1)...)
}

// LinkRequest asks for all interfaces.
type LinkRequest struct{}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// ifinfomsg.
func (LinkRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGetLink, netlink.FlagRequest|netlink.FlagDump, seq, linkSize)
	return append(b, make([]byte, linkSize)...)
}

// value reads numbers and texts of attributes. The first thing that is wrong
// stays in err.
type value struct {
	order binary.ByteOrder
	err   error
}

// uint reads a number of that many bytes, at which later kernels may add others.
func (v *value) uint(b []byte, size int, what string) uint64 {
	if len(b) < size {
		if v.err == nil {
			v.err = fmt.Errorf("%s has %d bytes, want %d: %w", what, len(b), size, netlink.ErrShort)
		}
		return 0
	}
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(v.order.Uint16(b))
	case 4:
		return uint64(v.order.Uint32(b))
	}
	return v.order.Uint64(b)
}

func (v *value) uint32(b []byte, what string) uint32 { return uint32(v.uint(b, 4, what)) }

// text reads a text that ends with a zero.
func (v *value) text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// addr reads an address of the family.
func (v *value) addr(b []byte, family sock.Family, what string) netip.Addr {
	size := 4
	if family == sock.INET6 {
		size = 16
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok || len(b) != size {
		if v.err == nil {
			v.err = fmt.Errorf("%s is an address of %d bytes, want %d", what, len(b), size)
		}
		return netip.Addr{}
	}
	return a
}
