package schema

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// row is a table of everything that a column may be.
type row struct {
	id   int64
	text string
	port uint16
	big  int64
	real float64
	addr netip.Addr
	none bool
}

var port = NotNull("port", "Port.", func(r *row) uint16 { return r.port }, Pushed, Synonym("p"))

// table makes a table of rows, which Rows gives whatever the query says.
func table(rows func(context.Context, Query) iter.Seq2[row, error]) Table {
	return Bind(TableDef[row]{
		Name: "t", Doc: "A table.",
		Columns: []AnyColumn[row]{
			NotNull("text", "Text.", func(r *row) string { return r.text }, Pushed),
			port,
			NotNull("secret", "Hidden.", func(r *row) string { return "s" }, Hidden, Needs(2)),
			NotNull("big", "Number.", func(r *row) int64 { return r.big }),
			NotNull("real", "Number.", func(r *row) float64 { return r.real }),
			NotNull("addr", "Address.", func(r *row) netip.Addr { return r.addr }),
			Nullable("maybe", "NULL for a row that has none.", func(r *row) (int64, bool) { return r.big, !r.none }, Needs(1)),
			Nullable("maybe_text", "Empty for a row that has none.", func(r *row) (string, bool) { return r.text, !r.none }),
		},
		RowID: func(r *row) int64 { return r.id },
		Rows:  rows,
	})
}

func fixed(rows ...row) Table {
	return table(func(context.Context, Query) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
			}
		}
	})
}

