package netnstest

import (
	"net/netip"
	"testing"
)

// A fixture that silently lacks a state proves nothing, so netstat must see
// all of it.
func TestNetstatSeesAllOfPopulate(t *testing.T) {
	ns := New(t)
	if rows := ns.Netstat(t); len(rows) != 0 {
		t.Errorf("the fresh namespace has sockets: %+v", rows)
	}
	sockets := ns.Populate(t)
	seen := map[string]bool{}
	byInode := map[uint64]NetstatRow{}
	for _, r := range ns.Netstat(t) {
		seen[r.Proto+" "+r.State] = true
		seen[r.Proto+" "+r.Timer] = true
		byInode[r.Inode] = r
	}

	want := []string{"udp ", "udp ESTABLISHED", "udp6 ", "udp6 ESTABLISHED"}
	for _, proto := range []string{"tcp", "tcp6"} {
		for _, state := range States() {
			want = append(want, proto+" "+state)
		}
		for _, timer := range []string{"off", "on", "keepalive", "timewait", "probe"} {
			want = append(want, proto+" "+timer)
		}
	}
	for _, w := range want {
		if !seen[w] {
			t.Errorf("netstat shows no %q", w)
		}
	}

	unmap := func(a netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	for _, s := range sockets {
		r, ok := byInode[s.Inode]
		switch {
		case s.BoundOnly():
			if ok {
				t.Errorf("%s: netstat shows what /proc should not: %+v", s.Name, r)
			}
		case !ok:
			t.Errorf("netstat does not show %+v", s)
		case r.Proto != s.Proto || r.State != s.State || r.UID != s.UID ||
			r.Local != unmap(s.Local) || r.Remote != unmap(s.Remote):
			t.Errorf("%s: netstat shows %+v, the socket is %+v", s.Name, r, s)
		}
	}
}
