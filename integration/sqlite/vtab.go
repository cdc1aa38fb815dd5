package sqlite

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/integration/plain"
	"github.com/osquery-sockets/osquery-sockets/integration/snapshot"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// register makes a table known to SQLite, as an eponymous virtual table
// (https://sqlite.org/vtab.html#eponymous_virtual_tables): one that needs no
// CREATE; or, with create, as one that does.
func (db *DB) register(t schema.Table, create bool) error {
	spec := t.Spec()
	var ddl strings.Builder
	for i := range spec.Columns {
		c := &spec.Columns[i]
		if i == 0 {
			ddl.WriteString("CREATE TABLE x(")
		} else {
			ddl.WriteString(", ")
		}
		ddl.WriteString(sqlite3.QuoteIdentifier(c.Name) + " " + string(c.Type))
		if c.Hidden {
			ddl.WriteString(" HIDDEN")
		}
	}
	ddl.WriteString(")")
	connect := func(conn *sqlite3.Conn, _, _, _ string, _ ...string) (*vtab, error) {
		if err := conn.DeclareVTab(ddl.String()); err != nil {
			return nil, err
		}
		return &vtab{db: db, table: t}, nil
	}
	made := connect
	if !create {
		made = nil
	}
	//lint:ignore SA1019 the method that replaces it needs a later Go
	return sqlite3.CreateModule(db.conn, spec.Name, made, connect)
}

// vtab is a table in the eyes of SQLite.
type vtab struct {
	db    *DB
	table schema.Table
}

// The sizes that SQLite plans with. A constraint on a pushed column spares the
// kernel's work for the rows that it excludes, one on another column does not.
// A scan costs much more than a row, so that of two tables in a join the one
// that is narrowed more is the outer one.
const (
	scanCost     = 1_000
	tableRows    = 10_000
	equalKeeps   = 100 // one row of so many
	compareKeeps = 3
	// failingCost is more than any plan's in which a table gets what it requires.
	failingCost = 1e15
)

// BestIndex takes every constraint that may narrow a scan. None is omitted:
// SQLite checks each row again.
func (t *vtab) BestIndex(index *sqlite3.IndexInfo) error {
	p := plan{table: t.table.Name()}
	columns := t.table.Spec().Columns
	rows, read := tableRows, tableRows
	lacks := slices.ContainsFunc(columns, func(c schema.ColumnInfo) bool { return c.Required })
	for i, k := range index.Constraint {
		op := schema.Op(k.Op)
		if !k.Usable || k.Column < 0 {
			continue
		}
		equal := op == schema.EQ || op == schema.IS
		asks := columns[k.Column].Required && (equal || op == schema.LIKE)
		if like := k.Op == sqlite3.INDEX_CONSTRAINT_LIKE; equal || like {
			// Not of IN, nor of what another table gives.
			if v, err := index.RHSValue(i); err == nil && v.Type() == sqlite3.TEXT {
				t.db.warn(t.table, &columns[k.Column], v.Text(), like)
			}
		}
		if asks {
			lacks = false
		} else if !op.Known() {
			continue
		}
		if !equal && !asks && columns[k.Column].Type == schema.Text {
			continue // no table orders texts
		}
		term := term{column: k.Column, op: op}
		keeps := compareKeeps
		if equal {
			keeps = equalKeeps
			term.in = index.In(i, 1)
		}
		rows = max(rows/keeps, 1)
		if columns[k.Column].Pushed {
			read = max(read/keeps, 1)
		}
		p.terms = append(p.terms, term)
		index.ConstraintUsage[i].ArgvIndex = len(p.terms)
	}
	for i := range columns {
		// The last of the 64 bits stands for all columns from there on.
		if index.ColumnsUsed>>min(i, 63)&1 != 0 {
			p.used = append(p.used, i)
		}
	}
	index.IdxStr = p.String()
	index.EstimatedRows = int64(rows)
	index.EstimatedCost = float64(scanCost + read)
	if lacks {
		index.EstimatedCost = failingCost
	}
	return nil
}

// warn warns of a comparison that no row can meet, once.
func (db *DB) warn(table schema.Table, c *schema.ColumnInfo, value string, like bool) {
	if db.Warn == nil {
		return
	}
	mistake := c.Mistake(value, like)
	if mistake == "" {
		return
	}
	if mistake = table.Name() + ": " + mistake; !db.warned[mistake] && len(db.warned) < maxWarnings {
		if db.warned == nil {
			db.warned = make(map[string]bool)
		}
		db.warned[mistake] = true
		db.Warn(mistake)
	}
}

// maxWarnings bounds the warnings of one database.
const maxWarnings = 20

// warnOfList warns of the values of an IN.
func (db *DB) warnOfList(table schema.Table, c *schema.ColumnInfo, a plain.Argument) {
	if !a.In || db.Warn == nil {
		return
	}
	for _, v := range a.List {
		if v.Kind == schema.Bytes {
			db.warn(table, c, string(v.Bytes), false)
		}
	}
}

func (t *vtab) Open() (sqlite3.VTabCursor, error) { return &cursor{vtab: t}, nil }

// plan is what SQLite decided of a scan. It travels as text between BestIndex
// and Filter.
type plan struct {
	table string
	used  []int
	terms []term
}

// term is a constraint whose value comes with the scan; in says that it is a
// list of values.
type term struct {
	column int
	op     schema.Op
	in     bool
}

