// Package rowfmt prints the rows of a query in the output modes of osqueryi and
// sqlite3.
//
//	mode      for      looks like
//	pretty    people   a box of + - | around all rows; nothing at all for no rows
//	box       people   the same with lines of Unicode, as sqlite3 draws it
//	json      programs an array of objects, one a line
//	jsonl     programs an object a line
//	csv       programs RFC 4180: comma, quotes where they are needed
//	tsv       programs tabs between the values; \t, \n, \r and \\ in them
//	markdown  people   a table of Markdown
//	line      people   one "name = value" a line, a blank line between rows
//	list      scripts  values with a separator between them, never quoted
//
// NULL is null in json and jsonl, and an empty text in every other mode, as osqueryi
// prints it.
//
// A table's values are visible UTF-8 on one line (see package text) and are
// printed as they are. Expressions can make other values, such as char(27) or
// x'ff'. pretty, box, markdown, line and json print those without control characters:
//   - pretty, box, markdown and line write the bytes of what is not visible as \xNN, but leave
//     each backslash, since a table's value may hold an escape;
//   - json writes controls as JSON does, \n and \u001b, and a byte that is not
//     UTF-8 as the text \xNN.
//
// csv, tsv and list give out the bytes that they are given.
//
// Where the tools themselves differ, this package does the following:
//   - line prints a newline in a value as \x0a, sqlite3 and osqueryi as it is.
//   - csv and list print the header for no rows, too; sqlite3 and osqueryi do not.
//   - csv quotes fields with a separator, quote or line end in them. sqlite3 also
//     quotes fields with blanks, apostrophes or bytes outside ASCII, and an
//     empty text that is not NULL. Here only a row of one empty field is "", as
//     it could not be told from a blank line.
//   - csv has commas by default, and plain newlines, as sqlite3 -csv has; osqueryi
//     --csv has | unless --separator is given.
//   - json has numbers as numbers, as sqlite3 -json does; osqueryi has strings.
//   - pretty counts display columns, so that wide characters do not bend the
//     box; osqueryi counts code points. Characters of ambiguous width are wide
//     in an East Asian locale.
package rowfmt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
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
	// Header asks for the names of the columns in pretty, box, csv, tsv and list.
	Header bool
	// Separator stands between the values of csv and list. Empty means the
	// mode's own, "," or "|".
	Separator string
	// Strings makes every value of json and jsonl a string, and NULL the empty one, as
	// osqueryi does.
	Strings bool
	// CRLF ends the lines of csv as RFC 4180 wants it.
	CRLF bool
	// Width is how many columns the display has that the result is for. pretty and
	// box print rows that are wider as line does. 0 is no limit.
	Width int
	// Warn, if it is not nil, is told in a line what a reader of the result
	// has to know of its form.
	Warn func(string)
}

// Modes returns the names that [New] knows, the default of osqueryi first.
func Modes() []string {
	return []string{"pretty", "box", "json", "jsonl", "csv", "tsv", "markdown", "line", "list"}
}

// New returns a Writer for a mode that prints to w. Rows are written as they come,
// through a buffer of 64 KiB, and a large value in pieces of its size. pretty and box
// hold the first rows, up to 32 MiB of them.
func New(mode string, w io.Writer, o Options) (Writer, error) {
	separator := func(preset string) string {
		if o.Separator != "" {
			return o.Separator
		}
		return preset
	}
	s := &stream{output: output{w: w}}
	switch mode {
	case "pretty":
		s.format = &pretty{header: o.Header, max: o.Width, warn: o.Warn, frame: ascii()}
	case "box":
		s.format = &pretty{header: o.Header, max: o.Width, warn: o.Warn, frame: lines()}
	case "json":
		s.format = &json{strings: o.Strings}
	case "jsonl":
		s.format = &json{lines: true, strings: o.Strings}
	case "tsv":
		s.format = &tsv{header: o.Header}
	case "markdown":
		s.format = &markdown{}
	case "csv":
		sep := separator(",")
		if strings.ContainsAny(sep, "\"\r\n") {
			return nil, fmt.Errorf("csv can not be separated by %q", sep)
		}
		s.format = newCSV(sep, o.Header, o.CRLF)
	case "line":
		s.format = &line{}
	case "list":
		s.format = &list{separator: separator("|"), header: o.Header}
	default:
		return nil, fmt.Errorf("unknown output mode %q: want one of %s", mode, strings.Join(Modes(), ", "))
	}
	return s, nil
}

