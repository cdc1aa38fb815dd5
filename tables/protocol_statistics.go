package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// statisticsFiles are the files of /proc/net that have counters. The last two are
// missing where the kernel has no IPv6 or SCTP.
var statisticsFiles = []source.File[sock.Statistic]{
	{Name: "snmp", Missing: source.Failing, Decode: procnet.PairedStatistics},
	{Name: "netstat", Missing: source.Lacking, Decode: procnet.PairedStatistics},
	{Name: "snmp6", Decode: procnet.NamedStatistics},
	{Name: "sctp/snmp", Decode: procnet.NamedStatistics},
}

type statisticRow = source.Record[sock.Statistic]

// ProtocolStatistics is the table protocol_statistics.
func ProtocolStatistics(h *host.Host) schema.Table {
	netNamespace := netNamespaceColumn(func(r *statisticRow) uint32 { return r.Namespace })
	return schema.Bind(schema.TableDef[statisticRow]{
		Name: "protocol_statistics",
		Doc:  "Counters of the network stack since the network namespace was made, under the kernel's names: what netstat -s and nstat -as show, from /proc/net/snmp, netstat, snmp6 and sctp/snmp.",
		Examples: []string{
			"SELECT protocol, name, value, unit, description FROM protocol_statistics WHERE value <> 0",
			"SELECT name, value, description FROM protocol_statistics WHERE name IN ('ListenOverflows', 'ListenDrops', 'TCPTimeouts', 'RcvbufErrors') AND value > 0",
			"SELECT 100.0 * r.value / s.value AS retransmitted_percent FROM protocol_statistics r, protocol_statistics s WHERE r.protocol = 'Tcp' AND r.name = 'RetransSegs' AND s.protocol = 'Tcp' AND s.name = 'OutSegs'",
		},
		Columns: []schema.AnyColumn[statisticRow]{
			schema.NotNull("protocol", "The kernel's group of the counter: Ip, Icmp, IcmpMsg, Tcp, Udp, UdpLite, TcpExt, IpExt, MPTcpExt, Ip6, Icmp6, Udp6, UdpLite6, Sctp. nstat writes it before the name.",
				func(r *statisticRow) string { return r.Value.Protocol }),
			schema.NotNull("name", "The kernel's name of the counter, such as RetransSegs.",
				func(r *statisticRow) string { return r.Value.Name }),
			schema.Nullable("value", "The number. NULL if it is above 2^63-1.",
				func(r *statisticRow) (int64, bool) { return r.Value.Value, !r.Value.TooLarge }),
			schema.NotNull("unit", "Unit of the number, such as packets or bytes. Empty for events, and if unknown.",
				func(r *statisticRow) string {
					unit, _, _ := procnet.Describe(r.Value.Protocol, r.Value.Name)
					return unit
				}),
			schema.NotNull("kind", "counter, which only grows, or gauge, a current number or a setting.",
				func(r *statisticRow) string {
					if _, _, gauge := procnet.Describe(r.Value.Protocol, r.Value.Name); gauge {
						return "gauge"
					}
					return "counter"
				}, words("counter", "gauge")),
			schema.NotNull("description", "Meaning of the counter. Empty if this program does not know it.",
				func(r *statisticRow) string {
					_, description, _ := procnet.Describe(r.Value.Protocol, r.Value.Name)
					return description
				}),
			netNamespace,
		},
		RowID: func(r *statisticRow) int64 {
			return sock.Hash(0).Add(uint64(r.Namespace)).Text(r.Value.Protocol).Text(r.Value.Name).ID()
		},
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[statisticRow, error] {
			return host.Records(ctx, h, namespaces(netNamespace, q), statisticsFiles...)
		},
	})
}