// scanIDs returns the identities of the rows that a request gives.
func scanIDs(t testing.TB, table Table, r Request) (ids []int64) {
	t.Helper()
	s := table.Scan(t.Context(), table.Query(r))
	defer s.Close()
	for s.Next() {
		ids = append(ids, s.RowID())
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestColumnOrderAndTypes(t *testing.T) {
	var got []string
	for _, c := range fixed().Spec().Columns {
		got = append(got, fmt.Sprint(c.Name, " ", c.Type, " ", c.Hidden, " ", c.SynonymOf))
	}
	want := []string{
		"text TEXT false ", "port INTEGER false ", "big BIGINT false ", "real DOUBLE false ", "addr TEXT false ",
		"maybe BIGINT false ", "maybe_text TEXT false ", "secret TEXT true ", "p INTEGER true port",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Every way in which a constraint can be written, and the rows that must be
// among those it gives; rows that must not be are those a filter is for.
func TestConstraints(t *testing.T) {
	rows := []row{
		{id: 1, text: "listen", port: 22, big: math.MaxInt64, addr: netip.MustParseAddr("127.0.0.1")},
		{id: 2, text: "LISTEN", port: 80, big: math.MinInt64, addr: netip.MustParseAddr("::ffff:127.0.0.1")},
		{id: 3, text: "22", port: 0, big: -1, addr: netip.MustParseAddr("::1")},
		{id: 4, text: "", port: 65535, big: 1 << 53, none: true},
	}
	all := []int64{1, 2, 3, 4}
	table := fixed(rows...)
	for _, c := range []struct {
		column string
		op     Op
		values []string
		want   []int64
	}{
		{"text", EQ, []string{"LISTEN"}, []int64{1, 2}}, // COLLATE NOCASE arrives as a plain =
		{"text", EQ, []string{"listen  "}, []int64{1, 2}},
		{"text", EQ, []string{"22"}, []int64{3}},
		{"text", EQ, []string{"22", "listen"}, []int64{1, 2, 3}},
		{"text", GT, []string{"a"}, all},
		{"port", EQ, []string{"22"}, []int64{1}},
		{"port", EQ, []string{" 22 "}, []int64{1}},
		{"port", EQ, []string{"22.0"}, []int64{1}},
		{"port", EQ, []string{"2.2e1"}, []int64{1}},
		{"port", EQ, []string{"022"}, []int64{1}},
		{"port", EQ, []string{"22", "80"}, []int64{1, 2}},
		{"p", EQ, []string{"22"}, []int64{1}},
		{"port", EQ, []string{"22", "x"}, all},
		{"port", EQ, []string{"22x"}, all},
		{"port", EQ, []string{"0x16"}, all},
		{"port", EQ, []string{""}, all},
		{"port", EQ, []string{"70000"}, all},
		{"port", EQ, []string{"22.5"}, all},
		{"port", GT, []string{"22"}, []int64{2, 4}},
		{"port", GE, []string{"22"}, []int64{1, 2, 4}},
		{"port", LT, []string{"22"}, []int64{3}},
		{"port", LE, []string{"22"}, []int64{1, 3}},
		{"port", GT, []string{"21.5"}, []int64{1, 2, 4}},
		{"port", GE, []string{"21.5"}, []int64{1, 2, 4}},
		{"port", LT, []string{"22.5"}, []int64{1, 3}},
		{"port", LE, []string{"22.5"}, []int64{1, 3}},
		{"port", GT, []string{"21.9999999999999964"}, all}, // more digits than a double keeps
		{"port", GT, []string{"22.0"}, []int64{1, 2, 4}},   // may stand for 21.99999999999999999
		{"port", LT, []string{"22.0"}, []int64{1, 3}},
		{"port", GT, []string{"x"}, all},
		{"port", LT, []string{"-1"}, nil},
		{"port", GT, []string{"1e300"}, all},
		{"big", EQ, []string{"9223372036854775807"}, []int64{1}},
		{"big", GT, []string{"9007199254740991"}, []int64{1, 4}},
		{"big", GT, []string{"9223372036854775807"}, all},
		{"big", LT, []string{"-9223372036854775808"}, all},
		{"big", EQ, []string{"9007199254740992.0"}, all},
		{"real", EQ, []string{"1"}, all},
		{"addr", EQ, []string{"127.0.0.1"}, []int64{1, 4}}, // an absent text is '' and left to SQLite
		{"addr", EQ, []string{"::ffff:7f00:1"}, []int64{2, 4}},
		{"addr", EQ, []string{"localhost"}, all},
		{"addr", EQ, []string{"fe80::1%eth0"}, all},
		{"maybe", EQ, []string{"-1"}, []int64{3}},
		{"maybe", GT, []string{"-5"}, []int64{1, 3}},
		{"maybe_text", EQ, []string{"22"}, []int64{3, 4}},
		{"nosuch", EQ, []string{"1"}, all},
		{"port", 73, []string{"1"}, all}, // LIMIT
		{"port", 65, []string{"1"}, all}, // LIKE
		{"port", 0, []string{"1"}, all},
	} {
		t.Run(c.column, func(t *testing.T) {
			r := Request{All: true}
			for _, v := range c.values {
				r.Constraints = append(r.Constraints, Constraint{c.column, c.op, v})
			}
			got := scanIDs(t, table, r)
			if c.column == "addr" { // the row without one has the invalid address
				got = slices.Compact(slices.Sorted(slices.Values(append(got, 4))))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s %d %q gives rows %v, want %v", c.column, c.op, c.values, got, c.want)
			}
		})
	}
}

// A list of very many values is left to the host.
func TestLongLists(t *testing.T) {
	var rows []row
	r := Request{All: true}
	for i := range 20_000 {
		rows = append(rows, row{id: int64(i), port: uint16(i)})
		if i%2 == 0 {
			r.Constraints = append(r.Constraints, Constraint{"port", EQ, fmt.Sprint(i)})
		}
	}
	table := fixed(rows...)
	if got := scanIDs(t, table, r); len(got) != len(rows) {
		t.Errorf("%d rows, want all %d", len(got), len(rows))
	}
	r.Constraints = r.Constraints[:maxIn]
	if got := scanIDs(t, table, r); len(got) != maxIn {
		t.Errorf("%d rows, want %d", len(got), maxIn)
	}
	if got := port.Values(table.Query(Request{Constraints: []Constraint{{"port", EQ, "5"}, {"port", EQ, "3"}, {"port", EQ, "5.0"}}})); !slices.Equal(got, []uint16{3, 5}) {
		t.Errorf("got %v", got)
	}
}

func TestNeeds(t *testing.T) {
	table := fixed()
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{}, "false false"},
		{Request{Used: []string{"maybe"}}, "true false"},
		{Request{Constraints: []Constraint{{"secret", EQ, "s"}}}, "false true"},
		{Request{Constraints: []Constraint{{"secret", 65, "s"}}}, "false false"},
		{Request{All: true}, "true true"},
	} {
		t.Run(fmt.Sprintf("%+v", c.r), func(t *testing.T) {
			q := table.Query(c.r)
			if got := fmt.Sprint(q.Needs(1), " ", q.Needs(2)); got != c.want {
				t.Errorf("%+v needs %s, want %s", c.r, got, c.want)
			}
		})
	}
}

// An error, a panic or the end of the context is the scan's error, and rows
// that came with it are not the answer.
func TestFailingTables(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		rows func(context.Context, Query) iter.Seq2[row, error]
		want string
	}{
		"error": {func(context.Context, Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) { _ = yield(row{}, nil) && yield(row{}, broken) }
		}, "table t: broken"},
		"panic before": {func(context.Context, Query) iter.Seq2[row, error] { panic("oh") }, "table t: panic: oh"},
		"panic within": {func(context.Context, Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) { yield(row{}, nil); panic("oh") }
		}, "table t: panic: oh"},
	} {
		t.Run(name, func(t *testing.T) {
			table := table(c.rows)
			s := table.Scan(t.Context(), table.Query(Request{}))
			for s.Next() {
			}
			if s.Err() == nil || s.Err().Error() != c.want {
				t.Errorf("got %v, want %s", s.Err(), c.want)
			}
			s.Close()
			if err := table.Each(t.Context(), table.Query(Request{}), func(Row) bool { return true }); err == nil || err.Error() != c.want {
				t.Errorf("Each: got %v, want %s", err, c.want)
			}
		})
	}
}

