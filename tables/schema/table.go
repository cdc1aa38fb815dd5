// Package schema is the engine of the tables: a table is declared once, with
// typed columns, and served to any host. It knows no sockets.
//
// Three laws hold for every table. Push-down: a constrained query gives every
// row that meets the constraints among those of the same query without them,
// and maybe more. Projection: a query for some columns gives the full rows, cut
// down. Scope: where a table looks depends on which columns a query uses, never
// on how it constrains them.
package schema

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// TableDef declares a table with rows of type R.
type TableDef[R any] struct {
	Name string
	// Doc is one sentence for a reader who knows sockets but not us.
	Doc string
	// Examples are statements that work as they stand.
	Examples []string
	Columns  []AnyColumn[R]
	// RowID returns an identity of the row that is the same each time the
	// row is read, and no other row's. SQLite merges the arms of an OR by it.
	RowID func(*R) int64
	// Rows streams the rows. It may leave out those that the query's
	// constraints exclude. An error ends the stream and is the query's error.
	Rows func(context.Context, Query) iter.Seq2[R, error]
	// Join completes rows for the columns that need any work of Joined, which
	// have their values only after it. It gets the rows that meet the constraints
	// on all other columns, and is not called unless the query needs that work.
	// It is nil if no column does.
	Join   func(context.Context, Query, iter.Seq2[R, error]) iter.Seq2[R, error]
	Joined Need
}

// Table is a table of any row type, as hosts see it. Only [Bind] makes one, of a
// [TableDef].
type Table interface {
	// Name returns the table's name, without making the rest of a [Lazy] one.
	Name() string
	// Spec describes the table.
	Spec() *Spec
	// Query translates a request into the table's terms.
	Query(Request) Query
	// Scan starts to read the rows, in a goroutine and so in a thread of its
	// own: a network namespace that the caller's thread has entered is not the
	// one that is read.
	Scan(context.Context, Query) Scan
	// Each reads the rows in the caller's goroutine until visit returns false.
	// It takes less time than Scan, since a value is made only when visit asks
	// for it and is not copied, and it has no protection against a source that
	// stalls.
	Each(ctx context.Context, q Query, visit func(Row) bool) error
}

// Row is the current row of a table.
type Row interface {
	// Cell writes the value of column i by its position in the spec; NULL if the
	// query does not use the column. A text is valid until the next row, or until
	// c is used again.
	Cell(i int, c *Cell)
	// RowID returns the row's identity.
	RowID() int64
}

// Spec describes a table to hosts and readers. Columns are in order: visible
// ones, hidden ones, synonyms. Of a table with more than 63 columns the hidden
// ones that cost nothing come last.
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
	Row
	// Err returns what ended the scan, nil if that was its end.
	Err() error
	// Close ends the scan and frees what it holds.
	Close()
}

// bound is a table made ready for hosts.
type bound[R any] struct {
	TableDef[R]
	spec    Spec
	columns []AnyColumn[R] // by the position in spec.Columns
}

// ownBits is how many columns of a table SQLite and osquery tell apart when they
// say which ones a statement uses; those behind share one bit.
const ownBits = 63

// costs reports whether using the column costs more than reading it, or changes
// which rows there are.
func (c *ColumnInfo) costs() bool { return c.Needs&^Cheap != 0 || c.Scope }

// Bind makes a declared table ready for hosts. It panics if the declaration
// is wrong, which a test that binds the table finds.
func Bind[R any](t TableDef[R]) Table {
	b := &bound[R]{TableDef: t, spec: Spec{Name: t.Name, Doc: t.Doc, Examples: t.Examples}}
	seen := map[string]bool{"rowid": true}
	add := func(c AnyColumn[R], about ColumnInfo) {
		if about.Name == "" || about.Doc == "" || seen[about.Name] {
			panic(fmt.Sprintf("schema: table %s: column %q is undocumented or declared twice", t.Name, about.Name))
		}
		seen[about.Name] = true
		b.spec.Columns = append(b.spec.Columns, about)
		b.columns = append(b.columns, c)
	}
	total := len(t.Columns)
	for _, c := range t.Columns {
		total += len(c.info().synonyms)
	}
	// A synonym follows its column: osquery gives one that comes first to the
	// table's first column.
	last := func(c *ColumnInfo) bool {
		return total > ownBits && c.Hidden && !c.costs() && len(c.synonyms) == 0
	}
	addIf := func(want func(*ColumnInfo) bool) {
		for _, c := range t.Columns {
			if about := *c.info(); want(&about) {
				add(c, about)
			}
		}
	}
	addIf(func(c *ColumnInfo) bool { return !c.Hidden })
	addIf(func(c *ColumnInfo) bool { return c.Hidden && !last(c) })
	for _, c := range t.Columns {
		for _, name := range c.info().synonyms {
			about := *c.info()
			about.Name, about.SynonymOf, about.Hidden = name, about.Name, true
			about.Doc, about.Note = "The same as "+about.SynonymOf+".", ""
			add(c, about)
		}
	}
	addIf(last)
	for i := ownBits; i < len(b.spec.Columns); i++ {
		if c := &b.spec.Columns[i]; c.costs() || c.SynonymOf != "" {
			panic(fmt.Sprintf("schema: table %s: column %q costs something, or is a synonym, and is not among the first %d: any column behind them uses it", t.Name, c.Name, ownBits))
		}
	}
	if t.Name == "" || t.Doc == "" || t.RowID == nil || t.Rows == nil {
		panic(fmt.Sprintf("schema: table %q lacks its name, doc, row identity or rows", t.Name))
	}
	return b
}