// format prints the parts of a result.
type format interface {
	begin(o *output, names []string)
	// row prints one row, which has as many cells as begin had names. first is
	// true for the first row.
	row(o *output, cells []schema.Cell, first bool)
	end(o *output)
}

// bufferSize is how much an output collects before it writes, and pieceSize how
// much of a value is added at once: one byte of it prints as six at most.
const (
	bufferSize = 64 << 10
	pieceSize  = 8 << 10
)

// output collects what is printed, and writes it when it is much. It keeps the
// first error.
type output struct {
	w   io.Writer
	buf []byte
	err error
}

// flush writes the buffer if it holds limit bytes or more.
func (o *output) flush(limit int) {
	if len(o.buf) < limit {
		return
	}
	if o.err == nil {
		n, err := o.w.Write(o.buf)
		if err == nil && n < len(o.buf) {
			err = io.ErrShortWrite
		}
		o.err = err
	}
	o.buf = o.buf[:0]
}

// value adds a value that may be large: in pieces, which end where characters do.
func (o *output) value(value []byte, add func(b, piece []byte) []byte) {
	for len(value) > pieceSize {
		n := pieceSize
		for i := range utf8.UTFMax {
			if utf8.RuneStart(value[n-i]) {
				n -= i
				break
			}
		}
		o.buf = add(o.buf, value[:n])
		o.flush(bufferSize)
		value = value[n:]
	}
	o.buf = add(o.buf, value)
}

// appendBytes appends a value as it is.
func appendBytes(b, value []byte) []byte { return append(b, value...) }

// stream is the Writer of every format.
type stream struct {
	output
	format  format
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
	s.format.begin(&s.output, names)
	s.flush(bufferSize)
	return s.err
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
	s.format.row(&s.output, cells, !s.rows)
	s.rows = true
	s.flush(bufferSize)
	return s.err
}

func (s *stream) Close() error {
	if s.err == nil && s.phase == begun {
		s.format.end(&s.output)
		s.flush(1)
	}
	s.phase, s.buf = closed, nil
	return s.err
}

// csv is RFC 4180, with any separator.
type csv struct {
	separator string
	newline   string
	header    bool
	quoted    [256]bool // the bytes that make a field need quotes
	inNumbers bool      // a number may have such a byte
}

func newCSV(separator string, header, crlf bool) *csv {
	f := &csv{separator: separator, newline: "\n", header: header}
	if crlf {
		f.newline = "\r\n"
	}
	// The separator's first byte is enough to look for: a quote too many does
	// no harm.
	for _, c := range []byte{'"', '\r', '\n', separator[0]} {
		f.quoted[c] = true
	}
	f.inNumbers = strings.IndexByte("0123456789+-.eInf", separator[0]) >= 0
	return f
}

func (f *csv) begin(o *output, names []string) {
	if f.header {
		cells := make([]schema.Cell, len(names))
		for i, name := range names {
			cells[i] = schema.Cell{Kind: schema.Bytes, Bytes: []byte(name)}
		}
		f.row(o, cells, true)
	}
}