func TestPanicInAccessor(t *testing.T) {
	table := Bind(TableDef[row]{
		Name: "t", Doc: "A table.",
		Columns: []AnyColumn[row]{NotNull("c", "Column.", func(*row) string { panic("oh") })},
		RowID:   func(r *row) int64 { return r.id },
		Rows: func(context.Context, Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) { yield(row{}, nil) }
		},
	})
	for name, r := range map[string]Request{
		"read":     {All: true},
		"compared": {Constraints: []Constraint{{Column: "c", Op: EQ, Value: "x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := table.Scan(t.Context(), table.Query(r))
			for s.Next() {
			}
			if s.Err() == nil || s.Err().Error() != "table t: panic: oh" {
				t.Errorf("got %v", s.Err())
			}
			s.Close()
			var cell Cell
			err := table.Each(t.Context(), table.Query(r), func(row Row) bool { row.Cell(0, &cell); return true })
			if err == nil || err.Error() != "table t: panic: oh" {
				t.Errorf("Each: got %v", err)
			}
		})
	}
}

func TestLazy(t *testing.T) {
	made := 0
	rows := func(context.Context, Query) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) { yield(row{}, nil) }
	}
	l := Lazy("t", func() Table { made++; return table(rows) })
	if l.Name() != "t" || made != 0 {
		t.Errorf("%s was made %d times for its name", l.Name(), made)
	}
	visited := 0
	if err := l.Each(t.Context(), l.Query(Request{}), func(Row) bool { visited++; return true }); err != nil || visited != 1 || l.Spec().Name != "t" || made != 1 {
		t.Errorf("%d rows, %v, made %d times", visited, err, made)
	}
	defer func() {
		if recover() == nil {
			t.Error("a table of another name passes")
		}
	}()
	Lazy("other", func() Table { return table(rows) }).Spec()
}

