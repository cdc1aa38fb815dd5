package sqlite

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// As the inner side of a join a table is scanned once for each row of the
// outer side. When its scans have taken longer than snapshotAfter in one
// statement its rows are kept until the end of the statement, with an index on
// the columns that must equal something: at worst the statement takes as long
// again as one whole scan. What all scans asked for alike, such as a state,
// narrows the snapshot.
const (
	snapshotAfter = 20 * time.Millisecond
	// maxSnapshot is the memory, in bytes, of the largest snapshot.
	maxSnapshot = 64 << 20
)

// scanKind is the scans of a statement that one snapshot can serve.
type scanKind struct {
	table *vtab
	plan  string
}

// repeated is what is known of the scans of one kind.
type repeated struct {
	scans    int
	spent    time.Duration
	snapshot *snapshot
	tooLarge bool
	// same are the constraints of the terms that were the same in every scan,
	// and nothing for the others.
	same [][]schema.Constraint
}

// compare notes what another scan asks for differently. A snapshot that was
// narrowed by that is dropped.
func (k *repeated) compare(terms [][]schema.Constraint) {
	for i, t := range terms {
		if len(k.same[i]) > 0 && !slices.Equal(t, k.same[i]) {
			k.same[i], k.snapshot = nil, nil
		}
	}
}

// snapshot is the rows of a table, cut to the used columns.
type snapshot struct {
	width  int   // used columns
	slots  []int // by the column's position, -1 if it is not used
	cells  schema.Cells
	rowIDs []int64
	keys   []int // columns that must equal something
	index  map[string][]int32
	all    []int32
}

// rowSize is what a row takes beside its cells, in bytes, generously.
const rowSize = 96

// takeSnapshot reads the whole table. It returns nil if that is too large.
func takeSnapshot(scan schema.Scan, columns []schema.ColumnInfo, p *plan) (*snapshot, error) {
	defer scan.Close()
	s := &snapshot{width: len(p.used), slots: make([]int, len(columns)), index: make(map[string][]int32)}
	for i := range s.slots {
		s.slots[i] = -1
	}
	for slot, column := range p.used {
		s.slots[column] = slot
	}
	for _, t := range p.terms {
		if t.op == schema.EQ && !t.in && columns[t.column].Type != schema.Double {
			s.keys = append(s.keys, t.column)
		}
	}
	var cell schema.Cell
	var key []byte
	for scan.Next() {
		row := int32(len(s.rowIDs))
		for _, column := range p.used {
			scan.Cell(column, &cell)
			s.cells.Append(&cell)
		}
		s.rowIDs = append(s.rowIDs, scan.RowID())
		s.all = append(s.all, row)
		if s.cells.Size()+len(s.rowIDs)*rowSize > maxSnapshot {
			return nil, scan.Err()
		}
		indexed := true
		key = key[:0]
		for _, column := range s.keys {
			s.load(row, column, &cell)
			switch cell.Kind {
			case schema.Int:
				key = appendNumber(key, cell.Int)
			case schema.Bytes:
				key = appendText(key, string(cell.Bytes))
			default:
				indexed = false // NULL equals nothing
			}
		}
		if indexed && len(s.keys) > 0 {
			s.index[string(key)] = append(s.index[string(key)], row)
		}
	}
	return s, scan.Err()
}

// load writes a value of a row into a cell.
func (s *snapshot) load(row int32, column int, cell *schema.Cell) {
	s.cells.Get(int(row)*s.width+s.slots[column], cell)
}

// find returns the rows that may meet the terms.
func (s *snapshot) find(columns []schema.ColumnInfo, p *plan, args []sqlite3.Value) []int32 {
	if len(s.keys) == 0 {
		return s.all
	}
	var key []byte
	for i, t := range p.terms {
		if t.op != schema.EQ || t.in || columns[t.column].Type == schema.Double {
			continue
		}
		kind := args[i].Type()
		switch {
		case kind == sqlite3.NULL:
			return nil // nothing equals it
		case columns[t.column].Type == schema.Text && kind == sqlite3.TEXT:
			key = appendText(key, args[i].Text())
		case columns[t.column].Type == schema.Text:
			return s.all
		default:
			n, err := strconv.ParseInt(strings.TrimSpace(args[i].Text()), 10, 64)
			if err != nil {
				return s.all
			}
			key = appendNumber(key, n)
		}
	}
	return s.index[string(key)]
}

// appendNumber and appendText append a part of a key. Texts that any of
// SQLite's collations takes for equal have the same.
func appendNumber(key []byte, n int64) []byte {
	return append(strconv.AppendInt(key, n, 10), 0)
}

func appendText(key []byte, text string) []byte {
	return append(append(key, strings.ToLower(strings.TrimRight(text, " "))...), 0)
}
