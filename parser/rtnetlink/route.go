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
	v := value{order: order}
	err = netlink.Attributes(b[routeSize:], order, func(kind uint16, b []byte) error {
		switch kind {
		case routeDst:
			dst = v.addr(b, family, "RTA_DST")
		case routeSrc:
			src = v.addr(b, family, "RTA_SRC")
		case routePriority:
			r.Metric = v.uint32(b, "RTA_PRIORITY")
		case routePrefSrc:
			r.PreferredSource = v.addr(b, family, "RTA_PREFSRC")
		case routeMetrics:
			if err := netlink.Attributes(b, order, func(kind uint16, b []byte) error {
				switch {
				case kind == network.MetricCongestion:
					r.Metrics.Congestion = v.text(b)
				case kind <= network.MetricLast:
					r.Metrics.Set(int(kind), v.uint32(b, "a metric"))
				}
				return v.err
			}); err != nil {
				return fmt.Errorf("RTA_METRICS: %w", err)
			}
		case routeMultipath:
			if err := v.hops(b, family, r); err != nil {
				return fmt.Errorf("RTA_MULTIPATH: %w", err)
			}
		case routeFlow:
			r.Realm = v.uint32(b, "RTA_FLOW")
		case routeCacheInfo:
			if len(b) < cacheInfoSize {
				return fmt.Errorf("RTA_CACHEINFO of %d bytes, want %d: %w", len(b), cacheInfoSize, netlink.ErrShort)
			}
			ticks := int32(order.Uint32(b[8:]))
			r.Expires, r.Expiring = ticks/ticksPerSecond, ticks != 0
		case routeTable:
			r.Table = v.uint32(b, "RTA_TABLE")
		case routePref:
			r.Preference, r.HasPreference = uint8(v.uint(b, 1, "RTA_PREF")), true
		case routeNextHopID:
			r.NextHopID = v.uint32(b, "RTA_NH_ID")
		default:
			v.hop(kind, b, family, &only)
		}
		return v.err
	})
	if err != nil {
		return false, err
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

// hop reads an attribute of a next hop.
func (v *value) hop(kind uint16, b []byte, family sock.Family, hop *network.NextHop) {
	switch kind {
	case routeOIF:
		hop.Interface = v.uint32(b, "RTA_OIF")
	case routeGateway:
		hop.Gateway = v.addr(b, family, "RTA_GATEWAY")
	case routeVia:
		// struct rtvia: a family and an address of it.
		if other := sock.Family(v.uint(b, 2, "RTA_VIA")); other == sock.INET || other == sock.INET6 {
			hop.Gateway = v.addr(b[2:], other, "RTA_VIA")
		}
	case routeEncapType:
		hop.Encap = network.Encap(v.uint(b, 2, "RTA_ENCAP_TYPE"))
	}
}

// hops reads several next hops: struct rtnexthop with attributes each.
func (v *value) hops(b []byte, family sock.Family, r *network.Route) error {
	for len(b) > 0 {
		if len(b) < hopSize {
			return fmt.Errorf("struct rtnexthop of %d bytes, want %d: %w", len(b), hopSize, netlink.ErrShort)
		}
		size := int(v.order.Uint16(b))
		if size < hopSize || size > len(b) {
			return fmt.Errorf("a next hop of %d bytes in %d: %w", size, len(b), netlink.ErrShort)
		}
		hop := network.NextHop{Flags: network.HopFlags(b[2]), Weight: uint16(b[3]) + 1, Interface: v.order.Uint32(b[4:])}
		if err := netlink.Attributes(b[hopSize:size], v.order, func(kind uint16, b []byte) error {
			if kind != routeOIF {
				v.hop(kind, b, family, &hop)
			}
			return v.err
		}); err != nil {
			return err
		}
		r.Hops = append(r.Hops, hop)
		b = b[min(netlink.Align(size), len(b)):]
	}
	return nil
}
