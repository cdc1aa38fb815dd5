package osquery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/memlimit"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

var _ osquerygo.OsqueryPlugin = (*TablePlugin)(nil)

// row is a row of the table t, which has a column of each kind.
type row struct {
	id   int64
	text string
	port uint16
	big  int64
	none bool
}

// table makes the table t of rows, which rows gives whatever the query says.
func table(rows func(context.Context, schema.Query) iter.Seq2[row, error]) schema.Table {
	return schema.Bind(schema.TableDef[row]{
		Name: "t", Doc: "A table.",
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("text", "Text.", func(r *row) string { return r.text }, schema.Pushed),
			schema.NotNull("port", "Port.", func(r *row) uint16 { return r.port }, schema.Pushed, schema.Synonym("p")),
			schema.NotNull("secret", "Hidden.", func(*row) string { return "s" }, schema.Hidden),
			schema.NotNull("big", "Number.", func(r *row) int64 { return r.big }),
			schema.Nullable("maybe", "NULL for a row that has none.", func(r *row) (int64, bool) { return r.big, !r.none }),
			schema.Nullable("maybe_text", "Empty for a row that has none.", func(r *row) (string, bool) { return r.text, !r.none }),
		},
		RowID: func(r *row) int64 { return r.id },
		Rows:  rows,
	})
}

// A call fails with an error that names the limit when the program takes more
// memory; the next one is answered.
func TestMemoryLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	var held [][]byte
	greedy := true
	p := NewTablePlugin(table(func(ctx context.Context, _ schema.Query) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			for greedy && ctx.Err() == nil && len(held) < 1<<10 {
				held = append(held, bytes.Repeat([]byte{1}, 1<<20))
				time.Sleep(time.Millisecond)
			}
			held = nil
			if err := ctx.Err(); err != nil {
				yield(row{}, err)
				return
			}
			yield(row{}, nil)
		}
	}))
	h := newHandler(hclog.NewNullLogger(), 1, []Plugin{p})
	h.memory = memlimit.New(128 << 20)
	request := osquery.ExtensionPluginRequest{"action": "generate", "context": "{}"}
	r, err := h.Call(t.Context(), "table", "t", request)
	if err != nil || r.Status.Code != 1 || !strings.Contains(r.Status.Message, "table t: the query was given up: it takes more than the memory limit of 128MiB") {
		t.Errorf("%v, %v", r, err)
	}
	greedy = false
	if r, err := h.Call(t.Context(), "table", "t", request); err != nil || r.Status.Code != 0 || len(r.Response) != 1 {
		t.Errorf("the next call: %v, %v", r, err)
	}
}

func fixed(rows ...row) schema.Table {
	return table(func(context.Context, schema.Query) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
		}
	})
}

// generate asks the plugin for rows as osquery does.
func generate(t testing.TB, p *TablePlugin, queryContext string) osquery.ExtensionResponse {
	t.Helper()
	return p.Call(t.Context(), osquery.ExtensionPluginRequest{"action": "generate", "context": queryContext})
}

// The requests were recorded from a real osqueryi for a table foo(x, n, d, a,
// pid); here they stand with the names of the table t.
func TestPluginAnswersRecordedRequests(t *testing.T) {
	p := NewTablePlugin(fixed(
		row{id: 11, text: "a", port: 7, big: 1},
		row{id: 12, text: "b", port: 3, big: 2},
		row{id: 13, text: "abc", port: 8, big: 3, none: true},
	))
	constraints := func(text, port string) string {
		return `"constraints":[{"name":"text","list":[` + text + `],"affinity":"TEXT"},{"name":"port","list":[` + port + `],"affinity":"BIGINT"}]`
	}
	for _, c := range []struct{ name, context, want string }{
		{"SELECT maybe WHERE text='a'", `{` + constraints(`{"op":2,"expr":"a"}`, ``) + `,"colsUsed":["maybe","text"],"colsUsedBitset":3}`,
			"[maybe:1 rowid:11 text:a]"},
		{"port > 5 AND port < 8", `{` + constraints(``, `{"op":4,"expr":"5"},{"op":16,"expr":"8"}`) + `,"colsUsed":["port"]}`,
			"[port:7 rowid:11]"},
		{"LIKE 'a%'", `{` + constraints(`{"op":65,"expr":"a%"}`, ``) + `,"colsUsed":["text"]}`,
			"[rowid:11 text:a][rowid:12 text:b][rowid:13 text:abc]"},
		{"IN ('a','b') of an OPTIMIZED INDEX", `{` + constraints(`{"op":2,"expr":"a"},{"op":2,"expr":"b"}`, ``) + `,"colsUsed":["text"]}`,
			"[rowid:11 text:a][rowid:12 text:b]"},
		{"count(*)", `{` + constraints(``, ``) + `,"colsUsed":[]}`, "[rowid:11][rowid:12][rowid:13]"},
		{"LIMIT 1", `{` + constraints(`{"op":73,"expr":"1"}`, ``) + `,"colsUsed":["port"]}`, "[port:7 rowid:11][port:3 rowid:12][port:8 rowid:13]"},
		{"what is NULL or an empty text has no key", `{` + constraints(``, ``) + `,"colsUsed":["maybe","maybe_text"]}`,
			"[maybe:1 maybe_text:a rowid:11][maybe:2 maybe_text:b rowid:12][rowid:13]"},
		{"ops as texts and empty lists as texts of old osquery", `{"constraints":[{"name":"text","list":[{"op":"2","expr":"b"}],"affinity":"TEXT"},{"name":"port","list":"","affinity":"BIGINT"}],"colsUsed":["text"]}`,
			"[rowid:12 text:b]"},
		{"a synonym", `{"constraints":[{"name":"p","list":[{"op":2,"expr":"8"}],"affinity":"INTEGER"}],"colsUsed":["p"]}`, "[p:8 rowid:13]"},
		{"an op beyond any", `{` + constraints(`{"op":258,"expr":"a"}`, ``) + `,"colsUsed":[]}`, "[rowid:11][rowid:12][rowid:13]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := generate(t, p, c.context)
			var got strings.Builder
			for _, row := range r.Response {
				var cells []string
				for _, name := range slices.Sorted(maps.Keys(row)) {
					cells = append(cells, name+":"+row[name])
				}
				fmt.Fprintf(&got, "[%s]", strings.Join(cells, " "))
			}
			if r.Status.Code != 0 || got.String() != c.want {
				t.Errorf("%v %s\ngot  %s\nwant %s", r.Status.Code, r.Status.Message, got.String(), c.want)
			}
		})
	}
	// Absent colsUsed, as of osquery before 4: every column.
	for _, context := range []string{``, `{}`, `{"constraints":[]}`} {
		t.Run(context, func(t *testing.T) {
			if r := generate(t, p, context); len(r.Response) != 3 || len(r.Response[0]) != len(p.table.Spec().Columns)+1 {
				t.Errorf("context %q: %+v", context, r)
			}
		})
	}
}

