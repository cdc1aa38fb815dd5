package sock

import (
	"net/netip"
	"testing"
)

// The right-hand sides are what glibc's inet_ntop prints (python3
// socket.inet_ntop), the spelling that joins with osquery's own tables need.
func TestAppendAddrSpellsLikeInetNtop(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1":                "127.0.0.1",
		"::":                       "::",
		"::1":                      "::1",
		"::ffff:127.0.0.1":         "::ffff:127.0.0.1",
		"::ffff:0:0":               "::ffff:0.0.0.0",
		"::2":                      "::2",
		"::ffff":                   "::ffff",
		"::1:2":                    "::0.1.0.2",
		"::192.0.2.1":              "::192.0.2.1",
		"::1:0:0":                  "::1:0:0",
		"2001:db8:0:0:1:0:0:1":     "2001:db8::1:0:0:1",
		"2001:db8:0:1:1:1:1:1":     "2001:db8:0:1:1:1:1:1",
		"fe80::1":                  "fe80::1",
		"64:ff9b::192.0.2.1":       "64:ff9b::c000:201",
		"2001:0:0:1:0:0:0:1":       "2001:0:0:1::1",
		"0:0:0:0:1:0:0:0":          "::1:0:0:0",
		"1:0:0:0:0:0:0:0":          "1::",
		"0:1:0:0:0:0:0:0":          "0:1::",
		"ABCD:EF01:2345::":         "abcd:ef01:2345::",
		"0:0:0:0:0:fffe:1.2.3.4":   "::fffe:102:304",
		"0:0:0:0:ffff:0:127.0.0.1": "::ffff:0:7f00:1",
	} {
		t.Run(in, func(t *testing.T) {
			if got := string(AppendAddr(nil, netip.MustParseAddr(in))); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestScopeOf(t *testing.T) {
	for in, want := range map[string]Scope{
		"0.0.0.0": ScopeWildcard, "::": ScopeWildcard, "::ffff:0.0.0.0": ScopeWildcard,
		"127.8.9.1": ScopeLoopback, "::1": ScopeLoopback, "::ffff:127.0.0.1": ScopeLoopback,
		"169.254.1.1": ScopeLinkLocal, "fe80::1": ScopeLinkLocal,
		"10.0.0.1": ScopePrivate, "172.31.0.1": ScopePrivate, "192.168.1.1": ScopePrivate,
		"100.64.0.1": ScopePrivate, "fd00::1": ScopePrivate, "::ffff:10.0.0.1": ScopePrivate,
		"224.0.0.1": ScopeMulticast, "ff02::1": ScopeMulticast, "255.255.255.255": ScopeMulticast,
		"8.8.8.8": ScopeGlobal, "172.32.0.1": ScopeGlobal, "2001:4860:4860::8888": ScopeGlobal,
	} {
		t.Run(in, func(t *testing.T) {
			if got := ScopeOf(netip.MustParseAddr(in)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	if got := ScopeOf(netip.Addr{}); got != "" {
		t.Errorf("no address: got %s", got)
	}
}

func TestIDIsStableAndDistinct(t *testing.T) {
	a := Inet{Family: INET, Protocol: ProtoTCP, Common: Common{Inode: 7}, State: Listen, Local: netip.MustParseAddrPort("127.0.0.1:22"), Remote: netip.MustParseAddrPort("0.0.0.0:0")}
	moved := a
	moved.State, moved.RecvQueue, moved.UID = Close, 9, 1
	if a.ID() != moved.ID() {
		t.Error("the identity changed with the state, a queue or the owner")
	}
	seen := map[int64]bool{a.ID(): true}
	for _, change := range []func(*Inet){
		func(s *Inet) { s.Family = INET6 },
		func(s *Inet) { s.Protocol = ProtoUDP },
		func(s *Inet) { s.Inode = 8 },
		func(s *Inet) { s.Namespace = 1 },
		func(s *Inet) { s.Local = netip.MustParseAddrPort("127.0.0.2:22") },
		func(s *Inet) { s.Local = netip.MustParseAddrPort("127.0.0.1:23") },
		func(s *Inet) { s.Remote = netip.MustParseAddrPort("0.0.0.0:1") },
		func(s *Inet) { s.Local, s.Remote = s.Remote, s.Local },
		func(s *Inet) { s.Cookie = 1<<63 | 5 },
		func(s *Inet) { s.Cookie, s.Namespace = 1<<63|5, 1 },
	} {
		b := a
		change(&b)
		if b.ID() < 0 || seen[b.ID()] {
			t.Errorf("%+v: identity %d is negative or taken", b, b.ID())
		}
		seen[b.ID()] = true
	}
}

// Before Linux 5.4 each network namespace counts its cookies from 1, and two have
// sockets of the same cookie.
func TestIDsOfNamespaces(t *testing.T) {
	in := func(namespace uint32) Common { return Common{Namespace: namespace, Cookie: 5} }
	for name, id := range map[string]func(Common) int64{
		"tcp":    func(c Common) int64 { return (&TCP{Inet: Inet{Common: c}}).ID() },
		"unix":   func(c Common) int64 { return (&Unix{Common: c}).ID() },
		"packet": func(c Common) int64 { return (&Packet{Common: c}).ID() },
		"vsock":  func(c Common) int64 { return (&Vsock{Common: c}).ID() },
		"netlink": func(c Common) int64 {
			c.Inode = uint64(c.Namespace) // which is one number for the whole host
			return (&Netlink{Common: c}).ID()
		},
	} {
		t.Run(name, func(t *testing.T) {
			if a, b := id(in(1)), id(in(2)); a == b || a < 0 || b < 0 || a != id(in(1)) {
				t.Errorf("the identities are %d and %d", a, b)
			}
		})
	}
}

func TestNamesAndBack(t *testing.T) {
	for s := Established; s <= Bound; s++ {
		set, ok := ParseState(s.String())
		if !ok || !set.Has(s) {
			t.Errorf("%v does not parse back", s)
		}
	}
	if _, ok := ParseState("OPEN"); ok {
		t.Error("OPEN is no state")
	}
	if set, _ := ParseState("listen"); set != 1<<Listen {
		t.Errorf("listen is %b", set)
	}
	if !StateSet(0).Has(40) {
		t.Error("a state that no set can hold must not be filtered away")
	}
	for _, p := range []string{"tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "mptcp", "mptcp6"} {
		t.Run(p, func(t *testing.T) {
			if f, n, ok := ParseProto(p); !ok || Proto(f, n) != p {
				t.Errorf("%s does not parse back", p)
			}
		})
	}
}

// Values in a row keep their borders, and addresses their family.
func TestHash(t *testing.T) {
	seen := map[int64]int{}
	for i, h := range []Hash{
		0, Hash(0).Add(0), Hash(0).Add(1), Hash(1).Add(0), Hash(0).Add(0).Add(1), Hash(0).Text(""), Hash(0).Text("\x00"), Hash(0).Text("a").Text("b"), Hash(0).Text("ab").Text(""),
		Hash(0).Text("12345678").Text("9"), Hash(0).Text("1234567").Text("89"), Hash(0).Text("123456789"), Hash(0).Text("a\x00"), Hash(0).Text("a"),
		Hash(0).Addr(netip.Addr{}), Hash(0).Addr(netip.IPv6Unspecified()), Hash(0).Addr(netip.MustParseAddr("192.0.2.1")), Hash(0).Addr(netip.MustParseAddr("::ffff:192.0.2.1")),
		Hash(0).AddrPort(netip.MustParseAddrPort("192.0.2.1:1")), Hash(0).AddrPort(netip.MustParseAddrPort("192.0.2.1:2")),
	} {
		if other, again := seen[h.ID()]; again && !(other == 1 && i == 5) || h.ID() < 0 {
			t.Errorf("%d and %d have the identity %d", i, other, h.ID())
		}
		seen[h.ID()] = i
	}
}

func TestOptions(t *testing.T) {
	for o, want := range map[Options]string{0: "", 0x2: "", 0x24: "freebind,transparent", 0x701: "recverr,bind_addr_no_port,recverr_rfc4884,defer_connect", 0x8800: "11,15"} {
		t.Run(want, func(t *testing.T) {
			if got := o.String(); got != want {
				t.Errorf("got %q", got)
			}
		})
	}
}