func (f *csv) row(o *output, cells []schema.Cell, _ bool) {
	empty := len(cells) <= 1
	b := o.buf
	for i := range cells {
		if i > 0 {
			b = append(b, f.separator...)
		}
		c := &cells[i]
		switch {
		case c.Kind == schema.Bytes && len(c.Bytes) > pieceSize:
			o.buf = b
			f.large(o, c.Bytes)
			b = o.buf
			empty = false
		case c.Kind == schema.Bytes:
			b = f.field(b, c.Bytes)
			empty = empty && len(c.Bytes) == 0
		case c.Kind == schema.Null:
		case f.inNumbers:
			b = f.field(b, AppendCell(nil, c))
			empty = false
		default:
			b = AppendCell(b, c)
			empty = false
		}
	}
	if empty {
		b = append(b, `""`...)
	}
	o.buf = append(b, f.newline...)
}

func (f *csv) field(b, cell []byte) []byte {
	for _, c := range cell {
		if f.quoted[c] {
			return append(appendDoubled(append(b, '"'), cell), '"')
		}
	}
	return append(b, cell...)
}

// large is field, a piece at a time.
func (f *csv) large(o *output, cell []byte) {
	if !slices.ContainsFunc(cell, func(c byte) bool { return f.quoted[c] }) {
		o.value(cell, appendBytes)
		return
	}
	o.buf = append(o.buf, '"')
	o.value(cell, appendDoubled)
	o.buf = append(o.buf, '"')
}

// appendDoubled appends a value with its quotes doubled.
func appendDoubled(b, value []byte) []byte {
	for {
		i := bytes.IndexByte(value, '"')
		if i < 0 {
			return append(b, value...)
		}
		b = append(append(b, value[:i]...), `""`...)
		value = value[i+1:]
	}
}

func (*csv) end(*output) {}

// list puts a separator between the values and quotes nothing.
type list struct {
	separator string
	header    bool
}

func (f *list) begin(o *output, names []string) {
	if f.header {
		o.buf = append(append(o.buf, strings.Join(names, f.separator)...), '\n')
	}
}

func (f *list) row(o *output, cells []schema.Cell, _ bool) {
	for i := range cells {
		if i > 0 {
			o.buf = append(o.buf, f.separator...)
		}
		if c := &cells[i]; c.Kind == schema.Bytes {
			o.value(c.Bytes, appendBytes)
		} else {
			o.buf = AppendCell(o.buf, c)
		}
	}
	o.buf = append(o.buf, '\n')
}

func (*list) end(*output) {}

// line prints a value a line, the names right-aligned in at least five columns.
type line struct {
	names []string // with the blanks before and the " = " behind
}

func (f *line) begin(_ *output, names []string) {
	width := 5
	for _, name := range names {
		f.names = append(f.names, text.Printable(name))
		width = max(width, utf8.RuneCountInString(f.names[len(f.names)-1]))
	}
	for i, name := range f.names {
		f.names[i] = fmt.Sprintf("%*s = ", width, name)
	}
}

func (f *line) row(o *output, cells []schema.Cell, first bool) {
	if !first {
		o.buf = append(o.buf, '\n')
	}
	for i := range cells {
		o.buf = append(o.buf, f.names[i]...)
		if c := &cells[i]; c.Kind == schema.Bytes {
			o.value(c.Bytes, text.AppendPrintable)
		} else {
			o.buf = AppendCell(o.buf, c)
		}
		o.buf = append(o.buf, '\n')
	}
}

func (*line) end(*output) {}

// tsv puts tabs between the values, and writes those in them as \t.
type tsv struct{ header bool }

func (f *tsv) begin(o *output, names []string) {
	if f.header {
		cells := make([]schema.Cell, len(names))
		for i, name := range names {
			cells[i] = schema.Cell{Kind: schema.Bytes, Bytes: []byte(name)}
		}
		f.row(o, cells, true)
	}
}

func (*tsv) row(o *output, cells []schema.Cell, _ bool) {
	for i := range cells {
		if i > 0 {
			o.buf = append(o.buf, '\t')
		}
		if c := &cells[i]; c.Kind == schema.Bytes {
			o.value(c.Bytes, appendTSV)
		} else {
			o.buf = AppendCell(o.buf, c)
		}
	}
	o.buf = append(o.buf, '\n')
}

