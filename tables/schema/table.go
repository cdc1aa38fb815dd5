// Package schema is the engine of the tables: a table is declared once, with
// typed columns, and served to any host. It knows no sockets.
//
// Two laws hold for every table. Push-down: the rows of a constrained query
// are all the rows that the full result, filtered, would have, and maybe more.
// Projection: a query for some columns gives the full rows, cut down.
package schema

import (
	"context"
	"fmt"
	"iter"
)

// Table declares a table with rows of type R.
type Table[R any] struct {
	Name string
	// Doc is one sentence for a reader who knows sockets but not us.
	Doc string
	// Examples are statements that work as they stand.
	Examples []string
	Columns  []Column[R]
	// RowID returns an identity of the row that is the same each time the
	// row is read, and no other row's. SQLite merges the arms of an OR by it.
	RowID func(*R) int64
	// Rows streams the rows. It may leave out those that the query's
	// constraints exclude. An error ends the stream and is the query's error.
	Rows func(context.Context, Query) iter.Seq2[R, error]
}

// Any is a table of any row type, as hosts see it. Only [Table] implements it.
type Any interface {
	// Spec describes the table.
	Spec() *Spec
	// Query translates a request into the table's terms.
	Query(Request) Query
	// Scan starts to read the rows.
	Scan(context.Context, Query) Scan
}

// Spec describes a table to hosts and readers. Columns are in order, hidden
// ones and synonyms after the visible ones.
type Spec struct {
	Name     string
	Doc      string
	Examples []string
	Columns  []ColumnInfo
}

// Scan reads rows one at a time:
//
//	for s.Next() { s.Cell(i, &cell); … }
//	err := s.Err()
//
// A panic in the table ends the scan with an error. Close must be called, and
// may be called early.
type Scan interface {
	// Next moves to the next row, and is false at the end or after an error.
	Next() bool
	// Cell writes the value of column i of the current row, by its position
	// in the spec.
	Cell(i int, c *Cell)
	// RowID returns the current row's identity.
	RowID() int64
	// Err returns what ended the scan, nil if that was its end.
	Err() error
	// Close ends the scan and frees what it holds.
	Close()
}

// bound is a table made ready for hosts.
type bound[R any] struct {
	Table[R]
	spec    Spec
	columns []Column[R] // by the position in spec.Columns
}

// Bind makes a declared table ready for hosts. It panics if the declaration
// is wrong, which a test that binds the table finds.
func Bind[R any](t Table[R]) Any {
	b := &bound[R]{Table: t, spec: Spec{Name: t.Name, Doc: t.Doc, Examples: t.Examples}}
	seen := map[string]bool{"rowid": true}
	add := func(c Column[R], about ColumnInfo) {
		if about.Name == "" || about.Doc == "" || seen[about.Name] {
			panic(fmt.Sprintf("schema: table %s: column %q is undocumented or declared twice", t.Name, about.Name))
		}
		seen[about.Name] = true
		b.spec.Columns = append(b.spec.Columns, about)
		b.columns = append(b.columns, c)
	}
	for _, hidden := range []bool{false, true} {
		for _, c := range t.Columns {
			if about := *c.info(); about.Hidden == hidden {
				add(c, about)
			}
		}
	}
	for _, c := range t.Columns {
		for _, name := range c.info().synonyms {
			about := *c.info()
			about.Name, about.SynonymOf, about.Hidden = name, about.Name, true
			about.Doc = "The same as " + about.SynonymOf + "."
			add(c, about)
		}
	}
	if t.Name == "" || t.Doc == "" || t.RowID == nil || t.Rows == nil {
		panic(fmt.Sprintf("schema: table %q lacks its name, doc, row identity or rows", t.Name))
	}
	return b
}

func (b *bound[R]) Spec() *Spec { return &b.spec }

