package host

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn/nlconntest"
)

// links returns the messages of a capture of interfaces, without its end.
func links(t testing.TB) [][]byte { return captured(t, "rtnetlink/testdata/link.rtnl") }

// A list is handed over once it is whole, however often that takes; what is left
// of one is an error.
func TestLists(t *testing.T) {
	all := links(t)
	done, interrupted := nlconntest.End(0), nlconntest.Interrupted()
	list := append(append([][]byte{}, all...), done)
	broken := append(append([][]byte{}, all...), interrupted)
	n := len(all)
	for _, c := range []struct {
		name     string
		answers  []answer
		n        int
		requests int
		want     string // in the error
	}{
		{"a list", []answer{{list, nil}}, n, 1, ""},
		{"nothing", []answer{{[][]byte{done}, nil}}, 0, 1, ""},
		{"interrupted once", []answer{{broken, nil}, {list, nil}}, n, 2, ""},
		{"interrupted twice", []answer{{broken, nil}, {broken, nil}, {list, nil}}, n, 3, ""},
		{"interrupted for ever", []answer{{broken, nil}}, 0, 3, "ask again"},
		{"no end", []answer{{all, nil}}, 0, 1, "no end"},
		{"an error at the end", []answer{{append(append([][]byte{}, all...), nlconntest.End(syscall.ENOMEM)), nil}}, 0, 1, "cannot allocate"},
		{"a refusal in the middle", []answer{{[][]byte{all[0], nlconntest.End(syscall.EPERM)}, nil}}, 0, 1, "not permitted"},
		{"lost messages", []answer{{all, syscall.ENOBUFS}}, 0, 1, "no buffer space"},
		{"half an interface", []answer{{[][]byte{all[0][:40], done}, nil}}, 0, 1, "too short"},
	} {
		var requests [][]byte
		h := New(Options{})
		h.askBy(kernel(&requests, c.answers...))
		var err error
		got := 0
		for _, e := range h.Links(t.Context(), LinkFilter{}) {
			if err = e; e == nil {
				got++
			}
		}
		if got != c.n || len(requests) != c.requests || (err == nil) != (c.want == "") || err != nil && !(strings.Contains(err.Error(), c.want) && strings.Contains(err.Error(), "rtnetlink of dev")) {
			t.Errorf("%s: %d interfaces after %d requests, %v; want %d after %d, %q", c.name, got, len(requests), err, c.n, c.requests, c.want)
		}
	}
}

// Where rtnetlink is refused /proc tells what it can.
func TestRTNetlinkRefused(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.ENOSYS} {
		var requests [][]byte
		h := New(Options{})
		h.askBy(kernel(&requests, answer{nil, os.NewSyscallError("socket", errno)}))
		n := 0
		for l, err := range h.Links(t.Context(), LinkFilter{}) {
			if err != nil || !l.FromProc || l.Name == "" {
				t.Fatalf("%v: %+v, %v", errno, l, err)
			}
			n++
		}
		for r, err := range h.Routes(t.Context(), RouteFilter{Kernel: true}) {
			if err != nil || !r.FromProc {
				t.Fatalf("%v: %+v, %v", errno, r, err)
			}
		}
		if n == 0 || len(requests) != 3 || !strings.Contains(lastUse(h, "dev").Reason, errno.Error()) {
			t.Errorf("%v: %d interfaces after %d requests, %+v", errno, n, len(requests), lastUse(h, "dev"))
		}
		if got := h.SourcesInUse(); got != "dev=procfs ipv6_route=procfs route=procfs" {
			t.Errorf("%v: %s", errno, got)
		}
	}
}

// A copy of /proc/net/dev that is damaged is an error that names the line.
func TestDamagedNetDev(t *testing.T) {
	whole, err := os.ReadFile("../testdata/proc/1/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndexByte(strings.TrimRight(string(whole), "\n"), '\n') + 1
	contents := map[string]string{"empty": "", "one header": "x\n", "no colon": string(whole) + "eth0 1 2 3\n", "few numbers": string(whole) + "eth0: 1 2 3\n"}
	for cut := last + 1; cut < len(whole); cut++ {
		contents[fmt.Sprint("cut at ", cut)] = string(whole[:cut])
	}
	for name, content := range contents {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "net"), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"tcp": "", "dev": content} {
			if err := os.WriteFile(filepath.Join(dir, "net", file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err = nil
		for _, err = range New(Options{Proc: dir}).Links(t.Context(), LinkFilter{}) {
			if err == nil {
				t.Errorf("%s: an interface", name)
			}
		}
		if err == nil || !strings.Contains(err.Error(), "dev: line ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The lines of /proc are found for the routes that they are of: in order, with
// others between, alike ones by turns; one without a line has none.
func TestRouteLines(t *testing.T) {
	read := func() iter.Seq2[network.Route, error] {
		return New(Options{Proc: "../testdata/proc"}).Routes(t.Context(), RouteFilter{Families: []sock.Family{sock.INET6}})
	}
	var lines []network.Route
	for r, err := range read() {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, r)
	}
	if len(lines) < 20 {
		t.Fatalf("%d lines", len(lines))
	}
	names := map[uint32]string{1: "lo", 2: "v1", 3: "v0", 4: "br0"}
	l := routeLines{name: func(_, index uint32) string { return names[index] }, file: nopCloser{}}
	var all []network.Route // as rtnetlink would tell
	for i, r := range lines {
		r.Namespace, r.Kernel = 0, nil
		for index, name := range names {
			if r.Hops[0].Name == name {
				r.Hops = []network.NextHop{{Gateway: r.Hops[0].Gateway, Interface: index}}
			}
		}
		if i%7 != 3 { // some are not among them
			all = append(all, r)
		}
	}
	l.next, l.stop = iter.Pull2(read())
	defer l.close()
	i := 0
	for _, r := range all {
		for i%7 == 3 {
			i++
		}
		if err := l.find(&r); err != nil {
			t.Fatal(err)
		}
		if len(r.Kernel) != 1 || r.Kernel[0] != lines[i].Kernel[0] {
			t.Errorf("%v: %+v, want %+v", r.Destination, r.Kernel, lines[i].Kernel[0])
		}
		i++
		stranger := r
		stranger.Kernel, stranger.Metric = nil, 77
		if err := l.find(&stranger); err != nil || len(stranger.Kernel) != 1 || stranger.Kernel[0].Known {
			t.Errorf("a route without a line: %+v, %v", stranger.Kernel, err)
		}
	}
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

// Of lines that are alike, as of one route in two tables, each has its turn.
func TestAlikeRouteLines(t *testing.T) {
	line := func(ref uint32) network.Route {
		return network.Route{Hops: []network.NextHop{{Name: "lo"}}, Kernel: []network.Kernel{{Known: true, Ref: ref}}}
	}
	l := routeLines{name: func(_, _ uint32) string { return "lo" }, file: nopCloser{}, ahead: []network.Route{line(1), line(2), line(3)}}
	l.next, l.stop = iter.Pull2(func(func(network.Route, error) bool) {})
	defer l.close()
	for want := range uint32(4) {
		r := network.Route{Hops: []network.NextHop{{Interface: 1}}}
		if err := l.find(&r); err != nil || r.Kernel[0].Ref != (want+1)%4 || r.Kernel[0].Known != (want < 3) {
			t.Errorf("route %d has the line %+v, %v", want, r.Kernel, err)
		}
	}
}
