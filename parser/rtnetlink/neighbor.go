package rtnetlink

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Sizes of structures and numbers of attributes, NDA_* of
// include/uapi/linux/neighbour.h.
const (
	neighborSize      = 12 // struct ndmsg
	neighborCacheSize = 16 // struct nda_cacheinfo

	neighborDst       = 1
	neighborLinkAddr  = 2
	neighborCacheInfo = 3
	neighborProbes    = 4
	neighborProtocol  = 12
	neighborFlagsExt  = 15
)

// Neighbor decodes struct ndmsg and the attributes behind it. It is false for what
// is no neighbour of IP.
func Neighbor(kind uint16, b []byte, order binary.ByteOrder, n *network.Neighbor) (ok bool, err error) {
	*n = network.Neighbor{}
	if kind != typeNewNeighbor {
		return false, nil
	}
	if len(b) < neighborSize {
		return false, fmt.Errorf("struct ndmsg of %d bytes, want %d: %w", len(b), neighborSize, netlink.ErrShort)
	}
	n.Family = sock.Family(b[0])
	if n.Family != sock.INET && n.Family != sock.INET6 {
		return false, nil
	}
	n.Interface, n.State, n.Flags = order.Uint32(b[4:]), network.NeighborState(order.Uint16(b[8:])), network.NeighborFlags(b[10])
	a := netlink.NewAttributes(b[neighborSize:], order)
	for a.Next() {
		switch a.Type() {
		case neighborDst:
			n.Address = a.Addr(addrSize(n.Family))
		case neighborLinkAddr:
			n.LinkAddress = bytes.Clone(a.Bytes())
		case neighborCacheInfo:
			if b, ok := a.Struct(neighborCacheSize); ok {
				ms := func(b []byte) uint64 { return uint64(ticks(uint64(order.Uint32(b))).Milliseconds()) }
				n.HasTimes, n.Confirmed, n.Used, n.Updated, n.References = true, ms(b), ms(b[4:]), ms(b[8:]), order.Uint32(b[12:])
			}
		case neighborProbes:
			n.Probes = a.Uint32()
		case neighborProtocol:
			n.Protocol = network.Protocol(a.Uint8())
		case neighborFlagsExt:
			n.Flags |= network.NeighborFlags(a.Uint32()) << 8
		}
	}
	if err := a.Err(); err != nil {
		return false, fmt.Errorf("a neighbour: %w", err)
	}
	return n.Address.IsValid(), nil
}
