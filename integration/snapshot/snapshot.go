// Package snapshot keeps the rows of a table in memory for the hosts that ask it
// again and again, as SQLite does for the inner side of a join: once for each
// row of the outer side.
//
// [Calls] decides when the table is read as a whole, and [Snapshot] finds the
// rows of a call by what its columns must equal.
package snapshot

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Memory bounds what snapshots hold together. It may be shared by goroutines.
type Memory struct {
	limit int64
	held  atomic.Int64
}

// NewMemory returns a bound of so many bytes.
func NewMemory(limit int) *Memory { return &Memory{limit: int64(limit)} }

// Held returns the bytes that snapshots hold.
func (m *Memory) Held() int { return int(m.held.Load()) }

func (m *Memory) take(n int) bool {
	if m.held.Add(int64(n)) > m.limit {
		m.held.Add(-int64(n))
		return false
	}
	return true
}

// Snapshot is the rows of one scan of a table, cut to the used columns. It does
// not change, and may be read by several goroutines.
type Snapshot struct {
	width  int   // used columns
	slots  []int // by the column's position, -1 if it is not used
	chunks []chunk
	rows   int

	seed  maphash.Seed
	keys  []int // positions of the columns that the index is of
	index map[uint64]span
	order []int32 // the rows, those of one key together

	memory *Memory
	size   int
}

// chunk is the cells and identities of chunkRows rows, or fewer in the last one.
type chunk struct {
	cells  schema.Cells
	rowIDs []int64
}

const chunkRows = 1024

// span is a part of the order.
type span struct{ start, n int32 }

// rowSize is what a row takes beside its cells, in bytes: its identity, its
// place in the order, its hash while the index is made, and an entry of that.
const rowSize = 72

// Shape is what a snapshot is made of: the used columns, and those of them that
// must equal something, by their positions.
type Shape struct {
	Used, Keys []int
}

// Take reads the whole scan and closes it. It returns nil and no error if the
// rows take more memory than there is.
func Take(scan schema.Scan, columns []schema.ColumnInfo, shape Shape, memory *Memory) (*Snapshot, error) {
	defer scan.Close()
	s := &Snapshot{
		width: len(shape.Used), slots: make([]int, len(columns)), keys: shape.Keys,
		seed: maphash.MakeSeed(), memory: memory,
	}
	for i := range s.slots {
		s.slots[i] = -1
	}
	for slot, column := range shape.Used {
		s.slots[column] = slot
	}
	var (
		cell   schema.Cell
		key    []byte
		part   []byte
		hashes []uint64
	)
	for scan.Next() {
		if s.rows%chunkRows == 0 {
			if !s.account() {
				return nil, scan.Err()
			}
			s.chunks = append(s.chunks, chunk{})
		}
		to := &s.chunks[len(s.chunks)-1]
		for _, column := range shape.Used {
			scan.Cell(column, &cell)
			to.cells.Append(&cell)
		}
		to.rowIDs = append(to.rowIDs, scan.RowID())
		if len(s.keys) > 0 {
			key = key[:0]
			for _, column := range s.keys {
				scan.Cell(column, &cell)
				part = appendCell(part[:0], &cell)
				key = appendPart(key, part)
			}
			hashes = append(hashes, maphash.Bytes(s.seed, key))
		}
		s.rows++
	}
	if err := scan.Err(); err != nil {
		s.Free()
		return nil, err
	}
	if !s.account() {
		return nil, nil
	}
	s.arrange(hashes)
	return s, nil
}

// account takes the memory of the chunk that is full, and frees all if there is
// not enough.
func (s *Snapshot) account() bool {
	if len(s.chunks) == 0 {
		return true
	}
	last := &s.chunks[len(s.chunks)-1]
	n := last.cells.Size() + len(last.rowIDs)*rowSize
	if !s.memory.take(n) {
		s.Free()
		return false
	}
	s.size += n
	return true
}