// String is such as "tcp_sockets 0,3 4:2i 5:16": the table, the used columns, then
// column:op.
func (p *plan) String() string {
	b := append([]byte(p.table), ' ')
	for i, c := range p.used {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(c), 10)
	}
	for _, t := range p.terms {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(t.column), 10)
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(t.op), 10)
		if t.in {
			b = append(b, 'i')
		}
	}
	return string(b)
}

func parsePlan(text string) (p plan, err error) {
	table, text, _ := strings.Cut(text, " ")
	p.table = table
	fields := strings.Split(text, " ")
	if fields[0] != "" {
		for number := range strings.SplitSeq(fields[0], ",") {
			c, err := strconv.Atoi(number)
			if err != nil {
				return p, err
			}
			p.used = append(p.used, c)
		}
	}
	for _, field := range fields[1:] {
		field, in := strings.CutSuffix(field, "i")
		column, op, _ := strings.Cut(field, ":")
		c, err := strconv.Atoi(column)
		if err != nil {
			return p, err
		}
		o, err := strconv.ParseUint(op, 10, 8)
		if err != nil {
			return p, err
		}
		p.terms = append(p.terms, term{c, schema.Op(o), in})
	}
	return p, nil
}

// endOfList is SQLITE_DONE (https://sqlite.org/rescode.html#done), which the
// library has no name for.
const endOfList = sqlite3.ErrorCode(101)

// cursor is one scan after another, of the table or of a snapshot of it.
type cursor struct {
	*vtab
	planText string // what plan was parsed from
	plan     plan
	cell     schema.Cell
	eof      bool

	scan  schema.Scan
	calls *snapshot.Calls
	began time.Time // of the scan, zero if that is of a snapshot
}

// Filter begins a scan.
func (c *cursor) Filter(_ int, planText string, args ...sqlite3.Value) error {
	c.Close()
	if c.planText != planText {
		p, err := parsePlan(planText)
		if err != nil {
			return c.fail(fmt.Errorf("table %s: plan %q: %w", c.table.Name(), planText, err))
		}
		c.plan, c.planText = p, planText
	}
	terms := make([]snapshot.Term, len(c.plan.terms))
	for i, t := range c.plan.terms {
		a, err := argument(t, args[i])
		if err != nil {
			return c.fail(err)
		}
		column := &c.table.Spec().Columns[t.column]
		c.db.warnOfList(c.table, column, a)
		terms[i] = translate(column, t, a)
	}
	c.calls = c.db.calls(scanKind{c.vtab, planText})
	c.repeat(terms)
	return c.Next()
}

// query asks for the used columns with constraints.
func (p *plan) query(table schema.Table, constraints []schema.Constraint) schema.Query {
	r := schema.Request{Constraints: constraints}
	for _, i := range p.used {
		r.Used = append(r.Used, table.Spec().Columns[i].Name)
	}
	return table.Query(r)
}

// constrain adds the constraint if its value is one that our tables compare
// as SQLite does. With a number SQLite may compare a text as a number: 080 is
// 80. What says where to look is never left out.
func constrain(to []schema.Constraint, c *schema.ColumnInfo, op schema.Op, v schema.Cell) []schema.Constraint {
	if v.Kind == schema.Null || v.Kind == blob || c.Type == schema.Text && v.Kind != schema.Bytes && !(c.Scope && v.Kind == schema.Int) {
		return to
	}
	return append(to, schema.Constraint{Column: c.Name, Op: op, Value: string(v.AppendText(nil))})
}

// blob is the kind of an operand that no column has a value of.
const blob = schema.Kind(255)

// operand is a value that SQLite hands over.
func operand(v sqlite3.Value) schema.Cell {
	switch v.Type() {
	case sqlite3.INTEGER:
		return schema.Cell{Kind: schema.Int, Int: v.Int64()}
	case sqlite3.FLOAT:
		return schema.Cell{Kind: schema.Float, Float: v.Float()}
	case sqlite3.TEXT:
		return schema.Cell{Kind: schema.Bytes, Bytes: []byte(v.Text())}
	case sqlite3.BLOB:
		return schema.Cell{Kind: blob}
	}
	return schema.Cell{}
}

// Next moves on.
func (c *cursor) Next() error {
	c.eof = !c.scan.Next()
	return c.fail(c.scan.Err())
}

// fail keeps the error for the caller of Run.
func (c *cursor) fail(err error) error {
	if err != nil && c.db.tableErr == nil {
		c.db.tableErr = err
	}
	return err
}

func (c *cursor) EOF() bool { return c.eof }

func (c *cursor) Column(ctx sqlite3.Context, i int) error {
	c.scan.Cell(i, &c.cell)
	switch cell := &c.cell; cell.Kind {
	case schema.Int:
		ctx.ResultInt64(cell.Int)
	case schema.Float:
		ctx.ResultFloat(cell.Float)
	case schema.Bytes:
		if len(cell.Bytes) == 0 {
			ctx.ResultText("") // no bytes at all would be NULL
		} else {
			ctx.ResultRawText(cell.Bytes)
		}
	}
	return nil
}

func (c *cursor) RowID() (int64, error) { return c.scan.RowID(), nil }

// Close ends the scan.
func (c *cursor) Close() error {
	if c.scan != nil {
		c.scan.Close()
		c.scan = nil
		if !c.began.IsZero() {
			c.calls.Read(time.Since(c.began))
			c.began = time.Time{}
		}
	}
	return nil
}
