package procnet

import (
	"bytes"
	"encoding/binary"
	"io"
	"iter"
	"math/bits"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Routes streams the routes of /proc/net/route, which are those of IPv4 in the
// main table but for broadcast and multicast ones, or, for the family INET6, of
// /proc/net/ipv6_route, which has all tables, and for each that has no default
// route a line for what is not found. Of several next hops it has the first,
// but for IPv6 routes with hops of their own, which have a line for each. The
// kernel prints them in fib_route_seq_show (net/ipv4/fib_trie.c) and
// ipv6_route_native_seq_show (net/ipv6/ip6_fib.c). See [TCP] for byte order and
// errors.
func Routes(r io.Reader, family sock.Family, order binary.ByteOrder) iter.Seq2[network.Route, error] {
	if family == sock.INET6 {
		return list(r, order, nil, (*fields).route6)
	}
	return list(r, order, parser.Words("Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT"), (*fields).route4)
}

// route4 decodes a line of /proc/net/route:
//
//	Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
func (f *fields) route4() network.Route {
	hop := network.NextHop{Name: string(f.next())}
	if hop.Name == "*" {
		hop.Name = "" // it has none
	}
	dst, gateway := f.addr(f.next(), 1, "Destination"), f.addr(f.next(), 1, "Gateway")
	k := network.Kernel{Known: true, Flags: network.RouteFlags(f.hex(f.next(), 32, "Flags"))}
	k.Ref, k.Use = uint32(f.dec("RefCnt", 32)), uint32(f.dec("Use", 32))
	metric := f.wrapped("Metric")
	mask := f.addr(f.next(), 1, "Mask").As4()
	ones := bits.LeadingZeros32(^binary.BigEndian.Uint32(mask[:]))
	if bits.OnesCount32(binary.BigEndian.Uint32(mask[:])) != ones {
		f.fail("Mask: the bits of a prefix must be together")
	}
	r := network.Route{Family: sock.INET, FromProc: true, Table: network.TableMain, Metric: metric, Destination: netip.PrefixFrom(dst, ones), Kernel: []network.Kernel{k}}
	// MTU is named after what it once was: it is the largest segment and its
	// headers, 40 bytes.
	const headers = 40
	if mss := uint32(f.dec("MTU", 32)); mss >= headers {
		r.Metrics.Set(network.MetricAdvMSS, mss-headers)
	}
	if window := uint32(f.dec("Window", 32)); window != 0 {
		r.Metrics.Set(network.MetricWindow, window)
	}
	if rtt := uint32(f.dec("IRTT", 32)); rtt != 0 {
		r.Metrics.Set(network.MetricRTT, rtt<<3)
	}
	// A gateway of IPv6 is left out.
	if !gateway.IsUnspecified() {
		hop.Gateway = gateway
	}
	if hop.Name != "" || hop.Gateway.IsValid() {
		r.Hops = []network.NextHop{hop}
	}
	return r
}

// route6 decodes a line of /proc/net/ipv6_route: destination and its length,
// source and its length, gateway, metric, references, uses, flags and interface.
func (f *fields) route6() network.Route {
	prefix := func(name string) netip.Prefix {
		a := f.addr6(name)
		p := netip.PrefixFrom(a, int(f.hex(f.next(), 8, name)))
		if !p.IsValid() {
			f.fail(name + ": a prefix of IPv6 has at most 128 bits")
		}
		return p
	}
	r := network.Route{Family: sock.INET6, FromProc: true}
	r.Destination, r.Source = prefix("destination"), prefix("source")
	var hop network.NextHop
	if gateway := f.addr6("gateway"); !gateway.IsUnspecified() {
		hop.Gateway = gateway
	}
	r.Metric = uint32(f.hex(f.next(), 32, "metric"))
	k := network.Kernel{Known: true, Ref: uint32(f.hex(f.next(), 32, "reference count")), Use: uint32(f.hex(f.next(), 32, "use"))}
	k.Flags = network.RouteFlags(f.hex(f.next(), 32, "flags"))
	// The name is padded to 8 bytes, and a blank is before it.
	if f.cut && len(f.rest) < 9 {
		f.fail("expected more of the line")
	}
	r.Kernel = []network.Kernel{k}
	switch {
	case k.Flags&network.FlagLocal != 0:
		r.Type = network.Local
	case k.Flags&network.FlagAnycast != 0:
		r.Type = network.Anycast
	}
	r.Preference, r.HasPreference = uint8(k.Flags>>network.FlagPrefShift&3), true
	if hop.Name = string(f.next()); hop.Name != "" || hop.Gateway.IsValid() {
		r.Hops = []network.NextHop{hop}
	}
	return r
}

// addr decodes an address of words of the host's byte order.
func (f *fields) addr(b []byte, words int, name string) netip.Addr {
	if len(b) != 8*words {
		f.fail(name + ": expected 8 hexadecimal digits in an IPv4 list, 32 in an IPv6 list")
		return netip.AddrFrom4([4]byte{})
	}
	var a [16]byte
	for i := range words {
		word := uint32(f.hex(b[8*i:8*i+8], 32, name))
		if !f.big {
			word = bits.ReverseBytes32(word)
		}
		binary.BigEndian.PutUint32(a[4*i:], word)
	}
	if words == 1 {
		return netip.AddrFrom4([4]byte(a[:4]))
	}
	return netip.AddrFrom16(a)
}

// addr6 decodes the next field as an IPv6 address of the network's byte order.
func (f *fields) addr6(name string) netip.Addr {
	b := f.next()
	if len(b) != 32 {
		f.fail(name + ": expected 32 hexadecimal digits")
		return netip.IPv6Unspecified()
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], f.hex(b[:16], 64, name))
	binary.BigEndian.PutUint64(a[8:], f.hex(b[16:], 64, name))
	return netip.AddrFrom16(a)
}

// wrapped decodes the next field as a number of 32 bits that is printed with a
// sign.
func (f *fields) wrapped(name string) uint32 {
	negative := false
	f.rest = bytes.TrimLeft(f.rest, blanks)
	if rest, ok := bytes.CutPrefix(f.rest, []byte("-")); ok {
		f.rest, negative = rest, true
	}
	n := uint32(f.dec(name, 32))
	if negative {
		return -n
	}
	return n
}
