package tables

import (
	"cmp"
	"context"
	"iter"
	"net"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// routeRow is a route's way by one next hop.
type routeRow struct {
	network.Route
	position int // of the hop
	hop      network.NextHop
	names    *host.InterfaceNames
	tables   host.TableNames
	vrfs     host.VRFs
	id       int64
}

// NetworkRoutes is the table network_routes.
func NetworkRoutes(h *host.Host) schema.Table {
	family := schema.NotNull("family", "Address family as a number: 2 for IPv4, 10 for IPv6.",
		func(r *routeRow) uint8 { return uint8(r.Family) }, schema.Pushed, schema.Shared)
	netNamespace := netNamespaceColumn(func(r *routeRow) uint32 { return r.Namespace })
	source := sourceColumn("Those of procfs are the lines of /proc/net/route and ipv6_route, which netstat -r prints: IPv4 routes of the main table only, IPv6 routes of all tables with lines for what is not found, of several next hops often the first only.",
		func(r *routeRow) bool { return r.FromProc })
	kernel := func(get func(network.Kernel) uint32) func(*routeRow) (uint32, bool) {
		return func(r *routeRow) (uint32, bool) {
			k := r.KernelOf(r.position)
			return get(k), k.Known
		}
	}
	// netlinkOnly is a text that /proc does not have.
	netlinkOnly := func(get func(*routeRow) string) func(*routeRow) (string, bool) {
		return func(r *routeRow) (string, bool) { return get(r), !r.FromProc }
	}
	metric := func(number int) func(*routeRow) (uint32, bool) {
		return func(r *routeRow) (uint32, bool) { return r.Metrics.Get(number) }
	}
	columns := []schema.AnyColumn[routeRow]{
		schema.NotNull("destination", "Address of the network or host that the route leads to: 0.0.0.0 or :: for the default route.",
			func(r *routeRow) netip.Addr { return r.Destination.Addr() }),
		schema.Nullable("gateway", "Router to the destination; that of an IPv4 route may be an IPv6 one. Empty if there is none on the way, and from /proc for a router of the other family.",
			func(r *routeRow) (netip.Addr, bool) { return r.hop.Gateway, r.hop.Gateway.IsValid() }),
		schema.Nullable("genmask", "Netmask of an IPv4 route. Empty for IPv6.",
			func(r *routeRow) (netip.Addr, bool) {
				mask, ok := netip.AddrFromSlice(net.CIDRMask(r.Destination.Bits(), 32))
				return mask, ok && r.Family == sock.INET
			}),
		schema.Nullable("flags", "Flags as letters of netstat -r: U up, G by a gateway, H a host, ! rejected; for IPv6 also D default and A address by router advertisement, e expires, n without a next hop. Empty if the kernel did not report the flags of an IPv6 route, such as one that was just added.",
			func(r *routeRow) (string, bool) {
				flags, ok := r.FlagsOf(r.position)
				return flags.Letters(r.Family), ok
			}, schema.Needs(needRouteLines)),
		schema.NotNull("metric", "Metric: of routes to one destination the lowest wins. netstat prints 4294967295 as -1.",
			func(r *routeRow) uint32 { return r.Metric }),
		schema.Nullable("ref", "References to an IPv6 route within the kernel. NULL for IPv4, where only /proc has a number, always 0, and where flags is empty.",
			kernel(func(k network.Kernel) uint32 { return k.Ref }), schema.Needs(needRouteLines)),
		schema.Nullable("use", "Times that the route was used: 0, since the kernel no longer counts them. NULL as for ref.",
			kernel(func(k network.Kernel) uint32 { return k.Use }), schema.Needs(needRouteLines)),
		schema.NotNull("interface", "Network interface that leads there; its number if its name is unknown. Empty if there is none, such as for a blackhole.",
			func(r *routeRow) string {
				if r.hop.Interface == 0 {
					return r.hop.Name
				}
				return r.names.Name(r.Namespace, r.hop.Interface)
			}),
		schema.Nullable("mss", "Largest TCP segment that connections by an IPv4 route announce, and 40 bytes for its headers, as netstat -r shows it. NULL if the route does not set it, and for IPv6.",
			func(r *routeRow) (uint32, bool) {
				mss, ok := r.Metrics.Get(network.MetricAdvMSS)
				return mss + 40, ok && r.Family == sock.INET
			}),
		schema.Nullable("window", "Largest TCP window that they announce, bytes. NULL if the route does not set it, and from /proc for IPv6.", metric(network.MetricWindow)),
		schema.Nullable("irtt", "Round trip time from which they start, milliseconds. NULL as for window.",
			func(r *routeRow) (uint32, bool) {
				rtt, ok := r.Metrics.Get(network.MetricRTT)
				return rtt >> 3, ok && rtt>>3 != 0
			}),
		schema.Nullable("mtu", "Largest packet by this route, bytes. NULL if the route does not set it, and from /proc.", metric(network.MetricMTU)),
		schema.NotNull("prefix_length", "Bits of the destination's prefix.",
			func(r *routeRow) uint8 { return uint8(r.Destination.Bits()) }),
		family,
		schema.Nullable("table_id", "Number of the routing table. NULL from /proc for IPv6.",
			func(r *routeRow) (uint32, bool) { return r.Table, !r.FromProc || r.Family == sock.INET }),
		schema.NotNull("table_name", tableNameDoc+" Empty for others, and where table_id is NULL.",
			func(r *routeRow) string { return r.tables.Name(r.Table) }, schema.Needs(needTableNames)),
		schema.Nullable("type", "What becomes of the packets: unicast, local, broadcast, anycast, multicast, blackhole, unreachable, prohibit, throw; an unknown type is its number. From /proc empty but for local and anycast routes of IPv6.",
			func(r *routeRow) (string, bool) { return r.Type.String(), !r.FromProc || r.Type != 0 }, namesOf(network.RouteType.String)),
		schema.Nullable("scope", "How far the destination is: global, site, link, host, nowhere; another scope is its number. Empty from /proc.",
			netlinkOnly(func(r *routeRow) string { return r.Scope.String() }), namesOf(network.Scope.String)),
		schema.Nullable("protocol", "Who made the route: kernel, boot, static, ra (router advertisement), dhcp, bird, bgp and others; an unknown origin is its number. Empty from /proc.",
			netlinkOnly(func(r *routeRow) string { return r.Protocol.String() })),
		schema.Nullable("preferred_source", "Local address from which packets by this route are sent. Empty if the route does not set it, and from /proc.",
			func(r *routeRow) (netip.Addr, bool) { return r.PreferredSource, r.PreferredSource.IsValid() }),

		schema.Nullable("flags_number", "Flags as the number in /proc: RTF_* of linux/route.h and linux/ipv6_route.h. NULL where flags is empty.",
			func(r *routeRow) (uint32, bool) {
				flags, ok := r.FlagsOf(r.position)
				return uint32(flags), ok
			}, schema.Hidden, schema.Needs(needRouteLines)),
		schema.NotNull("next_hop", "Position of this next hop among the route's, from 0: a route with several has a row for each.",
			func(r *routeRow) int32 { return int32(r.position) }, schema.Hidden),
		schema.Nullable("weight", "Share of this next hop among the route's, from 1 to 65535. NULL if it is the only one.",
			func(r *routeRow) (uint16, bool) { return r.hop.Weight, r.hop.Weight != 0 }, schema.Hidden),
		schema.NotNull("next_hop_flags", "What is special about the next hop, with blanks between: dead, pervasive, onlink, offload, linkdown, unresolved, trap. Empty if nothing is, and from /proc.",
			func(r *routeRow) string { return r.hop.Flags.String() }, schema.Hidden),
		schema.Nullable("next_hop_id", "Number of the nexthop object, ip-nexthop(8), from which the next hops come. NULL if the route has its own, and from /proc.",
			func(r *routeRow) (uint32, bool) { return r.NextHopID, r.NextHopID != 0 }, schema.Hidden),
		schema.Nullable("interface_index", "Number of the interface. NULL if there is none, and from /proc.",
			func(r *routeRow) (uint32, bool) { return r.hop.Interface, r.hop.Interface != 0 }, schema.Hidden),
		schema.NotNull("vrf", "Name of the VRF, ip-vrf(8), whose table this is. Empty if it is of none, and from /proc for IPv6.",
			func(r *routeRow) string { return r.vrfs.Name(r.Namespace, r.Table) }, schema.Hidden, schema.Needs(needVRFs)),
		schema.NotNull("encapsulation", "How packets are wrapped on their way: mpls, ip, ip6, seg6, bpf and others. Empty if they are not, and from /proc.",
			func(r *routeRow) string { return r.hop.Encap.String() }, schema.Hidden),
		schema.Nullable("source_network", "Network that a packet must come from to take an IPv6 route. Empty if any may, and for IPv4.",
			func(r *routeRow) (netip.Addr, bool) { return r.Source.Addr(), r.Source.Bits() > 0 }, schema.Hidden),
		schema.Nullable("source_prefix_length", "Bits of that network's prefix. NULL if any, and of IPv4.",
			func(r *routeRow) (uint8, bool) { return uint8(r.Source.Bits()), r.Source.Bits() > 0 }, schema.Hidden),
		schema.Nullable("tos", "Type of service that a packet must have to take an IPv4 route, 0 for any. NULL from /proc.",
			func(r *routeRow) (uint8, bool) { return r.TOS, !r.FromProc }, schema.Hidden),
		schema.Nullable("pref", "Preference of the router of an IPv6 route: low, medium, high. Empty for IPv4.",
			func(r *routeRow) (string, bool) { return network.Preference(r.Preference), r.HasPreference }, schema.Hidden, words("low", "medium", "high")),
		schema.Nullable("expires_s", "Seconds until the route expires. NULL if it does not, and from /proc.",
			func(r *routeRow) (int32, bool) { return r.Expires, r.Expiring }, schema.Hidden),
		schema.Nullable("realm", "Realm of the destination, in the upper 16 bits that of the source: the next hop's own, or the route's. NULL if there is none, and from /proc.",
			func(r *routeRow) (uint32, bool) {
				realm := cmp.Or(r.hop.Realm, r.Realm)
				return realm, realm != 0
			}, schema.Hidden),
		schema.Nullable("advmss", "Largest TCP segment that connections by this route announce, bytes. NULL as for window.", metric(network.MetricAdvMSS), schema.Hidden),
		schema.Nullable("mtu_locked", "1 if path MTU discovery leaves mtu alone, else 0. NULL from /proc.",
			func(r *routeRow) (bool, bool) {
				lock, _ := r.Metrics.Get(network.MetricLock)
				return lock&(1<<network.MetricMTU) != 0, !r.FromProc
			}, schema.Hidden),
		schema.Nullable("rttvar_ms", "Variance of the round trip time from which connections start, milliseconds. NULL as for mtu.",
			func(r *routeRow) (uint32, bool) {
				v, ok := r.Metrics.Get(network.MetricRTTVar)
				return v / 4, ok
			}, schema.Hidden),
	}
	for _, c := range []struct {
		name, doc string
		number    int
	}{
		{"ssthresh", "Slow start threshold from which connections start, packets.", network.MetricSSThresh},
		{"cwnd", "Limit of their congestion window, packets.", network.MetricCwnd},
		{"reordering", "Reordering from which they start, packets.", network.MetricReordering},
		{"hoplimit", "Hop limit of their packets.", network.MetricHopLimit},
		{"initcwnd", "Congestion window from which they start, packets.", network.MetricInitCwnd},
		{"initrwnd", "Receive window from which they start, packets.", network.MetricInitRwnd},
		{"features", "Features of TCP that the route turns on, RTAX_FEATURE_* of linux/rtnetlink.h: 1 is ECN.", network.MetricFeatures},
		{"rto_min_ms", "Least retransmission timeout, milliseconds.", network.MetricRTOMin},
		{"quickack", "1 if acknowledgements are sent at once.", network.MetricQuickAck},
		{"fastopen_no_cookie", "1 if TCP Fast Open needs no cookie.", network.MetricNoCookie},
	} {
		columns = append(columns, schema.Nullable(c.name, c.doc+" NULL as for mtu.", metric(c.number), schema.Hidden))
	}
	return schema.Bind(schema.TableDef[routeRow]{
		Name: "network_routes",
		Doc:  "Routes of this network namespace, IPv4 and IPv6, in all tables, a row for each next hop: what netstat -r and ip route show table all show. Routes that the kernel clones for single destinations are left out.",
		Examples: []string{
			"SELECT destination, prefix_length, gateway, interface, metric FROM network_routes WHERE table_name = 'main' AND type = 'unicast'",
			"SELECT interface, gateway, protocol FROM network_routes WHERE prefix_length = 0 ORDER BY family, metric",
		},
		Columns: append(columns,
			schema.NotNull("congestion_algorithm", "Congestion control algorithm of connections by this route. Empty if the route does not set it, and from /proc.",
				func(r *routeRow) string { return r.Metrics.Congestion }, schema.Hidden),
			source, netNamespace),
		RowID: func(r *routeRow) int64 { return r.id },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[routeRow, error] {
			f := host.RouteFilter{Namespaces: namespaces(netNamespace, q), Sources: sources(source, q), Kernel: q.Needs(needRouteLines)}
			for _, n := range family.Values(q) {
				f.Families = append(f.Families, sock.Family(n))
			}
			return func(yield func(routeRow, error) bool) {
				row := routeRow{names: h.InterfaceNames()}
				var err error
				if q.Needs(needTableNames) {
					row.tables, err = h.TableNames(ctx)
				}
				if err == nil && q.Needs(needVRFs) {
					row.vrfs, err = h.VRFs(ctx, f.Namespaces)
				}
				if err != nil {
					yield(row, err)
					return
				}
				// Rows that are alike are told apart by counting them. They stand
				// together, but for lines of /proc from different tables.
				alike := make(map[int64]int64)
				for r, err := range h.Routes(ctx, f) {
					if err != nil {
						yield(row, err)
						return
					}
					if r.Destination != row.Destination && !r.FromProc {
						clear(alike)
					}
					row.Route = r
					for i := range max(1, len(r.Hops)) {
						row.position, row.hop = i, network.NextHop{}
						if i < len(r.Hops) {
							row.hop = r.Hops[i]
						}
						id := r.ID(i)
						row.id = id + alike[id]
						alike[id]++
						if !yield(row, nil) {
							return
						}
					}
				}
			}
		},
	})
}

// tableNameDoc is what table_name says of a routing table.
const tableNameDoc = "Name of that table: default, main, local, or the one that this machine's files of iproute2 give it, /etc/iproute2/rt_tables and rt_tables.d, else those of /usr/share and /usr/lib."

// sources returns the sources that a query sees beside the better one.
func sources[R any](source *schema.Column[R, string], q schema.Query) []string {
	in := source.Values(q)
	if in == nil && source.Uses(q) {
		in = []string{string(usage.RTNetlink), string(usage.ProcFS)}
	}
	return in
}

// sourceColumn is the column of where a row comes from; note adds what holds for
// one table.
func sourceColumn[R any](note string, fromProc func(*R) bool) *schema.Column[R, string] {
	return schema.NotNull("source", "Where the row comes from: rtnetlink or procfs. A statement that uses this column sees the rows of both; one that does not sees those of rtnetlink, or of procfs where rtnetlink is refused.",
		func(r *R) string {
			if fromProc(r) {
				return string(usage.ProcFS)
			}
			return string(usage.RTNetlink)
		}, schema.Hidden, schema.Scope, schema.Shared, schema.Note(note), words(string(usage.RTNetlink), string(usage.ProcFS)))
}
