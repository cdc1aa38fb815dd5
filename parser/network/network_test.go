package network

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// What netstat 2.10 printed of made-up lists with each flag in turn.
func TestRouteFlagsAgainstNetstat(t *testing.T) {
	v4 := []string{"U", "UG", "UH", "UR", "UD", "UM", "Uu", "Uw", "Ui", "!", "Un", "U", "U", "U", "U", "U", "Ud", "Ua", "Uc", "U", "U", "Uo", "Ue", "U", "Uc", "Uf", "Up", "U", "U", "U", "U", "Ul"}
	v6 := []string{"U", "G", "H", "", "", "m", "", "", "", "!", "", "", "", "", "", "", "D", "a", "A", "", "", "n", "e", "", "C", "f", "", "", "", "", "", ""}
	for bit := range 32 {
		// Of IPv4 netstat prints only those that are up.
		if got := (1<<bit | FlagUp).Letters(sock.INET); got != v4[bit] {
			t.Errorf("IPv4 bit %d: %q, netstat prints %q", bit, got, v4[bit])
		}
		if got := RouteFlags(1 << bit).Letters(sock.INET6); got != v6[bit] {
			t.Errorf("IPv6 bit %d: %q, netstat prints %q", bit, got, v6[bit])
		}
	}
	if got := RouteFlags(0xffffffff).Letters(sock.INET); got != "!HRDMdacoecfpluwin" {
		t.Errorf("all of IPv4: %q", got)
	}
	if got := RouteFlags(0xfeffffff).Letters(sock.INET6); got != "U!GHDAaemnf" {
		t.Errorf("all but the cache's of IPv6: %q", got)
	}
}

// Flags and gateways of fib_flag_trans.
func TestDerivedFlags(t *testing.T) {
	for _, c := range []struct {
		destination, gateway string
		kind                 RouteType
		want                 string
	}{
		{"192.0.2.0/24", "", Unicast, "U"}, {"192.0.2.0/24", "192.0.2.1", Unicast, "UG"}, {"192.0.2.9/32", "192.0.2.1", Unicast, "UGH"},
		{"192.0.2.0/24", "fe80::1", Unicast, "UG"}, {"192.0.2.0/24", "::1", Unicast, "U"}, {"192.0.2.0/24", "", Unreachable, "!"}, {"192.0.2.9/32", "", Prohibit, "!H"},
		{"192.0.2.0/24", "", 6, "U"}, {"192.0.2.0/24", "", 9, "U"},
	} {
		t.Run(c.destination+" "+c.gateway+" "+c.want, func(t *testing.T) {
			r := Route{Family: sock.INET, Destination: netip.MustParsePrefix(c.destination), Type: c.kind}
			if c.gateway != "" {
				r.Hops = []NextHop{{Gateway: netip.MustParseAddr(c.gateway)}}
			}
			if flags, ok := r.FlagsOf(0); !ok || flags.Letters(sock.INET) != c.want {
				t.Errorf("%+v: %q", c, flags.Letters(sock.INET))
			}
		})
	}
	r := Route{Family: sock.INET6}
	if _, ok := r.FlagsOf(0); ok {
		t.Error("flags of an IPv6 route are derived")
	}
	// The hops of a nexthop object share a line, those of a route do not.
	r.Hops, r.Kernel = make([]NextHop, 2), []Kernel{{Known: true, Flags: 3}}
	if _, ok := r.FlagsOf(1); ok {
		t.Error("a hop has another's flags")
	}
	r.NextHopID = 1
	if flags, ok := r.FlagsOf(1); !ok || flags != 3 {
		t.Errorf("a hop of a nexthop object: %v, %v", flags, ok)
	}
}

// The order of net-tools' lib/nstrcmp.c.
func TestCompareNames(t *testing.T) {
	want := []string{"a", "a1b2", "a1b12", "br0", "eth", "eth01", "eth1", "eth2", "eth13", "eth20", "eth100", "eth99999999999999999999", "lo", "v0", "v1", "veth9", "veth10"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, CompareNames)
	// A name that begins with another is behind it, whatever comes between them.
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLetters(t *testing.T) {
	if got := LinkFlags(0xffffffff).Letters(); got != "ABDLMdPNOPsmRU" {
		t.Errorf("got %q", got)
	}
	if got := LinkFlags(1<<31 | 1).String(); got != "UP,0x80000000" {
		t.Errorf("got %q", got)
	}
}

// Routes that differ in anything but their metrics have other identities.
func TestIdentities(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	routes := []Route{
		{}, {Namespace: 1}, {Family: sock.INET}, {Metric: 1}, {Table: 1}, {Type: 1}, {Scope: 1}, {Protocol: 1}, {TOS: 1}, {NextHopID: 1}, {PreferredSource: a},
		{Destination: netip.PrefixFrom(a, 32)}, {Destination: netip.PrefixFrom(a, 24)}, {Source: netip.PrefixFrom(a, 24)},
		{Hops: []NextHop{{Gateway: a}}}, {Hops: []NextHop{{Interface: 1}}}, {Hops: []NextHop{{Name: "v0"}}},
	}
	seen := make(map[int64]int)
	for i := range routes {
		for hop := range 2 {
			id := routes[i].ID(hop)
			// A hop that is not there is that of the zero route.
			if other, again := seen[id]; again && !(hop == 1 && i > 13) || id < 0 {
				t.Errorf("routes %d and %d have the identity %d", i, other, id)
			}
			seen[id] = i
		}
	}
}
