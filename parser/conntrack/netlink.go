package conntrack

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// The message that asks, NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_GET, and the
// size of struct nfgenmsg at the beginning of each payload
// (include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h).
const (
	typeGet        = 1<<8 | 1
	nfGenericSize  = 4
	statusReplied  = 1 << 1 // IPS_SEEN_REPLY
	statusAssured  = 1 << 2 // IPS_ASSURED
	statusOffload  = 1 << 14
	statusHardware = 1 << 15 // IPS_HW_OFFLOAD
)

// Attributes: CTA_*, CTA_TUPLE_*, CTA_IP_*, CTA_PROTO_*, CTA_PROTOINFO_* and
// CTA_COUNTERS_* of nfnetlink_conntrack.h.
const (
	attrTupleOriginal    = 1
	attrTupleReply       = 2
	attrStatus           = 3
	attrProtocolInfo     = 4
	attrTimeout          = 7
	attrMark             = 8
	attrCountersOriginal = 9
	attrCountersReply    = 10
	attrZone             = 18

	attrTupleIP       = 1
	attrTupleProtocol = 2
	attrTupleZone     = 3

	attrSource4      = 1
	attrDestination4 = 2
	attrSource6      = 3
	attrDestination6 = 4

	attrProtocolNumber  = 1
	attrSourcePort      = 2
	attrDestinationPort = 3
	attrICMPID          = 4
	attrICMPType        = 5
	attrICMPCode        = 6
	attrICMPv6ID        = 7
	attrICMPv6Type      = 8
	attrICMPv6Code      = 9

	attrInfoTCP  = 1
	attrInfoDCCP = 2
	attrInfoSCTP = 3
	attrState    = 1 // within each of the three

	attrPackets   = 1
	attrBytes     = 2
	attrPackets32 = 3
	attrBytes32   = 4
)

// NoFamily is an address family that no connection has: it asks for an empty
// list.
const NoFamily sock.Family = 255

// Request asks for the connections of a family; 0 means any.
type Request struct {
	Family sock.Family
}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// nfgenmsg.
func (r *Request) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGet, netlink.FlagRequest|netlink.FlagDump, seq, nfGenericSize)
	return append(b, byte(r.Family), 0, 0, 0) // NFNETLINK_V0, no resource
}

