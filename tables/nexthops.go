package tables

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// nextHopRow is a row of nexthops.
type nextHopRow struct {
	network.NextHopObject
	names *host.InterfaceNames
}

// NextHops is the table nexthops.
func NextHops(h *host.Host) schema.Table { return nextHopTable(h, h.NextHops) }

// nextHopTable is the table of the objects that read streams.
func nextHopTable(h *host.Host, read func(context.Context, host.Namespaces) iter.Seq2[network.NextHopObject, error]) schema.Table {
	netNamespace := netNamespaceColumn(func(r *nextHopRow) uint32 { return r.Namespace })
	seconds := func(get func(*nextHopRow) time.Duration) func(*nextHopRow) (int64, bool) {
		return func(r *nextHopRow) (int64, bool) { return int64(get(r) / time.Second), r.Resilient }
	}
	return schema.Bind(schema.TableDef[nextHopRow]{
		Name: "nexthops",
		Doc:  "Nexthop objects of this network namespace, to which routes refer by their number: what ip nexthop shows. network_routes shows them resolved. Only rtnetlink lists them: the table fails with --proc, and before Linux 5.3.",
		Examples: []string{
			"SELECT id, gateway, interface, members FROM nexthops",
			"SELECT n.id, count(r.destination) AS routes FROM nexthops n LEFT JOIN network_routes r ON r.next_hop_id = n.id GROUP BY n.id",
		},
		Columns: []schema.AnyColumn[nextHopRow]{
			schema.NotNull("id", "Number of the object: next_hop_id of network_routes.",
				func(r *nextHopRow) uint32 { return r.ID }),
			schema.Nullable("gateway", "Router that packets are sent to. Empty if there is none.",
				func(r *nextHopRow) (netip.Addr, bool) { return r.Hop.Gateway, r.Hop.Gateway.IsValid() }),
			schema.Nullable("interface", "Network interface that leads there; its number if its name is unknown. Empty if there is none.",
				func(r *nextHopRow) (string, bool) {
					if r.Hop.Interface == 0 {
						return "", false
					}
					return r.names.Name(r.Namespace, r.Hop.Interface), true
				}, schema.Needs(needInterfaces)),
			schema.NotNull("members", "Members of a group as ip-nexthop(8) writes them, such as 1/2,300: numbers of objects, with the weight after a comma unless it is 1. Empty if it is no group.",
				func(r *nextHopRow) string { return r.Members() }),
			schema.NotNull("blackhole", "1 if packets are dropped, else 0.",
				func(r *nextHopRow) bool { return r.Blackhole }),
			schema.NotNull("resilient", "1 for a group that keeps flows on their member while it changes, else 0.",
				func(r *nextHopRow) bool { return r.Resilient }),
			schema.NotNull("scope", "How far the next hop is, as in network_routes: global, link, host and others.",
				func(r *nextHopRow) string { return r.Scope.String() }),
			schema.NotNull("protocol", "Who made the object, as in network_routes.",
				func(r *nextHopRow) string { return r.Protocol.String() }),
			schema.NotNull("flags", "Flags with blanks between, as next_hop_flags of network_routes. Empty if none is set.",
				func(r *nextHopRow) string { return r.Hop.Flags.String() }, schema.Hidden),
			schema.NotNull("fdb", "1 if it is for the forwarding database of a bridge, else 0.",
				func(r *nextHopRow) bool { return r.FDB }, schema.Hidden),
			schema.NotNull("encapsulation", "How packets are wrapped on their way, as in network_routes. Empty if they are not.",
				func(r *nextHopRow) string { return r.Hop.Encap.String() }, schema.Hidden),
			schema.Nullable("family", "Address family as a number: 2 for IPv4, 10 for IPv6. NULL for a group.",
				func(r *nextHopRow) (uint8, bool) { return uint8(r.Family), r.Family != 0 }, schema.Hidden),
			schema.Nullable("interface_index", "Number of the interface. NULL if there is none.",
				func(r *nextHopRow) (uint32, bool) { return r.Hop.Interface, r.Hop.Interface != 0 }, schema.Hidden),
			schema.Nullable("buckets", "Buckets of a resilient group. NULL for others.",
				func(r *nextHopRow) (uint16, bool) { return r.Buckets, r.Resilient }, schema.Hidden),
			schema.Nullable("idle_timer_s", "Seconds after which an unused bucket may go to another member. NULL if the group is not resilient.",
				seconds(func(r *nextHopRow) time.Duration { return r.IdleTimer }), schema.Hidden),
			schema.Nullable("unbalanced_timer_s", "Seconds after which buckets are moved by force, 0 for never. NULL if the group is not resilient.",
				seconds(func(r *nextHopRow) time.Duration { return r.UnbalancedTimer }), schema.Hidden),
			netNamespace,
		},
		RowID: func(r *nextHopRow) int64 { return sock.Hash(r.Namespace).Add(uint64(r.ID)).ID() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[nextHopRow, error] {
			names := h.InterfaceNames()
			return func(yield func(nextHopRow, error) bool) {
				for o, err := range read(ctx, namespaces(netNamespace, q)) {
					if !yield(nextHopRow{o, names}, err) {
						return
					}
				}
			}
		},
	})
}