func TestPluginRefuses(t *testing.T) {
	p := NewTablePlugin(fixed())
	for _, c := range []struct{ action, context, want string }{
		{"generate", `{"constraints":`, "query context"},
		{"generate", `{"constraints":[{"name":"text","list":[{"op":"x"}]}]}`, "query context"},
		{"insert", `{}`, `"insert"`},
		{"", ``, `""`},
	} {
		t.Run(c.action, func(t *testing.T) {
			r := p.Call(t.Context(), osquery.ExtensionPluginRequest{"action": c.action, "context": c.context})
			if r.Status.Code != 1 || !strings.Contains(r.Status.Message, c.want) || !strings.Contains(r.Status.Message, "table t") {
				t.Errorf("%s %s: %+v", c.action, c.context, r.Status)
			}
		})
	}
}

// Options of osquery: 1 INDEX, 8 OPTIMIZED, 16 HIDDEN. None may be 0, which
// osquery turns into INDEX.
func TestPluginRoutes(t *testing.T) {
	var got []string
	for _, r := range NewTablePlugin(fixed()).Routes() {
		got = append(got, strings.TrimSpace(r["id"]+" "+r["name"]+" "+r["type"]+r["target"]+" "+r["op"]))
	}
	want := []string{
		"column text TEXT 9", "column port INTEGER 9", "column big BIGINT 8", "column maybe BIGINT 8", "column maybe_text TEXT 8", "column secret TEXT 24", "columnAlias p port",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func endless(ctx context.Context, _ schema.Query) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for i := int64(0); yield(row{id: i, text: "some text"}, nil); i++ {
		}
	}
}

func TestPluginFailsBeforeOsqueryDoes(t *testing.T) {
	p := NewTablePlugin(table(endless))
	p.MaxResponse = 1 << 20
	r := generate(t, p, `{"colsUsed":["text"]}`)
	if r.Status.Code != 1 || !strings.Contains(r.Status.Message, "1048576 bytes") || !strings.Contains(r.Status.Message, "fewer columns") || r.Response != nil {
		t.Errorf("got %+v", r.Status)
	}
}

// Part of an answer is none.
func TestPluginAnswersNoPart(t *testing.T) {
	for want, rows := range map[string]func(context.Context, schema.Query) iter.Seq2[row, error]{
		"table t: broken": func(context.Context, schema.Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) { _ = yield(row{}, nil) && yield(row{}, errors.New("broken")) }
		},
		`table t: \xff\x1b[31m`: func(context.Context, schema.Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) { _ = yield(row{}, nil) && yield(row{}, errors.New("\xff\x1b[31m")) }
		},
		"table t: panic: oh": func(context.Context, schema.Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) { yield(row{}, nil); panic("oh") }
		},
	} {
		t.Run(want, func(t *testing.T) {
			r := generate(t, NewTablePlugin(table(rows)), "")
			if r.Status.Code != 1 || r.Status.Message != want || len(r.Response) != 0 {
				t.Errorf("got %+v, want %s", r, want)
			}
		})
	}
}

