// Package rowfmt prints the rows of a query in the output modes of osqueryi and
// sqlite3.
//
//	mode    for      looks like
//	pretty  people   a box of + - | around all rows; nothing at all for no rows
//	json    programs an array of objects, one a line, every value a string
//	csv     programs RFC 4180: comma, CRLF, quotes where they are needed
//	line    people   one "name = value" a line, a blank line between rows
//	list    scripts  values with a separator between them, never quoted
//
// NULL is printed as an empty text in every mode, as osqueryi does.
//
// A table's values are visible UTF-8 on one line (see package text) and are
// printed as they are. Expressions can make other values, such as char(27) or
// x'ff'. pretty, line and json print those without control characters:
//   - pretty and line write the bytes of what is not visible as \xNN, but leave
//     each backslash, since a table's value may hold an escape;
//   - json writes controls as JSON does, \n and \u001b, and a byte that is not
//     UTF-8 as the text \xNN.
//
// csv and list give out the bytes that they are given.
//
// Where the tools themselves differ, this package does the following:
//   - line prints a newline in a value as \x0a, sqlite3 and osqueryi as it is.
//   - csv and list print the header for no rows, too; sqlite3 and osqueryi do not.
//   - csv quotes fields with a separator, quote or line end in them. sqlite3 also
//     quotes fields with blanks, apostrophes or bytes outside ASCII, and an
//     empty text that is not NULL. Here only a row of one empty field is "", as
//     it could not be told from a blank line.
//   - csv has CRLF, and commas by default. sqlite3 -csv has plain newlines, .mode csv
//     CRLF; osqueryi --csv has plain newlines, and | unless --separator is given.
//   - pretty counts display columns, so that wide characters do not bend the
//     box; osqueryi counts code points. Characters of ambiguous width are wide
//     in an East Asian locale.
package rowfmt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Writer prints one result. Columns comes first and once, then each Row, then
// Close. After an error every further call returns that error.
type Writer interface {
	// Columns names the columns. Names may repeat and may be empty.
	Columns(names []string) error
	// Row prints one row. The cells are not used after the call.
	Row(cells []schema.Cell) error
	// Close ends the result and writes what is still buffered. It does not
	// close the underlying writer. Without Columns nothing is printed.
	Close() error
}

// Options change what the modes print.
type Options struct {
	// Header asks for the names of the columns in pretty, csv and list.
	Header bool
	// Separator stands between the values of csv and list. Empty means the
	// mode's own, "," or "|".
	Separator string
}

// Modes returns the names that [New] knows, the default of osqueryi first.
func Modes() []string { return []string{"pretty", "json", "csv", "line", "list"} }

// New returns a Writer for a mode that prints to w. Except in pretty rows are
// written as they come, through a buffer of 64 KiB.
func New(mode string, w io.Writer, o Options) (Writer, error) {
	separator := func(preset string) string {
		if o.Separator != "" {
			return o.Separator
		}
		return preset
	}
	s := &stream{w: w}
	switch mode {
	case "pretty":
		s.format = &pretty{header: o.Header}
	case "json":
		s.format = &json{}
	case "csv":
		sep := separator(",")
		if strings.ContainsAny(sep, "\"\r\n") {
			return nil, fmt.Errorf("csv can not be separated by %q", sep)
		}
		s.format = newCSV(sep, o.Header)
	case "line":
		s.format = &line{}
	case "list":
		s.format = &list{separator: separator("|"), header: o.Header}
	default:
		return nil, fmt.Errorf("unknown output mode %q: want one of %s", mode, strings.Join(Modes(), ", "))
	}
	return s, nil
}

// format appends the parts of a result to b and returns it.
type format interface {
	begin(b []byte, names []string) []byte
	// row appends one row, which has as many cells as begin had names. first
	// is true for the first row.
	row(b []byte, cells []schema.Cell, first bool) []byte
	end(b []byte) []byte
}

// bufferSize is how much a stream collects before it writes.
const bufferSize = 64 << 10

// stream is the Writer of every format. It owns the buffer and the errors.
type stream struct {
	w       io.Writer
	format  format
	buf     []byte
	err     error
	phase   phase
	columns int
	rows    bool // there was one
}

// phase is what was called last: nothing, Columns or Row, Close.
type phase uint8

const (
	created phase = iota
	begun
	closed
)

func (s *stream) Columns(names []string) error {
	if s.err == nil && s.phase != created {
		s.err = errors.New("the columns of a result are named once, before its rows")
	}
	if s.err != nil {
		return s.err
	}
	s.phase, s.columns = begun, len(names)
	s.buf = s.format.begin(s.buf, names)
	return s.flush(bufferSize)
}

func (s *stream) Row(cells []schema.Cell) error {
	switch {
	case s.err != nil:
		return s.err
	case s.phase != begun:
		s.err = errors.New("a row before the columns are named or after the end")
		return s.err
	case len(cells) != s.columns:
		s.err = fmt.Errorf("a row of %d cells in a result of %d columns", len(cells), s.columns)
		return s.err
	}
	s.buf = s.format.row(s.buf, cells, !s.rows)
	s.rows = true
	return s.flush(bufferSize)
}

func (s *stream) Close() error {
	if s.err == nil && s.phase == begun {
		s.buf = s.format.end(s.buf)
		s.flush(1)
	}
	s.phase, s.buf = closed, nil
	return s.err
}

