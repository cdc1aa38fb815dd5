package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/plain"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// plain returns the program of a statement, unless SQLite has to run it. Without a
// table there is nothing to gain.
func (db *DB) plain(sql string) (*plain.Program, bool) {
	if db.SQLiteOnly || len(db.registered) == 0 {
		return nil, false
	}
	explain, _, err := db.conn.Prepare("EXPLAIN " + sql)
	if err != nil || explain == nil {
		return nil, false // it is an EXPLAIN itself
	}
	var ops []plain.Op
	for explain.Step() {
		ops = append(ops, plain.Op{
			Name: explain.ColumnText(1),
			P1:   explain.ColumnInt(2), P2: explain.ColumnInt(3), P3: explain.ColumnInt(4),
			P4: explain.ColumnText(5), P5: explain.ColumnInt(6),
		})
	}
	// Not deferred: what SQLite breaks in the middle is not closed.
	if err := errors.Join(explain.Err(), explain.Close()); err != nil {
		return nil, false
	}
	return plain.Compile(ops, func(text string) ([]schema.ColumnInfo, bool) {
		_, table, err := db.plan(text)
		if err != nil {
			return nil, false
		}
		return table.Spec().Columns, true
	})
}

// plan reads a plan and finds its table.
func (db *DB) plan(text string) (p plan, table schema.Table, err error) {
	if p, err = parsePlan(text); err != nil {
		return p, nil, fmt.Errorf("plan %q: %w", text, err)
	}
	i := slices.IndexFunc(db.tables, func(t schema.Table) bool { return t.Name() == p.table })
	if i < 0 {
		return p, nil, fmt.Errorf("plan %q: no such table", text)
	}
	return p, db.tables[i], nil
}

// stallTimeout is how long a source may take to see that the statement was given
// up.
const stallTimeout = 2 * time.Second

// runPlain runs a program without SQLite. It has a goroutine of its own: where a
// source stalls for good, the statement fails and leaves it behind.
func (db *DB) runPlain(ctx context.Context, program *plain.Program, names []string, result Result) error {
	out := &plainResult{Result: result, names: names}
	host := plain.Host{Memory: db.memory, Table: db.ask, Row: out.row}
	ended := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				ended <- fmt.Errorf("panic: %v", p)
			}
		}()
		ended <- program.Run(ctx, &host)
	}()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		select {
		case err = <-ended:
		case <-time.After(stallTimeout):
			out.left.Store(true)
			return db.explain(ctx, ctx.Err())
		}
	}
	switch {
	case out.failed != nil:
		return out.failed
	case errors.Is(err, plain.ErrMemory):
		return db.exceeded()
	case err != nil:
		db.tableErr = err
		return db.explain(ctx, err)
	}
	if err := out.begin(); err != nil {
		return err
	}
	return result.Close()
}

// ask translates a plan with its arguments to a query of its table.
func (db *DB) ask(text string, arguments []plain.Argument) (schema.Table, schema.Query, error) {
	p, table, err := db.plan(text)
	if err != nil {
		return nil, schema.Query{}, err
	}
	var constraints []schema.Constraint
	for i, t := range p.terms {
		column := &table.Spec().Columns[t.column]
		db.warnOfList(table, column, arguments[i])
		constraints = append(constraints, translate(column, t, arguments[i]).Constraints...)
	}
	return table, p.query(table, constraints), nil
}

// plainResult writes the rows of a program.
type plainResult struct {
	Result
	names  []string
	begun  bool
	failed error       // of the Result
	left   atomic.Bool // nobody waits for the rows any more
}

func (r *plainResult) begin() error {
	if !r.begun {
		r.begun = true
		r.failed = r.Columns(r.names)
	}
	return r.failed
}

func (r *plainResult) row(row []schema.Cell) error {
	if r.left.Load() {
		return context.Canceled
	}
	if err := r.begin(); err != nil {
		return err
	}
	r.failed = r.Row(row)
	return r.failed
}
