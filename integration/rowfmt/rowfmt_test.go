package rowfmt_test

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// null stands for NULL in the rows of the tests.
const null = "\x00NULL"

func cells(row []string) []schema.Cell {
	out := make([]schema.Cell, len(row))
	for i, s := range row {
		if s != null {
			out[i] = schema.Cell{Kind: schema.Bytes, Bytes: []byte(s)}
		}
	}
	return out
}

// format returns what a mode prints of a result.
func format(t testing.TB, mode string, o rowfmt.Options, names []string, rows ...[]string) string {
	t.Helper()
	var out strings.Builder
	w, err := rowfmt.New(mode, &out, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Columns(names); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		c := cells(row)
		if err := w.Row(c); err != nil {
			t.Fatal(err)
		}
		for _, cell := range c { // they are the caller's again
			clear(cell.Bytes)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestFormats(t *testing.T) {
	header, plain := rowfmt.Options{Header: true}, rowfmt.Options{}
	names := []string{"name", "n"}
	rows := [][]string{{"sshd", "22"}, {"a much longer name", null}, {"", "-1"}}
	type result = [][]string

	for _, c := range []struct {
		name, mode string
		o          rowfmt.Options
		names      []string
		rows       result
		want       string
	}{
		{"plain", "pretty", header, names, rows, "" +
			"+--------------------+----+\n" +
			"| name               | n  |\n" +
			"+--------------------+----+\n" +
			"| sshd               | 22 |\n" +
			"| a much longer name |    |\n" +
			"|                    | -1 |\n" +
			"+--------------------+----+\n"},
		{"no header", "pretty", plain, names, rows[:1], "" +
			"+------+----+\n" +
			"| sshd | 22 |\n" +
			"+------+----+\n"},
		{"no rows", "pretty", header, names, nil, ""},
		{"lines", "box", header, names, rows[:2], "" +
			"┌────────────────────┬────┐\n" +
			"│ name               │ n  │\n" +
			"├────────────────────┼────┤\n" +
			"│ sshd               │ 22 │\n" +
			"│ a much longer name │    │\n" +
			"└────────────────────┴────┘\n"},
		{"as wide as the display", "pretty", rowfmt.Options{Width: 13}, names, rows[:1], "" +
			"+------+----+\n" +
			"| sshd | 22 |\n" +
			"+------+----+\n"},
		{"wider than the display", "pretty", rowfmt.Options{Header: true, Width: 26}, names, rows, "" +
			" name = sshd\n" +
			"    n = 22\n\n" +
			" name = a much longer name\n" +
			"    n = \n\n" +
			" name = \n" +
			"    n = -1\n"},
		{"wider than the display, escaped", "box", rowfmt.Options{Width: 3}, []string{"x"}, result{{"a\nb\\"}},
			"    x = a\\x0ab\\\n"},
		{"one row of nothing", "pretty", header, []string{"x"}, result{{null}}, "" +
			"+---+\n| x |\n+---+\n|   |\n+---+\n"},
		{"odd names", "pretty", header, []string{"", "Name", "a\nb", "Name"}, result{{"", "1", "2", "3"}}, "" +
			"+--+------+--------+------+\n" +
			"|  | Name | a\\x0ab | Name |\n" +
			"+--+------+--------+------+\n" +
			"|  | 1    | 2      | 3    |\n" +
			"+--+------+--------+------+\n"},
		{"wide, combining and zero", "pretty", header, []string{"ñ", "日本"}, result{{"日本語", "e\u0301"}, {"ab", "日"}}, "" +
			"+--------+------+\n" +
			"| ñ      | 日本 |\n" +
			"+--------+------+\n" +
			"| 日本語 | e\u0301    |\n" +
			"| ab     | 日   |\n" +
			"+--------+------+\n"},
		{"escapes", "pretty", plain, []string{"x"}, result{{"a\nb\tc\r"}, {"\x1b[31mred\x1b[0m"}, {"\x00\x07\x7f"}, {"\xff\xc3ñ\xe2\x82"},
			{"\u009b\u202e\u200b"}, {`C:\new \x1b`}, {"  kept  "}}, "" +
			"+----------------------------------+\n" +
			`| a\x0ab\x09c\x0d                  |` + "\n" +
			`| \x1b[31mred\x1b[0m               |` + "\n" +
			`| \x00\x07\x7f                     |` + "\n" +
			`| \xff\xc3ñ\xe2\x82                |` + "\n" +
			`| \xc2\x9b\xe2\x80\xae\xe2\x80\x8b |` + "\n" +
			`| C:\new \x1b                      |` + "\n" +
			`|   kept                           |` + "\n" +
			"+----------------------------------+\n"},

		{"plain", "json", header, names, rows, "[\n" +
			`  {"name":"sshd","n":"22"},` + "\n" +
			`  {"name":"a much longer name","n":null},` + "\n" +
			`  {"name":"","n":"-1"}` + "\n]\n"},
		{"as osquery", "json", rowfmt.Options{Strings: true}, names, rows[1:2], "[\n" + `  {"name":"a much longer name","n":""}` + "\n]\n"},
		{"plain", "jsonl", header, names, rows[:2], `{"name":"sshd","n":"22"}` + "\n" + `{"name":"a much longer name","n":null}` + "\n"},
		{"no rows", "jsonl", header, names, nil, ""},
		{"plain", "tsv", header, names, rows[:2], "name\tn\nsshd\t22\na much longer name\t\n"},
		{"escapes", "tsv", plain, []string{"a"}, result{{"a\tb\nc\\d\r\x1b"}}, `a\tb\nc\\d\r` + "\x1b\n"},
		{"plain", "markdown", header, names, rows[:2], "| name | n |\n|---|---|\n| sshd | 22 |\n| a much longer name |  |\n"},
		{"escapes", "markdown", plain, []string{"a|b"}, result{{"x|y\n|\x1b"}}, "| a\\|b |\n|---|\n| x\\|y\\x0a\\|\\x1b |\n"},
		{"no rows", "json", plain, names, nil, "[\n\n]\n"},
		{"no columns", "json", plain, nil, result{{}}, "[\n  {}\n]\n"},
		{"the last of a name wins", "json", plain, []string{"a", "b", "a"}, result{{"1", "2", "3"}}, "[\n" + `  {"b":"2","a":"3"}` + "\n]\n"},
		{"escapes", "json", plain, []string{`<"&\>`}, result{{"\"\\/<>&'"}, {"\n\r\t\b\f\x00\x1f\x7f"}, {"\u0080\u009fé\u00a0\u2028😀"}, {"\xff\xc3a\xed\xa0\x80\ufffd"}}, "[\n" +
			`  {"<\"&\\>":"\"\\/<>&'"},` + "\n" +
			`  {"<\"&\\>":"\n\r\t\u0008\u000c\u0000\u001f\u007f"},` + "\n" +
			`  {"<\"&\\>":"\u0080\u009fé` + "\u00a0\u2028😀" + `"},` + "\n" +
			`  {"<\"&\\>":"\\xff\\xc3a\\xed\\xa0\\x80` + "\ufffd" + `"}` + "\n]\n"},

		{"plain", "csv", header, names, rows, "name,n\nsshd,22\na much longer name,\n,-1\n"},
		{"no header", "csv", plain, names, rows[:1], "sshd,22\n"},
		{"no rows", "csv", header, names, nil, "name,n\n"},
		{"RFC 4180", "csv", rowfmt.Options{Header: true, CRLF: true}, names, rows[:1], "name,n\r\nsshd,22\r\n"},
		{"quotes", "csv", header, []string{"a,b", `"`}, result{{"x,y", `say "hi"`}, {"a\nb", "c\r"}, {" kept ", "it's|é\x00\xff"}, {`""`, ","}}, "" +
			`"a,b",""""` + "\n" + `"x,y","say ""hi"""` + "\n" + "\"a\nb\",\"c\r\"\n" + " kept ,it's|é\x00\xff\n" + `"""""",","` + "\n"},
		{"empty single column", "csv", header, []string{""}, result{{""}, {null}, {"x"}}, "\"\"\n\"\"\n\"\"\nx\n"},
		{"separator", "csv", rowfmt.Options{Header: true, Separator: "\t"}, names, result{{"a,b", "c\td"}}, "name\tn\na,b\t\"c\td\"\n"},
		{"long separator", "csv", rowfmt.Options{Separator: "::"}, names, result{{"a:", "b"}}, "\"a:\"::b\n"},

		{"plain", "line", header, names, rows, "" +
			" name = sshd\n    n = 22\n\n name = a much longer name\n    n = \n\n name = \n    n = -1\n"},
		{"long names", "line", plain, []string{"local_address", "größe", ""}, result{{"::1", "a", "c"}}, "" +
			"local_address = ::1\n        größe = a\n              = c\n"},
		{"escapes", "line", plain, []string{"a\x1b", "b"}, result{{"a\nb = 1", "\x1b[31m\xff"}}, "" +
			"a\\x1b = a\\x0ab = 1\n    b = \\x1b[31m\\xff\n"},
		{"no rows", "line", header, names, nil, ""},

		{"plain", "list", header, names, rows, "name|n\nsshd|22\na much longer name|\n|-1\n"},
		{"no header", "list", plain, names, rows[:1], "sshd|22\n"},
		{"no rows", "list", header, names, nil, "name|n\n"},
		{"nothing is quoted", "list", rowfmt.Options{Separator: ", "}, names, result{{"a, b", "\"\n\x1b"}}, "a, b, \"\n\x1b\n"},
	} {
		t.Run(c.mode+"/"+c.name, func(t *testing.T) {
			if got := format(t, c.mode, c.o, c.names, c.rows...); got != c.want {
				t.Errorf("got\n%s\nwant\n%s\ngot  %q\nwant %q", got, c.want, got, c.want)
			}
		})
	}
}

// The character that stands for what could not be decoded is one like any
// other. How wide it is depends on the locale, so it is not in a box above.
func TestPrettyKeepsReplacementCharacters(t *testing.T) {
	if got := format(t, "pretty", rowfmt.Options{}, []string{"x"}, []string{"\ufffd"}); !strings.Contains(got, "| \ufffd |") {
		t.Errorf("got\n%s", got)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := rowfmt.New("xml", io.Discard, rowfmt.Options{}); err == nil || !strings.Contains(err.Error(), "pretty, box, json, jsonl, csv, tsv, markdown, line, list") {
		t.Errorf("an unknown mode gave %v", err)
	}
	for _, sep := range []string{`"`, "\n", "a\rb"} {
		t.Run(sep, func(t *testing.T) {
			if _, err := rowfmt.New("csv", io.Discard, rowfmt.Options{Separator: sep}); err == nil {
				t.Errorf("csv took the separator %q", sep)
			}
		})
	}
}

// broken takes some bytes and then fails.
type broken struct {
	left int
	err  error
}

func (w *broken) Write(p []byte) (int, error) {
	n := min(w.left, len(p))
	w.left -= n
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}

func TestWriteErrors(t *testing.T) {
	row := cells([]string{strings.Repeat("x", 1000)})
	for _, mode := range rowfmt.Modes() {
		for _, c := range []struct{ give, want error }{{io.ErrClosedPipe, io.ErrClosedPipe}, {nil, io.ErrShortWrite}} {
			w, _ := rowfmt.New(mode, &broken{100_000, c.give}, rowfmt.Options{Header: true})
			err := w.Columns([]string{"x"})
			rows := 0
			for ; err == nil && rows < 1000; rows++ {
				err = w.Row(row)
			}
			if mode != "pretty" && mode != "box" && (!errors.Is(err, c.want) || rows > 200) {
				t.Errorf("%s: %d rows and then %v", mode, rows, err)
			}
			for range 2 {
				if err := w.Close(); !errors.Is(err, c.want) {
					t.Errorf("%s: Close gave %v, want %v", mode, err, c.want)
				}
			}
		}
	}
}

func TestMisuse(t *testing.T) {
	for _, mode := range rowfmt.Modes() {
		for name, use := range map[string]func(rowfmt.Writer) error{
			"row first":       func(w rowfmt.Writer) error { return w.Row(nil) },
			"columns twice":   func(w rowfmt.Writer) error { w.Columns(nil); return w.Columns(nil) },
			"short row":       func(w rowfmt.Writer) error { w.Columns([]string{"a"}); return w.Row(nil) },
			"long row":        func(w rowfmt.Writer) error { w.Columns([]string{"a"}); return w.Row(make([]schema.Cell, 2)) },
			"row after Close": func(w rowfmt.Writer) error { w.Columns(nil); w.Close(); return w.Row(nil) },
		} {
			w, _ := rowfmt.New(mode, io.Discard, rowfmt.Options{})
			if err := use(w); err == nil || w.Close() != err {
				t.Errorf("%s, %s: got %v, then %v", mode, name, err, w.Close())
			}
		}
		var out strings.Builder
		w, _ := rowfmt.New(mode, &out, rowfmt.Options{Header: true})
		if err := w.Close(); err != nil || w.Close() != nil || out.Len() > 0 {
			t.Errorf("%s: without columns: %v, %q", mode, err, out.String())
		}
	}
}

// TestStreams checks that rows come out before the end, a buffer at a time.
func TestStreams(t *testing.T) {
	for _, mode := range []string{"json", "csv", "line", "list"} {
		t.Run(mode, func(t *testing.T) {
			var out bytes.Buffer
			w, _ := rowfmt.New(mode, &out, rowfmt.Options{Header: true})
			w.Columns([]string{"x"})
			row := cells([]string{strings.Repeat("x", 1000)})
			for i := range 1000 {
				w.Row(row)
				if written := (i + 1) * 1000; written-out.Len() > 70_000 {
					t.Fatalf("%d bytes of %d were written", out.Len(), written)
				}
			}
		})
	}
}

// pieces is a Writer that knows the longest of what is written at once.
type pieces struct {
	bytes.Buffer
	longest int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.longest = max(p.longest, len(b))
	return p.Buffer.Write(b)
}

// A large value is printed in pieces, as if it were printed at once.
func TestLargeValues(t *testing.T) {
	unit := "plain text, \"quoted\"|日本\u0301é\n\x00\xff\xe2\x82 😀\x1b[0m\u202e\\x1b"
	large := strings.Repeat(unit, 60_000) // 3 MB, in which every character is cut somewhere
	printable := strings.Repeat(text.Printable(unit), 60_000)
	for _, c := range []struct{ mode, value, want string }{
		{"csv", large, `"` + strings.ReplaceAll(large, `"`, `""`) + "\"\n"},
		{"csv", strings.Repeat("é", 1<<20), strings.Repeat("é", 1<<20) + "\n"},
		{"list", large, large + "\n"},
		{"line", large, "    x = " + printable + "\n"},
		{"json", large, "[\n  {\"x\":\"" + strings.Repeat(jsonText(t, unit), 60_000) + "\"}\n]\n"},
		{"pretty", strings.Repeat(large, 3), "+--+\n| " + strings.Repeat(printable, 3) + " |\n+--+\n"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			var out pieces
			w, err := rowfmt.New(c.mode, &out, rowfmt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			value := []byte(c.value)
			for _, err := range []error{w.Columns([]string{"x"}), w.Row([]schema.Cell{{Kind: schema.Bytes, Bytes: value}}), w.Close()} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if got := out.String(); got != c.want {
				t.Errorf("%d bytes in place of %d, %.100q", len(got), len(c.want), got)
			}
			if out.longest > 128<<10 {
				t.Errorf("%d bytes are written at once", out.longest)
			}
		})
	}
}

// jsonText is a value as it stands in JSON's quotes.
func jsonText(t *testing.T, value string) string {
	t.Helper()
	out := format(t, "json", rowfmt.Options{}, []string{"x"}, []string{value})
	return strings.TrimSuffix(strings.TrimPrefix(out, "[\n  {\"x\":\""), "\"}\n]\n")
}

// A box of more rows than are held has the widths of the first ones, and says so.
// It has all rows.
func TestLargeBox(t *testing.T) {
	var out strings.Builder
	var warnings []string
	w, err := rowfmt.New("pretty", &out, rowfmt.Options{Header: true, Warn: func(s string) { warnings = append(warnings, s) }})
	if err != nil {
		t.Fatal(err)
	}
	const rows = 100_000
	w.Columns([]string{"n", "text"})
	for i := range rows {
		w.Row(cells([]string{fmt.Sprint(i), strings.Repeat("x", 500)}))
		if i == 50_000 && (len(warnings) > 0 || out.Len() > 0) {
			t.Fatalf("after half of the rows: %q, %d bytes", warnings, out.Len())
		}
	}
	w.Row([]schema.Cell{{Kind: schema.Int, Int: 1_000_000}, {Kind: schema.Bytes, Bytes: bytes.Repeat([]byte("y"), 501)}})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != rows+1+4 {
		t.Fatalf("%d lines", len(lines))
	}
	for i := range rows {
		if want := fmt.Sprintf("| %-5d | %s |", i, strings.Repeat("x", 500)); lines[3+i] != want {
			t.Fatalf("row %d is %q", i, lines[3+i])
		}
	}
	border := "+-------+" + strings.Repeat("-", 502) + "+"
	want := []string{border, "| n     | text" + strings.Repeat(" ", 496) + " |", border, "| 1000000 | " + strings.Repeat("y", 501) + " |", border}
	if diff := cmp.Diff(want, append(lines[:3:3], lines[3+rows:]...)); diff != "" {
		t.Error(diff)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "32 MiB") {
		t.Errorf("warnings: %q", warnings)
	}
}

func TestNoAllocations(t *testing.T) {
	row := cells([]string{"tcp", "127.0.0.1", "a \"quoted\",\nfield", null})
	for _, mode := range []string{"json", "csv", "line", "list"} {
		t.Run(mode, func(t *testing.T) {
			w, _ := rowfmt.New(mode, io.Discard, rowfmt.Options{Header: true})
			w.Columns([]string{"a", "b", "c", "d"})
			for range 10_000 { // until the buffer has its size
				w.Row(row)
			}
			if n := testing.AllocsPerRun(10_000, func() { w.Row(row) }); n > 0 {
				t.Errorf("%v allocations a row", n)
			}
		})
	}
}

// sqlite3 runs the command line tool of SQLite on a result.
func sqlite3(t *testing.T, options []string, names []string, rows [][]string) string {
	t.Helper()
	var selects []string
	for _, row := range rows {
		var exprs []string
		for i, v := range row {
			e := "NULL"
			if v != null {
				e = "CAST(x'" + hex.EncodeToString([]byte(v)) + "' AS TEXT)"
			}
			exprs = append(exprs, e+` AS "`+strings.ReplaceAll(names[i], `"`, `""`)+`"`)
		}
		selects = append(selects, "SELECT "+strings.Join(exprs, ", "))
	}
	args := append(append([]string{"-batch"}, options...), ":memory:", strings.Join(selects, " UNION ALL "))
	out, err := exec.Command("sqlite3", args...).Output()
	if err != nil {
		if os.Getenv("SOCKETS_MUST_RUN") == "1" || !errors.Is(err, exec.ErrNotFound) {
			t.Fatal(err)
		}
		t.Skip(errors.Join(err, errors.ErrUnsupported))
	}
	return string(out)
}

func TestAgainstSQLite(t *testing.T) {
	names := []string{"proto", "local_address", "n"}
	rows := [][]string{{"tcp", "127.0.0.1", "22"}, {null, "x y", "it's"}, {"a,b", `say "hi"`, "two\nlines"}, {"|", "grüße", ""}, {"-1.5", " x ", null}}

	for _, c := range []struct {
		mode    string
		options []string
		o       rowfmt.Options
	}{
		{"list", []string{"-list", "-header"}, rowfmt.Options{Header: true}},
		{"list", []string{"-list", "-noheader"}, rowfmt.Options{}},
		{"list", []string{"-list", "-header", "-separator", " ; "}, rowfmt.Options{Header: true, Separator: " ; "}},
		{"line", []string{"-line"}, rowfmt.Options{Header: true}},
	} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) {
			want := sqlite3(t, c.options, names, rows)
			if c.mode == "line" { // in which a value of ours is a line
				want = strings.Replace(want, "two\nlines", `two\x0alines`, 1)
			}
			if got := format(t, c.mode, c.o, names, rows...); got != want {
				t.Errorf("%v\ngot  %q\nwant %q", c.options, got, want)
			}
		})
	}

	for _, c := range []struct {
		options []string
		o       rowfmt.Options
	}{
		{[]string{"-csv", "-header"}, rowfmt.Options{Header: true}},
		{[]string{"-csv", "-noheader"}, rowfmt.Options{}},
		{[]string{"-csv", "-header", "-separator", ";"}, rowfmt.Options{Header: true, Separator: ";"}},
	} {
		t.Run(strings.Join(c.options, " "), func(t *testing.T) {
			// The bytes are the same where sqlite3 sees no need for quotes, but for
			// the line ends: sqlite3 has CRLF after .mode csv only ...
			simple := [][]string{{"tcp", "::1", "22"}, {null, "x", null}, {"a,b;c", `say "hi"`, "two\nlines"}}
			got, want := format(t, "csv", c.o, names, simple...), sqlite3(t, c.options, names, simple)
			if diff := cmp.Diff(strings.ReplaceAll(want, "\r\n", "\n"), strings.ReplaceAll(got, "\r\n", "\n")); diff != "" {
				t.Errorf("sqlite3 (-), ours (+):\n%s", diff)
			}
			// ... and the meaning is the same everywhere.
			got, want = format(t, "csv", c.o, names, rows...), sqlite3(t, c.options, names, rows)
			if diff := cmp.Diff(readCSV(t, want, c.o.Separator), readCSV(t, got, c.o.Separator)); diff != "" {
				t.Errorf("sqlite3 (-), ours (+):\n%s", diff)
			}
		})
	}
}

func readCSV(t *testing.T, s, separator string) [][]string {
	t.Helper()
	r := csv.NewReader(strings.NewReader(s))
	if separator != "" {
		r.Comma, _ = utf8.DecodeRuneInString(separator)
	}
	records, err := r.ReadAll()
	if err != nil {
		t.Fatalf("%v in %q", err, s)
	}
	return records
}

// FuzzRowfmt reads csv and json back, and measures pretty's box.
func FuzzRowfmt(f *testing.F) {
	f.Add("name|n\x01sshd|22\x01a,b|say \"hi\"", uint8(2), ",")
	f.Add("x||\x01|\r\n|\xff\xfe|\x1b[0m|\u202e", uint8(1), "\t")
	f.Add("日本|e\u0301|\x00|\\|\u200d|😀", uint8(3), "é")
	f.Fuzz(func(t *testing.T, data string, columns uint8, separator string) {
		width := int(columns%8) + 1
		var rows [][]string
		for row := range slices.Chunk(strings.Split(data, "|"), width) {
			rows = append(rows, append(row, make([]string, width-len(row))...))
		}
		names := rows[0]

		for _, mode := range []string{"line", "list"} {
			if out := format(t, mode, rowfmt.Options{Header: true, Separator: separator}, names, rows[1:]...); len(rows) > 1 && !strings.HasSuffix(out, "\n") {
				t.Fatalf("%s ends with %q", mode, out)
			}
		}

		if r, size := utf8.DecodeRuneInString(separator); size == len(separator) && (size == 0 || r != utf8.RuneError && !strings.ContainsRune("\"\r\n\x00", r)) {
			got := readCSV(t, format(t, "csv", rowfmt.Options{Header: true, Separator: separator}, names, rows[1:]...), separator)
			want := make([][]string, len(rows))
			for i, row := range rows {
				for _, v := range row {
					// encoding/csv reads CRLF as LF, in quotes too.
					want[i] = append(want[i], strings.ReplaceAll(v, "\r\n", "\n"))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("csv: want (-), got (+):\n%s", diff)
			}
		}

		var objects []map[string]string
		if out := format(t, "json", rowfmt.Options{}, names, rows[1:]...); json.Unmarshal([]byte(out), &objects) != nil || !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
			t.Fatalf("json: %q", out)
		}
		if len(objects) != len(rows)-1 {
			t.Fatalf("json: %d objects, want %d", len(objects), len(rows)-1)
		}
		for i, row := range rows[1:] {
			want := make(map[string]string)
			for j, v := range row {
				want[valid(names[j])] = valid(v)
			}
			if diff := cmp.Diff(want, objects[i]); diff != "" {
				t.Fatalf("json: want (-), got (+):\n%s", diff)
			}
		}

		box := format(t, "pretty", rowfmt.Options{Header: true}, names, rows[1:]...)
		if len(rows) == 1 {
			if box != "" {
				t.Fatalf("pretty: %q for no rows", box)
			}
			return
		}
		lines := strings.Split(strings.TrimSuffix(box, "\n"), "\n")
		if len(lines) != len(rows)+3 {
			t.Fatalf("pretty: %d lines for %d rows:\n%s", len(lines), len(rows)-1, box)
		}
		for _, line := range lines {
			if displayed(line) != len(lines[0]) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Fatalf("pretty: %q is bent:\n%s", line, box)
			}
		}
	})
}