// flush writes the buffer if it holds limit bytes or more. The error stays.
func (s *stream) flush(limit int) error {
	if len(s.buf) >= limit {
		n, err := s.w.Write(s.buf)
		if err == nil && n < len(s.buf) {
			err = io.ErrShortWrite
		}
		s.buf, s.err = s.buf[:0], err
	}
	return s.err
}

// csv is RFC 4180, with any separator.
type csv struct {
	separator string
	header    bool
	quoted    [256]bool // the bytes that make a field need quotes
	inNumbers bool      // a number may have such a byte
}

func newCSV(separator string, header bool) *csv {
	f := &csv{separator: separator, header: header}
	// The separator's first byte is enough to look for: a quote too many does
	// no harm.
	for _, c := range []byte{'"', '\r', '\n', separator[0]} {
		f.quoted[c] = true
	}
	f.inNumbers = strings.IndexByte("0123456789+-.eInf", separator[0]) >= 0
	return f
}

func (f *csv) begin(b []byte, names []string) []byte {
	if f.header {
		cells := make([]schema.Cell, len(names))
		for i, name := range names {
			cells[i] = schema.Cell{Kind: schema.Bytes, Bytes: []byte(name)}
		}
		b = f.row(b, cells, true)
	}
	return b
}

func (f *csv) row(b []byte, cells []schema.Cell, _ bool) []byte {
	start := len(b)
	for i := range cells {
		if i > 0 {
			b = append(b, f.separator...)
		}
		c := &cells[i]
		switch {
		case c.Kind == schema.Bytes:
			b = f.field(b, c.Bytes)
		case f.inNumbers:
			b = f.field(b, AppendCell(nil, c))
		default:
			b = AppendCell(b, c)
		}
	}
	if len(b) == start {
		b = append(b, `""`...)
	}
	return append(b, "\r\n"...)
}

func (f *csv) field(b, cell []byte) []byte {
	for _, c := range cell {
		if f.quoted[c] {
			return appendQuoted(b, cell)
		}
	}
	return append(b, cell...)
}

func appendQuoted(b, cell []byte) []byte {
	b = append(b, '"')
	for {
		i := bytes.IndexByte(cell, '"')
		if i < 0 {
			break
		}
		b = append(append(b, cell[:i]...), `""`...)
		cell = cell[i+1:]
	}
	return append(append(b, cell...), '"')
}

func (*csv) end(b []byte) []byte { return b }

// list puts a separator between the values and quotes nothing.
type list struct {
	separator string
	header    bool
}

func (f *list) begin(b []byte, names []string) []byte {
	if f.header {
		b = append(append(b, strings.Join(names, f.separator)...), '\n')
	}
	return b
}

func (f *list) row(b []byte, cells []schema.Cell, _ bool) []byte {
	for i := range cells {
		if i > 0 {
			b = append(b, f.separator...)
		}
		b = AppendCell(b, &cells[i])
	}
	return append(b, '\n')
}

func (*list) end(b []byte) []byte { return b }

// line prints a value a line, the names right-aligned in at least five columns.
type line struct {
	names []string // with the blanks before and the " = " behind
}

func (f *line) begin(b []byte, names []string) []byte {
	width := 5
	for _, name := range names {
		f.names = append(f.names, text.Printable(name))
		width = max(width, utf8.RuneCountInString(f.names[len(f.names)-1]))
	}
	for i, name := range f.names {
		f.names[i] = fmt.Sprintf("%*s = ", width, name)
	}
	return b
}

func (f *line) row(b []byte, cells []schema.Cell, first bool) []byte {
	if !first {
		b = append(b, '\n')
	}
	for i := range cells {
		b = append(appendPrintable(append(b, f.names[i]...), &cells[i]), '\n')
	}
	return b
}

func (*line) end(b []byte) []byte { return b }

// json is an array of objects. Keys come in the order of the columns; of those
// with the same name the last one is printed, as osquery's rows are maps.
type json struct {
	keys []string // with quotes and colon, empty if a later column has the name
}

func (f *json) begin(b []byte, names []string) []byte {
	for _, name := range names {
		key := string(append(appendJSON(nil, []byte(name)), ':'))
		if i := slices.Index(f.keys, key); i >= 0 {
			f.keys[i] = ""
		}
		f.keys = append(f.keys, key)
	}
	return append(b, "[\n"...)
}

func (f *json) row(b []byte, cells []schema.Cell, first bool) []byte {
	if !first {
		b = append(b, ",\n"...)
	}
	b = append(b, "  {"...)
	comma := false
	for i := range cells {
		if f.keys[i] == "" {
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = append(b, f.keys[i]...)
		if c := &cells[i]; c.Kind == schema.Bytes {
			b = appendJSON(b, c.Bytes)
		} else {
			b = append(AppendCell(append(b, '"'), c), '"')
		}
	}
	return append(b, '}')
}

func (*json) end(b []byte) []byte { return append(b, "\n]\n"...) }

// appendJSON appends a value as a JSON string (RFC 8259, section 7).
func appendJSON(b, value []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0 // of what is to be copied as it is
	for i := 0; i < len(value); {
		c := value[i]
		if c >= ' ' && c != '"' && c != '\\' && c < 0x7f {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, size = utf8.DecodeRune(value[i:]); r > 0x9f && (r != utf8.RuneError || size > 1) {
				i += size
				continue
			}
		}
		b = append(b, value[start:i]...)
		switch {
		case r == utf8.RuneError:
			b = append(b, '\\', '\\', 'x', hex[c>>4], hex[c&0xF])
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		default: // the controls up to U+009F
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xF])
		}
		i += size
		start = i
	}
	return append(append(b, value[start:]...), '"')
}
