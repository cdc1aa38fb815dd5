package rowfmt

import (
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// pretty is osqueryi's box. It holds all rows until the end, as the widest value
// decides on the width of a column.
type pretty struct {
	header bool
	table  table.Writer
	text   []byte // scratch
}

func (f *pretty) begin(b []byte, names []string) []byte {
	f.table = table.NewWriter()
	f.table.SetStyle(boxStyle())
	if f.header {
		row := make(table.Row, len(names))
		for i, name := range names {
			row[i] = f.visible([]byte(name))
		}
		f.table.AppendHeader(row)
	}
	return b
}

func (f *pretty) row(b []byte, cells [][]byte, _ bool) []byte {
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		row[i] = f.visible(cell)
	}
	f.table.AppendRow(row)
	return b
}

func (f *pretty) end(b []byte) []byte {
	if f.table.Length() == 0 {
		return b
	}
	return append(append(b, f.table.Render()...), '\n')
}

// boxStyle is a box of + - |, with everything in it left-aligned and as it is.
func boxStyle() table.Style {
	return table.Style{
		Box: table.StyleBoxDefault,
		Format: table.FormatOptions{
			Header: text.FormatDefault, HeaderAlign: text.AlignLeft,
			Row: text.FormatDefault, RowAlign: text.AlignLeft,
		},
		Options: table.Options{DrawBorder: true, SeparateColumns: true, SeparateHeader: true},
	}
}

// visible returns the text with an escape for what is not a graphic character.
func (f *pretty) visible(cell []byte) string {
	f.text = f.text[:0]
	for len(cell) > 0 {
		r, size := utf8.DecodeRune(cell)
		switch {
		case r == utf8.RuneError && size == 1:
			const hex = "0123456789abcdef"
			f.text = append(f.text, '\\', 'x', hex[cell[0]>>4], hex[cell[0]&0xF])
		case unicode.IsGraphic(r):
			f.text = append(f.text, cell[:size]...)
		default:
			start := len(f.text)
			f.text = strconv.AppendQuoteRuneToASCII(f.text, r)
			// Without the quotes around it.
			f.text = append(f.text[:start], f.text[start+1:len(f.text)-1]...)
		}
		cell = cell[size:]
	}
	return string(f.text)
}
