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
	linkLower          = 5
	linkQdisc          = 6
	linkMaster         = 10
	linkQueueLength    = 13
	linkState          = 16
	linkInfo           = 18
	linkAlias          = 20
	linkStats64        = 23
	linkPromiscuity    = 30
	linkCarrierChanges = 35
	linkLowerNamespace = 37
	linkProperties     = 52
	linkAltName        = 53 // of the properties

	linkInfoKind = 1 // of the info
	linkInfoData = 2
	linkVRFTable = 1 // of the data of a VRF
)

// portAttributes are those of the data of a tunnel over UDP, by its kind, that have
// the port.
var portAttributes = map[string]uint16{"vxlan": 15, "geneve": 5, "bareudp": 1}

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
	a := netlink.NewAttributes(b[linkSize:], order)
	for a.Next() {
		switch a.Type() {
		case linkAddress:
			l.Address = bytes.Clone(a.Bytes())
		case linkName:
			l.Name = a.Text()
		case linkMTU:
			l.MTU = a.Uint32()
		case linkQdisc:
			l.Queueing = a.Text()
		case linkMaster:
			l.Master = a.Uint32()
		case linkQueueLength:
			l.QueueLength = network.Number{Value: a.Uint32(), Known: true}
		case linkState:
			l.State = network.OperState(a.Uint8())
		case linkInfo:
			a.Nested(func() {
				switch a.Type() {
				case linkInfoKind:
					l.Kind = a.Text()
				case linkInfoData: // behind the kind
					if port := portAttributes[l.Kind]; port != 0 || l.Kind == "vrf" {
						a.Nested(func() {
							switch {
							case l.Kind == "vrf" && a.Type() == linkVRFTable:
								l.VRFTable = a.Uint32()
							case port != 0 && a.Type() == port:
								if b, ok := a.Struct(2); ok {
									l.UDPPort = binary.BigEndian.Uint16(b)
								}
							}
						})
					}
				}
			})
		case linkAlias:
			l.Alias = a.Text()
		case linkLower:
			l.Lower = a.Uint32()
		case linkLowerNamespace:
			l.LowerElsewhere, l.LowerID = true, int32(a.Uint32())
		case linkProperties:
			a.Nested(func() {
				if a.Type() == linkAltName {
					l.AltNames = append(l.AltNames, a.Text())
				}
			})
		case linkStats64:
			if b, ok := a.Struct(statsSize); ok {
				for i := 0; 8*i+8 <= len(b) && i <= network.RxOtherHostDropped; i++ {
					l.Counters.Set(i, order.Uint64(b[8*i:]))
				}
				l.Counters.Sum()
			}
		case linkPromiscuity:
			l.Promiscuity = network.Number{Value: a.Uint32(), Known: true}
		case linkCarrierChanges:
			l.CarrierChanges = network.Number{Value: a.Uint32(), Known: true}
		}
	}
	if err := a.Err(); err != nil {
		return false, fmt.Errorf("an interface: %w", err)
	}
	if l.Name == "" {
		return false, fmt.Errorf("interface %d has no IFLA_IFNAME", l.Index)
	}
	return true, nil
}