// displayed is the sum of the widths of the characters.
func displayed(s string) (n int) {
	for _, r := range s {
		n += runewidth.RuneWidth(r)
	}
	return n
}

// valid writes each byte that is not UTF-8 as \xNN.
func valid(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd") {
			fmt.Fprintf(&b, "\\x%02x", s[i])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func benchmark(b *testing.B, mode string, rows int) {
	row := cells([]string{"tcp", "ESTABLISHED", "10.1.2.3", "443", "192.168.100.200", "51234", "0", "0", "www-data", "nginx: worker"})
	var names []string
	for i := range row {
		names = append(names, fmt.Sprintf("column_%d", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		w, err := rowfmt.New(mode, io.Discard, rowfmt.Options{Header: true})
		if err != nil {
			b.Fatal(err)
		}
		w.Columns(names)
		for range rows {
			w.Row(row)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows*len(row)), "ns/cell")
}

func BenchmarkCSV(b *testing.B)    { benchmark(b, "csv", 10_000) }
func BenchmarkList(b *testing.B)   { benchmark(b, "list", 10_000) }
func BenchmarkLine(b *testing.B)   { benchmark(b, "line", 10_000) }
func BenchmarkJSON(b *testing.B)   { benchmark(b, "json", 10_000) }
func BenchmarkPretty(b *testing.B) { benchmark(b, "pretty", 10_000) }

// Numbers are printed as osqueryi prints them, and quoted where a separator is part
// of one.
func TestNumbers(t *testing.T) {
	row := []schema.Cell{
		{Kind: schema.Int, Int: -15}, {Kind: schema.Float, Float: 92.0 / 15}, {Kind: schema.Float, Float: 1e20}, {Kind: schema.Float, Float: math.Inf(-1)}, {},
		{Kind: schema.Bytes},
	}
	for _, c := range []struct{ mode, separator, want string }{
		{"csv", "", "-15,6.13333333333333,1.0e+20,-Inf,,\n"},
		{"csv", "5", "\"-15\"56.1333333333333351.0e+205-Inf55\n"},
		{"csv", "-", "\"-15\"-6.13333333333333-1.0e+20-\"-Inf\"--\n"},
		{"list", "", "-15|6.13333333333333|1.0e+20|-Inf||\n"},
		{"json", "", "[\n  {\"a\":-15,\"b\":6.13333333333333,\"c\":1.0e+20,\"d\":\"-Inf\",\"e\":null,\"f\":\"\"}\n]\n"},
	} {
		t.Run(c.mode+c.separator, func(t *testing.T) {
			var out strings.Builder
			w, err := rowfmt.New(c.mode, &out, rowfmt.Options{Separator: c.separator})
			if err != nil {
				t.Fatal(err)
			}
			w.Columns([]string{"a", "b", "c", "d", "e", "f"})
			w.Row(row)
			w.Close()
			if diff := cmp.Diff(c.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
	var texts rowfmt.Texts
	if diff := cmp.Diff([][]byte{[]byte("-15"), []byte("6.13333333333333"), []byte("1.0e+20"), []byte("-Inf"), nil, {}}, texts.Of(row)); diff != "" {
		t.Error(diff)
	}
}