// SQLite has one bit for all columns behind the 63rd: none of those may cost
// anything, or change which rows there are.
func TestWideTable(t *testing.T) {
	wide := func(visible int, options ...Option) (spec *Spec, panicked any) {
		defer func() { panicked = recover() }()
		columns := []AnyColumn[row]{
			NotNull("cheap", "Hidden.", func(*row) string { return "" }, Hidden),
			NotNull("costly", "Hidden.", func(*row) string { return "" }, append(options, Hidden, Synonym("other"))...),
		}
		for i := range visible {
			columns = append(columns, NotNull(fmt.Sprint("c", i), "Visible.", func(*row) string { return "" }))
		}
		return Bind(TableDef[row]{
			Name: "t", Doc: "A table.", Columns: columns, RowID: func(r *row) int64 { return r.id },
			Rows: func(context.Context, Query) iter.Seq2[row, error] { return func(func(row, error) bool) {} },
		}).Spec(), nil
	}
	// "other" repeats "costly", which has its bit though it may cost nothing.
	for name, option := range map[string]Option{"needs": Needs(1), "scope": Scope, "no cost": Shared} {
		t.Run(name, func(t *testing.T) {
			for _, visible := range []int{60, 61} {
				spec, panicked := wide(visible, option)
				if panicked != nil {
					t.Fatal(panicked)
				}
				var last []string
				for _, c := range spec.Columns[visible:] {
					last = append(last, c.Name)
				}
				want := map[int][]string{60: {"cheap", "costly", "other"}, 61: {"costly", "other", "cheap"}}[visible]
				if !slices.Equal(last, want) {
					t.Errorf("%d visible columns, then %v, want %v", visible, last, want)
				}
			}
			if _, panicked := wide(62, option); panicked == nil || !strings.Contains(fmt.Sprint(panicked), "other") {
				t.Errorf("its synonym is the 64th column: %v", panicked)
			}
			if _, panicked := wide(63, option); panicked == nil {
				t.Error("it is the 64th column, which passes")
			}
		})
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	stopped := false
	table := table(func(context.Context, Query) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			for yield(row{}, nil) {
			}
			stopped = true
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := table.Scan(ctx, table.Query(Request{}))
	n := 0
	for s.Next() {
		if n++; n == 1000 {
			cancel()
		}
	}
	if !errors.Is(s.Err(), context.Canceled) || n > 1000+(ahead+3)*batchSize || !stopped {
		t.Errorf("%d rows and then %v; the table has ended: %v", n, s.Err(), stopped)
	}
	s.Close()
}

// A host that wants one row must not wait for many, and one that closes early
// must end the table.
func TestScanIsLazy(t *testing.T) {
	var made atomic.Int64
	ended := false
	table := table(func(context.Context, Query) iter.Seq2[row, error] {
		return func(yield func(row, error) bool) {
			defer func() { ended = true }()
			for i := range 100_000 {
				made.Add(1)
				if !yield(row{id: int64(i)}, nil) {
					return
				}
			}
		}
	})
	s := table.Scan(t.Context(), table.Query(Request{}))
	if !s.Next() || made.Load() > 6000 {
		t.Errorf("%d rows were made for the first", made.Load())
	}
	s.Close()
	if !ended {
		t.Error("the table goes on after Close")
	}
}

func TestBindRefuses(t *testing.T) {
	good := TableDef[row]{
		Name: "t", Doc: "A table.", Columns: []AnyColumn[row]{port},
		RowID: func(r *row) int64 { return r.id },
		Rows:  func(context.Context, Query) iter.Seq2[row, error] { return nil },
	}
	Bind(good)
	for name, change := range map[string]func(*TableDef[row]){
		"no name":     func(t *TableDef[row]) { t.Name = "" },
		"no doc":      func(t *TableDef[row]) { t.Doc = "" },
		"no rows":     func(t *TableDef[row]) { t.Rows = nil },
		"no identity": func(t *TableDef[row]) { t.RowID = nil },
		"twice":       func(t *TableDef[row]) { t.Columns = append(t.Columns, port) },
		"undocumented": func(t *TableDef[row]) {
			t.Columns = append(t.Columns, NotNull("x", "", func(*row) string { return "" }))
		},
		"rowid": func(t *TableDef[row]) {
			t.Columns = append(t.Columns, NotNull("rowid", "X.", func(*row) string { return "" }))
		},
	} {
		bad := good
		change(&bad)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: Bind took it", name)
				}
			}()
			Bind(bad)
		}()
	}
}

func TestParseNumberAgreesWithFloats(t *testing.T) {
	for text, want := range map[string]float64{"1": 1, "-1": -1, "+1": 1, "1e3": 1000, "1E3": 1000, "1.5": 1.5, "1e-1": 0.1, "\t1\n": 1} {
		t.Run(text, func(t *testing.T) {
			if f, _, ok := parseNumber(text); !ok || f != want {
				t.Errorf("%q is %v, %v", text, f, ok)
			}
		})
	}
	for _, text := range []string{"", " ", "+", "-", ".", "1.", ".5", "e1", "1e", "1e1.5", "1 2", "0x1", "inf", "nan", "1_0", "1e999", "--1", "1-1", "\u00a01"} {
		t.Run(text, func(t *testing.T) {
			if f, whole, ok := parseNumber(text); ok {
				t.Errorf("%q is taken for %v, %v", text, f, whole)
			}
		})
	}
}

