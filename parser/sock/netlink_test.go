package sock

import "testing"

func TestNetlinkGroups(t *testing.T) {
	for want, g := range map[string]NetlinkGroups{
		"0x00000000":                 nil,
		"0x00000011":                 {0x11},
		"0x80000000":                 {1 << 31},
		"0x200000001":                {1<<33 | 1},
		"0x8000000000000000":         {1 << 63, 0},
		"0x000000010000000000000002": {2, 1},
	} {
		t.Run(want, func(t *testing.T) {
			if got := g.String(); got != want {
				t.Errorf("%v: got %s, want %s", []uint64(g), got, want)
			}
			if g.Empty() != (want == "0x00000000") {
				t.Errorf("empty is %t", g.Empty())
			}
		})
	}
	if g := (NetlinkGroups{0, 0}); !g.Empty() || g.String() != "0x00000000" {
		t.Errorf("no group is %s", g)
	}
}

func TestIDsOfOtherSockets(t *testing.T) {
	seen := map[int64]bool{}
	for _, s := range []interface{ ID() int64 }{
		&Netlink{Common: Common{Inode: 7}}, &Netlink{Common: Common{Inode: 8}}, &Netlink{Common: Common{Inode: 7, Namespace: 1}}, &Netlink{Common: Common{Inode: 7}, Protocol: 1}, &Netlink{Common: Common{Inode: 7}, PortID: 1},
		&Packet{Common: Common{Inode: 7}}, &Packet{Common: Common{Inode: 8}}, &Packet{Common: Common{Inode: 7, Namespace: 1}}, &Packet{Common: Common{Cookie: 1<<63 | 3}},
		&RawIP{Inet: Inet{Family: INET, Common: Common{Inode: 7}}}, &RawIP{Inet: Inet{Family: INET, Common: Common{Inode: 7}}, IPProtocol: 1},
		&RawIP{Inet: Inet{Family: INET, Common: Common{Inode: 7}}, Ping: true, IPProtocol: 1}, &RawIP{Inet: Inet{Family: INET, Common: Common{Inode: 7}}, Ping: true, IPProtocol: 1, Identifier: 5},
	} {
		if id := s.ID(); id < 0 || seen[id] {
			t.Errorf("%+v: identity %d is negative or taken", s, id)
		}
		seen[s.ID()] = true
	}
	// What is not always known does not change it.
	if a, b := (&Netlink{Common: Common{Inode: 7}}), (&Netlink{Common: Common{Inode: 7, Cookie: 9}, Groups: NetlinkGroups{1}, Drops: 3}); a.ID() != b.ID() {
		t.Error("the identity of a netlink socket changed with its cookie")
	}
}