func (b *bound[R]) Name() string { return b.TableDef.Name }

func (b *bound[R]) Spec() *Spec { return &b.spec }

// Lazy returns a table that is made when a host first asks for more than its name.
// A program that answers one statement makes the tables that the statement names.
func Lazy(name string, make func() Table) Table {
	return &lazy{name, sync.OnceValue(func() Table {
		t := make()
		if t.Name() != name {
			panic(fmt.Sprintf("schema: table %s is declared as %s", name, t.Name()))
		}
		return t
	})}
}

type lazy struct {
	name  string
	table func() Table
}

func (l *lazy) Name() string                           { return l.name }
func (l *lazy) Spec() *Spec                            { return l.table().Spec() }
func (l *lazy) Query(r Request) Query                  { return l.table().Query(r) }
func (l *lazy) Scan(ctx context.Context, q Query) Scan { return l.table().Scan(ctx, q) }
func (l *lazy) Each(ctx context.Context, q Query, visit func(Row) bool) error {
	return l.table().Each(ctx, q, visit)
}

func (b *bound[R]) Query(r Request) Query {
	q := Query{used: make([]bool, len(b.columns))}
	position := make(map[string]int, len(b.columns))
	for i := range b.spec.Columns {
		position[b.spec.Columns[i].Name] = i
		q.used[i] = r.All
	}
	uses := func(c *ColumnInfo) {
		if c.Scope && !slices.Contains(q.scope, c.Name) {
			q.scope = append(q.scope, c.Name)
		}
	}
	for _, name := range r.Used {
		if i, ok := position[name]; ok {
			q.used[i] = true
			uses(b.columns[i].info())
		}
	}
	for i, used := range q.used {
		if used {
			q.needs |= b.spec.Columns[i].Needs
		}
	}
	for _, k := range r.Constraints {
		i, ok := position[k.Column]
		if !ok || k.Op == limit || k.Op == offset {
			continue
		}
		// A synonym's constraint is its column's.
		about := b.columns[i].info()
		uses(about)
		if !k.Op.Known() && !(k.Op == LIKE && about.Required) {
			continue
		}
		if k.Op == IS {
			k.Op = EQ
		}
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

// stallTimeout is how long a source may take to see that a scan has ended.
const stallTimeout = 2 * time.Second

// Scan reads the rows in a goroutine of their own, some ahead of the host: the
// kernel lists sockets while the host uses those before. All code of the table
// runs in that goroutine; what crosses are the values of the used columns.
func (b *bound[R]) Scan(ctx context.Context, q Query) Scan {
	s := &scan{table: b.TableDef.Name, full: make(chan *batch, ahead), free: make(chan *batch, ahead+2), slots: make([]int, len(b.columns))}
	var used []AnyColumn[R]
	for i, c := range b.columns {
		s.slots[i] = -1
		if q.used[i] {
			s.slots[i] = len(used)
			used = append(used, c)
		}
	}
	s.width = len(used)
	ctx, s.cancel = context.WithCancel(ctx)
	s.ctx = ctx
	go s.fill(ctx, func(add func(id int64) *batch) error {
		var cell Cell
		return b.read(ctx, q, func(r *R) bool {
			to := add(b.id(r))
			if to == nil {
				return false
			}
			for _, c := range used {
				c.set(r, &cell)
				to.cells.Append(&cell)
			}
			return true
		})
	})
	return s
}

func (b *bound[R]) id(r *R) int64 { return b.RowID(r) & (1<<63 - 1) }

// current is the row that Each visits.
type current[R any] struct {
	table *bound[R]
	used  []bool
	row   *R
}

func (c *current[R]) Cell(i int, to *Cell) {
	if !c.used[i] {
		to.Kind = Null
		return
	}
	c.table.columns[i].set(c.row, to)
}

func (c *current[R]) RowID() int64 { return c.table.id(c.row) }

func (b *bound[R]) Each(ctx context.Context, q Query, visit func(Row) bool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			err = fmt.Errorf("table %s: %w", b.TableDef.Name, err)
		}
	}()
	c := &current[R]{table: b, used: q.used}
	return b.read(ctx, q, func(r *R) bool {
		c.row = r
		return visit(c)
	})
}

