package tables

import (
	"context"
	"iter"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type sourceRow struct {
	host.ListSource
	position int64
}

// SocketSources is the table socket_sources.
func SocketSources(h *host.Host) schema.Any {
	last := func(get func(*usage.Usage) int64) func(*sourceRow) (int64, bool) {
		return func(r *sourceRow) (int64, bool) {
			if r.Last == nil {
				return 0, false
			}
			return get(r.Last), true
		}
	}
	return schema.Bind(schema.Table[sourceRow]{
		Name: "socket_sources",
		Doc:  "Where the sockets of the other tables, and those who have them open, come from: one row for each list of the kernel.",
		Examples: []string{
			"SELECT proto, source, reason FROM socket_sources",
			"SELECT proto, last_rows, last_wait_us FROM socket_sources WHERE last_interrupted = 1",
		},
		Columns: []schema.Column[sourceRow]{
			schema.Col("proto", "List of the kernel, as netstat or /proc/net names it, such as tcp6, unix or sctp/assocs; conntrack, the connections that netfilter keeps track of; or holders, the processes that have sockets open. Empty for another network namespace that was asked for and could not be read.",
				func(r *sourceRow) string { return r.Proto }),
			schema.Opt("net_namespace", "Inode number of the network namespace that is read. Empty if it cannot be told.",
				func(r *sourceRow) (string, bool) {
					return strconv.FormatUint(uint64(r.Namespace), 10), r.Namespace != 0
				}),
			schema.Col("source", "Where the list would come from now: sock_diag or ctnetlink (netlink), bpf (an iterator in the kernel) or procfs (/proc/net, /proc/PID/fd). Empty where the network namespace cannot be read, or where there is no such list or no way to it.",
				func(r *sourceRow) string { return string(r.Now.Source) }),
			schema.Col("reason", "Why it is procfs, which is slower and knows less, why there is no list, or why it or the network namespace cannot be read: of mptcp, mptcp6 and vsock only sock_diag tells. Empty if it is the fastest.",
				func(r *sourceRow) string { return r.Now.Reason }),
			schema.Opt("last_source", "Where the list came from when this process last read it. Empty if it did not yet, or had no way to it.",
				func(r *sourceRow) (string, bool) {
					if r.Last == nil {
						return "", false
					}
					return string(r.Last.Source), true
				}),
			schema.Opt("last_rows", "Sockets, or holders of them, that came from there then, which may be more than the query's rows. NULL if it was not read yet.",
				last(func(u *usage.Usage) int64 { return u.Sockets })),
			schema.Opt("last_wait_us", "Microseconds that this took then; tcp and tcp6 are often read together. NULL if it was not read yet.",
				last(func(u *usage.Usage) int64 { return u.Wait.Microseconds() })),
			schema.Opt("last_interrupted", "1 if the kernel called its list inconsistent then, so that it was asked again or the query failed. NULL if it was not read yet.",
				last(func(u *usage.Usage) int64 {
					if u.Interrupted {
						return 1
					}
					return 0
				})),
		},
		RowID: func(r *sourceRow) int64 { return r.position },
		Rows: func(ctx context.Context, _ schema.Query) iter.Seq2[sourceRow, error] {
			return func(yield func(sourceRow, error) bool) {
				sources, err := h.Sources(ctx)
				if err != nil {
					yield(sourceRow{}, err)
					return
				}
				for i, s := range sources {
					if !yield(sourceRow{s, int64(i)}, nil) {
						return
					}
				}
			}
		},
	})
}