func (*tsv) end(*output) {}

func appendTSV(b, value []byte) []byte {
	for _, c := range value {
		switch c {
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\\':
			b = append(b, `\\`...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// markdown is a table of Markdown, whose columns are as wide as their values.
type markdown struct{}

func (*markdown) begin(o *output, names []string) {
	for _, name := range names {
		o.buf = append(appendMarkdown(append(o.buf, "| "...), []byte(name)), ' ')
	}
	o.buf = append(o.buf, "|\n"...)
	for range names {
		o.buf = append(o.buf, "|---"...)
	}
	o.buf = append(o.buf, "|\n"...)
}

func (*markdown) row(o *output, cells []schema.Cell, _ bool) {
	for i := range cells {
		o.buf = append(o.buf, "| "...)
		if c := &cells[i]; c.Kind == schema.Bytes {
			o.value(c.Bytes, appendMarkdown)
		} else {
			o.buf = AppendCell(o.buf, c)
		}
		o.buf = append(o.buf, ' ')
	}
	o.buf = append(o.buf, "|\n"...)
}

func (*markdown) end(*output) {}

func appendMarkdown(b, value []byte) []byte {
	for i := bytes.IndexByte(value, '|'); i >= 0; i = bytes.IndexByte(value, '|') {
		b = append(text.AppendPrintable(b, value[:i]), `\|`...)
		value = value[i+1:]
	}
	return text.AppendPrintable(b, value)
}

// json is an array of objects, or objects alone. Keys come in the order of the
// columns; of those with the same name the last one is printed, as osquery's rows are
// maps.
type json struct {
	strings bool     // every value is one
	lines   bool     // without the array
	keys    []string // with quotes and colon, empty if a later column has the name
}

func (f *json) begin(o *output, names []string) {
	for _, name := range names {
		key := string(append(appendJSON([]byte{'"'}, []byte(name)), `":`...))
		if i := slices.Index(f.keys, key); i >= 0 {
			f.keys[i] = ""
		}
		f.keys = append(f.keys, key)
	}
	if !f.lines {
		o.buf = append(o.buf, "[\n"...)
	}
}

func (f *json) row(o *output, cells []schema.Cell, first bool) {
	if !first && !f.lines {
		o.buf = append(o.buf, ",\n"...)
	}
	if !f.lines {
		o.buf = append(o.buf, "  "...)
	}
	o.buf = append(o.buf, '{')
	comma := false
	for i := range cells {
		if f.keys[i] == "" {
			continue
		}
		if comma {
			o.buf = append(o.buf, ',')
		}
		comma = true
		o.buf = append(o.buf, f.keys[i]...)
		c := &cells[i]
		switch {
		case f.strings:
		case c.Kind == schema.Null:
			o.buf = append(o.buf, "null"...)
			continue
		case c.Kind == schema.Int, c.Kind == schema.Float && !math.IsInf(c.Float, 0):
			o.buf = AppendCell(o.buf, c)
			continue
		}
		o.buf = append(o.buf, '"')
		if c.Kind == schema.Bytes {
			o.value(c.Bytes, appendJSON)
		} else {
			o.buf = AppendCell(o.buf, c)
		}
		o.buf = append(o.buf, '"')
	}
	o.buf = append(o.buf, '}')
	if f.lines {
		o.buf = append(o.buf, '\n')
	}
}

func (f *json) end(o *output) {
	if !f.lines {
		o.buf = append(o.buf, "\n]\n"...)
	}
}

// appendJSON appends a value as it stands between the quotes of a JSON string (RFC
// 8259, section 7).
func appendJSON(b, value []byte) []byte {
	const hex = "0123456789abcdef"
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
	return append(b, value[start:]...)
}
