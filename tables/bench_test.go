package tables_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/osquery/osquery-go/gen/osquery"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// benchRows is the size of the host of the benchmarks.
const benchRows = 100_000

// benchTables are those of a host whose /proc/net/tcp repeats the fixture's
// until it has benchRows sockets.
func benchTables(b *testing.B) []schema.Table {
	b.Helper()
	fixture, err := os.ReadFile("testdata/proc/1/net/tcp")
	if err != nil {
		b.Fatal(err)
	}
	header, lines, _ := bytes.Cut(fixture, []byte("\n"))
	all := bytes.SplitAfter(lines, []byte("\n"))
	all = all[:len(all)-1] // what is behind the last newline
	var list bytes.Buffer
	list.Write(append(header, '\n'))
	for i := range benchRows {
		list.Write(all[i%len(all)])
	}
	dir := b.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "net"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "net", "tcp"), list.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
	return tables.All(host.New(host.Options{Proc: dir, Services: "testdata/etc/services", Protocols: "testdata/etc/protocols"}))
}

func reportRows(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// discard counts bytes.
type discard struct{ n int64 }

func (d *discard) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }

// BenchmarkQuery is the way of sockets.ext query, from the file to the output.
func BenchmarkQuery(b *testing.B) {
	db, err := sqlite.Open(benchTables(b), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, sql := range []string{
		"SELECT count(*) FROM tcp_sockets",
		"SELECT local_address, local_port, state FROM tcp_sockets",
		"SELECT proto, recv_q, send_q, local_address, local_port, remote_address, remote_port, state FROM tcp_sockets",
		"SELECT * FROM tcp_sockets",
		"SELECT * FROM tcp_sockets WHERE state = 'CLOSING'",
	} {
		b.Run(strings.ReplaceAll(strings.TrimPrefix(sql, "SELECT "), " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				err := db.Run(b.Context(), sql, func() (sqlite.Result, error) { return rowfmt.New("csv", &discard{}, rowfmt.Options{}) })
				if err != nil {
					b.Fatal(err)
				}
			}
			reportRows(b)
		})
	}
}

// BenchmarkPlugin is the way of osquery's request for rows, without the wire.
func BenchmarkPlugin(b *testing.B) {
	all := benchTables(b)
	table := all[slices.IndexFunc(all, func(t schema.Table) bool { return t.Spec().Name == "tcp_sockets" })]
	plugin := sockets.NewTablePlugin(table)
	var visible []string
	for _, c := range table.Spec().Columns {
		if !c.Hidden {
			visible = append(visible, fmt.Sprintf("%q", c.Name))
		}
	}
	for _, c := range []struct{ name, context string }{
		{"0_columns", `{"colsUsed":[]}`},
		{"3_columns", `{"colsUsed":["local_address","local_port","state"]}`},
		{"visible_columns", `{"colsUsed":[` + strings.Join(visible, ",") + `]}`},
		{"WHERE_state='CLOSING'", `{"constraints":[{"name":"state","list":[{"op":2,"expr":"CLOSING"}]}],"colsUsed":["state"]}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := plugin.Call(b.Context(), osquery.ExtensionPluginRequest{"action": "generate", "context": c.context})
				if r.Status.Code != 0 {
					b.Fatal(r.Status.Message)
				}
			}
			reportRows(b)
		})
	}
}
