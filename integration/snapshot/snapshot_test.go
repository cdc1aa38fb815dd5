package snapshot

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type row struct {
	text   string
	number int64
	null   bool
}

// table is a table of rows.
func table(rows ...row) schema.Table {
	return schema.Bind(schema.TableDef[row]{
		Name: "t", Doc: "A table.",
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("text", "Text.", func(r *row) string { return r.text }),
			schema.Nullable("number", "Number.", func(r *row) (int64, bool) { return r.number, !r.null }),
			schema.NotNull("unused", "Unused.", func(r *row) int64 { return 1 }),
		},
		RowID: func(r *row) int64 { return r.number },
		Rows: func(context.Context, schema.Query) iter.Seq2[row, error] {
			return func(yield func(row, error) bool) {
				for _, r := range rows {
					if !yield(r, nil) {
						return
					}
				}
			}
		},
	})
}

func take(t *testing.T, table schema.Table, memory *Memory, keys ...int) *Snapshot {
	t.Helper()
	scan := table.Scan(t.Context(), table.Query(schema.Request{Used: []string{"text", "number"}}))
	s, err := Take(scan, table.Spec().Columns, Shape{Used: []int{0, 1}, Keys: keys}, memory)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every value is found that SQLite takes for equal, in any of its comparisons: it
// compares a column of texts with a number as numbers, with a text by one of
// three collations, and a column of numbers with whatever is a number.
func TestFindsWhatSQLiteTakesForEqual(t *testing.T) {
	texts := []string{"", " ", "a", "A ", "LISTEN", "listen", "22", "022", "22.0", " 22", "22\t", "2.2e1", "+22", "22.", "22x", "0x16",
		"2.5", "-0", "0", "9007199254740992", "9007199254740993", "9007199254740993.0", "9.007199254740992e15", "9.00719925474099e+15", "22.00000000000000000001",
		"9223372036854775807", "9223372036854775808", "1e400", "inf", "nan", "1_000", "\xff", "ä", "Ä", "10.0.0.1", "-", "e", "."}
	numbers := []int64{0, 1, 22, -22, 9007199254740990, 9007199254740991, 9007199254740992, 9007199254740993, 9223372036854775807}
	floats := []float64{0, 22, 2.5, 9007199254740991, 9007199254740992, 9223372036854775807, 1e300}
	conn, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// As text osquery writes a float with 15 digits.
	stmt, _, err := conn.Prepare(`WITH c(text, number, a, i, f) AS (SELECT CAST(?1 AS TEXT), CAST(?2 AS INTEGER), ?3, CAST(?3 AS INTEGER), CAST(?3 AS REAL))
		SELECT text = a OR text = a COLLATE NOCASE OR text = a COLLATE RTRIM OR (typeof(a) <> 'text' AND (text = i AND i = a OR text = f AND f = a)), number = a, CAST(a AS TEXT) FROM c`)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	var rows []row
	for i := range max(len(texts), len(numbers)) {
		rows = append(rows, row{texts[i%len(texts)], numbers[i%len(numbers)], i == 7})
	}
	tables := []*Snapshot{take(t, table(rows...), NewMemory(1<<20), 0), take(t, table(rows...), NewMemory(1<<20), 1)}
	// The table shows some texts in other bytes.
	shown, _ := take(t, table(rows...), NewMemory(1<<20)).Find(nil)
	for i := range rows {
		var cell schema.Cell
		shown.Next()
		shown.Cell(0, &cell)
		rows[i].text = string(cell.Bytes)
	}
	equal := 0
	check := func(name string, of func(schema.Type, string) Value) {
		for i, r := range rows {
			stmt.BindText(1, r.text)
			stmt.BindInt64(2, r.number)
			if !stmt.Step() {
				t.Fatal(stmt.Err())
			}
			expr := stmt.ColumnText(2)
			for column, kind := range []schema.Type{schema.Text, schema.BigInt} {
				if column == 1 && r.null || !stmt.ColumnBool(column) {
					continue
				}
				equal++
				found, ok := tables[column].Find([][]Value{{of(kind, expr)}})
				for ok && found.Next() {
					ok = found.row != i
				}
				if ok {
					t.Errorf("%s: row %d, %q %d, column %d: not found", name, i, r.text, r.number, column)
				}
			}
			stmt.Reset()
		}
	}
	for _, v := range texts {
		stmt.BindText(3, v)
		check(strconv.Quote(v), Of)
	}
	for _, v := range numbers {
		stmt.BindInt64(3, v)
		check(fmt.Sprint(v), Of)
	}
	for _, v := range floats {
		stmt.BindFloat(3, v)
		check(fmt.Sprint(v), Of)
		check(fmt.Sprint(v), func(t schema.Type, _ string) Value { return OfFloat(t, v) })
	}
	if equal < 100 {
		t.Errorf("%d pairs are equal", equal)
	}
}

func TestFind(t *testing.T) {
	s := take(t, table(row{"a", 1, false}, row{"b", 2, false}, row{"a", 3, true}, row{"c", 4, false}), NewMemory(1<<20), 0, 1)
	of := func(texts ...string) (values []Value) {
		for _, text := range texts {
			values = append(values, Of(schema.Text, text))
		}
		return values
	}
	var many []Value
	for i := range maxKeys/2 + 1 {
		many = append(many, Of(schema.Text, fmt.Sprint(i)))
	}
	for _, c := range []struct {
		name   string
		values [][]Value
		want   string
		ok     bool
	}{
		{"one", [][]Value{of("a"), of("1")}, "[1]", true},
		{"a list", [][]Value{of("a", "c", "A"), of("4", "1")}, "[1 4]", true},
		{"NULL", [][]Value{of("a"), {Null()}}, "[3]", true},
		{"nothing equals NULL", [][]Value{of("a"), {}}, "[]", true},
		{"no number equals a word", [][]Value{of("a"), {Of(schema.BigInt, "x")}}, "[]", true},
		{"what is not known", [][]Value{of("a"), {Of(schema.BigInt, "2.5")}}, "[]", false},
		{"too many", [][]Value{many, of("1", "2")}, "[]", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, ok := s.Find(c.values)
			got := []int64{}
			found := make(map[int64]bool)
			for ok && rows.Next() {
				found[rows.RowID()] = true
				var text, number, unused schema.Cell
				rows.Cell(0, &text)
				rows.Cell(1, &number)
				rows.Cell(2, &unused)
				if unused.Kind != schema.Null || text.Kind != schema.Bytes || number.Kind == schema.Null != (rows.RowID() == 3) {
					t.Errorf("row %d is %+v %+v %+v", rows.RowID(), text, number, unused)
				}
			}
			for id := range int64(5) {
				if found[id] {
					got = append(got, id)
				}
			}
			if fmt.Sprint(got) != c.want || ok != c.ok {
				t.Errorf("got %v %v", got, ok)
			}
		})
	}
}

