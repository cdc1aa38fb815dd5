package etc

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func hosts(t *testing.T, in string) (all []Host) {
	t.Helper()
	for h, err := range Hosts(strings.NewReader(in), nil) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	return all
}

func TestHosts(t *testing.T) {
	got := hosts(t, "127.0.0.1\tlocalhost  lo # this\n# no\n\n ::1 ip6-localhost#x\n10.0.0.1\n")
	want := []Host{{"127.0.0.1", []string{"localhost", "lo"}}, {"::1", []string{"ip6-localhost"}}, {"10.0.0.1", nil}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestResolver(t *testing.T) {
	got, err := DecodeResolver(strings.NewReader("# c\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver bad\nnameserver 10.0.0.2\nnameserver 10.0.0.3\ndomain a\nsearch b c\nsortlist 10.0.0.0/255.0.0.0 11.0.0.0\noptions ndots:2 rotate edns0\n"))
	want := Resolver{
		Servers: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("10.0.0.2")},
		Search:  []string{"b", "c"}, Sort: []Sort{{"10.0.0.0", "255.0.0.0"}, {"11.0.0.0", ""}}, Options: 705 | 1<<14 | 1<<20,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestRelease(t *testing.T) {
	got, err := DecodeRelease(strings.NewReader("NAME=\"A \\\"b\\\"\"\nID=debian\n# X=1\nVERSION_ID='12'\n\nbroken\n"))
	if diff := cmp.Diff(Release{"NAME": `A "b"`, "ID": "debian", "VERSION_ID": "12"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func FuzzEtc(f *testing.F) {
	f.Add("127.0.0.1 a b # c\nnameserver 10.0.0.1\noptions rotate\nNAME=\"x\"\n")
	f.Fuzz(func(t *testing.T, in string) {
		for _, h := range hosts(t, in) {
			if h.Address == "" || strings.ContainsAny(h.Address, " \t\n") {
				t.Errorf("%q gives %+v", in, h)
			}
		}
		r, err := DecodeResolver(strings.NewReader(in))
		if err != nil || len(r.Servers) > MaxServers || r.Options&DefaultOptions != DefaultOptions {
			t.Errorf("%q gives %+v, %v", in, r, err)
		}
		if _, err := DecodeRelease(strings.NewReader(in)); err != nil {
			t.Error(err)
		}
	})
}
