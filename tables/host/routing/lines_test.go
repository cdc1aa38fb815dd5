package routing

import (
	"encoding/binary"
	"io"
	"iter"
	"os"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// lines6 opens a saved /proc/net/ipv6_route.
func lines6(t *testing.T) io.Reader {
	t.Helper()
	file, err := os.Open("../../testdata/proc/1/net/ipv6_route")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// The lines of /proc are found for the routes that they are of: in order, with
// others between, alike ones by turns; one without a line has none.
func TestRouteLines(t *testing.T) {
	read := func() iter.Seq2[network.Route, error] {
		return procnet.Routes(lines6(t), sock.INET6, binary.NativeEndian)
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
		r.Kernel = nil
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
