package rtnetlink

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Sizes of structures and numbers of attributes, RTA_* and RTM_F_* of
// include/uapi/linux/rtnetlink.h.
const (
	routeSize     = 12 // struct rtmsg
	hopSize       = 8  // struct rtnexthop
	cacheInfoSize = 28 // struct rta_cacheinfo

	flagCloned = 0x200

	routeDst       = 1
	routeSrc       = 2
	routeOIF       = 4
	routeGateway   = 5
	routePriority  = 6
	routePrefSrc   = 7
	routeMetrics   = 8
	routeMultipath = 9
	routeFlow      = 11
	routeCacheInfo = 12
	routeTable     = 15
	routeVia       = 18
	routePref      = 20
	routeEncapType = 21
	routeNextHopID = 30
)

// ticksPerSecond is USER_HZ, the unit of rta_expires. It is 100 wherever osquery
// runs.
const ticksPerSecond = 100

// Route decodes struct rtmsg and the attributes behind it. It is false for what
// is no route of that family: the clones that the kernel keeps for single
// destinations, and what a kernel without the family answers in its place.
func Route(kind uint16, b []byte, order binary.ByteOrder, family sock.Family, r *network.Route) (ok bool, err error) {
	*r = network.Route{}
	if kind != typeNewRoute {
		return false, nil
	}
	if len(b) < routeSize {
		return false, fmt.Errorf("struct rtmsg of %d bytes, want %d: %w", len(b), routeSize, netlink.ErrShort)
	}
	flags := order.Uint32(b[8:])
	if sock.Family(b[0]) != family || flags&flagCloned != 0 {
		return false, nil
	}
	r.Family = family
	dstBits, srcBits := int(b[1]), int(b[2])
	r.TOS, r.Table = b[3], uint32(b[4])
	r.Protocol, r.Scope, r.Type = network.Protocol(b[5]), network.Scope(b[6]), network.RouteType(b[7])
	zero := netip.IPv4Unspecified()
	if family == sock.INET6 {
		zero = netip.IPv6Unspecified()
	}
	dst, src := zero, zero
	// The lower byte of the flags is the only hop's.
	only := network.NextHop{Flags: network.HopFlags(flags)}
	a := netlink.NewAttributes(b[routeSize:], order)
	for a.Next() {
		switch a.Type() {
		case routeDst:
			dst = a.Addr(addrSize(family))
		case routeSrc:
			src = a.Addr(addrSize(family))
		case routePriority:
			r.Metric = a.Uint32()
		case routePrefSrc:
			r.PreferredSource = a.Addr(addrSize(family))
		case routeMetrics:
			a.Nested(func() {
				switch kind := a.Type(); {
				case kind == network.MetricCongestion:
					r.Metrics.Congestion = a.Text()
				case kind <= network.MetricLast:
					r.Metrics.Set(int(kind), a.Uint32())
				}
			})
		case routeMultipath:
			hops(&a, family, r)
		case routeFlow:
			r.Realm = a.Uint32()
		case routeCacheInfo:
			if b, ok := a.Struct(cacheInfoSize); ok {
				ticks := int32(order.Uint32(b[8:]))
				r.Expires, r.Expiring = ticks/ticksPerSecond, ticks != 0
			}
		case routeTable:
			r.Table = a.Uint32()
		case routePref:
			r.Preference, r.HasPreference = a.Uint8(), true
		case routeNextHopID:
			r.NextHopID = a.Uint32()
		case routeOIF:
			only.Interface = a.Uint32()
		default:
			way(&a, family, &only)
		}
	}
	if err := a.Err(); err != nil {
		return false, fmt.Errorf("a route: %w", err)
	}
	if r.Destination = netip.PrefixFrom(dst, dstBits); !r.Destination.IsValid() {
		return false, fmt.Errorf("rtm_dst_len: %v has no prefix of %d bits", dst, dstBits)
	}
	if r.Source = netip.PrefixFrom(src, srcBits); !r.Source.IsValid() {
		return false, fmt.Errorf("rtm_src_len: %v has no prefix of %d bits", src, srcBits)
	}
	if r.Hops == nil && (only.Interface != 0 || only.Gateway.IsValid()) {
		r.Hops = []network.NextHop{only}
	}
	return true, nil
}

// way decodes an attribute of a next hop but for its interface.
func way(a *netlink.Attributes, family sock.Family, hop *network.NextHop) {
	switch a.Type() {
	case routeGateway:
		hop.Gateway = a.Addr(addrSize(family))
	case routeVia:
		// struct rtvia: a family and an address of it.
		if other := sock.Family(a.Uint16()); other == sock.INET || other == sock.INET6 {
			addr, ok := netip.AddrFromSlice(a.Bytes()[2:])
			if !ok || addr.BitLen() != 8*addrSize(other) {
				a.Fail(fmt.Errorf("struct rtvia of %d bytes in the family %d: %w", len(a.Bytes()), other, netlink.ErrShort))
			}
			hop.Gateway = addr
		}
	case routeEncapType:
		hop.Encap = network.Encap(a.Uint16())
	}
}

// hops decodes several next hops: struct rtnexthop with attributes each.
func hops(a *netlink.Attributes, family sock.Family, r *network.Route) {
	for b := a.Bytes(); len(b) > 0 && a.Err() == nil; {
		if len(b) < hopSize {
			a.Fail(fmt.Errorf("struct rtnexthop of %d bytes, want %d: %w", len(b), hopSize, netlink.ErrShort))
			return
		}
		size := int(a.Numbers.Uint16(b))
		if size < hopSize || size > len(b) {
			a.Fail(fmt.Errorf("a next hop of %d bytes in %d: %w", size, len(b), netlink.ErrShort))
			return
		}
		hop := network.NextHop{Flags: network.HopFlags(b[2]), Weight: uint16(b[3]) + 1, Interface: a.Numbers.Uint32(b[4:])}
		a.Part(b[hopSize:size], func() {
			if a.Type() == routeFlow {
				hop.Realm = a.Uint32()
				return
			}
			way(a, family, &hop)
		})
		r.Hops = append(r.Hops, hop)
		b = b[min(netlink.Align(size), len(b)):]
	}
}