// A text is shown escaped, by Col and Opt, and what is shown finds its row: here
// and nowhere else, as the escapes of two texts differ.
func TestTextsAreEscaped(t *testing.T) {
	shown := map[int64]string{1: `a\x1b[31m`, 2: `a\x5cx1b[31m`, 3: `\xff`, 4: `by\x2duuid`}
	table := fixed(row{id: 1, text: "a\x1b[31m"}, row{id: 2, text: `a\x1b[31m`}, row{id: 3, text: "\xff"}, row{id: 4, text: `by\x2duuid`})
	columns := table.Spec().Columns
	for _, name := range []string{"text", "maybe_text"} {
		t.Run(name, func(t *testing.T) {
			scan := table.Scan(t.Context(), table.Query(Request{All: true}))
			defer scan.Close()
			var cell Cell
			for scan.Next() {
				scan.Cell(slices.IndexFunc(columns, func(c ColumnInfo) bool { return c.Name == name }), &cell)
				if got := string(cell.Bytes); got != shown[scan.RowID()] {
					t.Errorf("got %s, want %s", got, shown[scan.RowID()])
				}
			}
			for id, value := range shown {
				got := scanIDs(t, table, Request{All: true, Constraints: []Constraint{{name, EQ, value}}})
				if !slices.Equal(got, []int64{id}) {
					t.Errorf("= '%s' gives rows %v, want %d", value, got, id)
				}
			}
		})
	}
}

// Join gets the rows that meet the constraints on columns that do not need it,
// and only where the query needs it.
func TestJoin(t *testing.T) {
	owner := NotNull("owner", "Known only after the join.", func(r *row) string { return r.text }, Needs(4|1))
	big := NotNull("big", "Number.", func(r *row) int64 { return r.big }, Needs(1))
	var joined []int64
	table := Bind(TableDef[row]{
		Name: "t", Doc: "A table.",
		Columns: []AnyColumn[row]{owner, big},
		RowID:   func(r *row) int64 { return r.id },
		Rows: func(context.Context, Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) {
				for i := range int64(6) {
					if !yield(row{id: i, big: i % 3}, nil) {
						return
					}
				}
			}
		},
		Joined: 4,
		Join: func(_ context.Context, _ Query, rows iter.Seq2[row, error]) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) {
				for r, err := range rows {
					joined = append(joined, r.id)
					if r.text = "odd"; r.id%2 == 0 {
						r.text = "even"
					}
					if !yield(r, err) {
						return
					}
				}
			}
		},
	})
	for name, c := range map[string]struct {
		used           []string
		where          []Constraint
		joined, passed []int64
	}{
		"no owner":          {[]string{"big"}, []Constraint{{"big", EQ, "1"}}, nil, []int64{1, 4}},
		"no constraint":     {[]string{"owner"}, nil, []int64{0, 1, 2, 3, 4, 5}, []int64{0, 1, 2, 3, 4, 5}},
		"before":            {[]string{"owner"}, []Constraint{{"big", EQ, "1"}}, []int64{1, 4}, []int64{1, 4}},
		"before and after":  {[]string{"big"}, []Constraint{{"big", EQ, "1"}, {"owner", EQ, "odd"}}, []int64{1, 4}, []int64{1}},
		"after only":        {[]string{"owner"}, []Constraint{{"owner", EQ, "even"}}, []int64{0, 1, 2, 3, 4, 5}, []int64{0, 2, 4}},
		"nothing is joined": {[]string{"owner"}, []Constraint{{"big", EQ, "7"}}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			joined = nil
			got := scanIDs(t, table, Request{Used: c.used, Constraints: c.where})
			if !slices.Equal(got, c.passed) || !slices.Equal(joined, c.joined) {
				t.Errorf("%d of the joined %d, want %d of %d", got, joined, c.passed, c.joined)
			}
		})
	}
}

// SQLite's NOCASE takes ASCII letters of either case for equal, and no others.
func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"":              "",
		"listen":        "listen",
		"LISTEN  ":      "listen",
		"aBC-Z@[":       "abc-z@[",
		"\u00c4\u212a":  "\u00c4\u212a",
		"\xffA\x80B":    "\xffa\x80b",
		"\u00a0A\u00a0": "\u00a0a\u00a0",
	} {
		t.Run(in, func(t *testing.T) {
			if got := fold(in); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
