package tables

import (
	"context"
	"iter"
	"math"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// neighborRow is a row of neighbors.
type neighborRow struct {
	network.Neighbor
	names *host.InterfaceNames
}

// Neighbors is the table neighbors.
func Neighbors(h *host.Host) schema.Table { return neighborTable(h, h.Neighbors) }

// neighborTable is the table of the neighbours that read streams.
func neighborTable(h *host.Host, read func(context.Context, host.Namespaces) iter.Seq2[network.Neighbor, error]) schema.Table {
	netNamespace := netNamespaceColumn(func(r *neighborRow) uint32 { return r.Namespace })
	age := func(get func(*neighborRow) uint64) func(*neighborRow) (int64, bool) {
		return func(r *neighborRow) (int64, bool) { return int64(min(get(r), math.MaxInt64)), r.HasTimes }
	}
	return schema.Bind(schema.TableDef[neighborRow]{
		Name: "neighbors",
		Doc:  "Neighbours that ARP and NDP know on the links of this network namespace, and addresses that this host answers for on behalf of others: what ip neighbour shows, and those with the state NOARP. Only rtnetlink lists them: the table fails with --proc.",
		Examples: []string{
			"SELECT address, link_address, interface, state FROM neighbors",
			"SELECT link_address, group_concat(address) FROM neighbors WHERE state = 'REACHABLE' GROUP BY 1 HAVING count(*) > 1",
		},
		Columns: []schema.AnyColumn[neighborRow]{
			schema.NotNull("address", "IP address of the neighbour.",
				func(r *neighborRow) netip.Addr { return r.Address }),
			schema.NotNull("link_address", "Address of the link layer, such as 02:00:00:00:00:01. Empty if it is not known.",
				func(r *neighborRow) string { return network.HardwareAddress(r.LinkAddress) }),
			schema.NotNull("interface", "Network interface on whose link it is; its number if the name is unknown.",
				func(r *neighborRow) string { return r.names.Name(r.Namespace, r.Interface) }, schema.Needs(needInterfaces)),
			schema.NotNull("state", "State: REACHABLE, STALE (known, not confirmed lately), DELAY, PROBE, INCOMPLETE (being asked for), FAILED, PERMANENT, NOARP (never asked for, such as groups), NONE.",
				func(r *neighborRow) string { return r.State.String() }, words("REACHABLE", "STALE", "DELAY", "PROBE", "INCOMPLETE", "FAILED", "PERMANENT", "NOARP", "NONE")),
			schema.NotNull("flags", "Flags with commas between: router, proxy (this host answers for it), extern_learn, managed, offload, sticky, use, self, master, locked, extern_valid. Empty if there are none.",
				func(r *neighborRow) string { return r.Flags.String() }),
			schema.NotNull("router", "1 if it is a router by NDP, else 0.",
				func(r *neighborRow) bool { return r.Flags&(1<<7) != 0 }),
			schema.NotNull("proxy", "1 if this host answers for the address on behalf of another (proxy ARP or NDP), else 0.",
				func(r *neighborRow) bool { return r.Flags&network.ProxyNeighbor != 0 }),
			schema.Nullable("used_ms", "Milliseconds since the entry was used. NULL for a proxy.",
				age(func(r *neighborRow) uint64 { return r.Used }), schema.Hidden),
			schema.Nullable("confirmed_ms", "Milliseconds since the neighbour was known to answer. NULL for a proxy.",
				age(func(r *neighborRow) uint64 { return r.Confirmed }), schema.Hidden),
			schema.Nullable("updated_ms", "Milliseconds since the entry was changed. NULL for a proxy.",
				age(func(r *neighborRow) uint64 { return r.Updated }), schema.Hidden),
			schema.Nullable("probes", "Requests sent and not answered. NULL for a proxy.",
				func(r *neighborRow) (uint32, bool) { return r.Probes, r.HasTimes }, schema.Hidden),
			schema.Nullable("refs", "References to the entry within the kernel. NULL for a proxy.",
				func(r *neighborRow) (uint32, bool) { return r.References, r.HasTimes }, schema.Hidden),
			schema.Nullable("protocol", "Who made the entry, as in network_routes. Empty if unknown.",
				func(r *neighborRow) (string, bool) { return r.Protocol.String(), r.Protocol != 0 }, schema.Hidden),
			schema.NotNull("family", "Address family as a number: 2 for IPv4, 10 for IPv6.",
				func(r *neighborRow) uint8 { return uint8(r.Family) }, schema.Hidden),
			schema.NotNull("interface_index", "Number of the network interface.",
				func(r *neighborRow) uint32 { return r.Interface }, schema.Hidden),
			netNamespace,
		},
		RowID: func(r *neighborRow) int64 {
			return sock.Hash(r.Namespace).Add(uint64(r.Interface)).Add(uint64(r.Flags & network.ProxyNeighbor)).Addr(r.Address).ID()
		},
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[neighborRow, error] {
			names := h.InterfaceNames()
			return func(yield func(neighborRow, error) bool) {
				for n, err := range read(ctx, namespaces(netNamespace, q)) {
					if !yield(neighborRow{n, names}, err) {
						return
					}
				}
			}
		},
	})
}