// read hands the rows to visit until that returns false.
func (b *bound[R]) read(ctx context.Context, q Query, visit func(*R) bool) error {
	join := b.Join != nil && q.Needs(b.Joined)
	var before, filters []func(*R) bool
	for _, c := range b.Columns {
		switch f := c.filter(q); {
		case f == nil:
		case join && c.info().Needs&b.Joined == 0:
			before = append(before, f)
		default:
			filters = append(filters, f)
		}
	}
	rows := b.Rows(ctx, q)
	if join {
		if len(before) > 0 {
			rows = narrowed(ctx, rows, before)
		}
		rows = b.Join(ctx, q, rows)
	}
	var row R // one for all, as columns take its address
	seen := 0
	for next, err := range rows {
		if seen++; err == nil && seen%batchSize == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if row = next; !passes(&row, filters) {
			continue
		}
		if !visit(&row) {
			return ctx.Err()
		}
	}
	return nil
}

// passes reports whether a row meets all filters.
func passes[R any](row *R, filters []func(*R) bool) bool {
	for _, f := range filters {
		if !f(row) {
			return false
		}
	}
	return true
}

// narrowed streams the rows that meet all filters.
func narrowed[R any](ctx context.Context, rows iter.Seq2[R, error], filters []func(*R) bool) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var row R
		seen := 0
		for next, err := range rows {
			if seen++; err == nil && seen%batchSize == 0 {
				err = ctx.Err()
			}
			row = next
			if err == nil && !passes(&row, filters) {
				continue
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// batch is rows of cells.
type batch struct {
	size   int // rows that it may hold
	rowIDs []int64
	cells  Cells
}

// scan is a [Scan] of any table.
type scan struct {
	table  string
	width  int   // used columns
	slots  []int // by the column's position, -1 if it is not used
	ctx    context.Context
	cancel context.CancelFunc
	full   chan *batch // closed at the end
	free   chan *batch // those that may be filled again
	failed error       // why full was closed; read after that
	batch  *batch
	row    int // the current row of the batch
	err    error
}

// fill is the table's goroutine: read fills batches, which it hands over.
func (s *scan) fill(ctx context.Context, read func(add func(id int64) *batch) error) {
	defer close(s.full)
	defer func() {
		if p := recover(); p != nil {
			s.failed = fmt.Errorf("table %s: panic: %v", s.table, p)
		}
	}()
	b := &batch{size: 1}
	send := func() bool {
		select {
		case s.full <- b:
			return true
		case <-ctx.Done():
			return false
		}
	}
	err := read(func(id int64) *batch {
		if len(b.rowIDs) == b.size {
			if !send() {
				return nil
			}
			size := min(4*b.size, batchSize)
			select {
			case b = <-s.free:
				b.size, b.rowIDs = size, b.rowIDs[:0]
				b.cells.Reset()
			default:
				b = &batch{size: size}
			}
		}
		b.rowIDs = append(b.rowIDs, id)
		return b
	})
	// The rows of the last batch do not go with an error: part of an answer is none.
	if err == nil && len(b.rowIDs) > 0 && !send() {
		err = ctx.Err()
	}
	if err != nil {
		s.failed = fmt.Errorf("table %s: %w", s.table, err)
	}
}

func (s *scan) Next() bool {
	if s.batch != nil {
		if s.row++; s.row < len(s.batch.rowIDs) {
			return true
		}
		select {
		case s.free <- s.batch:
		default:
		}
	}
	s.batch, s.row = nil, 0
	if s.err != nil {
		return false
	}
	select {
	case s.batch = <-s.full:
	case <-s.ctx.Done():
		// The table sees that too, unless its source stalls.
		select {
		case s.batch = <-s.full:
		case <-time.After(stallTimeout):
			s.err = fmt.Errorf("table %s: its source stalls: %w", s.table, context.Cause(s.ctx))
			return false
		}
	}
	if s.batch == nil {
		s.err = s.failed
	}
	return s.batch != nil
}

func (s *scan) Cell(i int, c *Cell) {
	if slot := s.slots[i]; slot >= 0 {
		s.batch.cells.Get(s.row*s.width+slot, c)
	} else {
		c.Kind = Null
	}
}

func (s *scan) RowID() int64 { return s.batch.rowIDs[s.row] }

func (s *scan) Err() error { return s.err }

// Close waits for the table's goroutine, but for one whose source stalls: that
// ends when the source lets it.
func (s *scan) Close() {
	s.cancel()
	stalled := time.After(stallTimeout)
	for {
		select {
		case _, more := <-s.full:
			if !more {
				return
			}
		case <-stalled:
			return
		}
	}
}
