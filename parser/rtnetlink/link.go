package rtnetlink

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
)

// Sizes of structures and numbers of attributes, IFLA_* of
// include/uapi/linux/if_link.h.
const (
	linkSize  = 16     // struct ifinfomsg
	statsSize = 23 * 8 // of struct rtnl_link_stats64 since it exists

	linkAddress        = 1
	linkName           = 3
	linkMTU            = 4
	linkQdisc          = 6
	linkMaster         = 10
	linkQueueLength    = 13
	linkState          = 16
	linkInfo           = 18
	linkStats64        = 23
	linkPromiscuity    = 30
	linkCarrierChanges = 35
	linkInfoKind       = 1
)

// Link decodes struct ifinfomsg and the attributes behind it. It is false for
// what is no interface.
func Link(kind uint16, b []byte, order binary.ByteOrder, l *network.Link) (ok bool, err error) {
	*l = network.Link{}
	if kind != typeNewLink {
		return false, nil
	}
	if len(b) < linkSize {
		return false, fmt.Errorf("struct ifinfomsg of %d bytes, want %d: %w", len(b), linkSize, netlink.ErrShort)
	}
	l.Type, l.Index, l.Flags = order.Uint16(b[2:]), order.Uint32(b[4:]), network.LinkFlags(order.Uint32(b[8:]))
	v := value{order: order}
	number := func(b []byte, what string) network.Number {
		return network.Number{Value: v.uint32(b, what), Known: true}
	}
	err = netlink.Attributes(b[linkSize:], order, func(kind uint16, b []byte) error {
		switch kind {
		case linkAddress:
			l.Address = bytes.Clone(b)
		case linkName:
			l.Name = v.text(b)
		case linkMTU:
			l.MTU = v.uint32(b, "IFLA_MTU")
		case linkQdisc:
			l.Queueing = v.text(b)
		case linkMaster:
			l.Master = v.uint32(b, "IFLA_MASTER")
		case linkQueueLength:
			l.QueueLength = number(b, "IFLA_TXQLEN")
		case linkState:
			l.State = network.OperState(v.uint(b, 1, "IFLA_OPERSTATE"))
		case linkInfo:
			if err := netlink.Attributes(b, order, func(kind uint16, b []byte) error {
				if kind == linkInfoKind {
					l.Kind = v.text(b)
				}
				return nil
			}); err != nil {
				return fmt.Errorf("IFLA_LINKINFO: %w", err)
			}
		case linkStats64:
			if len(b) < statsSize {
				return fmt.Errorf("struct rtnl_link_stats64 of %d bytes, want %d: %w", len(b), statsSize, netlink.ErrShort)
			}
			for i := 0; 8*i+8 <= len(b) && i <= network.RxOtherHostDropped; i++ {
				l.Counters.Set(i, order.Uint64(b[8*i:]))
			}
			l.Counters.Sum()
		case linkPromiscuity:
			l.Promiscuity = number(b, "IFLA_PROMISCUITY")
		case linkCarrierChanges:
			l.CarrierChanges = number(b, "IFLA_CARRIER_CHANGES")
		}
		return v.err
	})
	if err == nil && l.Name == "" {
		err = fmt.Errorf("interface %d has no IFLA_IFNAME", l.Index)
	}
	return err == nil, err
}
