package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// MulticastGroups is the table multicast_groups.
func MulticastGroups(h *host.Host) schema.Table {
	netNamespace := netNamespaceColumn(func(g *network.Group) uint32 { return g.Namespace })
	return schema.Bind(schema.TableDef[network.Group]{
		Name: "multicast_groups",
		Doc:  "Multicast groups that the network interfaces of this network namespace are members of, IPv4, IPv6 and the link layer's: what netstat -g and ip maddr show.",
		Examples: []string{
			"SELECT interface, users, group_address FROM multicast_groups WHERE proto IN ('igmp', 'igmp6')",
			"SELECT group_address, count(*) AS interfaces FROM multicast_groups WHERE proto = 'igmp' GROUP BY group_address",
		},
		Columns: []schema.AnyColumn[network.Group]{
			schema.NotNull("interface", "Network interface.",
				func(g *network.Group) string { return g.Interface }),
			schema.NotNull("users", "Sockets and parts of the kernel that want the group's packets, netstat's RefCnt.",
				func(g *network.Group) uint32 { return g.Users }, schema.Synonym("refcnt")),
			schema.NotNull("group_address", "IP address of the group, or that of the link layer.",
				func(g *network.Group) string { return g.String() }),
			schema.NotNull("proto", "List of the kernel that has it: igmp for IPv4, igmp6 for IPv6, dev_mcast for the link layer, which netstat does not show.",
				func(g *network.Group) string { return g.Proto }, words("igmp", "igmp6", "dev_mcast")),
			schema.NotNull("interface_index", "Number of the interface.",
				func(g *network.Group) uint32 { return g.Index }),
			schema.Nullable("family", "Address family as a number: 2 for IPv4, 10 for IPv6. NULL for the link layer.",
				func(g *network.Group) (uint8, bool) { return uint8(g.Family()), g.Family() != 0 }, schema.Hidden),
			schema.NotNull("querier", "Version of IGMP that the interface speaks: V1, V2 or V3. Empty but for IPv4.",
				func(g *network.Group) string { return g.Querier }, schema.Hidden),
			netNamespace,
		},
		RowID: func(g *network.Group) int64 { return g.ID() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[network.Group, error] {
			return h.Groups(ctx, namespaces(netNamespace, q))
		},
	})
}
