package routing

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/names"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// RouteFilter says which routes are wanted, and what of them.
type RouteFilter struct {
	Namespaces netns.Selection
	Families   []sock.Family // nil means any
	// Sources are the sources that the query names; nil means the best.
	Sources []string
	// Kernel asks for the Kernel of routes that rtnetlink lists.
	Kernel bool
}

// routeFiles are the files of routes, by family.
var routeFiles = []struct {
	family sock.Family
	source.File[network.Route]
}{
	{sock.INET, source.File[network.Route]{Name: "route", Missing: source.Failing, Decode: routes(sock.INET)}},
	{sock.INET6, source.File[network.Route]{Name: "ipv6_route", Decode: routes(sock.INET6)}},
}

func routes(family sock.Family) func(io.Reader) iter.Seq2[network.Route, error] {
	return func(file io.Reader) iter.Seq2[network.Route, error] {
		return procnet.Routes(file, family, binary.NativeEndian)
	}
}

// Routes streams the routes of all tables, those of IPv4 first, from rtnetlink
// or, where that is refused, from /proc/net/route and ipv6_route. It needs no
// privilege in this process's own namespace.
func (l *Lists) Routes(ctx context.Context, f RouteFilter) iter.Seq2[network.Route, error] {
	uses := l.Uses.Query()
	return netns.Each(ctx, l.Namespaces, f.Namespaces, func(in *netns.Handle) iter.Seq2[network.Route, error] {
		return func(yield func(network.Route, error) bool) {
			for _, file := range routeFiles {
				if f.Families != nil && !slices.Contains(f.Families, file.family) {
					continue
				}
				for r, err := range rtnetlinkOrProc(uses, file.Name, f.Sources,
					source.By(l.rtnetlinkWay(), func(use *usage.Usage) iter.Seq2[network.Route, error] {
						if both, _ := wantsProc(f.Sources); both {
							return l.rtnetlinkRoutes(ctx, in, file.family, f.Kernel, use) // all lines follow
						}
						return l.wholeRoutes(ctx, in, file.File, f.Kernel, use, file.family)
					}),
					source.By(fileWay, func(use *usage.Usage) iter.Seq2[network.Route, error] {
						return source.Read(ctx, in, file.File, use)
					})) {
					r.Namespace = in.Inode
					if !yield(r, err) || err != nil {
						return
					}
				}
			}
		}
	})
}

// rtnetlinkRoutes streams the routes of a family that rtnetlink lists, those of
// IPv6 with their Kernel if it is asked for.
func (l *Lists) rtnetlinkRoutes(ctx context.Context, in *netns.Handle, family sock.Family, kernel bool, use *usage.Usage) iter.Seq2[network.Route, error] {
	return func(yield func(network.Route, error) bool) {
		beside := routeLines{name: names.NewInterfaces(l.Namespaces).Name}
		if kernel && family == sock.INET6 {
			if err := beside.open(in); err != nil {
				yield(network.Route{}, err)
				return
			}
			defer beside.close()
		}
		objects := nextHopObjects{lists: l, use: use}
		for m, err := range l.list(ctx, in, &rtnetlink.RouteRequest{Family: family}, use, found) {
			var r network.Route
			ok := false
			if err == nil {
				ok, err = rtnetlink.Route(m.Type, m.Payload, binary.NativeEndian, family, &r)
			}
			if ok && err == nil {
				r.Namespace = in.Inode
				err = objects.resolve(ctx, in, &r)
			}
			if ok && err == nil {
				err = beside.find(&r)
			}
			if (ok || err != nil) && !yield(r, err) {
				return
			}
		}
	}
}

// nextHopObjects finds the next hops of routes that refer to a nexthop object. With
// net.ipv4.nexthop_compat_mode=0 such a route comes without any, and else with
// weights that are cut to 8 bits.
type nextHopObjects struct {
	lists *Lists
	use   *usage.Usage
	known map[uint32]network.NextHopObject // nil until a route asks
}

// resolve completes a route.
func (n *nextHopObjects) resolve(ctx context.Context, in *netns.Handle, r *network.Route) error {
	if r.NextHopID == 0 {
		return nil
	}
	if n.known == nil {
		n.known = make(map[uint32]network.NextHopObject)
		for o, err := range n.lists.NextHops(ctx, in.Only()) {
			if err != nil {
				return err
			}
			n.known[o.ID] = o
		}
	}
	object, ok := n.known[r.NextHopID]
	if !ok {
		n.use.Lack.Add("the kernel left nexthop objects out of its list, so that the next hops of some routes are not known", fmt.Sprintf("nexthop %d", r.NextHopID))
		return nil
	}
	var hops []network.NextHop
	for _, m := range object.Group {
		member, ok := n.known[m.ID]
		if !ok {
			return nil // it has changed meanwhile; the route's own are there
		}
		hop := member.Hop
		hop.Weight = m.Weight
		hops = append(hops, hop)
	}
	if object.Group == nil && (object.Hop.Interface != 0 || object.Hop.Gateway.IsValid()) {
		hops = []network.NextHop{object.Hop}
	}
	if len(hops) == len(r.Hops) { // the state of a hop is the route's
		for i := range hops {
			hops[i].Flags = r.Hops[i].Flags
		}
	}
	r.Hops = hops
	return nil
}

// maxAhead bounds the lines that wait for their route.
const maxAhead = 1024

// routeLines finds the lines of /proc/net/ipv6_route for routes of rtnetlink.
// Both come in the kernel's order, the lines with some that no route has: so
// each route's line is among the next few. Without a file it finds none.
type routeLines struct {
	name  func(namespace, index uint32) string // of an interface
	file  io.Closer
	next  func() (network.Route, error, bool)
	stop  func()
	ahead []network.Route
}

// open opens the file; one that is not there has no lines.
func (l *routeLines) open(in *netns.Handle) error {
	file, err := in.Open("ipv6_route")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l.file = file
	l.next, l.stop = iter.Pull2(procnet.Routes(file, sock.INET6, binary.NativeEndian))
	return nil
}

func (l *routeLines) close() {
	if l.file != nil {
		l.stop()
		l.file.Close()
	}
}

// find adds the fields of its lines to a route. Routes that differ in their table
// only have their lines in the same order.
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
			name = l.name(r.Namespace, r.Hops[i].Interface)
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
