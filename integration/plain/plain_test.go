package plain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// numbers is a table of the numbers below n.
func numbers(n int64) schema.Table {
	type row struct{ n int64 }
	return schema.Bind(schema.TableDef[row]{
		Name: "t", Doc: "A table.",
		Columns: []schema.AnyColumn[row]{schema.NotNull("n", "Number.", func(r *row) int64 { return r.n })},
		RowID:   func(r *row) int64 { return r.n },
		Rows: func(context.Context, schema.Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) {
				for i := range n {
					if !yield(row{i}, nil) {
						return
					}
				}
			}
		},
	})
}

func host(table schema.Table, rows *[][]int64) *Host {
	return &Host{
		Memory: 1 << 20,
		Table: func(string, []Argument) (schema.Table, schema.Query, error) {
			return table, table.Query(schema.Request{All: true}), nil
		},
		Row: func(cells []schema.Cell) error {
			var row []int64
			for _, c := range cells {
				row = append(row, c.Int)
			}
			*rows = append(*rows, row)
			return nil
		},
	}
}

// descending is what SQLite 3.54 makes of SELECT n FROM t ORDER BY n DESC.
var descending = []Op{
	{Name: "Init", P2: 14},
	{Name: "SorterOpen", P1: 1, P2: 3, P4: "k(1,-B)"},
	{Name: "VOpen"},
	{Name: "Integer", P1: 0, P2: 1},
	{Name: "Integer", P1: 0, P2: 2},
	{Name: "VFilter", P2: 10, P3: 1, P4: "t 0"},
	{Name: "VColumn", P3: 5},
	{Name: "MakeRecord", P1: 5, P2: 1, P3: 7},
	{Name: "SorterInsert", P1: 1, P2: 7, P3: 5, P4: "1"},
	{Name: "VNext", P2: 6},
	{Name: "OpenPseudo", P1: 2, P2: 8, P3: 3},
	{Name: "SorterSort", P1: 1, P2: 17},
	{Name: "SorterData", P1: 1, P2: 8, P3: 2},
	{Name: "Goto", P2: 18},
	{Name: "Transaction", P5: 1},
	{Name: "Goto", P2: 1},
	{Name: "Noop"},
	{Name: "Halt"},
	{Name: "Column", P1: 2, P3: 6},
	{Name: "ResultRow", P1: 6, P2: 1},
	{Name: "SorterNext", P1: 1, P2: 12},
	{Name: "Goto", P2: 17},
}

func columns(table schema.Table) Columns {
	return func(string) ([]schema.ColumnInfo, bool) { return table.Spec().Columns, true }
}

func TestSort(t *testing.T) {
	table := numbers(3)
	p, ok := Compile(descending, columns(table))
	if !ok {
		t.Fatal("the program is refused")
	}
	var rows [][]int64
	if err := p.Run(t.Context(), host(table, &rows)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]int64{{2}, {1}, {0}}, rows); diff != "" {
		t.Error(diff)
	}
}

func TestBounds(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		table := numbers(math.MaxInt64)
		p, _ := Compile(descending, columns(table))
		var rows [][]int64
		if err := p.Run(t.Context(), host(table, &rows)); !errors.Is(err, ErrMemory) || rows != nil {
			t.Errorf("%d rows, error %v", len(rows), err)
		}
	})
	t.Run("context while sorted rows are written", func(t *testing.T) {
		table := numbers(3 * checkEvery)
		p, _ := Compile(descending, columns(table))
		var rows [][]int64
		h := host(table, &rows)
		h.Memory = 1 << 30
		ctx, cancel := context.WithCancel(t.Context())
		add := h.Row
		h.Row = func(cells []schema.Cell) error { cancel(); return add(cells) }
		if err := p.Run(ctx, h); !errors.Is(err, context.Canceled) || len(rows) > 2*checkEvery {
			t.Errorf("%d rows, error %v", len(rows), err)
		}
	})
}

// What a program may not have, each in place of one instruction of descending.
func TestRefused(t *testing.T) {
	table := numbers(1)
	for name, c := range map[string]struct {
		at int
		op Op
	}{
		"an unknown instruction":          {16, Op{Name: "Explode"}},
		"another collation of keys":       {1, Op{Name: "SorterOpen", P1: 1, P2: 3, P4: "k(1,NOCASE)"}},
		"NULLS LAST":                      {1, Op{Name: "SorterOpen", P1: 1, P2: 3, P4: "k(1,N.B)"}},
		"a column that is not there":      {6, Op{Name: "VColumn", P2: 7, P3: 5}},
		"an unknown flag of a comparison": {16, Op{Name: "Eq", P1: 1, P2: 17, P3: 2, P5: 0x20}},
		"a comparison without case":       {16, Op{Name: "Eq", P1: 1, P2: 17, P3: 2, P4: "NOCASE-8"}},
		"a jump outside":                  {13, Op{Name: "Goto", P2: 99}},
		"an error":                        {17, Op{Name: "Halt", P1: 19}},
		"a scan within a loop":            {7, Op{Name: "VFilter", P1: 3, P2: 10, P3: 1, P4: "t 0"}},
		"an end without a Halt":           {21, Op{Name: "Noop"}},
		"an affinity that converts":       {7, Op{Name: "MakeRecord", P1: 5, P2: 1, P3: 7, P4: "B"}},
		"a record that nothing inserts":   {8, Op{Name: "Noop"}},
		"a row without cells":             {19, Op{Name: "ResultRow", P1: 6}},
		"a return to a constant":          {16, Op{Name: "Return", P1: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			ops := append([]Op{}, descending...)
			ops[c.at] = c.op
			if _, ok := Compile(ops, columns(table)); ok {
				t.Error("it passes")
			}
		})
	}
}

func TestCompareIntFloat(t *testing.T) {
	for _, c := range []struct {
		i    int64
		f    float64
		want int
	}{
		{1, 1, 0}, {1, 1.5, -1}, {2, 1.5, 1}, {-1, -1.5, 1},
		{math.MaxInt64, 9223372036854775807, -1}, // which is 2^63
		{math.MinInt64, math.MinInt64, 0}, {math.MinInt64, -1e300, 1},
		{1<<53 + 1, 1 << 53, 1}, {0, math.Inf(1), -1}, {0, math.Inf(-1), 1},
	} {
		t.Run(fmt.Sprint(c.i), func(t *testing.T) {
			if got := compareIntFloat(c.i, c.f); got != c.want {
				t.Errorf("%d and %v: got %d, want %d", c.i, c.f, got, c.want)
			}
		})
	}
}
