package sqlite

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ncruces/go-sqlite3"

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
func translate(c *schema.ColumnInfo, t term, arg sqlite3.Value) (snapshot.Term, error) {
	to := snapshot.Term{Column: t.column, Equal: t.op == schema.EQ || t.op == schema.IS}
	if !t.in {
		to.Constraints = constrain(nil, c, t.op, operand(arg))
		if to.Equal {
			to.Values = value(nil, c, t, arg)
		}
		return to, nil
	}
	v, err := arg.InFirst()
	n := 0
	for ; err == nil; v, err = arg.InNext() {
		if v.Type() != sqlite3.NULL { // nothing equals NULL
			to.Constraints = constrain(to.Constraints, c, t.op, operand(v))
			to.Values = value(to.Values, c, t, v)
			n++
		}
	}
	if !errors.Is(err, endOfList) {
		return to, err
	}
	if len(to.Constraints) < n {
		to.Constraints = nil // a value that does not translate widens the list
	}
	return to, nil
}

// value appends what a column must equal to be equal to v.
func value(to []snapshot.Value, c *schema.ColumnInfo, t term, v sqlite3.Value) []snapshot.Value {
	switch v.Type() {
	case sqlite3.NULL:
		if t.op == schema.IS {
			return append(to, snapshot.Null())
		}
		return to
	case sqlite3.INTEGER:
		return append(to, snapshot.Of(c.Type, strconv.FormatInt(v.Int64(), 10)))
	case sqlite3.FLOAT:
		return append(to, snapshot.OfFloat(c.Type, v.Float()))
	case sqlite3.TEXT:
		return append(to, snapshot.Of(c.Type, v.Text()))
	}
	return append(to, snapshot.Value{})
}