// Free gives the memory back to the bound. Who still reads rows may go on.
func (s *Snapshot) Free() {
	s.memory.held.Add(-int64(s.size))
	s.size = 0
}

// arrange makes the index: the rows of a key stay in the order of the scan.
func (s *Snapshot) arrange(hashes []uint64) {
	s.order = make([]int32, s.rows)
	if len(s.keys) == 0 {
		for i := range s.order {
			s.order[i] = int32(i)
		}
		return
	}
	s.index = make(map[uint64]span)
	for _, h := range hashes {
		at := s.index[h]
		at.n++
		s.index[h] = at
	}
	next := int32(0)
	for h, at := range s.index {
		s.index[h] = span{start: next}
		next += at.n
	}
	for row, h := range hashes {
		at := s.index[h]
		s.order[at.start+at.n] = int32(row)
		at.n++
		s.index[h] = at
	}
}

// Len returns the number of rows.
func (s *Snapshot) Len() int { return s.rows }

// maxKeys bounds the look-ups of one call: the product of the lengths of its
// lists.
const maxKeys = 1 << 12

// Find returns the rows whose keys may equal the values: for each key column, in
// the order of the snapshot's shape, those of which it must equal one. There may
// be more rows, but none twice. It returns false where a value does not say
// which rows to look for, or there are too many.
func (s *Snapshot) Find(values [][]Value) (*Rows, bool) {
	if len(s.keys) == 0 {
		return s.of(s.order), true
	}
	combinations := 1
	for _, any := range values {
		for _, v := range any {
			if v.kind == anything {
				return nil, false
			}
		}
		if combinations *= len(any); combinations > maxKeys {
			return nil, false
		}
	}
	var buf [64]byte
	hashes := s.hash(nil, buf[:0], values)
	if len(hashes) == 1 {
		at := s.index[hashes[0]]
		return s.of(s.order[at.start : at.start+at.n]), true
	}
	slices.Sort(hashes)
	var rows []int32
	for _, h := range slices.Compact(hashes) {
		at := s.index[h]
		rows = append(rows, s.order[at.start:at.start+at.n]...)
	}
	return s.of(rows), true
}

// hash appends the hashes of all combinations of the values behind a key's first
// parts.
func (s *Snapshot) hash(hashes []uint64, key []byte, values [][]Value) []uint64 {
	if len(values) == 0 {
		return append(hashes, maphash.Bytes(s.seed, key))
	}
	for _, v := range values[0] {
		if v.kind == nothing {
			continue
		}
		hashes = s.hash(hashes, appendPart(key, v.key), values[1:])
	}
	return hashes
}

// appendPart appends a part of a key with its length before it.
func appendPart[T string | []byte](key []byte, part T) []byte {
	return append(binary.AppendUvarint(key, uint64(len(part))), part...)
}

func (s *Snapshot) of(rows []int32) *Rows { return &Rows{of: s, left: rows} }

// Rows reads some rows of a snapshot, as a [schema.Scan].
type Rows struct {
	of   *Snapshot
	left []int32
	row  int
}

// Next moves to the next row.
func (r *Rows) Next() bool {
	if len(r.left) == 0 {
		return false
	}
	r.row, r.left = int(r.left[0]), r.left[1:]
	return true
}

// Cell writes the value of a column of the current row.
func (r *Rows) Cell(column int, c *schema.Cell) {
	slot := r.of.slots[column]
	if slot < 0 {
		c.Kind = schema.Null
		return
	}
	r.of.chunks[r.row/chunkRows].cells.Get(r.row%chunkRows*r.of.width+slot, c)
}

// RowID returns the current row's identity.
func (r *Rows) RowID() int64 { return r.of.chunks[r.row/chunkRows].rowIDs[r.row%chunkRows] }

// Err returns nil: the rows are there.
func (r *Rows) Err() error { return nil }

// Close does nothing.
func (r *Rows) Close() {}
