// Package ethtool encodes questions to, and decodes answers of, the part of the
// kernel's generic netlink that knows what interfaces can carry (Linux 5.6,
// include/uapi/linux/ethtool_netlink.h). It does no I/O.
//
// Generic netlink numbers its families as they register. The number of this one is
// looked for in the list of all: the kernel would load a module for a name that it
// does not have.
package ethtool

import (
	"encoding/binary"
	"fmt"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
)

// Numbers of include/uapi/linux/genetlink.h, CTRL_*, and of ethtool_netlink.h,
// ETHTOOL_*.
const (
	headerSize = 4 // struct genlmsghdr

	typeControl      = 16
	controlGetFamily = 3
	familyID         = 1
	familyName       = 2

	getLinkModes   = 4
	linkHeader     = 1
	linkIndex      = 1 // of the header
	linkSpeed      = 5
	linkDuplex     = 6
	unknownSpeed   = 1<<32 - 1
	halfDuplex     = 0
	fullDuplex     = 1
	protocolsFirst = 1 // the version of messages
)

// FamiliesRequest asks for all families of generic netlink.
type FamiliesRequest struct{}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// genlmsghdr.
func (FamiliesRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeControl, netlink.FlagRequest|netlink.FlagDump, seq, headerSize)
	return append(b, controlGetFamily, protocolsFirst, 0, 0)
}

// Family decodes a family: its number, which is the type of its messages, if it is
// that of ethtool.
func Family(kind uint16, b []byte, order binary.ByteOrder) (id uint16, ok bool, err error) {
	if kind != typeControl {
		return 0, false, nil
	}
	if len(b) < headerSize {
		return 0, false, fmt.Errorf("struct genlmsghdr of %d bytes, want %d: %w", len(b), headerSize, netlink.ErrShort)
	}
	a := netlink.NewAttributes(b[headerSize:], order)
	for a.Next() {
		switch a.Type() {
		case familyID:
			id = a.Uint16()
		case familyName:
			ok = a.Text() == "ethtool"
		}
	}
	if err := a.Err(); err != nil {
		return 0, false, fmt.Errorf("a family of generic netlink: %w", err)
	}
	return id, ok && id != 0, nil
}

// LinkRequest asks for the speed of an interface, by its number.
type LinkRequest struct {
	Family uint16 // the number of ethtool's
	Index  uint32
}

// Append appends the netlink message of the request: struct nlmsghdr, struct
// genlmsghdr and ETHTOOL_A_LINKMODES_HEADER.
func (r *LinkRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	var index [4]byte
	order.PutUint32(index[:], r.Index)
	header := netlink.AppendAttribute(nil, order, linkIndex, index[:])
	b = netlink.AppendHeader(b, order, r.Family, netlink.FlagRequest, seq, headerSize+netlink.AttributeHeaderSize+len(header))
	b = append(b, getLinkModes, protocolsFirst, 0, 0)
	const nested = 0x8000 // NLA_F_NESTED, which this family insists on
	return netlink.AppendAttribute(b, order, linkHeader|nested, header)
}

// Link decodes the answer into the interface's Speed and Duplex.
func Link(b []byte, order binary.ByteOrder, l *network.Link) error {
	if len(b) < headerSize {
		return fmt.Errorf("struct genlmsghdr of %d bytes, want %d: %w", len(b), headerSize, netlink.ErrShort)
	}
	l.Speed, l.Duplex = network.Number{}, ""
	a := netlink.NewAttributes(b[headerSize:], order)
	for a.Next() {
		switch a.Type() {
		case linkSpeed:
			if speed := a.Uint32(); speed != unknownSpeed {
				l.Speed = network.Number{Value: speed, Known: true}
			}
		case linkDuplex:
			switch a.Uint8() {
			case halfDuplex:
				l.Duplex = "half"
			case fullDuplex:
				l.Duplex = "full"
			}
		}
	}
	if err := a.Err(); err != nil {
		l.Speed, l.Duplex = network.Number{}, ""
		return fmt.Errorf("the speed of an interface: %w", err)
	}
	return nil
}
