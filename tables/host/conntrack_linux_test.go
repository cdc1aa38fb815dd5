package host

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn/nlconntest"
	"github.com/osquery-sockets/osquery-sockets/tables/host/tracking"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// tracked returns the messages of a capture of ctnetlink, without its end.
// natConnections streams the connections that NAT translates.
func natConnections(t testing.TB, h *Host) iter.Seq2[Connection, error] {
	return func(yield func(Connection, error) bool) {
		for c, err := range h.TrackedConnections(t.Context(), Namespaces{}) {
			if err == nil && !c.SourceNAT() && !c.DestinationNAT() {
				continue
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

func tracked(t testing.TB) [][]byte { return captured(t, "conntrack/testdata/conntrack.netlink") }

// translated returns what a host with that kernel tells of translated
// connections.
func translated(t *testing.T, answers ...answer) (n int, use usage.Usage, err error) {
	t.Helper()
	var requests [][]byte
	h := New(Options{})
	h.askBy(kernel(&requests, answers...))
	h.wouldLoad = func(string) bool { return false }
	for _, e := range natConnections(t, h) {
		if e != nil {
			err = e
			break
		}
		n++
	}
	return n, lastUse(h, tracking.List), err
}

func TestNATConnections(t *testing.T) {
	all := tracked(t)
	whole := append(slices.Clone(all), nlconntest.End(0))
	// The kernel begins a bucket again.
	twice := append(append(slices.Clone(all), all[len(all)/2:]...), nlconntest.End(0))
	short := slices.Clone(all[0])
	short = short[:len(short)-1]
	binary.NativeEndian.PutUint32(short, uint32(len(short)))
	for _, c := range []struct {
		name string
		answer
		n    int
		want string
	}{
		{"whole", answer{whole, nil}, 8, ""},
		{"several messages at once", answer{[][]byte{bytes.Join(whole, nil)}, nil}, 8, ""},
		{"some twice", answer{twice, nil}, 8, ""},
		{"none", answer{[][]byte{nlconntest.End(0)}, nil}, 0, ""},
		{"cut off", answer{all, nil}, 8, "has no end"},
		{"an error at the end", answer{append(slices.Clone(all), nlconntest.End(syscall.ENOMEM)), nil}, 8, "ctnetlink of conntrack: cannot allocate"},
		{"a damaged one", answer{[][]byte{short}, nil}, 0, "ctnetlink of conntrack: a connection"},
		{"a failing receive", answer{nil, syscall.ENOBUFS}, 0, "ctnetlink of conntrack: no buffer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, use, err := translated(t, c.answer)
			if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || use.Source != usage.CTNetlink {
				t.Errorf("%d connections, %v, %+v", n, err, use)
			}
		})
	}
}

// With many connections between two looks at one the memory is bounded, and
// nothing is lost.
func TestRecent(t *testing.T) {
	h := New(Options{Proc: t.TempDir()})
	var text strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&text, "ipv4 2 tcp 6 7 CLOSE src=1.2.3.4 dst=5.6.7.8 sport=%d dport=1 src=9.6.7.8 dst=1.2.3.4 sport=1 dport=%d use=2\n", i, i)
	}
	writeList(t, h, text.String())
	n := 0
	for c, err := range natConnections(t, h) {
		if err != nil || int(c.Original.SourcePort) != n {
			t.Fatal(c, err)
		}
		n++
	}
	if n != 3000 {
		t.Errorf("%d connections", n)
	}
	if use := lastUse(h, tracking.List); use.Source != usage.ProcFS || use.Sockets != 3000 {
		t.Errorf("%+v", use)
	}
}

func writeList(t *testing.T, h *Host, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(h.proc, "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"tcp": "", "nf_conntrack": text} {
		if err := os.WriteFile(filepath.Join(h.proc, "net", name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Where the kernel keeps track of nothing there is nothing, and socket_sources
// says so; where it does and cannot tell that is an error.
func TestNoConntrack(t *testing.T) {
	source := func(h *Host) usage.Usage {
		sources, err := h.Sources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sources {
			if s.Proto == tracking.List {
				return s.Now
			}
		}
		t.Fatal("no source")
		return usage.Usage{}
	}
	count := func(h *Host) (n int, err error) {
		for _, err = range natConnections(t, h) {
			n++
		}
		return n, err
	}
	h := New(Options{Proc: t.TempDir()})
	writeList(t, h, "")
	if n, err := count(h); n != 0 || err != nil {
		t.Errorf("an empty list: %d, %v", n, err)
	}
	if now := source(h); now.Source != usage.ProcFS {
		t.Errorf("an empty list: %+v", now)
	}
	if err := os.Remove(filepath.Join(h.proc, "net", "nf_conntrack")); err != nil {
		t.Fatal(err)
	}
	if n, err := count(h); n != 0 || err != nil {
		t.Errorf("no list: %d, %v", n, err)
	}
	if now := source(h); now.Source != "" || !strings.Contains(now.Reason, "no list nf_conntrack") {
		t.Errorf("no list: %+v", now)
	}
	sysctls := filepath.Join(h.proc, "sys", "net", "netfilter")
	if err := os.MkdirAll(sysctls, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sysctls, "nf_conntrack_count"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := count(h); err == nil || !strings.Contains(err.Error(), "neither by netlink") {
		t.Errorf("a list that is not told of: %v", err)
	}
	writeList(t, h, "damaged\n")
	if _, err := count(h); err == nil || !strings.Contains(err.Error(), "nf_conntrack: line 1") {
		t.Errorf("a damaged list: %v", err)
	}
	// A question must not make the kernel load a module.
	for _, module := range []string{"nfnetlink", "nf_conntrack_netlink"} {
		h := New(Options{})
		h.askBy(neverAsked)
		h.wouldLoad = func(m string) bool { return m == module }
		if now, _ := h.tracking().Probe(t.Context(), h.netns.Own()); !strings.Contains(now.Reason, "load the module "+module) && now.Source != "" {
			t.Errorf("got %+v", now)
		}
		count(h) // reads /proc, or finds none
	}
}