func TestPluginTimesOut(t *testing.T) {
	p := NewTablePlugin(table(endless))
	p.Timeout = 10 * time.Millisecond
	r := generate(t, p, `{"colsUsed":[]}`)
	if r.Status.Code != 1 || !strings.Contains(r.Status.Message, "deadline") || r.Response != nil {
		t.Errorf("got %+v", r.Status)
	}
}

func FuzzParseContext(f *testing.F) {
	f.Add(`{"constraints":[{"name":"x","list":[{"op":2,"expr":"a"}],"affinity":"TEXT"}],"colsUsed":["a","x"],"colsUsedBitset":3}`)
	f.Add(`{"constraints":[{"name":"x","list":"","affinity":"TEXT"}]}`)
	f.Add(`{"constraints":[{"name":"x","list":[],"affinity":"TEXT"},{"name":"\\",\"list\":[],","list":[{"op":2,"expr":"{}\"}],"}],"affinity":"TEXT"},{"name":"y","list":[],"affinity":"TEXT"}],"colsUsed":[]}`)
	f.Add(`{"constraints":[{"name":"x","list":[],"affinity":"TEXT"}],"colsUsed":["x"]}`)
	f.Add(`{"constraints":[{"name":"0","list":[],"affinity":"","list":[{}]}]}`)
	f.Add(`{"constraints":[{"name":"0","list":[{"op":2}],"x":"","list":[],"affinity":""}]}`)
	table := fixed(row{text: "a"})
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseContext(text)
		if err == nil {
			table.Query(r)
		}
		// What is cut out says nothing.
		whole, wholeErr := parseJSON(text)
		if wholeErr != nil {
			return
		}
		if diff := cmp.Diff(whole, r); diff != "" || err != nil {
			t.Errorf("%v, want (-), got (+):\n%s", err, diff)
		}
	})
}

type number struct{ n int64 }

// numbers is a table of three rows, or what rows gives.
func numbers(rows func(context.Context) iter.Seq2[number, error]) schema.Table {
	return schema.Bind(schema.TableDef[number]{
		Name: "numbers", Doc: "Numbers.", Examples: []string{"SELECT 1", "SELECT 2"},
		Columns: []schema.AnyColumn[number]{schema.NotNull("n", "Number.", func(r *number) int64 { return r.n })},
		RowID:   func(r *number) int64 { return r.n },
		Rows:    func(ctx context.Context, _ schema.Query) iter.Seq2[number, error] { return rows(ctx) },
	})
}

func three(context.Context) iter.Seq2[number, error] {
	return func(yield func(number, error) bool) {
		for n := range int64(3) {
			if !yield(number{n}, nil) {
				return
			}
		}
	}
}

func TestStatsOfPlugins(t *testing.T) {
	fails := false
	table := numbers(func(ctx context.Context) iter.Seq2[number, error] {
		if fails {
			return func(yield func(number, error) bool) { yield(number{}, errors.New("oh")) }
		}
		return three(ctx)
	})
	s := schema.NewStats(table)
	p := NewTablePlugin(table)
	p.Stats, p.Prefix = s, "x_"
	if p.Name() != "x_numbers" {
		t.Errorf("its name is %s", p.Name())
	}
	if before := s.Tables(); len(before) != 1 || before[0] != (schema.TableStats{Name: "numbers"}) {
		t.Errorf("%+v", before)
	}
	request := osquery.ExtensionPluginRequest{"action": "generate"}
	p.Call(t.Context(), request)
	p.Call(t.Context(), request)
	fails = true
	p.Call(t.Context(), request)
	p.Call(t.Context(), osquery.ExtensionPluginRequest{"action": "columns"})
	got := s.Tables()[0]
	if got.Queries != 3 || got.Rows != 6 || got.Errors != 1 || !strings.Contains(got.LastError, "oh") || got.LastErrorTime.IsZero() || got.P50 <= 0 || got.P99 < got.P50 {
		t.Errorf("%+v", got)
	}
}

// A source that does not see the end of its query fails it, by name, and
// nothing else.
func TestStalledSource(t *testing.T) {
	release := make(chan struct{})
	stalls := true
	p := NewTablePlugin(numbers(func(ctx context.Context) iter.Seq2[number, error] {
		if !stalls {
			return three(ctx)
		}
		return func(yield func(number, error) bool) {
			for n := range int64(3) {
				yield(number{n}, nil)
			}
			<-release
		}
	}))
	p.Timeout = 10 * time.Millisecond
	start := time.Now()
	r := p.Call(t.Context(), osquery.ExtensionPluginRequest{"action": "generate"})
	if r.Status.Code == 0 || !strings.Contains(r.Status.Message, "table numbers: its source stalls") || len(r.Response) != 0 {
		t.Errorf("%+v", r)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	stalls = false
	if r := p.Call(t.Context(), osquery.ExtensionPluginRequest{"action": "generate"}); r.Status.Code != 0 || fmt.Sprint(len(r.Response)) != "3" {
		t.Errorf("afterwards: %+v", r)
	}
	close(release)
}
