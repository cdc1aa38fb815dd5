package sockdiag

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// What an answer tells of a packet socket: bits for PacketRequest.Show,
// PACKET_SHOW_* of include/uapi/linux/packet_diag.h.
//
// The kernel ends its list, as if it was whole, at a socket that does not fit
// into a message, which may have less than 4 KiB. So the program of a filter and the
// memberships are asked for apart from the sockets.
const (
	// PacketDetails asks for everything but the memberships.
	PacketDetails uint32 = 1<<attrPacketInfo | 1<<2 | 1<<3 | 1<<4
	// PacketMemberships asks for Memberships and Promiscuous.
	PacketMemberships uint32 = 1 << attrPacketMembers
	// PacketProgram asks for the Filter, which the kernel tells with CAP_NET_ADMIN.
	PacketProgram uint32 = 1 << 5
)

// Attribute numbers, PACKET_DIAG_*.
const (
	attrPacketInfo    = 0
	attrPacketMembers = 1
	attrPacketRxRing  = 2
	attrPacketTxRing  = 3
	attrPacketFanout  = 4
	attrPacketUID     = 5
	attrPacketMemory  = 6
	attrPacketFilter  = 7
)

// The sizes of structures of include/uapi/linux/packet_diag.h.
const (
	packetRequestSize = 20 // struct packet_diag_req
	packetMessageSize = 16 // struct packet_diag_msg
	packetInfoSize    = 24 // struct packet_diag_info
	packetMemberSize  = 44 // struct packet_diag_mclist
	packetRingSize    = 28 // struct packet_diag_ring

	filterSize = 8 // struct sock_filter, include/uapi/linux/filter.h

	memInfoOldSize = 32 // before Linux 4.11: without drops
)

// PacketRequest asks for all packet sockets.
type PacketRequest struct {
	Show uint32
}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// packet_diag_req.
func (r *PacketRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeByFamily, netlink.FlagRequest|netlink.FlagDump, seq, packetRequestSize)
	var q [packetRequestSize]byte
	q[0] = byte(sock.PACKET)
	order.PutUint32(q[8:], r.Show)
	return append(b, q[:]...)
}

// Packet decodes struct packet_diag_msg and the attributes behind it.
func Packet(b []byte, order binary.ByteOrder, s *sock.Packet) error {
	*s = sock.Packet{}
	if len(b) < packetMessageSize {
		return fmt.Errorf("struct packet_diag_msg of %d bytes: %w", len(b), netlink.ErrShort)
	}
	if family := sock.Family(b[0]); family != sock.PACKET {
		return fmt.Errorf("struct packet_diag_msg of the address family %d", family)
	}
	s.Type, s.Protocol = sock.Type(b[1]), sock.EtherType(order.Uint16(b[2:]))
	s.Inode = uint64(order.Uint32(b[4:]))
	s.Cookie = uint64(order.Uint32(b[12:]))<<32 | uint64(order.Uint32(b[8:]))
	a := netlink.NewAttributes(b[packetMessageSize:], order)
	for a.Next() {
		switch a.Type() {
		case attrPacketInfo:
			if value, ok := a.Struct(packetInfoSize); ok {
				packetInfo(value, order, s)
			}
		case attrPacketMembers:
			packetMembers(&a, s)
		case attrPacketRxRing:
			s.RxRing = packetRing(&a)
			s.Known |= sock.KnowsRxRing
		case attrPacketTxRing:
			s.TxRing = packetRing(&a)
			s.Known |= sock.KnowsTxRing
		case attrPacketFanout:
			v := a.Uint32()
			s.FanoutID, s.FanoutType = uint16(v), sock.FanoutType(v>>16)
			s.Known |= sock.KnowsFanout
		case attrPacketFilter:
			s.Filter = packetFilter(a.Bytes(), order)
		case attrPacketUID:
			s.UID, s.HasUID = a.Uint32(), true
		case attrPacketMemory:
			if value, ok := a.Struct(memInfoOldSize); ok {
				s.RecvQueue = order.Uint32(value)
				s.Known |= sock.KnowsPacketQueue
				if len(value) >= memInfoSize {
					s.Memory = memory(value, order)
					s.Known |= sock.KnowsPacketMemory
				}
			}
		}
	}
	return a.Err()
}

func packetInfo(value []byte, order binary.ByteOrder, s *sock.Packet) {
	s.Interface = int32(order.Uint32(value))
	s.Version = order.Uint32(value[4:]) + 1
	s.Reserve, s.CopyThreshold = order.Uint32(value[8:]), order.Uint32(value[12:])
	// PDI_*; between is the kind of time stamps.
	flags := order.Uint32(value[20:])
	s.Running = flags&0x1 != 0
	s.AuxData, s.OrigDev, s.VnetHeader, s.Loss = flags&0x2 != 0, flags&0x4 != 0, flags&0x8 != 0, flags&0x10 != 0
	s.Known |= sock.KnowsPacketInfo
}

// packetFilter writes a classic BPF program as ss does.
func packetFilter(b []byte, order binary.ByteOrder) string {
	var program []string
	for ; len(b) >= filterSize; b = b[filterSize:] {
		program = append(program, fmt.Sprintf("0x%02x %d %d %d", order.Uint16(b), b[2], b[3], order.Uint32(b[4:])))
	}
	return strings.Join(program, ",")
}

func packetRing(a *netlink.Attributes) (r sock.PacketRing) {
	if b, ok := a.Struct(packetRingSize); ok {
		r.Bytes = uint64(a.Numbers.Uint32(b)) * uint64(a.Numbers.Uint32(b[4:]))
		r.Frames = a.Numbers.Uint32(b[12:])
	}
	return r
}

// packetMembers counts the entries of a list.
func packetMembers(a *netlink.Attributes, s *sock.Packet) {
	const promiscuous = 1 // PACKET_MR_PROMISC
	value := a.Bytes()
	for ; len(value) >= packetMemberSize; value = value[packetMemberSize:] {
		if s.Memberships++; a.Numbers.Uint16(value[8:]) == promiscuous {
			s.Promiscuous++
		}
	}
	if len(value) > 0 {
		a.Fail(fmt.Errorf("%d bytes left of struct packet_diag_mclist: %w", len(value), netlink.ErrShort))
	}
	s.Known |= sock.KnowsMemberships
}
