package tables

import (
	"context"
	"iter"
	"time"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Build says what program serves the tables, and since when.
type Build struct {
	Version, Commit string
	Start           time.Time
}

type infoRow struct {
	schema.TableStats
	position      int64
	registrations schema.Registrations
	host          *host.Host
}

// ExtensionInfo is the table sockets_extension_info, of the program that serves
// the tables and counts in stats. It is not one of [All], since it is not about
// the host.
func ExtensionInfo(h *host.Host, build Build, stats *schema.Stats) schema.Any {
	return schema.Bind(schema.Table[infoRow]{
		Name: "sockets_extension_info",
		Doc:  "What this extension did since it was started: one row for each of its tables. Without osquery nothing is counted.",
		Examples: []string{
			"SELECT table_name, queries, errors, last_error FROM sockets_extension_info WHERE errors > 0",
			"SELECT version, registrations, losses, lost_seconds, start_time, peak_memory_bytes FROM sockets_extension_info LIMIT 1",
			"SELECT table_name, queries, rows, p50_us, p99_us FROM sockets_extension_info ORDER BY p99_us DESC LIMIT 5",
		},
		Columns: []schema.Column[infoRow]{
			schema.Col("table_name", "Name of the table, without the prefix that --table-prefix may give it.",
				func(r *infoRow) string { return r.Name }),
			schema.Col("queries", "Requests of osquery for its rows: one statement may make several.",
				func(r *infoRow) int64 { return r.Queries }),
			schema.Col("rows", "Rows that were handed over.",
				func(r *infoRow) int64 { return r.Rows }),
			schema.Col("errors", "Requests that failed.",
				func(r *infoRow) int64 { return r.Errors }),
			schema.Col("last_error", "Why the last one of those failed. Empty if none did.",
				func(r *infoRow) string { return r.LastError }),
			schema.Opt("last_error_time", "When that was, seconds since 1970 (UTC). NULL if none did.",
				func(r *infoRow) (int64, bool) { return r.LastErrorTime.Unix(), !r.LastErrorTime.IsZero() }),
			schema.Opt("p50_us", "Microseconds in which half of the requests were answered, rounded up by at most an eighth. NULL without requests.",
				func(r *infoRow) (int64, bool) { return r.P50.Microseconds(), r.Queries > 0 }),
			schema.Opt("p99_us", "Microseconds in which 99 of 100 were. NULL without requests.",
				func(r *infoRow) (int64, bool) { return r.P99.Microseconds(), r.Queries > 0 }),
			schema.Col("version", "Version of the extension.",
				func(*infoRow) string { return build.Version }),
			schema.Col("commit", "Commit that it was built from. Empty if the build does not know.",
				func(*infoRow) string { return build.Commit }),
			schema.Col("start_time", "When it was started, seconds since 1970 (UTC).",
				func(*infoRow) int64 { return build.Start.Unix() }),
			schema.Col("registrations", "How often osquery took it: more than one if it lost osquery, or osquery lost it.",
				func(r *infoRow) int64 { return r.registrations.Count }),
			schema.Col("losses", "How often one of those registrations was lost.",
				func(r *infoRow) int64 { return r.registrations.Losses }),
			schema.Opt("last_loss_time", "When osquery last had the registration that was lost last, seconds since 1970 (UTC). NULL if none was lost.",
				func(r *infoRow) (int64, bool) {
					return r.registrations.LastLoss.Unix(), r.registrations.Losses > 0
				}),
			schema.Col("lost_seconds", "Seconds in all for which osquery was without the tables after a loss, from when it last had them until it had them again, rounded up.",
				func(r *infoRow) int64 { return int64((r.registrations.Gone + time.Second - 1) / time.Second) }),
			schema.Opt("peak_memory_bytes", "Most memory that it had (VmHWM of /proc/self/status). NULL if that cannot be told.",
				func(r *infoRow) (int64, bool) { return r.host.PeakMemory() }),
			schema.Col("sources", "Lists that were read and where each last came from, such as tcp=sock_diag, separated by blanks. See socket_sources.",
				func(r *infoRow) string { return r.host.SourcesInUse() }),
		},
		RowID: func(r *infoRow) int64 { return r.position },
		Rows: func(context.Context, schema.Query) iter.Seq2[infoRow, error] {
			return func(yield func(infoRow, error) bool) {
				for i, t := range stats.Tables() {
					if !yield(infoRow{t, int64(i), stats.Registrations(), h}, nil) {
						return
					}
				}
			}
		},
	})
}
