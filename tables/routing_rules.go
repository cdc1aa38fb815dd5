package tables

import (
	"context"
	"fmt"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// ruleRow is a row of routing_rules.
type ruleRow struct {
	network.Rule
	position int // in its namespace
	tables   host.TableNames
}

// RoutingRules is the table routing_rules.
func RoutingRules(h *host.Host) schema.Table { return ruleTable(h, h.Rules) }

// ruleTable is the table of the rules that read streams.
func ruleTable(h *host.Host, read func(context.Context, host.Namespaces) iter.Seq2[network.Rule, error]) schema.Table {
	netNamespace := netNamespaceColumn(func(r *ruleRow) uint32 { return r.Namespace })
	ports := func(p sock.PortRange) string {
		switch {
		case p == sock.PortRange{}:
			return ""
		case p.Low == p.High:
			return fmt.Sprint(p.Low)
		}
		return fmt.Sprintf("%d-%d", p.Low, p.High)
	}
	return schema.Bind(schema.TableDef[ruleRow]{
		Name: "routing_rules",
		Doc:  "Policy rules of this network namespace, by which packets choose a table of routes: what ip rule and ip -6 rule show, in the order in which the kernel asks them. Only rtnetlink lists them: the table fails with --proc.",
		Examples: []string{
			"SELECT priority, source, destination, input, mark, action, table_id FROM routing_rules WHERE family = 2",
			"SELECT r.priority, n.destination, n.gateway FROM routing_rules r JOIN network_routes n ON n.table_id = r.table_id AND n.family = r.family WHERE r.table_name = ''",
		},
		Columns: []schema.AnyColumn[ruleRow]{
			schema.NotNull("family", "Address family as a number: 2 for IPv4, 10 for IPv6.",
				func(r *ruleRow) uint8 { return uint8(r.Family) }),
			schema.NotNull("priority", "Priority: rules with a lower one are asked first.",
				func(r *ruleRow) uint32 { return r.Priority }),
			schema.Nullable("source", "Network that packets come from, such as 10.2.0.0/16. Empty for any.",
				func(r *ruleRow) (string, bool) { return r.Source.String(), r.Source.IsValid() }),
			schema.Nullable("destination", "Network that packets go to. Empty for any.",
				func(r *ruleRow) (string, bool) { return r.Destination.String(), r.Destination.IsValid() }),
			schema.NotNull("input", "Interface that packets come in by; lo for those of this host. Empty for any.",
				func(r *ruleRow) string { return r.Input }),
			schema.NotNull("output", "Interface that the sending socket is bound to. Empty for any.",
				func(r *ruleRow) string { return r.Output }),
			schema.Nullable("mark", "Mark that the packet must have, in the bits that mask has. NULL for any.",
				func(r *ruleRow) (uint32, bool) { return r.Mark, r.Mask != 0 }),
			schema.NotNull("action", "What the rule does: lookup (in a table), goto, nop, blackhole, unreachable, prohibit; an unknown one is its number.",
				func(r *ruleRow) string { return r.Action.String() }, namesOf(network.RuleAction.String)),
			schema.Nullable("table_id", "Number of the table that the rule looks in. NULL for other actions and with vrf.",
				func(r *ruleRow) (uint32, bool) { return r.Table, r.Table != 0 }),
			schema.NotNull("table_name", tableNameDoc+" Empty for others.",
				func(r *ruleRow) string { return r.tables.Name(r.Table) }, schema.Needs(needTableNames)),
			schema.NotNull("inverted", "1 if the rule is for packets that do not match, else 0.",
				func(r *ruleRow) bool { return r.Inverted }),
			schema.NotNull("protocol", "Who made the rule, as in network_routes: kernel, static, unspec and others.",
				func(r *ruleRow) string { return r.Protocol.String() }),
			schema.Nullable("mask", "Bits of the mark that count. NULL if no mark is asked for.",
				func(r *ruleRow) (uint32, bool) { return r.Mask, r.Mask != 0 }, schema.Hidden),
			schema.Nullable("tos", "Type of service of the packet. NULL for any.",
				func(r *ruleRow) (uint8, bool) { return r.TOS, r.TOS != 0 }, schema.Hidden),
			schema.Nullable("ip_protocol", "IP protocol of the packet, a number. NULL for any.",
				func(r *ruleRow) (uint8, bool) { return r.IPProtocol, r.IPProtocol != 0 }, schema.Hidden),
			schema.NotNull("source_ports", "Source port, or range of them such as 100-200. Empty for any.",
				func(r *ruleRow) string { return ports(r.SourcePorts) }, schema.Hidden),
			schema.NotNull("destination_ports", "Destination port, or range of them. Empty for any.",
				func(r *ruleRow) string { return ports(r.DestinationPorts) }, schema.Hidden),
			schema.Nullable("first_uid", "First of the users whose sockets the rule is for. NULL for any.",
				func(r *ruleRow) (uint32, bool) { return r.FirstUser, r.HasUsers }, schema.Hidden),
			schema.Nullable("last_uid", "Last of those users. NULL for any.",
				func(r *ruleRow) (uint32, bool) { return r.LastUser, r.HasUsers }, schema.Hidden),
			schema.Nullable("tunnel_id", "Identity of the tunnel that packets come by. NULL for any, and above 2^63-1.",
				func(r *ruleRow) (int64, bool) { return int64(r.TunnelID), r.TunnelID-1 < 1<<63-1 }, schema.Hidden),
			schema.NotNull("vrf", "1 if the table is that of the VRF of the packet's interface, else 0.",
				func(r *ruleRow) bool { return r.VRF }, schema.Hidden),
			schema.Nullable("goto_priority", "Priority of the rule that the action goto goes on with. NULL for other actions.",
				func(r *ruleRow) (uint32, bool) { return r.Goto, r.Goto != 0 }, schema.Hidden),
			schema.Nullable("suppress_prefix_length", "Routes with a prefix of at most so many bits are not taken. NULL if all are.",
				func(r *ruleRow) (uint32, bool) { return r.SuppressPrefix, r.HasSuppressPrefix }, schema.Hidden),
			schema.Nullable("suppress_interface_group", "Routes by an interface of this group are not taken. NULL if all are.",
				func(r *ruleRow) (uint32, bool) { return r.SuppressGroup, r.HasSuppressGroup }, schema.Hidden),
			schema.Nullable("realm", "Realm of the destination, in the upper 16 bits that of the source. NULL if none is set.",
				func(r *ruleRow) (uint32, bool) { return r.Realm, r.Realm != 0 }, schema.Hidden),
			schema.NotNull("flags", "Flags with commas between: permanent, unresolved (goto without its rule), iif_detached, oif_detached (there is no such interface). Empty if there are none.",
				func(r *ruleRow) string { return r.Flags.String() }, schema.Hidden),
			schema.NotNull("position", "Position of the rule among all of its network namespace, from 0.",
				func(r *ruleRow) int32 { return int32(r.position) }, schema.Hidden),
			netNamespace,
		},
		RowID: func(r *ruleRow) int64 {
			return sock.Hash(r.Namespace).Add(uint64(r.Family)).Add(uint64(r.position)).ID()
		},
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[ruleRow, error] {
			return func(yield func(ruleRow, error) bool) {
				row := ruleRow{position: -1}
				if q.Needs(needTableNames) {
					var err error
					if row.tables, err = h.TableNames(ctx); err != nil {
						yield(row, err)
						return
					}
				}
				for r, err := range read(ctx, namespaces(netNamespace, q)) {
					row.position++
					if r.Namespace != row.Namespace {
						row.position = 0
					}
					if row.Rule = r; !yield(row, err) {
						return
					}
				}
			}
		},
	})
}
