package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// ProtocolStatistics is the table protocol_statistics.
func ProtocolStatistics(h *host.Host) schema.Table {
	netNamespace := netNamespaceColumn(func(r *host.Statistic) uint32 { return r.Namespace })
	return schema.Bind(schema.TableDef[host.Statistic]{
		Name: "protocol_statistics",
		Doc:  "Counters of the network stack since the network namespace was made, under the kernel's names: what netstat -s and nstat -as show, from /proc/net/snmp, netstat, snmp6 and sctp/snmp.",
		Examples: []string{
			"SELECT protocol, name, value, unit, description FROM protocol_statistics WHERE value <> 0",
			"SELECT name, value, description FROM protocol_statistics WHERE name IN ('ListenOverflows', 'ListenDrops', 'TCPTimeouts', 'RcvbufErrors') AND value > 0",
			"SELECT 100.0 * r.value / s.value AS retransmitted_percent FROM protocol_statistics r, protocol_statistics s WHERE r.protocol = 'Tcp' AND r.name = 'RetransSegs' AND s.protocol = 'Tcp' AND s.name = 'OutSegs'",
		},
		Columns: []schema.AnyColumn[host.Statistic]{
			schema.NotNull("protocol", "The kernel's group of the counter: Ip, Icmp, IcmpMsg, Tcp, Udp, UdpLite, TcpExt, IpExt, MPTcpExt, Ip6, Icmp6, Udp6, UdpLite6, Sctp. nstat writes it before the name.",
				func(r *host.Statistic) string { return r.Protocol }),
			schema.NotNull("name", "The kernel's name of the counter, such as RetransSegs.",
				func(r *host.Statistic) string { return r.Name }),
			schema.Nullable("value", "The number. NULL if it is above 2^63-1.",
				func(r *host.Statistic) (int64, bool) { return r.Value, !r.TooLarge }),
			schema.NotNull("unit", "Unit of the number, such as packets or bytes. Empty for events, and if unknown.",
				func(r *host.Statistic) string {
					unit, _, _ := procnet.Describe(r.Protocol, r.Name)
					return unit
				}),
			schema.NotNull("kind", "counter, which only grows, or gauge, a current number or a setting.",
				func(r *host.Statistic) string {
					if _, _, gauge := procnet.Describe(r.Protocol, r.Name); gauge {
						return "gauge"
					}
					return "counter"
				}),
			schema.NotNull("description", "Meaning of the counter. Empty if this program does not know it.",
				func(r *host.Statistic) string {
					_, description, _ := procnet.Describe(r.Protocol, r.Name)
					return description
				}),
			netNamespace,
		},
		RowID: func(r *host.Statistic) int64 {
			return sock.Hash(0).Add(uint64(r.Namespace)).Text(r.Protocol).Text(r.Name).ID()
		},
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[host.Statistic, error] {
			return h.Statistics(ctx, namespaces(netNamespace, q))
		},
	})
}