// Rows of several chunks, and the memory that they take.
func TestMemory(t *testing.T) {
	var rows []row
	for i := range 3 * chunkRows {
		rows = append(rows, row{strconv.Itoa(i), int64(i), false})
	}
	memory := NewMemory(1 << 20)
	s := take(t, table(rows...), memory, 0)
	if held := memory.Held(); held < len(rows)*(2*16+8) || held > 1<<20 {
		t.Errorf("%d bytes", held)
	}
	for i := range rows {
		found, ok := s.Find([][]Value{{Of(schema.Text, strconv.Itoa(i))}})
		if !ok || !found.Next() || found.RowID() != int64(i) || found.Next() {
			t.Fatalf("row %d", i)
		}
	}
	if second := take(t, table(rows...), NewMemory(memory.Held()-1)); second != nil {
		t.Error("a snapshot is larger than its memory")
	}
	held := memory.Held()
	small := NewMemory(held + held/2)
	first := take(t, table(rows...), small, 0)
	if second := take(t, table(rows...), small, 0); first == nil || second != nil || small.Held() != held {
		t.Errorf("%v %v, %d bytes held", first != nil, second != nil, small.Held())
	}
	first.Free()
	if second := take(t, table(rows...), small, 0); second == nil {
		t.Error("what was freed is not there")
	}
}
