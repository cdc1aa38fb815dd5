package rowfmt

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// maxHeld is how many bytes of rows a box holds, and chunkSize how many are taken
// at once.
const (
	maxHeld   = 32 << 20
	chunkSize = 64 << 10
)

// pretty is osqueryi's box, and sqlite3's. The widest value decides on the width of a column: the
// rows are held until the last one, or until they take maxHeld. The rows from
// there on are printed as they come, and a wider value sticks out of the box.
type pretty struct {
	header bool
	max    int // what a line may take of a display, or 0
	warn   func(string)
	frame  frame
	narrow *line // prints the rows of a box that is too wide

	names  []string
	widths []int    // in display columns
	held   [][]byte // the texts of the cells, each with a newline behind it
	size   int      // of held
	rows   int      // in held
	begun  bool     // the box is printed, and nothing is held any more
}

// frame is what a box is drawn with. A rule has its left end, its line, the
// crossing of a column and its right end.
type frame struct {
	bar                 string
	top, middle, bottom [4]string
}

// ascii is osqueryi's frame, and lines the one of sqlite3's box.
func ascii() frame {
	rule := [4]string{"+", "-", "+", "+"}
	return frame{"|", rule, rule, rule}
}

func lines() frame {
	return frame{"│", [4]string{"┌", "─", "┬", "┐"}, [4]string{"├", "─", "┼", "┤"}, [4]string{"└", "─", "┴", "┘"}}
}

func (f *pretty) begin(_ *output, names []string) {
	f.widths = make([]int, len(names))
	for i, name := range names {
		f.names = append(f.names, text.Printable(name))
		if f.header {
			f.widths[i] = width([]byte(f.names[i]))
		}
	}
}

func (f *pretty) row(o *output, cells []schema.Cell, _ bool) {
	if !f.begun && !f.hold(cells) {
		f.print(o)
		if f.warn != nil {
			f.warn(fmt.Sprintf("the columns are as wide as the names and the first %d rows need: it takes more than %d MiB to hold more rows; the other output modes have no widths", f.rows, maxHeld>>20))
		}
	}
	if f.begun {
		f.printRow(o, cells, false)
	}
}

// printRow prints a row of the box, or what stands in its place.
func (f *pretty) printRow(o *output, cells []schema.Cell, first bool) {
	if f.narrow != nil {
		f.narrow.row(o, cells, first)
		return
	}
	for i := range cells {
		f.cell(o, i, &cells[i])
	}
	o.buf = append(append(o.buf, f.frame.bar...), '\n')
}

// tooWide reports whether the box is wider than the display.
func (f *pretty) tooWide() bool {
	n := 1
	for _, width := range f.widths {
		n += width + 3
	}
	return f.max > 0 && n > f.max
}

// hold keeps a row, unless the rows would take too much.
func (f *pretty) hold(cells []schema.Cell) bool {
	most := 0
	for i := range cells {
		most += len(`\xNN`)*len(cells[i].Bytes) + 32 // of a number
	}
	if f.size+most > maxHeld {
		return false
	}
	last := len(f.held) - 1
	if last < 0 || len(f.held[last])+most > cap(f.held[last]) {
		f.held = append(f.held, make([]byte, 0, max(chunkSize, most)))
		last++
	}
	b := f.held[last]
	before := len(b)
	for i := range cells {
		start := len(b)
		if c := &cells[i]; c.Kind == schema.Bytes {
			b = text.AppendPrintable(b, c.Bytes)
		} else {
			b = AppendCell(b, c)
		}
		f.widths[i] = max(f.widths[i], width(b[start:]))
		b = append(b, '\n')
	}
	f.held[last] = b
	f.size += len(b) - before
	f.rows++
	return true
}

// print begins the box and prints the rows that are held.
func (f *pretty) print(o *output) {
	f.begun = true
	row := make([]schema.Cell, len(f.names))
	if f.tooWide() {
		f.narrow = &line{}
		f.narrow.begin(o, f.names)
	} else {
		f.rule(o, &f.frame.top)
		if f.header {
			for i, name := range f.names {
				row[i] = schema.Cell{Kind: schema.Bytes, Bytes: []byte(name)}
			}
			f.printRow(o, row, true)
			f.rule(o, &f.frame.middle)
		}
	}
	column, first := 0, true
	for _, b := range f.held {
		for len(b) > 0 {
			end := bytes.IndexByte(b, '\n')
			row[column] = schema.Cell{Kind: schema.Bytes, Bytes: b[:end]}
			b = b[end+1:]
			if column++; column == len(row) {
				f.printRow(o, row, first)
				column, first = 0, false
				o.flush(bufferSize)
			}
		}
	}
	f.held = nil
}

// cell prints a cell of a row, with the line on its left.
func (f *pretty) cell(o *output, column int, c *schema.Cell) {
	o.buf = append(append(o.buf, f.frame.bar...), ' ')
	missing := f.widths[column]
	add := func(b, piece []byte) []byte {
		start := len(b)
		b = text.AppendPrintable(b, piece)
		missing -= width(b[start:])
		return b
	}
	if c.Kind == schema.Bytes {
		o.value(c.Bytes, add)
	} else {
		start := len(o.buf)
		o.buf = AppendCell(o.buf, c)
		missing -= len(o.buf) - start
	}
	for range max(missing, 0) + 1 {
		o.buf = append(o.buf, ' ')
	}
}

func (f *pretty) rule(o *output, r *[4]string) {
	left := r[0]
	for _, width := range f.widths {
		o.buf = append(append(o.buf, left...), strings.Repeat(r[1], width+2)...)
		left = r[2]
	}
	o.buf = append(append(o.buf, r[3]...), '\n')
}

func (f *pretty) end(o *output) {
	if !f.begun && f.rows == 0 {
		return
	}
	if !f.begun {
		f.print(o)
	}
	if f.narrow == nil {
		f.rule(o, &f.frame.bottom)
	}
}

// width returns how many columns of a display a printable text takes.
func width(text []byte) (n int) {
	for i, c := range text {
		if c >= utf8.RuneSelf {
			for _, r := range string(text[i:]) {
				n += runewidth.RuneWidth(r)
			}
			return i + n
		}
	}
	return len(text)
}
