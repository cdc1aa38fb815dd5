package watch

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Change is what became of a row from one run to the next.
type Change uint8

// The changes.
const (
	Same Change = iota
	Added
	Removed
	Changed // one that came in the place of one that went
)

// Row is a row of one of two runs.
type Row struct {
	Change Change
	Cells  []schema.Cell
	Before []schema.Cell // of a Changed row
}

// Difference is what two runs have: the rows of the second in their order, then
// those of the first that it lacks.
type Difference struct {
	Names []string
	Rows  []Row
}

// Count returns how many rows have a change.
func (d *Difference) Count(c Change) (n int) {
	for i := range d.Rows {
		if d.Rows[i].Change == c {
			n++
		}
	}
	return n
}

// Compare compares two runs of a statement; before is nil for the first run, of
// which all rows are the same.
//
// Equal rows may repeat: of three and then two one is removed. A row is changed if it
// comes in the place of one that has the same first value and is equal in at least
// half of its values; of several, the most alike one. A result of one row each
// time changes.
func Compare(before, after *Rows) *Difference {
	d := &Difference{Names: after.Names}
	if before == nil {
		for _, cells := range after.cells {
			d.Rows = append(d.Rows, Row{Cells: cells})
		}
		return d
	}
	old := make(map[string][]int, len(before.cells)) // the rows by their values
	for i, cells := range before.cells {
		k := key(cells)
		old[k] = append(old[k], i)
	}
	gone := make([]bool, len(before.cells))
	for i := range gone {
		gone[i] = true
	}
	for _, cells := range after.cells {
		row := Row{Change: Added, Cells: cells}
		if k := key(cells); len(old[k]) > 0 {
			gone[old[k][0]] = false
			old[k] = old[k][1:]
			row.Change = Same
		}
		d.Rows = append(d.Rows, row)
	}
	if len(before.cells) == 1 && len(after.cells) == 1 && gone[0] {
		d.Rows[0] = Row{Changed, after.cells[0], before.cells[0]}
		return d
	}
	d.pair(before, gone)
	for i, cells := range before.cells {
		if gone[i] {
			d.Rows = append(d.Rows, Row{Change: Removed, Cells: cells})
		}
	}
	return d
}

// pair finds the changed rows among those that came and those that went.
func (d *Difference) pair(before *Rows, gone []bool) {
	went := make(map[string][]int) // by the first value
	for i, cells := range before.cells {
		if gone[i] && len(cells) > 1 {
			k := key(cells[:1])
			went[k] = append(went[k], i)
		}
	}
	type match struct{ came, went, alike int }
	var all []match
	for i := range d.Rows {
		row := &d.Rows[i]
		if row.Change != Added || len(row.Cells) < 2 {
			continue
		}
		for _, j := range first(went[key(row.Cells[:1])], maxAlike) {
			n := 0
			for c := range row.Cells {
				if equal(&row.Cells[c], &before.cells[j][c]) {
					n++
				}
			}
			if 2*n >= len(row.Cells) {
				all = append(all, match{i, j, n})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b match) int { return cmp.Compare(b.alike, a.alike) })
	for _, m := range all {
		if row := &d.Rows[m.came]; row.Change == Added && gone[m.went] {
			row.Change, row.Before = Changed, before.cells[m.went]
			gone[m.went] = false
		}
	}
}

// maxAlike bounds the rows that a row which came is compared with.
const maxAlike = 100

func first(all []int, n int) []int { return all[:min(n, len(all))] }

func equal(a, b *schema.Cell) bool {
	return a.Kind == b.Kind && a.Int == b.Int && a.Float == b.Float && string(a.Bytes) == string(b.Bytes)
}

// key is a text that equal cells alone have.
func key(cells []schema.Cell) string {
	var b []byte
	for i := range cells {
		c := &cells[i]
		b = append(b, byte(c.Kind))
		switch c.Kind {
		case schema.Int:
			b = binary.BigEndian.AppendUint64(b, uint64(c.Int))
		case schema.Float:
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(c.Float))
		case schema.Bytes:
			b = binary.AppendUvarint(b, uint64(len(c.Bytes)))
			b = append(b, c.Bytes...)
		}
	}
	return string(b)
}
