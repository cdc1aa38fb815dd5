package sockdiag

import (
	"encoding/binary"
	"fmt"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// What an answer tells of a netlink socket: bits for NetlinkRequest.Show,
// NDIAG_SHOW_* of include/uapi/linux/netlink_diag.h.
const (
	NetlinkMemory uint32 = 0x1 // the queues and Drops
	NetlinkGroups uint32 = 0x2
	NetlinkFlags  uint32 = 0x8 // Dump and the options
)

// Attribute numbers, NETLINK_DIAG_*.
const (
	attrNetlinkMemory = 0
	attrNetlinkGroups = 1
	attrNetlinkFlags  = 4
)

const (
	netlinkRequestSize = 20  // struct netlink_diag_req
	netlinkMessageSize = 28  // struct netlink_diag_msg
	netlinkAll         = 255 // NDIAG_PROTO_ALL
)

// NetlinkRequest asks for the netlink sockets of all protocols.
//
// The kernel's answer is not the whole list: between two of its messages it
// loses a socket (__netlink_diag_dump, net/netlink/diag.c, whose walk through a
// table has passed the one that did not fit). And it has sockets in groups twice.
type NetlinkRequest struct {
	Show uint32
}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// netlink_diag_req.
func (r *NetlinkRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeByFamily, netlink.FlagRequest|netlink.FlagDump, seq, netlinkRequestSize)
	var q [netlinkRequestSize]byte
	q[0], q[1] = byte(sock.NETLINK), netlinkAll
	order.PutUint32(q[8:], r.Show)
	return append(b, q[:]...)
}

// Netlink decodes struct netlink_diag_msg and the attributes behind it.
func Netlink(b []byte, order binary.ByteOrder, s *sock.Netlink) error {
	*s = sock.Netlink{}
	if len(b) < netlinkMessageSize {
		return fmt.Errorf("struct netlink_diag_msg of %d bytes: %w", len(b), netlink.ErrShort)
	}
	if family := sock.Family(b[0]); family != sock.NETLINK {
		return fmt.Errorf("struct netlink_diag_msg of the address family %d", family)
	}
	s.Protocol, s.PortID = sock.NetlinkProtocol(b[2]), order.Uint32(b[4:])
	s.Inode = uint64(order.Uint32(b[16:]))
	s.Cookie = uint64(order.Uint32(b[24:]))<<32 | uint64(order.Uint32(b[20:]))
	a := netlink.NewAttributes(b[netlinkMessageSize:], order)
	for a.Next() {
		switch a.Type() {
		case attrNetlinkMemory:
			if value, ok := a.Struct(memInfoOldSize); ok {
				s.RecvQueue, s.SendQueue = order.Uint32(value), order.Uint32(value[8:])
				s.Known |= sock.KnowsNetlinkQueues
				if len(value) >= memInfoSize {
					s.Drops = memory(value, order).Drops
					s.Known |= sock.KnowsNetlinkDrops
				}
			}
		case attrNetlinkGroups:
			// Words of the kernel's long, of which 64-bit kernels have 8 bytes.
			value := a.Bytes()
			for ; len(value) >= 8; value = value[8:] {
				s.Groups = append(s.Groups, order.Uint64(value))
			}
			if len(value) >= 4 {
				s.Groups = append(s.Groups, uint64(order.Uint32(value)))
				value = value[4:]
			}
			if len(value) > 0 {
				a.Fail(fmt.Errorf("%d bytes left of groups: %w", len(value), netlink.ErrShort))
			}
		case attrNetlinkFlags:
			flags := a.Uint32() // NDIAG_FLAG_*
			s.Dump, s.NoENOBUFS, s.ListenAll = flags&0x1 != 0, flags&0x8 != 0, flags&0x10 != 0
			s.Known |= sock.KnowsNetlinkDump | sock.KnowsNetlinkOptions
		}
	}
	return a.Err()
}
