package watch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/watch"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// rows makes a run: a text is its rows with a line each, and the values of one with
// blanks between them; - is NULL.
func rows(t *testing.T, names, text string) *watch.Rows {
	t.Helper()
	r := new(watch.Rows)
	if err := r.Columns(strings.Fields(names)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 100)
	for line := range strings.Lines(text) {
		var cells []schema.Cell
		buf = buf[:0]
		for value := range strings.FieldsSeq(line) {
			start := len(buf)
			buf = append(buf, value...)
			c := schema.Cell{Kind: schema.Bytes, Bytes: buf[start:]}
			if value == "-" {
				c = schema.Cell{}
			}
			cells = append(cells, c)
		}
		if err := r.Row(cells); err != nil { // which keeps nothing of buf
			t.Fatal(err)
		}
	}
	return r
}

// spelled writes a difference with a mark before each row.
func spelled(d *watch.Difference) string {
	var b strings.Builder
	for _, row := range d.Rows {
		b.WriteByte(" +-~"[row.Change])
		for _, cells := range [][]schema.Cell{row.Before, row.Cells} {
			if cells == nil {
				continue
			}
			for _, c := range cells {
				b.WriteByte(' ')
				if c.Kind == schema.Null {
					b.WriteByte('-')
				}
				b.Write(c.Bytes)
			}
			if row.Before != nil && &cells[0] == &row.Before[0] {
				b.WriteString(" ->")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	for _, c := range []struct{ name, before, after, want string }{
		{"nothing", "a 1\nb 2", "a 1\nb 2", "  a 1\n  b 2\n"},
		{"another order", "a 1\nb 2", "b 2\na 1", "  b 2\n  a 1\n"},
		{"came and went", "a 1\nb 2", "b 2\nc 3", "  b 2\n+ c 3\n- a 1\n"},
		{"equal rows", "a 1\na 1\na 1", "a 1\na 1", "  a 1\n  a 1\n- a 1\n"},
		{"equal rows that come", "a 1", "a 1\na 1", "  a 1\n+ a 1\n"},
		{"changed", "a 1\nb 2", "a 1\nb 3", "  a 1\n~ b 2 -> b 3\n"},
		{"the most alike one", "a 1 1 1\na 2 2 2", "a 1 2 2\na 1 1 2", "~ a 2 2 2 -> a 1 2 2\n~ a 1 1 1 -> a 1 1 2\n"},
		{"less than half alike", "a 1 1\nb 2 2", "a 3 3\nb 2 2", "+ a 3 3\n  b 2 2\n- a 1 1\n"},
		{"another first value", "a 1 1\nx 0 0", "b 1 1\nx 0 0", "+ b 1 1\n  x 0 0\n- a 1 1\n"},
		{"a row each", "7", "8", "~ 7 -> 8\n"},
		{"a row each, the same", "7", "7", "  7\n"},
		{"NULL", "a -", "a b", "~ a - -> a b\n"},
		{"texts that run together", "ab c\nx x", "a bc\nx x", "+ a bc\n  x x\n- ab c\n"},
		{"all", "", "a 1", "+ a 1\n"},
		{"none", "a 1", "", "- a 1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := watch.Compare(rows(t, "x y z", c.before), rows(t, "x y z", c.after))
			if diff := cmp.Diff(c.want, spelled(d)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestLog(t *testing.T) {
	before, after := rows(t, "name n", "a 1\nb 2\nc 3"), rows(t, "name n", "a 1\nb 5\nd 4")
	at := time.Unix(1_800_000_000, 0)
	var out strings.Builder
	if err := watch.Compare(nil, before).Log(&out, at, true); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	if err := watch.Compare(before, after).Log(&out, at, false); err != nil {
		t.Fatal(err)
	}
	const want = `{"action":"added","columns":{"name":"a","n":"1"},"unixTime":1800000000}
{"action":"added","columns":{"name":"b","n":"2"},"unixTime":1800000000}
{"action":"added","columns":{"name":"c","n":"3"},"unixTime":1800000000}

{"action":"removed","columns":{"name":"b","n":"2"},"unixTime":1800000000}
{"action":"added","columns":{"name":"b","n":"5"},"unixTime":1800000000}
{"action":"added","columns":{"name":"d","n":"4"},"unixTime":1800000000}
{"action":"removed","columns":{"name":"c","n":"3"},"unixTime":1800000000}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestDraw(t *testing.T) {
	d := watch.Compare(rows(t, "name n", "a 1\nb 2\nc 3"), rows(t, "name n", "a 1\nb 5\nd 4"))
	for _, c := range []struct {
		name   string
		screen watch.Screen
		want   string
	}{
		{"plain", watch.Screen{}, `now: 3 rows, 1 came, 1 went, 1 changed
+---+------+---+
| ± | name | n |
+---+------+---+
|   | a    | 1 |
| ~ | b    | 5 |
| + | d    | 4 |
| - | c    | 3 |
+---+------+---+

`},
		{"coloured, anew", watch.Screen{Width: 80, Height: 24, Colour: true, Box: true, Redraw: true}, "\x1b[H" + `now: 3 rows, 1 came, 1 went, 1 changed` + "\x1b[K\n" +
			"┌───┬──────┬───┐\x1b[K\n" +
			"│ ± │ name │ n │\x1b[K\n" +
			"├───┼──────┼───┤\x1b[K\n" +
			"│   │ a    │ 1 │\x1b[K\n" +
			"\x1b[33m│ ~ │ b    │ 5 │\x1b[0m\x1b[K\n" +
			"\x1b[32m│ + │ d    │ 4 │\x1b[0m\x1b[K\n" +
			"\x1b[31m│ - │ c    │ 3 │\x1b[0m\x1b[K\n" +
			"└───┴──────┴───┘\x1b[K\n\x1b[J"},
		{"small", watch.Screen{Width: 37, Height: 7}, `3 rows, 1 came, 1 went, 1 changed
+---+------+---+
| ± | name | n |
+---+------+---+
|   | a    | 1 |
… the screen has no room for the rest

`},
		{"narrow", watch.Screen{Width: 15, Height: 6, Colour: true}, `3 rows, 1 came, 1 went, 1 changed
    ± = 
 name = a
    n = 1
… the screen has no room for the rest

`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			if err := d.Draw(&out, c.screen, "now"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, out.String()); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestRowsRefuse(t *testing.T) {
	r := new(watch.Rows)
	r.Columns([]string{"x"})
	if err := r.Columns([]string{"x"}); err == nil || !strings.Contains(err.Error(), "several statements") {
		t.Errorf("two results gave %v", err)
	}
	large := schema.Cell{Kind: schema.Bytes, Bytes: make([]byte, 1<<20)}
	n := 0
	var err error
	for ; err == nil && n < 1000; n++ {
		err = r.Row([]schema.Cell{large})
	}
	if err == nil || n > 64 || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("%d MiB gave %v", n, err)
	}
}

// A loop runs at once and again, and ends with the first failure or the context.
func TestLoop(t *testing.T) {
	stop := errors.New("stop")
	runs := 0
	err := watch.Loop(t.Context(), time.Millisecond, func() error {
		if runs++; runs == 3 {
			return stop
		}
		return nil
	})
	if err != stop || runs != 3 {
		t.Errorf("%d runs and %v", runs, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	err = watch.Loop(ctx, time.Hour, func() error { cancel(stop); return nil })
	if err != stop {
		t.Errorf("the context's end gave %v", err)
	}
}
