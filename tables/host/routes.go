package host

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// RouteFilter says which routes are wanted, and what of them.
type RouteFilter struct {
	Namespaces Namespaces
	Families   []sock.Family // nil means any
	// Sources are the sources that the query names; nil means the best.
	Sources []string
	// Kernel asks for the Kernel of routes that rtnetlink tells of.
	Kernel bool
}

// routeLists are the files of routes.
var routeLists = []struct {
	family sock.Family
	name   string
	must   bool
}{
	{sock.INET, "route", true},
	{sock.INET6, "ipv6_route", false},
}

// Routes streams the routes of all tables, those of IPv4 first, from rtnetlink
// or, where that is refused, from /proc/net/route and ipv6_route. It needs no
// privilege in this process's own namespace.
func (h *Host) Routes(ctx context.Context, f RouteFilter) iter.Seq2[network.Route, error] {
	return func(yield func(network.Route, error) bool) {
		inEach(ctx, h, f.Namespaces, yield, func(p *place, yield func(network.Route, error) bool) (more bool, err error) {
			for i := range routeLists {
				l := &routeLists[i]
				if f.Families != nil && !slices.Contains(f.Families, l.family) {
					continue
				}
				decode := func(file io.Reader) iter.Seq2[network.Route, error] {
					return procnet.Routes(file, l.family, binary.NativeEndian)
				}
				more, err = h.either(l.name, f.Sources,
					func() (more bool, err error) {
						beside := routeLines{names: h.InterfaceNames()}
						if f.Kernel && l.family == sock.INET6 {
							if err := beside.open(h, p, l.name, decode); err != nil {
								return false, err
							}
							defer beside.close()
						}
						return h.collect(ctx, p, &rtnetlink.RouteRequest{Family: l.family}, func(m message) (bool, error) {
							var r network.Route
							ok, err := rtnetlink.Route(m.kind, m.payload, binary.NativeEndian, l.family, &r)
							if err != nil || !ok {
								return err == nil, err
							}
							r.Namespace = p.inode
							if err := beside.find(&r); err != nil {
								return false, err
							}
							return yield(r, nil), nil
						})
					},
					func() (more bool, err error) {
						return readNet(ctx, h, p, l.name, l.must, decode, func(r network.Route) bool {
							r.Namespace = p.inode
							return yield(r, nil)
						})
					})
				if err != nil || !more {
					return more, err
				}
			}
			return true, nil
		})
	}
}

// maxAhead bounds the lines that wait for their route.
const maxAhead = 1024

// routeLines finds the lines of /proc/net/ipv6_route for routes of rtnetlink.
// Both come in the kernel's order, the lines with some that no route has: so
// each route's line is among the next few. The zero value with names finds none.
type routeLines struct {
	names *InterfaceNames
	file  io.Closer
	next  func() (network.Route, error, bool)
	stop  func()
	ahead []network.Route
}

// open opens the file; one that is not there has no lines.
func (l *routeLines) open(h *Host, p *place, name string, decode func(io.Reader) iter.Seq2[network.Route, error]) error {
	file, err := h.openIn(p, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l.file = file
	l.next, l.stop = iter.Pull2(decode(file))
	return nil
}

func (l *routeLines) close() {
	if l.file != nil {
		l.stop()
		l.file.Close()
	}
}

// find adds to a route what its lines tell. Routes that differ in their table
// only are told apart by their order.
func (l *routeLines) find(r *network.Route) error {
	if l.file == nil {
		return nil
	}
	for i := range r.Hops {
		if i > 0 && r.NextHopID != 0 {
			return nil // there is a line for the first only
		}
		var found network.Kernel
		name := ""
		if r.Hops[i].Interface != 0 {
			name = l.names.Name(r.Namespace, r.Hops[i].Interface)
		}
		is := func(line network.Route) bool {
			var hop network.NextHop
			if len(line.Hops) > 0 {
				hop = line.Hops[0]
			}
			return line.Destination == r.Destination && line.Source == r.Source && line.Metric == r.Metric && hop.Gateway == r.Hops[i].Gateway && hop.Name == name
		}
		at := slices.IndexFunc(l.ahead, is)
		for at < 0 && len(l.ahead) < maxAhead {
			line, err, ok := l.next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if l.ahead = append(l.ahead, line); is(line) {
				at = len(l.ahead) - 1
			}
		}
		switch {
		case at >= 0:
			found = l.ahead[at].Kernel[0]
			l.ahead = slices.Delete(l.ahead, at, at+1)
		case len(l.ahead) == maxAhead:
			l.ahead = slices.Delete(l.ahead, 0, 1)
		}
		r.Kernel = append(r.Kernel, found)
	}
	return nil
}
