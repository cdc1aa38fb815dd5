package sock

import "testing"

func TestUnixWords(t *testing.T) {
	for s := UnixFree; s <= UnixListening; s++ {
		if back, ok := ParseUnixState(s.String()); back != s || !ok {
			t.Errorf("%d: %q is %d, %v", s, s, back, ok)
		}
	}
	if s, ok := ParseUnixState("listening"); s != UnixListening || !ok {
		t.Errorf("listening is %v, %v", s, ok)
	}
	if _, ok := ParseUnixState("LISTEN"); ok || UnixState(9).String() != "9" {
		t.Error("wrong words")
	}
	if set := UnixStates(1 << UnixListening); !set.Has(UnixListening) || set.Has(UnixConnected) || !set.Has(9) {
		t.Error("wrong set")
	}
	s := Unix{Flags: AcceptsConnections | HasNoSpace | 1}
	if s.FlagNames() != "ACC N" {
		t.Errorf("flags are %q", s.FlagNames())
	}
}

// Sockets without a cookie are told apart, also those without an inode.
func TestUnixIdentity(t *testing.T) {
	ids := map[int64]Unix{}
	for _, s := range []Unix{{Common: Common{Cookie: 7}}, {Common: Common{Cookie: 8}}, {Common: Common{Inode: 7}}, {Common: Common{Inode: 8}}, {Common: Common{Inode: 8, Namespace: 5}}, {Key: 1}, {Key: 2}} {
		if old, ok := ids[s.ID()]; ok || s.ID() < 0 {
			t.Errorf("%+v and %+v have the identity %d", s, old, s.ID())
		}
		ids[s.ID()] = s
	}
	if (&Unix{Common: Common{Cookie: 7, Inode: 1}, Key: 2}).ID() != (&Unix{Common: Common{Cookie: 7}}).ID() {
		t.Error("the cookie is not the identity")
	}
}
