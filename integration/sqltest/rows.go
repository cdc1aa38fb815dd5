package sqltest

import (
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Rows collects the rows of a statement, as [Row] writes them: it is a result of
// the embedded host.
type Rows []string

// Columns does nothing: rows are compared by their values.
func (r *Rows) Columns([]string) error { return nil }

// Row adds a row.
func (r *Rows) Row(cells []schema.Cell) error {
	*r = append(*r, Row(new(rowfmt.Texts).Of(cells)))
	return nil
}

// Close does nothing.
func (r *Rows) Close() error { return nil }

// Answer returns the rows of osquery's answer, as [Row] writes them.
func Answer(a *osquerytest.Answer) (rows []string) {
	for _, row := range a.Rows {
		cells := make([][]byte, len(row))
		for i, c := range row {
			if !c.Null {
				cells[i] = []byte(c.Text)
			}
		}
		rows = append(rows, Row(cells))
	}
	return rows
}
