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
	a := netlink.NewAttributes(b[nfGenericSize:], order)
	a.Numbers = binary.BigEndian
	for a.Next() {
		switch a.Type() {
		case attrTupleOriginal:
			protocols[0] = c.tuple(&a, &c.Original)
		case attrTupleReply:
			protocols[1] = c.tuple(&a, &c.Reply)
		case attrStatus:
			status = a.Uint32()
		case attrTimeout:
			c.Timeout = a.Uint32()
		case attrMark:
			c.Mark, c.MarkKnown = a.Uint32(), true
		case attrZone:
			c.Original.Zone = a.Uint16()
			c.Reply.Zone = c.Original.Zone
		case attrCountersOriginal:
			counters(&a, &c.Original)
		case attrCountersReply:
			counters(&a, &c.Reply)
		case attrProtocolInfo:
			c.state(&a)
		}
	}
	if err := a.Err(); err != nil {
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
func (c *Connection) tuple(a *netlink.Attributes, d *Direction) (protocol uint8) {
	a.Nested(func() {
		switch a.Type() {
		case attrTupleIP:
			a.Nested(func() {
				switch a.Type() {
				case attrSource4:
					d.Source = c.addr(a, sock.INET)
				case attrDestination4:
					d.Destination = c.addr(a, sock.INET)
				case attrSource6:
					d.Source = c.addr(a, sock.INET6)
				case attrDestination6:
					d.Destination = c.addr(a, sock.INET6)
				}
			})
		case attrTupleProtocol:
			a.Nested(func() {
				switch a.Type() {
				case attrProtocolNumber:
					protocol = a.Uint8()
				case attrSourcePort:
					d.SourcePort = a.Uint16()
				case attrDestinationPort:
					d.DestinationPort = a.Uint16()
				case attrICMPID, attrICMPv6ID:
					d.ICMPID = a.Uint16()
				case attrICMPType, attrICMPv6Type:
					d.ICMPType = a.Uint8()
				case attrICMPCode, attrICMPv6Code:
					d.ICMPCode = a.Uint8()
				}
			})
		case attrTupleZone:
			d.Zone = a.Uint16()
		}
	})
	if !d.Source.IsValid() || !d.Destination.IsValid() {
		a.Fail(fmt.Errorf("a direction without its addresses: %w", netlink.ErrShort))
	}
	return protocol
}

// addr decodes an address, which must be of the connection's family.
func (c *Connection) addr(a *netlink.Attributes, family sock.Family) netip.Addr {
	if family != c.Family {
		a.Fail(fmt.Errorf("an address of the family %d in a connection of the family %d", family, c.Family))
	}
	if family == sock.INET6 {
		return a.Addr(16)
	}
	return a.Addr(4)
}

// counters decodes CTA_COUNTERS_ORIG or CTA_COUNTERS_REPLY.
func counters(a *netlink.Attributes, d *Direction) {
	d.Counted = true
	a.Nested(func() {
		switch a.Type() {
		case attrPackets:
			d.Packets = a.Uint64()
		case attrBytes:
			d.Bytes = a.Uint64()
		case attrPackets32: // of kernels before 2.6.31
			d.Packets = uint64(a.Uint32())
		case attrBytes32:
			d.Bytes = uint64(a.Uint32())
		}
	})
}

// state decodes CTA_PROTOINFO.
func (c *Connection) state(a *netlink.Attributes) {
	a.Nested(func() {
		var names []string
		switch a.Type() {
		case attrInfoTCP:
			names = tcpStates
		case attrInfoDCCP:
			names = dccpStates
		case attrInfoSCTP:
			names = sctpStates
		default:
			return
		}
		a.Nested(func() {
			if a.Type() == attrState {
				c.State = stateName(names, a.Uint8())
			}
		})
	})
}
