package sqlite

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/integration/plain"
	"github.com/osquery-sockets/osquery-sockets/integration/snapshot"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// maxSnapshot is the memory, in bytes, of the largest snapshot. As the inner side
// of a join a table is scanned once for each row of the outer side: see
// [snapshot.Calls]. A snapshot is kept until the end of the statement.
const maxSnapshot = 64 << 20

// scanKind is the scans of a statement that one snapshot can serve.
type scanKind struct {
	table *vtab
	plan  string
}

// calls returns what is known of the scans of a kind.
func (db *DB) calls(kind scanKind) *snapshot.Calls {
	c := db.repeated[kind]
	if c == nil {
		c = &snapshot.Calls{Grant: db.snapshotGrant, Memory: snapshot.NewMemory(maxSnapshot)}
		db.repeated[kind] = c
	}
	return c
}

// repeat begins another scan of its kind, of a snapshot if that has become worth
// it.
func (c *cursor) repeat(terms []snapshot.Term) {
	c.calls.Note(terms)
	columns := c.table.Spec().Columns
	if order := c.calls.Order(columns, c.plan.used, terms); order != nil {
		s := order.Take(c.db.conn.GetInterrupt(), func(ctx context.Context, o *snapshot.Order) schema.Scan {
			return c.table.Scan(ctx, c.plan.query(c.table, o.Constraints))
		})
		c.calls.Took(order, s)
	}
	if rows, ok := c.calls.Find(terms); ok {
		c.scan = rows
		return
	}
	var all []schema.Constraint
	for _, t := range terms {
		all = append(all, t.Constraints...)
	}
	c.began = time.Now()
	c.scan = c.table.Scan(c.db.conn.GetInterrupt(), c.plan.query(c.table, all))
}

// translate reads what a term compares its column with.
func translate(c *schema.ColumnInfo, t term, a plain.Argument) snapshot.Term {
	to := snapshot.Term{Column: t.column, Equal: t.op == schema.EQ || t.op == schema.IS}
	if !a.In {
		to.Constraints = constrain(nil, c, t.op, a.Value)
		if to.Equal {
			to.Values = value(nil, c, t, a.Value)
		}
		return to
	}
	n := 0
	for _, v := range a.List {
		if v.Kind != schema.Null { // nothing equals NULL
			to.Constraints = constrain(to.Constraints, c, t.op, v)
			to.Values = value(to.Values, c, t, v)
			n++
		}
	}
	if len(to.Constraints) < n {
		to.Constraints = nil // a value that does not translate widens the list
	}
	return to
}

// value appends what a column must equal to be equal to v.
func value(to []snapshot.Value, c *schema.ColumnInfo, t term, v schema.Cell) []snapshot.Value {
	switch v.Kind {
	case schema.Int:
		return append(to, snapshot.Of(c.Type, strconv.FormatInt(v.Int, 10)))
	case schema.Float:
		return append(to, snapshot.OfFloat(c.Type, v.Float))
	case schema.Bytes:
		return append(to, snapshot.Of(c.Type, string(v.Bytes)))
	case blob:
		return append(to, snapshot.Value{})
	}
	if t.op == schema.IS {
		return append(to, snapshot.Null())
	}
	return to
}

// argument reads what SQLite hands over for a term.
func argument(t term, arg sqlite3.Value) (a plain.Argument, err error) {
	if !t.in {
		return plain.Argument{Value: operand(arg)}, nil
	}
	a.In = true
	v, err := arg.InFirst()
	for ; err == nil; v, err = arg.InNext() {
		a.List = append(a.List, operand(v))
	}
	if errors.Is(err, endOfList) {
		err = nil
	}
	return a, err
}
