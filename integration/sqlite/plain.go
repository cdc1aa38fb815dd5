package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/integration/plain"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// plain returns the program of a statement, unless SQLite has to run it.
func (db *DB) plain(sql string) (*plain.Program, bool) {
	if db.SQLiteOnly {
		return nil, false
	}
	explain, _, err := db.conn.Prepare("EXPLAIN " + sql)
	if err != nil || explain == nil {
		return nil, false // it is an EXPLAIN itself
	}
	defer explain.Close()
	var ops []plain.Op
	for explain.Step() {
		ops = append(ops, plain.Op{
			Name: explain.ColumnText(1),
			P1:   explain.ColumnInt(2), P2: explain.ColumnInt(3), P3: explain.ColumnInt(4),
			P4: explain.ColumnText(5), P5: explain.ColumnInt(6),
		})
	}
	if explain.Err() != nil {
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

// runPlain runs a program without SQLite.
func (db *DB) runPlain(ctx context.Context, program *plain.Program, names []string, result Result) error {
	begun := false
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		return result.Columns(names)
	}
	var written error
	cells, numbers := make([][]byte, len(names)), make([][]byte, len(names))
	host := plain.Host{
		Memory: maxMemory,
		Scan: func(text string, arguments []plain.Argument) (schema.Scan, error) {
			p, table, err := db.plan(text)
			if err != nil {
				return nil, err
			}
			var constraints []schema.Constraint
			for i, t := range p.terms {
				constraints = append(constraints, compared(&table.Spec().Columns[t.column], t.op, arguments[i])...)
			}
			return p.scan(ctx, table, constraints), nil
		},
		Row: func(row []schema.Cell) error {
			if written = begin(); written != nil {
				return written
			}
			for i := range row {
				switch c := &row[i]; c.Kind {
				case schema.Int:
					numbers[i] = strconv.AppendInt(numbers[i][:0], c.Int, 10)
					cells[i] = numbers[i]
				case schema.Float:
					numbers[i] = appendDouble(numbers[i][:0], c.Float)
					cells[i] = numbers[i]
				case schema.Bytes:
					if cells[i] = c.Bytes; c.Bytes == nil {
						cells[i] = []byte{} // nil would be NULL
					}
				default:
					cells[i] = nil
				}
			}
			written = result.Row(cells)
			return written
		},
	}
	if err := program.Run(ctx, &host); err != nil {
		if written != nil {
			return written
		}
		db.tableErr = err
		return db.explain(ctx, err)
	}
	if err := begin(); err != nil {
		return err
	}
	return result.Close()
}

// compared returns the constraints of a comparison, as translate does.
func compared(c *schema.ColumnInfo, op schema.Op, a plain.Argument) (to []schema.Constraint) {
	if !a.In {
		return constrain(nil, c, op, a.Value)
	}
	for _, v := range a.List {
		if v.Kind == schema.Null {
			continue // nothing equals NULL
		}
		before := len(to)
		if to = constrain(to, c, op, v); len(to) == before {
			return nil // a value that does not translate widens the list
		}
	}
	return to
}