func (b *bound[R]) Query(r Request) Query {
	q := Query{used: make([]bool, len(b.columns))}
	position := make(map[string]int, len(b.columns))
	for i := range b.spec.Columns {
		position[b.spec.Columns[i].Name] = i
		q.used[i] = r.All
	}
	for _, name := range r.Used {
		if i, ok := position[name]; ok {
			q.used[i] = true
		}
	}
	for i, used := range q.used {
		if used {
			q.needs |= b.spec.Columns[i].Needs
		}
	}
	for _, k := range r.Constraints {
		i, ok := position[k.Column]
		if !ok || !k.Op.Known() {
			continue
		}
		// A synonym's constraint is its column's.
		about := b.columns[i].info()
		k.Column = about.Name
		q.where = append(q.where, k)
		q.needs |= about.Needs
	}
	return q
}

// batchSize is how many rows cross from the table's goroutine to the host's at
// once. The first batches are smaller: LIMIT 1 should not wait for many rows.
const batchSize = 512

// ahead is how many batches may wait for the host.
const ahead = 8

// Scan reads the rows in a goroutine of their own, some ahead of the host: the
// kernel lists sockets while the host uses those before.
func (b *bound[R]) Scan(ctx context.Context, q Query) Scan {
	s := &scan[R]{table: b, full: make(chan []R, ahead), free: make(chan []R, ahead+2)}
	ctx, s.cancel = context.WithCancel(ctx)
	go s.read(ctx, q)
	return s
}

type scan[R any] struct {
	table  *bound[R]
	cancel context.CancelFunc
	full   chan []R // batches, closed at the end
	free   chan []R // those that may be filled again
	failed error    // why full was closed; read after that
	batch  []R
	at     int // the row after the current one
	err    error
}

// read is the table's goroutine.
func (s *scan[R]) read(ctx context.Context, q Query) {
	defer close(s.full)
	defer func() {
		if p := recover(); p != nil {
			s.failed = fmt.Errorf("table %s: panic: %v", s.table.Name, p)
		}
	}()
	var filters []func(*R) bool
	for _, c := range s.table.Columns {
		if f := c.filter(q); f != nil {
			filters = append(filters, f)
		}
	}
	size := 1
	batch := make([]R, 0, size)
	send := func() bool {
		select {
		case s.full <- batch:
			return true
		case <-ctx.Done():
			s.failed = fmt.Errorf("table %s: %w", s.table.Name, ctx.Err())
			return false
		}
	}
	seen := 0
rows:
	for row, err := range s.table.Rows(ctx, q) {
		if seen++; err == nil && seen%batchSize == 0 {
			err = ctx.Err()
		}
		if err != nil {
			s.failed = fmt.Errorf("table %s: %w", s.table.Name, err)
			return // the rows of the last batch with it: part of an answer is none
		}
		batch = append(batch, row)
		for _, f := range filters {
			if !f(&batch[len(batch)-1]) {
				batch = batch[:len(batch)-1]
				continue rows
			}
		}
		if len(batch) < size {
			continue
		}
		if !send() {
			return
		}
		size = min(4*size, batchSize)
		select {
		case batch = <-s.free:
			batch = batch[:0]
		default:
			batch = make([]R, 0, size)
		}
	}
	if len(batch) > 0 {
		send()
	}
}

func (s *scan[R]) Next() bool {
	if s.at < len(s.batch) {
		s.at++
		return true
	}
	if cap(s.batch) == batchSize {
		select {
		case s.free <- s.batch:
		default:
		}
	}
	batch, ok := <-s.full
	if !ok {
		s.batch, s.at = nil, 0
		if s.err == nil {
			s.err = s.failed
		}
		return false
	}
	s.batch, s.at = batch, 1
	return true
}

func (s *scan[R]) Cell(i int, c *Cell) {
	defer s.guard()
	c.Kind = Null
	s.table.columns[i].set(&s.batch[s.at-1], c)
}

func (s *scan[R]) RowID() (id int64) {
	defer s.guard()
	return s.table.RowID(&s.batch[s.at-1]) & (1<<63 - 1)
}

// guard turns a panic in an accessor into the scan's error.
func (s *scan[R]) guard() {
	if p := recover(); p != nil && s.err == nil {
		s.err = fmt.Errorf("table %s: panic: %v", s.table.Name, p)
	}
}

func (s *scan[R]) Err() error { return s.err }

func (s *scan[R]) Close() {
	s.cancel()
	for range s.full {
	}
}
