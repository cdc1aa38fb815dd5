// Package network is the vocabulary of what carries packets beneath the
// sockets: routes, interfaces and the groups that these are members of. It reads
// nothing; the decoders of rtnetlink and of /proc/net both give its values, so
// that they can be compared.
package network

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Route is one entry of a routing table. Of one that came from /proc much is not
// known: FromProc says so.
type Route struct {
	// Namespace is the inode number of its network namespace; 0 if it is not
	// known.
	Namespace   uint32
	Family      sock.Family
	Destination netip.Prefix
	// Source is the prefix that a packet must come from; invalid or of no length
	// if from any. Only IPv6 has it.
	Source netip.Prefix
	Metric uint32 // the lowest wins
	Hops   []NextHop

	// FromProc says that the route is a line of /proc/net/route or ipv6_route,
	// which tell no more than the fields above, Kernel, of the Metrics MSS,
	// Window and RTT of IPv4, and of IPv4 the Table, which is the main one.
	FromProc        bool
	Table           uint32
	Type            RouteType
	Scope           Scope
	Protocol        Protocol
	TOS             uint8
	PreferredSource netip.Addr
	Metrics         Metrics
	// Realm is the source's, in the upper 16 bits, and the destination's; 0 if
	// there is none.
	Realm uint32
	// NextHopID is the number of the nexthop object, ip-nexthop(8), that Hops
	// come from; 0 if the route has its own.
	NextHopID uint32
	// Expires is in seconds from now, and means nothing unless Expiring.
	Expires  int32
	Expiring bool
	// Preference is the router's, ICMPV6_ROUTER_PREF_*, if HasPreference.
	Preference    uint8
	HasPreference bool

	// Kernel is what /proc tells of each hop, or of all by the first; it may have
	// fewer than there are.
	Kernel []Kernel
}

// NextHop is one way of a route.
type NextHop struct {
	Gateway   netip.Addr // invalid if there is none; not always of the route's family
	Interface uint32     // its number, 0 if there is none or it is not known
	Name      string     // of the interface, from /proc only
	// Weight is the hop's share of a route with several; 0 if it is alone.
	Weight uint16
	Flags  HopFlags
	Encap  Encap
	Realm  uint32 // as [Route.Realm], of one of several; 0 if there is none
}

// Kernel is what the kernel prints of a route in /proc/net and nowhere else.
type Kernel struct {
	Known    bool
	Flags    RouteFlags
	Ref, Use uint32
}

// KernelOf returns what /proc tells of the route's way by the hop at that
// position.
func (r *Route) KernelOf(hop int) Kernel {
	switch {
	case hop < len(r.Kernel):
		return r.Kernel[hop]
	case len(r.Kernel) > 0 && r.NextHopID != 0:
		// Such a route has one line.
		return r.Kernel[0]
	}
	return Kernel{}
}

// FlagsOf returns the flags of the route's way by the hop at that position, if
// they are known.
func (r *Route) FlagsOf(hop int) (flags RouteFlags, ok bool) {
	if k := r.KernelOf(hop); k.Known {
		return k.Flags, true
	}
	if r.Family == sock.INET {
		return r.derivedFlags(hop), true
	}
	return 0, false
}

// Tables that every kernel has, RT_TABLE_*.
const (
	TableDefault = 253
	TableMain    = 254
	TableLocal   = 255
)

// TableName returns the name that a table has everywhere, "" of all others.
func TableName(table uint32) string {
	switch table {
	case TableDefault:
		return "default"
	case TableMain:
		return "main"
	case TableLocal:
		return "local"
	}
	return ""
}

// name returns the name with that number, else the number.
func name(names []string, number int) string {
	if number < len(names) && names[number] != "" {
		return names[number]
	}
	return strconv.Itoa(number)
}

// RouteType is what becomes of packets that take the route, RTN_* of
// include/uapi/linux/rtnetlink.h.
type RouteType uint8

// The types that change a route's flags.
const (
	Unicast     RouteType = 1
	Local       RouteType = 2
	Broadcast   RouteType = 3
	Anycast     RouteType = 4
	Multicast   RouteType = 5
	Unreachable RouteType = 7
	Prohibit    RouteType = 8
)

