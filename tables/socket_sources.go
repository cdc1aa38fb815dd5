package tables

import (
	"context"
	"iter"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type sourceRow struct {
	host.ListSource
	position int64
}

// reason is why the source is not the fastest, and what the list lacked.
func (r *sourceRow) reason() string {
	reason := r.Now.Reason
	if r.Last == nil || r.Last.Lack.Why == "" {
		return reason
	}
	if reason != "" {
		reason += "; "
	}
	return reason + text.Printable(r.Last.Lack.String())
}

// SocketSources is the table socket_sources.
func SocketSources(h *host.Host) schema.Table {
	last := func(get func(*usage.Usage) int64) func(*sourceRow) (int64, bool) {
		return func(r *sourceRow) (int64, bool) {
			if r.Last == nil {
				return 0, false
			}
			return get(r.Last), true
		}
	}
	return schema.Bind(schema.TableDef[sourceRow]{
		Name: "socket_sources",
		Doc:  "Sources of the other tables: one row for each list of the kernel, such as tcp6 or sockstat, and for the processes and the network namespaces of the host. The columns complete and last_source to last_interrupted describe the last reading by this process.",
		Examples: []string{
			"SELECT proto, source, reason FROM socket_sources",
			"SELECT proto, reason FROM socket_sources WHERE complete = 0",
			"SELECT proto, last_rows, last_wait_us FROM socket_sources WHERE last_interrupted = 1",
		},
		Columns: []schema.AnyColumn[sourceRow]{
			schema.NotNull("proto", "List of the kernel, as netstat or /proc/net names it, such as tcp6, unix, sctp/assocs or sockstat; conntrack, the connections that netfilter keeps track of; holders, the processes that have sockets open; processes, what is read of each of them, such as its program; or namespaces, the network namespaces of the host. Empty for another network namespace that a query named and that could not be read.",
				func(r *sourceRow) string { return r.Proto }),
			schema.Nullable("net_namespace", "Inode number of the network namespace that is read. Empty if unknown.",
				func(r *sourceRow) (string, bool) {
					return strconv.FormatUint(uint64(r.Namespace), 10), r.Namespace != 0
				}, namespaceNumber()),
			schema.NotNull("source", "Source that the list has now: sock_diag or ctnetlink (netlink), bpf (an iterator in the kernel) or procfs (/proc/net, /proc/PID/fd). Empty if the network namespace cannot be read, if there is no such list, or if no source offers it.",
				func(r *sourceRow) string { return string(r.Now.Source) }, words(string(usage.SockDiag), string(usage.CTNetlink), string(usage.BPF), string(usage.RTNetlink), string(usage.ProcFS))),
			schema.NotNull("reason", "Why the source is procfs, which is slower and knows less, why there is no list, or why it or the network namespace cannot be read: only sock_diag lists mptcp, mptcp6 and vsock. Then what the list lacked when it was last read: see complete. Empty if the source is the fastest and nothing was lacking.",
				(*sourceRow).reason),
			schema.Nullable("complete", "1 if everything could be read when this process last read the list; 0 if something is missing, such as what belongs to other users, or a list that every Linux has. reason then says what, how often, and gives one example. 0 also for a network namespace that could not be read. NULL if this process has not read the list yet: sockets.ext query has to read it in the same run.",
				func(r *sourceRow) (bool, bool) {
					return r.Last != nil && r.Last.Lack == (usage.Lack{}), r.Last != nil || r.Proto == ""
				}),
			schema.Nullable("last_source", "Source of the list when this process last read it. Empty before that, and if no source offered it.",
				func(r *sourceRow) (string, bool) {
					if r.Last == nil {
						return "", false
					}
					return string(r.Last.Source), true
				}),
			schema.Nullable("last_rows", "Sockets, or other entries of the list, that the source gave then, which may be more than the query's rows. NULL if it was not read yet.",
				last(func(u *usage.Usage) int64 { return u.Sockets })),
			schema.Nullable("last_wait_us", "Microseconds that the source took then; tcp and tcp6 are often read together. NULL if it was not read yet.",
				last(func(u *usage.Usage) int64 { return u.Wait.Microseconds() })),
			schema.Nullable("last_interrupted", "1 if the kernel reported an inconsistent list then, so that this program asked again or the query failed. NULL if it was not read yet.",
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