// Decode decodes struct nfgenmsg and the attributes behind it. The order is the
// host's; the numbers in attributes are of the network's.
func Decode(b []byte, order binary.ByteOrder, c *Connection) error {
	*c = Connection{}
	if len(b) < nfGenericSize {
		return fmt.Errorf("struct nfgenmsg of %d bytes: %w", len(b), netlink.ErrShort)
	}
	c.Family = sock.Family(b[0])
	if c.Family != sock.INET && c.Family != sock.INET6 {
		return fmt.Errorf("a connection of the address family %d", c.Family)
	}
	var protocols [2]uint8
	var status uint32
	err := netlink.Attributes(b[nfGenericSize:], order, func(kind uint16, value []byte) (err error) {
		switch kind {
		case attrTupleOriginal:
			protocols[0], err = c.tuple(value, order, &c.Original)
		case attrTupleReply:
			protocols[1], err = c.tuple(value, order, &c.Reply)
		case attrStatus:
			err = number(value, kind, &status)
		case attrTimeout:
			err = number(value, kind, &c.Timeout)
		case attrMark:
			c.MarkKnown = true
			err = number(value, kind, &c.Mark)
		case attrZone:
			err = number(value, kind, &c.Original.Zone)
			c.Reply.Zone = c.Original.Zone
		case attrCountersOriginal:
			err = counters(value, order, &c.Original)
		case attrCountersReply:
			err = counters(value, order, &c.Reply)
		case attrProtocolInfo:
			err = c.state(value, order)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("a connection: %w", err)
	}
	if !c.Original.Source.IsValid() || !c.Reply.Source.IsValid() || protocols[0] != protocols[1] {
		return fmt.Errorf("a connection without its two directions, or of two protocols: %w", netlink.ErrShort)
	}
	c.Protocol = sock.Protocol(protocols[0])
	c.Replied, c.Assured = status&statusReplied != 0, status&statusAssured != 0
	c.Offloaded = status&(statusOffload|statusHardware) != 0
	return nil
}

// tuple decodes CTA_TUPLE_ORIG or CTA_TUPLE_REPLY.
func (c *Connection) tuple(b []byte, order binary.ByteOrder, d *Direction) (protocol uint8, err error) {
	err = netlink.Attributes(b, order, func(kind uint16, value []byte) error {
		switch kind {
		case attrTupleIP:
			return netlink.Attributes(value, order, func(kind uint16, value []byte) error {
				to, size := &d.Source, 4
				switch kind {
				case attrSource4:
				case attrDestination4:
					to = &d.Destination
				case attrSource6:
					size = 16
				case attrDestination6:
					to, size = &d.Destination, 16
				default:
					return nil
				}
				a, ok := netip.AddrFromSlice(value)
				if !ok || len(value) != size || a.Is4() != (c.Family == sock.INET) {
					return fmt.Errorf("an address of %d bytes in the family %d: %w", len(value), c.Family, netlink.ErrShort)
				}
				*to = a
				return nil
			})
		case attrTupleProtocol:
			return netlink.Attributes(value, order, func(kind uint16, value []byte) error {
				switch kind {
				case attrProtocolNumber:
					return number(value, kind, &protocol)
				case attrSourcePort:
					return number(value, kind, &d.SourcePort)
				case attrDestinationPort:
					return number(value, kind, &d.DestinationPort)
				case attrICMPID, attrICMPv6ID:
					return number(value, kind, &d.ICMPID)
				case attrICMPType, attrICMPv6Type:
					return number(value, kind, &d.ICMPType)
				case attrICMPCode, attrICMPv6Code:
					return number(value, kind, &d.ICMPCode)
				}
				return nil
			})
		case attrTupleZone:
			return number(value, kind, &d.Zone)
		}
		return nil
	})
	if err == nil && (!d.Source.IsValid() || !d.Destination.IsValid()) {
		err = fmt.Errorf("a direction without its addresses: %w", netlink.ErrShort)
	}
	return protocol, err
}

// counters decodes CTA_COUNTERS_ORIG or CTA_COUNTERS_REPLY.
func counters(b []byte, order binary.ByteOrder, d *Direction) error {
	d.Counted = true
	return netlink.Attributes(b, order, func(kind uint16, value []byte) error {
		var narrow uint32
		switch kind {
		case attrPackets:
			return number(value, kind, &d.Packets)
		case attrBytes:
			return number(value, kind, &d.Bytes)
		case attrPackets32: // of kernels before 2.6.31
			err := number(value, kind, &narrow)
			d.Packets = uint64(narrow)
			return err
		case attrBytes32:
			err := number(value, kind, &narrow)
			d.Bytes = uint64(narrow)
			return err
		}
		return nil
	})
}

// state decodes CTA_PROTOINFO.
func (c *Connection) state(b []byte, order binary.ByteOrder) error {
	return netlink.Attributes(b, order, func(info uint16, value []byte) error {
		var names []string
		switch info {
		case attrInfoTCP:
			names = tcpStates
		case attrInfoDCCP:
			names = dccpStates
		case attrInfoSCTP:
			names = sctpStates
		default:
			return nil
		}
		return netlink.Attributes(value, order, func(kind uint16, value []byte) error {
			if kind != attrState {
				return nil
			}
			var state uint8
			err := number(value, kind, &state)
			c.State = stateName(names, state)
			return err
		})
	})
}

// number decodes an attribute that is a number in network byte order. It may be
// longer than that; a kernel pads it.
func number[T uint8 | uint16 | uint32 | uint64](value []byte, kind uint16, to *T) error {
	size := binary.Size(*to)
	if len(value) < size {
		return fmt.Errorf("the attribute %d of %d bytes: %w", kind, len(value), netlink.ErrShort)
	}
	var n uint64
	for _, b := range value[:size] {
		n = n<<8 | uint64(b)
	}
	*to = T(n)
	return nil
}