// String returns ip-route(8)'s word for the type.
func (t RouteType) String() string {
	return name([]string{"none", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw", "nat", "xresolve"}, int(t))
}

// Scope is how far a route's destination is, RT_SCOPE_*.
type Scope uint8

// String returns ip-route(8)'s word for the scope.
func (s Scope) String() string {
	switch s {
	case 0:
		return "global"
	case 200:
		return "site"
	case 253:
		return "link"
	case 254:
		return "host"
	case 255:
		return "nowhere"
	}
	return strconv.Itoa(int(s))
}

// Protocol is who made a route, RTPROT_*.
type Protocol uint8

// String returns the name of those whom include/uapi/linux/rtnetlink.h names.
func (p Protocol) String() string {
	switch p {
	case 42:
		return "babel"
	case 99:
		return "openr"
	case 186:
		return "bgp"
	case 187:
		return "isis"
	case 188:
		return "ospf"
	case 189:
		return "rip"
	case 192:
		return "eigrp"
	}
	return name([]string{"unspec", "redirect", "kernel", "boot", "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra", 12: "bird", 13: "dnrouted",
		14: "xorp", 15: "ntk", 16: "dhcp", 17: "mrouted", 18: "keepalived"}, int(p))
}

// Encap is how packets are wrapped on their way, LWTUNNEL_ENCAP_* of
// include/uapi/linux/lwtunnel.h.
type Encap uint16

// String returns ip-route(8)'s word; "" if they are not.
func (e Encap) String() string {
	if e == 0 {
		return ""
	}
	return name([]string{1: "mpls", 2: "ip", 3: "ila", 4: "ip6", 5: "seg6", 6: "bpf", 7: "seg6local", 8: "rpl", 9: "ioam6", 10: "xfrm"}, int(e))
}

// HopFlags are RTNH_F_* of include/uapi/linux/rtnetlink.h.
type HopFlags uint8

// String returns ip-route(8)'s words with blanks between.
func (f HopFlags) String() string {
	return words(uint32(f), []string{"dead", "pervasive", "onlink", "offload", "linkdown", "unresolved", "trap"}, " ")
}

// words returns the words of the bits that are set, and the number of one that
// has none.
func words(bits uint32, names []string, separator string) string {
	var all []string
	for i := range 32 {
		if bits&(1<<i) == 0 {
			continue
		}
		word := "0x" + strconv.FormatUint(1<<i, 16)
		if i < len(names) && names[i] != "" {
			word = names[i]
		}
		all = append(all, word)
	}
	return strings.Join(all, separator)
}

// Preference returns ip-route(8)'s word for a router's preference.
func Preference(p uint8) string {
	switch p {
	case 0:
		return "medium"
	case 1:
		return "high"
	case 3:
		return "low"
	}
	return strconv.Itoa(int(p))
}

// RouteFlags are RTF_* of include/uapi/linux/route.h and ipv6_route.h, which
// /proc shows and netstat has letters for.
type RouteFlags uint32

// The flags that the kernel derives from a route of IPv4, and those that tell a
// route's type.
const (
	FlagUp        RouteFlags = 0x1
	FlagGateway   RouteFlags = 0x2
	FlagHost      RouteFlags = 0x4
	FlagReject    RouteFlags = 0x200
	FlagAnycast   RouteFlags = 0x100000
	FlagPrefShift            = 27 // of the two bits of the router's preference
	FlagLocal     RouteFlags = 0x80000000
)

type flagLetter struct {
	flag   RouteFlags
	letter string
}

// Letters returns the flags as netstat 2.10 prints them for the family.
func (f RouteFlags) Letters(family sock.Family) string {
	letters := []flagLetter{
		{FlagUp, "U"}, {FlagReject, "!"}, {FlagGateway, "G"}, {FlagHost, "H"}, {0x10000, "D"}, {0x40000, "A"}, {0x1000000, "C"}, {0x20000, "a"},
		{0x400000, "e"}, {0x20, "m"}, {0x200000, "n"}, {0x2000000, "f"},
	}
	if family == sock.INET {
		letters = []flagLetter{
			{FlagUp, "U"}, {FlagGateway, "G"}, {FlagReject, "!"}, {FlagHost, "H"}, {0x8, "R"}, {0x10, "D"}, {0x20, "M"}, {0x10000, "d"}, {0x20000, "a"},
			{0x40000, "c"}, {0x200000, "o"}, {0x400000, "e"}, {0x1000000, "c"}, {0x2000000, "f"}, {0x4000000, "p"}, {FlagLocal, "l"}, {0x40, "u"},
			{0x80, "w"}, {0x100, "i"}, {0x400, "n"},
		}
	}
	var b strings.Builder
	for _, l := range letters {
		if f&l.flag == 0 {
			continue
		}
		if l.flag == FlagReject && family == sock.INET {
			b.Reset() // it takes the place of U and G
		}
		b.WriteString(l.letter)
	}
	return b.String()
}

// derivedFlags returns the flags that the kernel derives from a route of IPv4
// to print it, by its first hop, in /proc/net/route (fib_flag_trans,
// net/ipv4/fib_trie.c).
func (r *Route) derivedFlags(hop int) RouteFlags {
	flags := FlagUp
	if r.Type == Unreachable || r.Type == Prohibit {
		flags |= FlagReject
	}
	// The kernel looks at the first four bytes, also of an IPv6 gateway.
	if hop < len(r.Hops) && r.Hops[hop].Gateway.IsValid() {
		if b := r.Hops[hop].Gateway.AsSlice(); b[0]|b[1]|b[2]|b[3] != 0 {
			flags |= FlagGateway
		}
	}
	if r.Destination.Bits() == 32 {
		flags |= FlagHost
	}
	return flags
}

// Metric numbers, RTAX_* of include/uapi/linux/rtnetlink.h.
const (
	MetricLock       = 1 // bits of those that path MTU discovery and TCP leave alone
	MetricMTU        = 2 // bytes
	MetricWindow     = 3 // bytes
	MetricRTT        = 4 // eighths of a millisecond
	MetricRTTVar     = 5 // quarters of a millisecond
	MetricSSThresh   = 6 // packets
	MetricCwnd       = 7 // packets
	MetricAdvMSS     = 8 // bytes
	MetricReordering = 9
	MetricHopLimit   = 10
	MetricInitCwnd   = 11 // packets
	MetricFeatures   = 12 // bits
	MetricRTOMin     = 13 // milliseconds
	MetricInitRwnd   = 14 // packets
	MetricQuickAck   = 15
	MetricCongestion = 16 // a text
	MetricNoCookie   = 17
	MetricLast       = MetricNoCookie
)

// Metrics are what a route says to the connections that use it.
type Metrics struct {
	values [MetricLast + 1]uint32
	set    uint32
	// Congestion is the congestion control algorithm; "" if it is not said.
	Congestion string
}

// Set sets the metric with that number, of at most MetricLast.
func (m *Metrics) Set(number int, value uint32) {
	m.values[number], m.set = value, m.set|1<<number
}

// Get returns the metric with that number, if it is set.
func (m *Metrics) Get(number int) (value uint32, ok bool) {
	return m.values[number], m.set&(1<<number) != 0
}

// ID returns a 63-bit identity of the route's way by the hop at that position.
// Two routes that differ in nothing but their metrics have the same.
func (r *Route) ID(hop int) int64 {
	var way NextHop
	if hop < len(r.Hops) {
		way = r.Hops[hop]
	}
	h := sock.Hash(0)
	for _, n := range [...]uint32{r.Namespace, uint32(r.Family), uint32(r.Type), uint32(r.Scope), uint32(r.Protocol), uint32(r.TOS),
		r.Table, r.Metric, r.NextHopID, uint32(hop), way.Interface, uint32(way.Flags)} {
		h = h.Add(uint64(n))
	}
	h = h.Text(way.Name)
	for _, p := range [...]netip.Prefix{r.Destination, r.Source} {
		h = h.Addr(p.Addr()).Add(uint64(p.Bits()))
	}
	return h.Addr(r.PreferredSource).Addr(way.Gateway).ID()
}
