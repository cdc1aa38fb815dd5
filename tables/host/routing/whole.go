package routing

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"math"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/names"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// The kernel makes a message of at most 32 KiB of a route. One with thousands of
// next hops does not fit: the kernel then ends the list there, as if it were whole
// (inet_dump_fib, net/ipv4/fib_frontend.c). So the routes are counted. Of those that
// are missing, /proc shows the first next hop.

// leftOut is why routes are missing.
const leftOut = "the kernel left routes out of its list, since one of them does not fit into a message of netlink: those of which /proc has a line are shown as it has them"

// maxCounts is how often the routes are counted while they change.
const maxCounts = 5

// wholeRoutes streams the routes of a family that rtnetlink lists, and those that
// the kernel leaves out as /proc has them.
func (l *Lists) wholeRoutes(ctx context.Context, in *netns.Handle, file source.File[network.Route], kernel bool, use *usage.Usage, family sock.Family) iter.Seq2[network.Route, error] {
	return func(yield func(network.Route, error) bool) {
		routes := 0
		for r, err := range l.rtnetlinkRoutes(ctx, in, family, kernel, use) {
			if err == nil {
				routes += entries(&r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		counted, err := countRoutes(in, family)
		if errors.Is(err, fs.ErrNotExist) || err == nil && counted.Are(routes) {
			return
		}
		var listed map[routeKey]bool
		missing := false
		if err == nil {
			listed, missing, err = l.recount(ctx, in, family)
		}
		if err != nil {
			yield(network.Route{}, err)
			return
		}
		if !missing {
			return
		}
		use.Lack.AddAll(usage.Lack{Why: leftOut})
		for line, err := range source.Read(ctx, in, file, &usage.Usage{}) {
			if err == nil && (line.Metric == math.MaxUint32 || listed[keyOf(&line, 0, line.Hops[0].Name)]) {
				continue // no route, which IPv6 has lines for, or one that is there
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// recount asks for the routes again, until the kernel counts the same number before
// and after. It returns whether some are missing, and the next hops of the others.
func (l *Lists) recount(ctx context.Context, in *netns.Handle, family sock.Family) (listed map[routeKey]bool, missing bool, err error) {
	name := names.NewInterfaces(l.Namespaces).Name
	for range maxCounts {
		before, err := countRoutes(in, family)
		if err != nil {
			return nil, false, err
		}
		routes := 0
		listed = make(map[routeKey]bool)
		for r, err := range l.rtnetlinkRoutes(ctx, in, family, false, &usage.Usage{}) {
			if err != nil {
				return nil, false, err
			}
			routes += entries(&r)
			for i, hop := range r.Hops {
				of := ""
				if hop.Interface != 0 {
					of = name(in.Inode, hop.Interface)
				}
				listed[keyOf(&r, i, of)] = true
			}
		}
		after, err := countRoutes(in, family)
		if err != nil || after.Are(routes) {
			return nil, false, err
		}
		if before == after {
			return listed, true, nil
		}
	}
	return nil, false, nlconn.ErrInterrupted
}

// entries is how many of the kernel's routes one is.
func entries(r *network.Route) int {
	if r.Family == sock.INET6 && r.NextHopID == 0 {
		return max(len(r.Hops), 1)
	}
	return 1
}

// countRoutes returns the number of routes, in all tables, of a family.
func countRoutes(in *netns.Handle, family sock.Family) (procnet.RouteCounts, error) {
	name := "fib_triestat"
	if family == sock.INET6 {
		name = "rt6_stats"
	}
	file, err := in.Open(name)
	if err != nil {
		return procnet.RouteCounts{}, err
	}
	defer file.Close()
	if family == sock.INET6 {
		return procnet.CountRoutes6(file)
	}
	return procnet.CountRoutes(file)
}

// routeKey identifies a next hop of a route among the lines of /proc.
type routeKey struct {
	destination, source, gateway, name string
	metric                             uint32
}

// keyOf returns the key of a next hop, which is on that interface. Lines of IPv4
// have no gateway of IPv6.
func keyOf(r *network.Route, hop int, name string) routeKey {
	k := routeKey{destination: r.Destination.String(), name: name, metric: r.Metric}
	if r.Source.Bits() > 0 {
		k.source = r.Source.String()
	}
	if g := r.Hops[hop].Gateway; g.IsValid() && g.Is4() == (r.Family == sock.INET) {
		k.gateway = g.String()
	}
	return k
}
