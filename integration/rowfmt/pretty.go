package rowfmt

import (
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	printable "github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// pretty is osqueryi's box. It holds all rows until the end, as the widest value
// decides on the width of a column.
type pretty struct {
	header bool
	table  table.Writer
	cell   []byte // scratch
}

func (f *pretty) begin(b []byte, names []string) []byte {
	f.table = table.NewWriter()
	f.table.SetStyle(boxStyle())
	if f.header {
		row := make(table.Row, len(names))
		for i, name := range names {
			row[i] = printable.Printable(name)
		}
		f.table.AppendHeader(row)
	}
	return b
}

func (f *pretty) row(b []byte, cells []schema.Cell, _ bool) []byte {
	row := make(table.Row, len(cells))
	for i := range cells {
		f.cell = appendPrintable(f.cell[:0], &cells[i])
		row[i] = string(f.cell)
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
