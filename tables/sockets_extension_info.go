package tables

import (
	"context"
	"iter"
	"time"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Build identifies the program that serves the tables, and its start.
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
func ExtensionInfo(h *host.Host, build Build, stats *schema.Stats) schema.Table {
	return schema.Lazy("sockets_extension_info", func() schema.Table { return extensionInfo(h, build, stats) })
}

func extensionInfo(h *host.Host, build Build, stats *schema.Stats) schema.Table {
	return schema.Bind(schema.TableDef[infoRow]{
		Name: "sockets_extension_info",
		Doc:  "Counters of this extension since it started: one row for each of its tables. Without osquery it counts nothing.",
		Examples: []string{
			"SELECT table_name, queries, errors, last_error FROM sockets_extension_info WHERE errors > 0",
			"SELECT version, registrations, losses, lost_seconds, start_time, peak_memory_bytes FROM sockets_extension_info LIMIT 1",
			"SELECT table_name, queries, rows, p50_us, p99_us FROM sockets_extension_info ORDER BY p99_us DESC LIMIT 5",
		},
		Columns: []schema.AnyColumn[infoRow]{
			schema.NotNull("table_name", "Name of the table, without the prefix that --table-prefix may give it.",
				func(r *infoRow) string { return r.Name }),
			schema.NotNull("queries", "osquery's requests for the table's rows: one statement may make several.",
				func(r *infoRow) int64 { return r.Queries }),
			schema.NotNull("rows", "Rows returned.",
				func(r *infoRow) int64 { return r.Rows }),
			schema.NotNull("errors", "Requests that failed.",
				func(r *infoRow) int64 { return r.Errors }),
			schema.NotNull("last_error", "Error of the last failed request. Empty if none failed.",
				func(r *infoRow) string { return r.LastError }),
			schema.Nullable("last_error_time", "Time of that error, seconds since 1970 (UTC). NULL if none failed.",
				func(r *infoRow) (int64, bool) { return r.LastErrorTime.Unix(), !r.LastErrorTime.IsZero() }),
			schema.Nullable("p50_us", "Microseconds in which half of the requests were answered, rounded up by at most an eighth. NULL without requests.",
				func(r *infoRow) (int64, bool) { return r.P50.Microseconds(), r.Queries > 0 }),
			schema.Nullable("p99_us", "Microseconds in which 99 of 100 requests were answered. NULL without requests.",
				func(r *infoRow) (int64, bool) { return r.P99.Microseconds(), r.Queries > 0 }),
			schema.NotNull("version", "Version of the extension.",
				func(*infoRow) string { return build.Version }),
			schema.NotNull("commit", "Commit that the extension was built from. Empty if the build does not record it.",
				func(*infoRow) string { return build.Commit }),
			schema.NotNull("start_time", "Start of the extension, seconds since 1970 (UTC).",
				func(*infoRow) int64 { return build.Start.Unix() }),
			schema.NotNull("registrations", "Times that osquery registered the extension: more than 1 if either lost the other.",
				func(r *infoRow) int64 { return r.registrations.Count }),
			schema.NotNull("losses", "Registrations that were lost.",
				func(r *infoRow) int64 { return r.registrations.Losses }),
			schema.Nullable("last_loss_time", "Time when osquery last had the registration that was lost last, seconds since 1970 (UTC). NULL if none was lost.",
				func(r *infoRow) (int64, bool) {
					return r.registrations.LastLoss.Unix(), r.registrations.Losses > 0
				}),
			schema.NotNull("lost_seconds", "Total seconds that osquery was without the tables after a loss, until it had them again, rounded up.",
				func(r *infoRow) int64 { return int64((r.registrations.Gone + time.Second - 1) / time.Second) }),
			schema.Nullable("peak_memory_bytes", "Peak memory of the extension (VmHWM of /proc/self/status). NULL if unknown.",
				func(r *infoRow) (int64, bool) { return r.host.PeakMemory() }),
			schema.NotNull("sources", "Lists that were read, each with its last source, such as tcp=sock_diag, separated by blanks. See socket_sources.",
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
