package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/integration/memlimit"
	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// fixtures is the host of the tables' own fixtures.
func fixtures() []schema.Table {
	all := tables.All(host.New(host.Options{Proc: "../../tables/testdata/proc", Services: "../../tables/testdata/etc/services", Protocols: "../../tables/testdata/etc/protocols"}))
	return slices.DeleteFunc(all, func(t schema.Table) bool { // which are of this host alone
		return slices.Contains([]string{"network_addresses", "neighbors", "nexthops", "routing_rules"}, t.Name())
	})
}

// collected is a result in memory; NULL is "NULL".
type collected struct {
	names  []string
	rows   []string
	closed bool
}

func (c *collected) Columns(names []string) error { c.names = names; return nil }

func (c *collected) Row(cells []schema.Cell) error {
	c.rows = append(c.rows, sqltest.Row(new(rowfmt.Texts).Of(cells)))
	return nil
}

func (c *collected) Close() error { c.closed = true; return nil }

// run returns the results of the statements.
func run(ctx context.Context, db *sqlite.DB, sql string) (results []*collected, err error) {
	err = db.Run(ctx, sql, func() (sqlite.Result, error) {
		results = append(results, &collected{})
		return results[len(results)-1], nil
	})
	return results, err
}

func open(t testing.TB, tables []schema.Table) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(tables, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// one returns the rows of one statement.
func one(t testing.TB, db *sqlite.DB, sql string) []string {
	t.Helper()
	results, err := run(t.Context(), db, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if len(results) != 1 || !results[0].closed {
		t.Fatalf("%s: %d results", sql, len(results))
	}
	return results[0].rows
}

func TestExamples(t *testing.T) {
	db := open(t, fixtures())
	for _, table := range fixtures() {
		for _, sql := range table.Spec().Examples {
			if _, err := run(t.Context(), db, sql); err != nil {
				t.Errorf("%s: %v", sql, err)
			}
		}
	}
}

func TestServices(t *testing.T) {
	db := open(t, fixtures())
	for sql, want := range map[string]string{
		"SELECT port FROM well_known_services WHERE name='https' AND protocol='tcp'":                                                             `"443"`,
		"SELECT protocol, aliases FROM well_known_services WHERE port = 53 ORDER BY 1":                                                           `"tcp" "";"udp" "nameserver dns"`,
		"SELECT name, protocol, insecure_reason <> '' FROM well_known_services WHERE insecure = 1":                                               `"tftp" "udp" "1"`,
		`SELECT name FROM well_known_services WHERE name = "ssh"`:                                                                                `"ssh"`,
		"SELECT group_concat(name) FROM well_known_services WHERE name = CAST(80 AS INTEGER)":                                                    `"080,80.0"`,
		"SELECT group_concat(name) FROM well_known_services WHERE name IN (SELECT port FROM well_known_services)":                                `"080,80.0"`,
		"SELECT count(*), max(port) FROM well_known_services":                                                                                    `"21" "65535"`,
		"SELECT DISTINCT s.name FROM tcp_sockets t JOIN well_known_services s ON s.port = t.local_port AND s.protocol = 'tcp' ORDER BY s.name":   `"cups";"http";"https";"ipp";"last";"ssh"`,
		"SELECT DISTINCT local_service FROM tcp_sockets WHERE local_service <> '' ORDER BY 1":                                                    `"http";"https";"ipp";"last";"ssh"`,
		"SELECT typeof(port), typeof(name), typeof(aliases) FROM well_known_services WHERE name = 'ssh'":                                         `"integer" "text" "text"`,
		"SELECT typeof(inode), typeof(uid), typeof(timer_expires_ms), typeof(username) FROM tcp_sockets WHERE state = 'TIME_WAIT' LIMIT 1":       `"null" "null" "integer" "text"`,
		"SELECT count(*) FROM tcp_sockets WHERE foreign_port = 0 AND remote_port = 0 AND foreign_address = remote_address AND state <> 'LISTEN'": `"0"`,
		// As osqueryi prints them.
		"SELECT 1.0, 92.0 / 15, 0.1, -1.5, 1e20, 9e999, -9e999, 1.0 / 0": `"1.0" "6.13333333333333" "0.1" "-1.5" "1.0e+20" "Inf" "-Inf" NULL`,
		"SELECT 1 WHERE 1 = 0": ``,
	} {
		t.Run(sql, func(t *testing.T) {
			if got := strings.Join(one(t, db, sql), ";"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestSeveralStatements(t *testing.T) {
	db := open(t, fixtures())
	results, err := run(t.Context(), db, " SELECT 1 AS a; -- one\n;SELECT 2 AS b, NULL, '';/* two */")
	if err != nil || len(results) != 2 || results[0].rows[0] != `"1"` || results[1].rows[0] != `"2" NULL ""` || results[1].names[0] != "b" {
		t.Errorf("got %+v, %v", results, err)
	}
}

// A statement that may not run fails with words that help, and the next one
// works.
func TestErrors(t *testing.T) {
	db := open(t, fixtures())
	for _, c := range []struct{ sql, want string }{
		{"SELECT * FROM foo", "no such table: foo\n  SELECT * FROM foo\n"},
		{"SELECT name FROM temp.sqlite_master", "sqlite_schema lists the tables"},
		{"INSERT INTO sqlite_schema VALUES (1, 2, 3, 4, 5)", "not allowed"},
		{"DROP TABLE tcp_sockets -- sqlite_schema", "not allowed"},
		{"SELECT nosuch FROM tcp_sockets", "no such column: nosuch"},
		{"SELECT * FROM tcp_sockets WHERE", "incomplete input"},
		{"SELEC 1", `near "SELEC": syntax error`},
		{"SELECT nosuch(1)", "no such function: nosuch"},
		{"SELECT ?", "parameter"},
		{"SELECT :a", "parameter"},
		{"SELECT abs(-9223372036854775808)", "integer overflow"},
		{"ATTACH 'x' AS x", "not allowed"},
		{"INSERT INTO tcp_sockets (proto) VALUES ('tcp')", "not allowed"},
		{"UPDATE tcp_sockets SET proto = 'tcp'", "may not be modified"},
		{"DELETE FROM tcp_sockets", "may not be modified"},
		{"DROP TABLE tcp_sockets", "not allowed"},
		{"CREATE TABLE t (a)", "not allowed"},
		{"CREATE TEMP TABLE t (a)", "not allowed"},
		{"CREATE TEMP TABLE t AS SELECT * FROM tcp_sockets", "not allowed"},
		{"CREATE VIEW v AS SELECT 1", "not allowed"},
		{"CREATE VIRTUAL TABLE v USING tcp_sockets", "not allowed"},
		{"ALTER TABLE tcp_sockets RENAME TO x", "not allowed"},
		{"PRAGMA journal_mode = WAL", "not allowed"},
		{"PRAGMA writable_schema = 1", "not allowed"},
		{"PRAGMA temp_store_directory = '/tmp'", "not allowed"},
		{"PRAGMA hard_heap_limit = 0", "not allowed"},
		{"BEGIN", "not allowed"},
		{"SAVEPOINT s", "not allowed"},
		{"VACUUM", "not allowed"},
		{"VACUUM INTO 'x'", "not allowed"},
		{"ANALYZE", "not allowed"},
		{"DETACH main", "not allowed"},
		{"SELECT load_extension('x')", "no such function"},
		{"SELECT 1;\x00 SELECT 2", "NUL byte, at offset 9"},
		{"SELECT * FROM pragma_journal_mode", "not allowed"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			_, err := run(t.Context(), db, c.sql)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sqlite3:") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if got := one(t, db, "SELECT count(*) FROM well_known_services"); got[0] != `"21"` {
				t.Fatalf("after %s: %v", c.sql, got)
			}
		})
	}
	for _, sql := range []string{"PRAGMA table_info(tcp_sockets)", "PRAGMA table_xinfo('tcp_sockets')", "SELECT * FROM pragma_table_info('tcp_sockets')", "EXPLAIN QUERY PLAN SELECT * FROM tcp_sockets"} {
		t.Run(sql, func(t *testing.T) {
			if rows := one(t, db, sql); len(rows) == 0 {
				t.Error("no rows")
			}
		})
	}
}

func TestOutOfMemory(t *testing.T) {
	db := open(t, fixtures())
	for _, sql := range []string{
		"SELECT zeroblob(2000000000)",
		"SELECT length(group_concat(zeroblob(500000000))) FROM tcp_sockets",
	} {
		t.Run(sql, func(t *testing.T) {
			if results, err := run(t.Context(), db, sql); err == nil {
				t.Errorf("%+v", results[0])
			}
		})
	}
}

// Deeper than SQLite's stack is an error, after which nothing of the database is
// used, nor closed.
func TestTooDeep(t *testing.T) {
	repeat := func(n int, around ...string) string {
		return strings.Repeat(around[0], n) + "1" + strings.Repeat(around[1], n)
	}
	for name, sql := range map[string]string{
		"UNION ALL":  "SELECT " + repeat(300, "", " UNION ALL SELECT 1"),
		"||":         "SELECT " + repeat(400, "", "||1"),
		"CASE":       "SELECT " + repeat(400, "CASE WHEN 1 THEN ", " END"),
		"functions":  "SELECT " + strings.Repeat("abs(", 300) + "local_port" + strings.Repeat(")", 300) + " FROM tcp_sockets",
		"a subquery": "SELECT * FROM " + strings.Repeat("(SELECT * FROM ", 300) + "tcp_sockets" + strings.Repeat(")", 300),
		"BETWEEN":    "SELECT " + repeat(300, "", " BETWEEN 0 AND 1"),
		"GLOB":       "SELECT '" + strings.Repeat("a", 10000) + "' GLOB '" + strings.Repeat("*a", 10000) + "'",
	} {
		t.Run(name, func(t *testing.T) {
			db, err := sqlite.Open(fixtures(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := run(t.Context(), db, sql); err == nil || !strings.Contains(err.Error(), "SQLite's stack") {
				t.Errorf("got %v", err)
			}
			if _, err := run(t.Context(), db, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "an earlier failure") {
				t.Errorf("afterwards: %v", err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A statement for which the program takes more than its memory limit fails with an
// error that names the limit, whoever would hold it.
func TestMemoryLimit(t *testing.T) {
	const large = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 100000000) SELECT "
	many := &fake{rows: 10_000_000}
	for name, sql := range map[string]string{
		"a sort by SQLite":      large + "hex(zeroblob(1000)) || x FROM c ORDER BY 1",
		"a group by SQLite":     large + "hex(zeroblob(1000)) || x, count(*) FROM c GROUP BY 1",
		"one large value":       "SELECT zeroblob(5e8)",
		"one that grows":        large + "length(group_concat(hex(zeroblob(1e6)))) FROM c",
		"a sort without SQLite": "SELECT s, n FROM t ORDER BY s",
	} {
		t.Run(name, func(t *testing.T) {
			defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
			db, err := sqlite.Open([]schema.Table{many.table()}, memlimit.New(128<<20))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := run(t.Context(), db, sql); !errors.As(err, new(memlimit.Exceeded)) || !strings.Contains(err.Error(), "the memory limit of 128MiB") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFailingSources(t *testing.T) {
	db := open(t, tables.All(host.New(host.Options{Proc: "/nonexistent", Services: "/nonexistent/services"})))
	for sql, want := range map[string]string{
		"SELECT * FROM tcp_sockets":             "table tcp_sockets: /nonexistent is no proc filesystem",
		"SELECT count(*) FROM udp_sockets":      "table udp_sockets: /nonexistent is no proc filesystem",
		"SELECT name FROM well_known_services":  "table well_known_services: the list of services cannot be read: open /nonexistent/services",
		"SELECT local_service FROM tcp_sockets": "/nonexistent/services",
	} {
		t.Run(sql, func(t *testing.T) {
			results, err := run(t.Context(), db, sql)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			if len(results) != 1 || results[0].names != nil || results[0].closed {
				t.Errorf("got a result: %+v", results[0])
			}
		})
	}
}

// fake is a table that tells what was asked of it and how much it was read.
type fake struct {
	asked []schema.Request
	made  atomic.Int64 // rows
	ended atomic.Int64 // scans
	rows  int
	err   error
}

type fakeRow struct{ n int64 }

func (f *fake) table() schema.Table {
	inner := schema.Bind(schema.TableDef[fakeRow]{
		Name: "t", Doc: "A table.",
		Columns: []schema.AnyColumn[fakeRow]{
			schema.NotNull("n", "Number.", func(r *fakeRow) int64 { return r.n }, schema.Pushed),
			schema.NotNull("s", "Text.", func(r *fakeRow) string { return fmt.Sprint(r.n) }, schema.Pushed),
			schema.Nullable("o", "Even numbers.", func(r *fakeRow) (int64, bool) { return r.n, r.n%2 == 0 }),
			schema.NotNull("h", "Hidden.", func(r *fakeRow) float64 { return float64(r.n) / 2 }, schema.Hidden),
		},
		RowID: func(r *fakeRow) int64 { return r.n + math.MaxInt64/2 },
		Rows: func(context.Context, schema.Query) iter.Seq2[fakeRow, error] {
			return func(yield func(fakeRow, error) bool) {
				defer func() { f.ended.Add(1) }()
				for i := range f.rows {
					f.made.Add(1)
					if !yield(fakeRow{int64(i)}, nil) {
						return
					}
				}
				if f.err != nil {
					yield(fakeRow{}, f.err)
				}
			}
		},
	})
	return &asking{inner, f}
}

// asking notes the requests.
type asking struct {
	schema.Table
	f *fake
}

func (a *asking) Query(r schema.Request) schema.Query {
	a.f.asked = append(a.f.asked, r)
	return a.Table.Query(r)
}

func TestWhatArrivesAtTheTable(t *testing.T) {
	f := &fake{rows: 100}
	db := open(t, []schema.Table{f.table()})
	for _, c := range []struct {
		sql  string
		want string // used columns, then constraints, of each scan
	}{
		{"SELECT * FROM t", "n s o"},
		{"SELECT h FROM t", "h"},
		{"SELECT count(*) FROM t", ""},
		{"SELECT rowid FROM t", ""},
		{"SELECT o FROM t WHERE n = 5", "n o; n 2 5"},
		{"SELECT o FROM t WHERE n = '5'", "n o; n 2 5"},
		{"SELECT o FROM t WHERE n > 5 AND n <= 9.5", "n o; n 4 5; n 8 9.5"},
		{"SELECT o FROM t WHERE n BETWEEN 5 AND 9", "n o; n 32 5; n 8 9"},
		{"SELECT 1 FROM t WHERE s = 'x'", "s; s 2 x"},
		{"SELECT 1 FROM t WHERE s = 5", "s"},
		{"SELECT 1 FROM t WHERE n IN (1, 2, 3)", "n; n 2 1; n 2 2; n 2 3"},
		{"SELECT 1 FROM t WHERE n IN (1, NULL)", "n; n 2 1"},
		{"SELECT 1 FROM t WHERE n IN (1, x'41')", "n"},
		{"SELECT 1 FROM t WHERE s = 5.0", "s"},
		{"SELECT 1 FROM t WHERE n IN (SELECT 7 UNION SELECT 8)", "n; n 2 7; n 2 8"},
		{"SELECT 1 FROM t WHERE n = NULL", "n"},
		{"SELECT 1 FROM t WHERE s = x'41'", "s"},
		{"SELECT 1 FROM t WHERE s LIKE 'a%'", "s"},
		{"SELECT 1 FROM t WHERE n <> 5", "n"},
		{"SELECT 1 FROM t WHERE n IS NULL", "n"},
		{"SELECT 1 FROM t WHERE n + 0 = 5", "n"},
		{"SELECT o FROM t LIMIT 2 OFFSET 1", "o"},
		{"SELECT a.n FROM (SELECT 3 AS x UNION SELECT 4) b JOIN t a ON a.n = b.x", "n; n 2 3 | n; n 2 4"},
	} {
		t.Run(c.sql, func(t *testing.T) {
			f.asked = nil
			one(t, db, c.sql)
			var scans []string
			for _, r := range f.asked {
				text := []string{strings.Join(r.Used, " ")}
				for _, k := range r.Constraints {
					text = append(text, fmt.Sprintf("%s %d %s", k.Column, k.Op, k.Value))
				}
				scans = append(scans, strings.Join(text, "; "))
			}
			if got := strings.Join(scans, " | "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Which processes are asked about reaches the walk of their files, also of tables
// whose pid osquery does not send.
func TestPIDsNarrowTheWalk(t *testing.T) {
	for where, want := range map[string]struct {
		rows     string
		narrowed bool
	}{
		"pid = 250":        {`"250" "6"`, true},
		"pid IN (250, 77)": {`"250" "6"`, true},
		"pid = 77":         {"", true},
		"+pid = 250":       {`"250" "6"`, false},
	} {
		t.Run(where, func(t *testing.T) {
			var log strings.Builder
			db := open(t, tables.All(host.New(host.Options{
				Proc: "../../tables/testdata/proc",
				Log:  hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug}),
			})))
			rows := one(t, db, "SELECT pid, fd FROM tcp_sockets WHERE "+where)
			// The first that is logged of the holders; who else has the sockets that
			// these processes have comes after it.
			var first string
			for line := range strings.Lines(log.String()) {
				if first == "" && strings.Contains(line, "list=holders") {
					first = line
				}
			}
			if got := strings.Join(rows, ";"); got != want.rows || first == "" || strings.Contains(first, "only some processes") != want.narrowed {
				t.Errorf("%s, %s", got, first)
			}
		})
	}
}

// SQLite tells of the columns from the 64th on only whether any is used.
func TestManyColumns(t *testing.T) {
	var columns []schema.AnyColumn[fakeRow]
	for i := range 70 {
		columns = append(columns, schema.NotNull(fmt.Sprint("c", i), "Column.", func(r *fakeRow) int64 { return int64(i) }))
	}
	var asked fake
	table := &asking{schema.Bind(schema.TableDef[fakeRow]{
		Name: "t", Doc: "A table.", Columns: columns,
		RowID: func(r *fakeRow) int64 { return r.n },
		Rows: func(context.Context, schema.Query) iter.Seq2[fakeRow, error] {
			return func(yield func(fakeRow, error) bool) { yield(fakeRow{}, nil) }
		},
	}), &asked}
	db := open(t, []schema.Table{table})
	for sql, want := range map[string]string{
		"SELECT c69, c0 FROM t": `"69" "0" [c0 c63 c64 c65 c66 c67 c68 c69]`,
		"SELECT c63 FROM t":     `"63" [c63 c64 c65 c66 c67 c68 c69]`,
		"SELECT c62 FROM t":     `"62" [c62]`,
	} {
		t.Run(sql, func(t *testing.T) {
			asked.asked = nil
			if got := one(t, db, sql)[0] + " " + fmt.Sprint(asked.asked[0].Used); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestStreams(t *testing.T) {
	f := &fake{rows: 1_000_000}
	db := open(t, []schema.Table{f.table()})
	if rows := one(t, db, "SELECT n FROM t LIMIT 3"); len(rows) != 3 || f.made.Load() > 6000 || f.ended.Load() != 1 {
		t.Errorf("%d rows; the table made %d and ended %d times", len(rows), f.made.Load(), f.ended.Load())
	}
	// A result that wants no more ends the table, and its error comes back.
	full := errors.New("full")
	err := db.Run(t.Context(), "SELECT n FROM t", func() (sqlite.Result, error) { return &refusing{err: full}, nil })
	if !errors.Is(err, full) || f.ended.Load() != 2 || f.made.Load() > 12000 {
		t.Errorf("got %v; the table made %d and ended %d times", err, f.made.Load(), f.ended.Load())
	}
	if err := db.Run(t.Context(), "SELECT n FROM t", func() (sqlite.Result, error) { return nil, full }); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type refusing struct {
	collected
	err error
}

func (r *refusing) Row([]schema.Cell) error { return r.err }

func TestErrorInTheMiddle(t *testing.T) {
	broken := errors.New("broken")
	f := &fake{rows: 1000, err: broken}
	db := open(t, []schema.Table{f.table()})
	results, err := run(t.Context(), db, "SELECT n FROM t; SELECT 1")
	if !errors.Is(err, broken) || err.Error() != "table t: broken" || len(results) != 1 || results[0].closed {
		t.Errorf("got %v and %d results", err, len(results))
	}
	f.err = nil
	if got := one(t, db, "SELECT count(*) FROM t"); got[0] != `"1000"` {
		t.Errorf("afterwards: %v", got)
	}
}

// The inner side of a join is read a few times, not once for each row of the
// outer side; the next statement reads it anew.
func TestSnapshots(t *testing.T) {
	f := &fake{rows: 1000}
	db := open(t, []schema.Table{f.table()})
	db.SnapshotSoon()
	for sql, want := range map[string]string{
		"SELECT count(*) FROM t a CROSS JOIN t b ON b.n = a.n":                                            `"1000"`,
		"SELECT count(*) FROM t a CROSS JOIN t b ON b.s = a.s AND b.n < 500":                              `"500"`,
		"SELECT count(*) FROM t a CROSS JOIN t b ON b.n = a.h":                                            `"500"`,
		"SELECT count(*) FROM t a CROSS JOIN t b ON b.o = a.o":                                            `"500"`,
		"SELECT count(b.n) FROM t a LEFT JOIN t b ON b.n = a.o + 998":                                     `"1"`,
		"SELECT count(*) FROM t a CROSS JOIN t b ON b.s = upper(a.s) COLLATE NOCASE WHERE a.n < 10":       `"10"`,
		"SELECT count(*) FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.n = a.n AND b.rowid = a.rowid)": `"1000"`,
		"SELECT sum((SELECT b.h FROM t b WHERE b.n = a.n)) FROM t a WHERE a.n IN (1, 2, 3, 4)":            `"5.0"`,
		"SELECT count(*) FROM t a CROSS JOIN t b WHERE a.n < 10":                                          `"10000"`,
		// NULL is NULL, but equals nothing; whatever else is looked for.
		"SELECT count(*) FROM (VALUES (1), (2), (4), (NULL), (6)) a CROSS JOIN t b ON b.o IS a.column1":                                         `"503"`,
		"SELECT count(*) FROM (VALUES (1), (2), (4), (NULL), (6)) a CROSS JOIN t b ON b.o = a.column1":                                          `"3"`,
		"SELECT count(*) FROM (VALUES (1), (3), (4), (NULL), (7)) a CROSS JOIN t b ON b.o IS NULL AND b.n = a.column1":                          `"3"`,
		"SELECT count(*) FROM (VALUES (x'00'), (2.5), ('a'), (NULL), ('')) a CROSS JOIN t b ON b.o IS a.column1":                                `"500"`,
		"SELECT count(*) FROM (VALUES (1, 1), (2, NULL), (3, NULL), (4, 4), (5, x'')) a CROSS JOIN t b ON b.n = a.column1 AND b.o IS a.column2": `"2"`,
		// Numbers as texts, and texts as numbers.
		"SELECT count(*) FROM (VALUES (' 1 '), ('2.0'), ('3e0'), ('+4'), ('0x5'), ('6x')) a CROSS JOIN t b ON b.n = a.column1":          `"4"`,
		"SELECT count(*) FROM (SELECT n + 0 AS i FROM t WHERE n < 10) a CROSS JOIN t b ON b.s = a.i":                                    `"10"`,
		"SELECT count(*) FROM t a CROSS JOIN t b ON b.s = a.n":                                                                          `"1000"`,
		"SELECT count(*) FROM t a CROSS JOIN t b ON b.s = a.h WHERE a.n < 8 AND a.o IS NOT NULL":                                        `"4"`,
		"SELECT count(*) FROM (VALUES (1, 2), (3, 4), (5, 6), (7, 7)) a CROSS JOIN t b ON b.n IN (a.column1, a.column2, a.column2 + 0)": `"7"`,
	} {
		t.Run(sql, func(t *testing.T) {
			f.ended.Store(0)
			if got := one(t, db, sql); got[0] != want {
				t.Errorf("got %s, want %s", got[0], want)
			}
			if f.ended.Load() > 5 {
				t.Errorf("the table was read %d times", f.ended.Load())
			}
			f.ended.Store(0)
			if one(t, db, "SELECT count(*) FROM t"); f.ended.Load() != 1 {
				t.Errorf("after %s: the table was read %d times", sql, f.ended.Load())
			}
		})
	}
	// What is the same in every scan narrows the snapshot; when it changes after
	// all another is taken.
	f.ended.Store(0)
	f.made.Store(0)
	if got := one(t, db, "SELECT count(*), sum(b.n) FROM (SELECT column1 AS x, column2 AS y FROM (VALUES (1,'1'), (2,'2'), (3,'2'), (2,'2'), (4,'4'), (4,'5'))) a CROSS JOIN t b ON b.n = a.x AND b.s >= '' AND b.s = a.y"); got[0] != `"4" "9"` {
		t.Errorf("got %v", got)
	}
	if f.ended.Load() > 5 {
		t.Errorf("the table was read %d times", f.ended.Load())
	}
	if got := one(t, db, "SELECT group_concat(b.n) FROM (SELECT column1 AS x, column2 AS y FROM (VALUES (5,1), (5,2), (5,5), (5,5), (6,6), (7,7), (5,5))) a CROSS JOIN t b ON b.n = a.x AND b.o IS NOT a.y AND b.n = a.y"); got[0] != `"5,5,7,5"` {
		t.Errorf("got %v", got)
	}
	// An error while the snapshot is taken is the statement's.
	f.err = errors.New("broken")
	if _, err := run(t.Context(), db, "SELECT count(*) FROM (SELECT 1 AS x UNION SELECT 2 UNION SELECT 3) a CROSS JOIN t b ON b.n = a.x"); !errors.Is(err, f.err) {
		t.Errorf("got %v", err)
	}
}

// What any collation takes for equal is found in a snapshot too.
func TestSnapshotsAndCollations(t *testing.T) {
	db := open(t, fixtures())
	db.SnapshotSoon()
	for collation, want := range map[string]string{"BINARY": `"84"`, "NOCASE": `"168"`, "RTRIM": `"126"`} {
		t.Run(collation, func(t *testing.T) {
			sql := "SELECT count(*) FROM (SELECT column1 AS x FROM (VALUES ('LISTEN'), ('listen'), ('Listen'), ('LISTEN '), ('LISTEN'))) a CROSS JOIN tcp_sockets t ON t.state = a.x COLLATE " + collation
			if got := one(t, db, sql); got[0] != want {
				t.Errorf("got %s, want %s", got[0], want)
			}
		})
	}
}

func TestCancellation(t *testing.T) {
	f := &fake{rows: math.MaxInt}
	db := open(t, []schema.Table{f.table()})
	for _, sql := range []string{
		"SELECT count(*) FROM t",
		"SELECT max(n) FROM t WHERE s = 'nothing'",
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
	} {
		t.Run(sql, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			_, err := run(ctx, db, sql)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	if got := one(t, db, "SELECT 1"); got[0] != `"1"` {
		t.Errorf("afterwards: %v", got)
	}
}

// A source that stalls for good does not hold the statement.
func TestStalledSource(t *testing.T) {
	table := schema.Bind(schema.TableDef[fakeRow]{
		Name: "t", Doc: "A table.",
		Columns: []schema.AnyColumn[fakeRow]{schema.NotNull("n", "Number.", func(r *fakeRow) int64 { return r.n })},
		RowID:   func(r *fakeRow) int64 { return r.n },
		Rows: func(context.Context, schema.Query) iter.Seq2[fakeRow, error] {
			return func(yield func(fakeRow, error) bool) {
				yield(fakeRow{1}, nil)
				<-t.Context().Done()
			}
		},
	})
	for _, sqliteOnly := range []bool{false, true} {
		t.Run(fmt.Sprintf("SQLiteOnly=%t", sqliteOnly), func(t *testing.T) {
			db := open(t, []schema.Table{table})
			db.SQLiteOnly = sqliteOnly
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			results, err := run(ctx, db, "SELECT n FROM t")
			if !errors.Is(err, context.DeadlineExceeded) || len(results) != 1 || results[0].closed {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRowIDsAreTheTables(t *testing.T) {
	f := &fake{rows: 3}
	db := open(t, []schema.Table{f.table()})
	want := []string{fmt.Sprintf("%q", fmt.Sprint(int64(math.MaxInt64/2))), fmt.Sprintf("%q", fmt.Sprint(int64(math.MaxInt64/2+1)))}
	if got := one(t, db, "SELECT rowid FROM t LIMIT 2"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A statement that uses net_namespace sees the whole host, however it uses it, in
// whatever order it names its tables and however often they are scanned.
func TestScope(t *testing.T) {
	proc := t.TempDir()
	const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const n = 9
	var numbers, texts []string
	for i := range n {
		dir := filepath.Join(proc, strconv.Itoa(i+1))
		for _, sub := range []string{"ns", "net"} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		number := strconv.FormatInt(4026531840+int64(i), 10)
		numbers, texts = append(numbers, number), append(texts, "'"+number+"'")
		if err := os.Symlink("net:["+number+"]", filepath.Join(dir, "ns", "net")); err != nil {
			t.Fatal(err)
		}
		list := header
		for _, port := range []int{22, 1000 + i} {
			list += fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 %d 1 0 100 0 0 10 0\n", port, 100+port)
		}
		if err := os.WriteFile(filepath.Join(dir, "net", "tcp"), []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, numberList := "(VALUES ("+strings.Join(texts, "),(")+"))", strings.Join(numbers, ", ")
	for _, soon := range []bool{false, true} {
		t.Run(fmt.Sprint(soon), func(t *testing.T) {
			db := open(t, tables.All(host.New(host.Options{Proc: proc})))
			if soon {
				db.SnapshotSoon()
			}
			for sql, want := range map[string]int{
				"SELECT * FROM tcp_sockets":                                                                        2,
				"SELECT *, net_namespace FROM tcp_sockets":                                                         2 * n,
				"SELECT net_namespace, count(*) FROM tcp_sockets GROUP BY 1":                                       n,
				"SELECT * FROM tcp_sockets ORDER BY net_namespace":                                                 2 * n,
				"SELECT * FROM tcp_sockets WHERE net_namespace LIKE '4026%'":                                       2 * n,
				"SELECT * FROM tcp_sockets WHERE net_namespace = '4026531842' OR local_port = 1003":                3,
				"SELECT * FROM tcp_sockets WHERE net_namespace + 1 = 4026531843":                                   2,
				"SELECT * FROM tcp_sockets WHERE net_namespace NOT IN ('4026531842')":                              2*n - 2,
				"SELECT * FROM tcp_sockets WHERE net_namespace IS '4026531842'":                                    2,
				"SELECT * FROM tcp_sockets WHERE net_namespace IS NOT NULL":                                        2 * n,
				"SELECT * FROM tcp_sockets t RIGHT JOIN " + all + " ON t.net_namespace = column1":                  2 * n,
				"SELECT * FROM tcp_sockets WHERE net_namespace = '4026531842'":                                     2,
				"SELECT * FROM tcp_sockets WHERE net_namespace = 4026531842":                                       2,
				"SELECT * FROM tcp_sockets WHERE net_namespace IN (" + numberList + ", NULL, x'00', 1.5, 'x')":     2 * n,
				"SELECT * FROM tcp_sockets WHERE net_namespace IN " + all:                                          2 * n,
				"SELECT * FROM tcp_sockets WHERE net_namespace IN " + all + " AND local_port = 22":                 n,
				"SELECT * FROM " + all + " JOIN tcp_sockets t ON t.net_namespace = column1":                        2 * n,
				"SELECT * FROM tcp_sockets t JOIN " + all + " ON t.net_namespace = column1":                        2 * n,
				"SELECT * FROM tcp_sockets t, " + all + " WHERE t.net_namespace = column1 AND t.local_port = 22":   n,
				"SELECT * FROM tcp_sockets t, " + all + " WHERE t.net_namespace = column1 AND t.local_port = 1003": 1,
				"SELECT * FROM tcp_sockets t, " + all + " WHERE t.net_namespace = column1 + 0":                     2 * n,
				"SELECT * FROM " + all + " LEFT JOIN tcp_sockets t ON t.net_namespace = column1":                   2 * n,
				// Each namespace is scanned again and again.
				"SELECT * FROM " + all + " n JOIN (SELECT 22 AS p UNION ALL SELECT port FROM well_known_services WHERE port < 0 UNION ALL SELECT 1001) JOIN tcp_sockets t ON t.net_namespace = n.column1 AND t.local_port = p": n + 1,
				"SELECT * FROM " + all + " n JOIN tcp_sockets a ON a.net_namespace = n.column1 JOIN tcp_sockets b ON b.net_namespace = a.net_namespace AND b.local_port = a.local_port":                                        2 * n,
			} {
				if got := one(t, db, sql); len(got) != want {
					t.Errorf("soon %v: %s: %d rows, want %d", soon, sql, len(got), want)
				}
			}
		})
	}
}

// A comparison with a constant that no row can meet is warned of, once, and the
// answer is as it was.
func TestWarnings(t *testing.T) {
	const tcp = "SELECT local_port FROM tcp_sockets t WHERE "
	for _, c := range []struct {
		sql  string
		want []string // parts of the warnings
	}{
		{tcp + "state = 'LISTEN'", nil},
		{tcp + "state = 'ESTAB'", []string{"did you mean 'ESTABLISHED'?"}},
		{tcp + "'ESTAB' = state", []string{"ESTABLISHED"}},
		{tcp + "state IS 'ESTAB' ORDER BY local_port + 1", []string{"ESTABLISHED"}},
		{tcp + "state <> 'ESTAB'", nil},
		{tcp + "state IN ('LISTEN', 'CLOSED')", []string{"did you mean 'CLOSE'?"}},
		{tcp + "state = 'LISTEN' OR state = 'closed'", []string{"did you mean 'CLOSE'?"}},
		{tcp + "state LIKE 'estab%'", nil},
		{tcp + "state LIKE 'open%'", []string{"no row has state LIKE 'open%'"}},
		{"SELECT 1 FROM udp_sockets WHERE proto = 'tcp'", []string{"udp_sockets: no row has proto = 'tcp': it is one of udp, udp6, udplite, udplite6"}},
		{tcp + "foreign_address = 'localhost'", []string{"tcp_sockets: no row has foreign_address = 'localhost': it is an IP address"}},
		{tcp + "proto = 'TCP' AND timer = 'none'", []string{"did you mean 'tcp'?", "one of off, on"}},
		{tcp + "state = lower('LISTEN')", nil}, // no constant
		{"SELECT 1 FROM (VALUES ('ESTAB')) v JOIN tcp_sockets t ON t.state = v.column1", nil},
		{tcp + "net_namespace = 'blue'", []string{"see inode and name of network_namespaces"}},
	} {
		t.Run(c.sql, func(t *testing.T) {
			for _, sqliteOnly := range []bool{false, true} {
				db := open(t, fixtures())
				db.SQLiteOnly = sqliteOnly
				var got []string
				db.Warn = func(warning string) { got = append(got, warning) }
				for range 2 {
					if _, err := run(t.Context(), db, c.sql); err != nil {
						t.Fatal(err)
					}
				}
				if len(got) != len(c.want) {
					t.Fatalf("SQLite alone: %v: warnings %q, want %q", sqliteOnly, got, c.want)
				}
				for i := range got {
					if !strings.Contains(strings.Join(got, "\n"), c.want[i]) {
						t.Errorf("warnings %q lack %q", got, c.want[i])
					}
				}
			}
		})
	}
}

// The commonest mistakes, each with all of what is said.
func TestMistakes(t *testing.T) {
	const columns = "ip_protocols has name, number, aliases, comment; sockets.ext schema ip_protocols shows the hidden ones too, 1"
	for _, c := range []struct{ sql, want string }{
		{"SELECT nam FROM ip_protocols", `no such column: nam
  SELECT nam FROM ip_protocols
         ^
did you mean name?
` + columns},
		{"SELECT p.number, p.proto\nFROM ip_protocols p", `no such column: p.proto
  SELECT p.number, p.proto
                   ^
` + columns},
		{"SELECT * FROM ip_protocol", `no such table: ip_protocol
  SELECT * FROM ip_protocol
                ^
did you mean ip_protocols?`},
		{"SELECT * FROM etc_protocols", `no such table: etc_protocols
  SELECT * FROM etc_protocols
                ^
did you mean ip_protocols?`},
		{"SELEC * FROM ip_protocols", `near "SELEC": syntax error
  SELEC * FROM ip_protocols
  ^`},
		{"SELECT name, FROM ip_protocols", `near "FROM": syntax error
  SELECT name, FROM ip_protocols
               ^`},
		{"SELECT name\n\tFROM ip_protocols\n\tWHER number = 6", `near "number": syntax error
   WHER number = 6
        ^`},
		{"SELECT 1; SELECT lenght('ä'), 2", `no such function: lenght
   SELECT lenght('ä'), 2
          ^
did you mean length?`},
		{"SELECT count(name, 1) FROM ip_protocols", `wrong number of arguments to function count()
  SELECT count(name, 1) FROM ip_protocols
         ^`},
		{"SELECT 'x FROM ip_protocols", `unrecognized token: "'x FROM ip_protocols"
  SELECT 'x FROM ip_protocols
         ^`},
		{"SELECT name FROM ip_protocols WHERE number IN (1, 2", "incomplete input"},
		{".tables", `near ".": syntax error
  .tables
  ^
a dot command stands on a line of its own, in sockets.ext shell; sockets.ext schema shows the tables`},
		{"SELECT name, number, aliases, comment, name, number, aliases, comment, numbr, name, number, aliases, comment, name FROM ip_protocols", `no such column: numbr
  …t, name, number, aliases, comment, numbr, name, number, aliases, co…
                                      ^
did you mean number?
` + columns},
	} {
		t.Run(c.sql, func(t *testing.T) {
			_, err := run(t.Context(), open(t, fixtures()), c.sql)
			if err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
	// A word of a column is a text, for which it lacks the quotes.
	_, err := run(t.Context(), open(t, fixtures()), "SELECT 1 FROM tcp_sockets WHERE state = LISTEN")
	if err == nil || !strings.Contains(err.Error(), "\ndid you mean 'LISTEN'?\ntcp_sockets has proto, ") || !strings.Contains(err.Error(), "; sockets.ext schema tcp_sockets shows the hidden ones too, ") {
		t.Errorf("got %v", err)
	}
}

// The tables are in SQLite's own list, whether a statement has named them or not,
// and answer as before.
func TestTablesAreListed(t *testing.T) {
	var want []string
	for _, table := range fixtures() {
		want = append(want, strconv.Quote(table.Name()))
	}
	slices.Sort(want)
	db := open(t, fixtures())
	before := one(t, db, "SELECT proto, local_port, state FROM tcp_sockets ORDER BY 1, 2, 3")
	for _, sql := range []string{
		"SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
		"SELECT tbl_name FROM SQLite_Master ORDER BY 1",
		"SELECT name FROM pragma_table_list WHERE type = 'virtual' ORDER BY name",
	} {
		if diff := cmp.Diff(want, one(t, db, sql)); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", sql, diff)
		}
	}
	if diff := cmp.Diff(before, one(t, db, "SELECT proto, local_port, state FROM tcp_sockets ORDER BY 1, 2, 3")); diff != "" {
		t.Errorf("once listed: want (-), got (+):\n%s", diff)
	}
}
