package rtnetlink

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Sizes of structures and numbers of attributes, NHA_* of
// include/uapi/linux/nexthop.h.
const (
	nextHopSize = 8 // struct nhmsg
	memberSize  = 8 // struct nexthop_grp

	nextHopID        = 1
	nextHopGroup     = 2
	nextHopGroupType = 3
	nextHopBlackhole = 4
	nextHopOIF       = 5
	nextHopGateway   = 6
	nextHopEncapType = 7
	nextHopFDB       = 11
	nextHopResilient = 12

	resilientBuckets    = 1
	resilientIdle       = 2
	resilientUnbalanced = 3
	resilientUnequal    = 4
)

// NextHop decodes struct nhmsg and the attributes behind it. It is false for what
// is no nexthop object.
func NextHop(kind uint16, b []byte, order binary.ByteOrder, o *network.NextHopObject) (ok bool, err error) {
	*o = network.NextHopObject{}
	if kind != typeNewNextHop {
		return false, nil
	}
	if len(b) < nextHopSize {
		return false, fmt.Errorf("struct nhmsg of %d bytes, want %d: %w", len(b), nextHopSize, netlink.ErrShort)
	}
	o.Family, o.Scope, o.Protocol = sock.Family(b[0]), network.Scope(b[1]), network.Protocol(b[2])
	o.Hop.Flags = network.HopFlags(order.Uint32(b[4:]))
	a := netlink.NewAttributes(b[nextHopSize:], order)
	for a.Next() {
		switch a.Type() {
		case nextHopID:
			o.ID = a.Uint32()
		case nextHopGroup:
			members(&a, o)
		case nextHopGroupType:
			o.Resilient = a.Uint16() == 1
		case nextHopBlackhole:
			o.Blackhole = true
		case nextHopFDB:
			o.FDB = true
		case nextHopOIF:
			o.Hop.Interface = a.Uint32()
		case nextHopGateway:
			o.Hop.Gateway = a.Addr(addrSize(o.Family))
		case nextHopEncapType:
			o.Hop.Encap = network.Encap(a.Uint16())
		case nextHopResilient:
			a.Nested(func() {
				switch a.Type() {
				case resilientBuckets:
					o.Buckets = a.Uint16()
				case resilientIdle:
					o.IdleTimer = ticks(uint64(a.Uint32()))
				case resilientUnbalanced:
					o.UnbalancedTimer = ticks(uint64(a.Uint32()))
				case resilientUnequal:
					o.Unequal = ticks(a.Uint64())
				}
			})
		}
	}
	if err := a.Err(); err != nil {
		return false, fmt.Errorf("a nexthop object: %w", err)
	}
	return true, nil
}

// members decodes the members of a group: struct nexthop_grp each. The upper byte
// of the weight is since Linux 6.12; before it was 0.
func members(a *netlink.Attributes, o *network.NextHopObject) {
	b := a.Bytes()
	for ; len(b) >= memberSize; b = b[memberSize:] {
		o.Group = append(o.Group, network.GroupMember{ID: a.Numbers.Uint32(b), Weight: uint16(b[4]) | uint16(b[5])<<8 + 1})
	}
	if len(b) > 0 {
		a.Fail(fmt.Errorf("%d bytes left of struct nexthop_grp: %w", len(b), netlink.ErrShort))
	}
}

// ticks translates times that the kernel gives in ticks of its clock for programs.
func ticks(n uint64) time.Duration { return time.Duration(n) * (time.Second / ticksPerSecond) }
