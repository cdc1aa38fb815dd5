package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// SocketSummary is the table socket_summary.
func SocketSummary(h *host.Host) schema.Table {
	number := func(get func(*host.SocketSummary) *int64) func(*host.SocketSummary) (int64, bool) {
		return func(r *host.SocketSummary) (int64, bool) {
			n := get(r)
			if n == nil {
				return 0, false
			}
			return *n, true
		}
	}
	limit := func(get func(*proc.MemoryLimits) int64) func(*host.SocketSummary) (int64, bool) {
		return func(r *host.SocketSummary) (int64, bool) {
			if r.Limits == nil {
				return 0, false
			}
			return get(r.Limits), true
		}
	}
	const noLimit = " NULL but for tcp and udp, and if this process is in another network namespace than the host's first, where the kernel does not show it."
	netNamespace := netNamespaceColumn(func(r *host.SocketSummary) uint32 { return r.Namespace })
	return schema.Bind(schema.TableDef[host.SocketSummary]{
		Name: "socket_summary",
		Doc:  "Number of sockets of each protocol, and the memory that they take: what ss -s shows, from /proc/net/sockstat and sockstat6. Memory, orphans and allocated sockets count for the whole host, in every network namespace.",
		Examples: []string{
			"SELECT proto, in_use FROM socket_summary",
			// The line of TCP in ss -s.
			"SELECT t.allocated + t.time_wait AS tcp, (SELECT value FROM protocol_statistics WHERE protocol = 'Tcp' AND name = 'CurrEstab') AS estab, t.allocated - (t.in_use + coalesce(t6.in_use, 0) - t.time_wait) AS closed, t.orphan AS orphaned, t.time_wait AS timewait FROM socket_summary t LEFT JOIN socket_summary t6 ON t6.proto = 'tcp6' WHERE t.proto = 'tcp'",
			// The lines of RAW, UDP, TCP and FRAG in ss -s.
			"SELECT rtrim(proto, '6') AS transport, sum(in_use) AS total, sum(in_use * (family = 2)) AS ip, sum(in_use * (family = 10)) AS ipv6 FROM socket_summary WHERE proto <> 'all' GROUP BY 1",
			"SELECT proto, 100.0 * memory_pages / memory_high_pages AS percent FROM socket_summary WHERE memory_high_pages > 0",
		},
		Columns: []schema.AnyColumn[host.SocketSummary]{
			schema.NotNull("proto", "Protocol: tcp, tcp6, udp, udp6, udplite, udplite6, raw, raw6; frag and frag6, the packets that wait for missing fragments; all, the sockets of every family and not of IP alone: Total of ss -s.",
				func(r *host.SocketSummary) string { return r.Proto }),
			schema.Nullable("family", "Address family as a number: 2 for IPv4, 10 for IPv6. NULL for all.",
				func(r *host.SocketSummary) (uint8, bool) { return uint8(r.Family), r.Family != 0 }),
			schema.NotNull("in_use", "Sockets of this network namespace that take packets: for TCP sockets that listen or have a peer, but for TIME_WAIT and SYN_RECV; for UDP sockets with a local port. For frag and frag6 packets.",
				func(r *host.SocketSummary) int64 { return r.InUse }),
			schema.Nullable("orphan", "TCP sockets of the whole host and both families that their programs have closed and that still send or wait. NULL but for tcp.",
				number(func(s *host.SocketSummary) *int64 { return s.Orphans })),
			schema.Nullable("time_wait", "TCP connections of this network namespace and both families in TIME_WAIT. NULL but for tcp.",
				number(func(s *host.SocketSummary) *int64 { return s.TimeWait })),
			schema.Nullable("allocated", "TCP sockets of the whole host and both families, also sockets that are in no list yet, but for TIME_WAIT and SYN_RECV. NULL but for tcp.",
				number(func(s *host.SocketSummary) *int64 { return s.Allocated })),
			schema.Nullable("memory_pages", "Pages of memory that the queues of the protocol's sockets take, of the whole host and both families. NULL but for tcp and udp.",
				number(func(s *host.SocketSummary) *int64 { return s.MemoryPages })),
			schema.Nullable("memory_bytes", "The same in bytes, NULL if another /proc than this host's is read; for frag and frag6 the bytes of the fragments in this network namespace. NULL for other protocols.",
				number(func(s *host.SocketSummary) *int64 { return s.MemoryBytes })),
			schema.Nullable("memory_low_pages", "Below this number of memory_pages memory is never short: first number of net.ipv4.tcp_mem or udp_mem."+noLimit,
				limit(func(l *proc.MemoryLimits) int64 { return l.Low })),
			schema.Nullable("memory_pressure_pages", "Above this number the kernel saves memory: second number of it."+noLimit,
				limit(func(l *proc.MemoryLimits) int64 { return l.Pressure })),
			schema.Nullable("memory_high_pages", "The kernel never gives more: third number of it."+noLimit,
				limit(func(l *proc.MemoryLimits) int64 { return l.High })),
			netNamespace,
		},
		RowID: func(r *host.SocketSummary) int64 {
			return sock.Hash(0).Add(uint64(r.Namespace)).Text(r.Protocol).ID()
		},
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[host.SocketSummary, error] {
			return h.SocketSummaries(ctx, namespaces(netNamespace, q))
		},
	})
}
