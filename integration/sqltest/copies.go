package sqltest

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Row writes a row as a line: texts in quotes, and NULL for a nil cell.
func Row(cells [][]byte) string {
	var b []byte
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ' ')
		}
		if cell == nil {
			b = append(b, "NULL"...)
		} else {
			b = strconv.AppendQuote(b, string(cell))
		}
	}
	return string(b)
}

// Copies is a database of ordinary tables. Each has the rows of one of ours, in
// a copy for each set of scope columns that a statement may use.
type Copies struct{ conn *sqlite3.Conn }

// Copy reads the tables and copies their rows.
func Copy(t testing.TB, tables []schema.Table) *Copies {
	t.Helper()
	conn, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Config(sqlite3.DBCONFIG_DQS_DML, true); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		for _, scope := range scopes(table) {
			copyTable(t, conn, table, scope)
		}
	}
	return &Copies{conn}
}

// scopes returns every set of a table's scope columns.
func scopes(table schema.Table) (sets [][]string) {
	sets = [][]string{{}}
	for _, c := range table.Spec().Columns {
		if c.Scope {
			for _, set := range sets {
				sets = append(sets, append(slices.Clone(set), c.Name))
			}
		}
	}
	return sets
}

// copyName is the name of the copy that has the rows of a statement which uses
// these scope columns.
func copyName(table schema.Table, scope []string) string {
	return strings.Join(append([]string{table.Spec().Name}, scope...), "$")
}

func copyTable(t testing.TB, conn *sqlite3.Conn, table schema.Table, scope []string) {
	t.Helper()
	name := sqlite3.QuoteIdentifier(copyName(table, scope))
	var request schema.Request
	var columns, marks []string
	names := []string{"rowid"}
	for _, c := range table.Spec().Columns {
		columns = append(columns, sqlite3.QuoteIdentifier(c.Name)+" "+string(c.Type))
		names = append(names, sqlite3.QuoteIdentifier(c.Name))
		marks = append(marks, "?")
		if !c.Scope || slices.Contains(scope, c.Name) {
			request.Used = append(request.Used, c.Name)
		}
	}
	if err := conn.Exec("CREATE TABLE " + name + " (" + strings.Join(columns, ", ") + ")"); err != nil {
		t.Fatal(err)
	}
	insert, _, err := conn.Prepare("INSERT INTO " + name + " (" + strings.Join(names, ", ") + ") VALUES (?, " + strings.Join(marks, ", ") + ")")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	scan := table.Scan(t.Context(), table.Query(request))
	defer scan.Close()
	var cell schema.Cell
	for scan.Next() {
		for i := range columns {
			scan.Cell(i, &cell)
			switch cell.Kind {
			case schema.Int:
				err = insert.BindInt64(i+2, cell.Int)
			case schema.Float:
				err = insert.BindFloat(i+2, cell.Float)
			case schema.Bytes:
				err = insert.BindText(i+2, string(cell.Bytes))
			default:
				err = insert.BindNull(i + 2)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := insert.BindInt64(1, scan.RowID()); err != nil {
			t.Fatal(err)
		}
		if err := insert.Exec(); err != nil {
			t.Fatal(err)
		}
	}
	if scan.Err() != nil {
		t.Fatal(scan.Err())
	}
}

// Rows returns the rows of a statement as [Row] writes them.
func (c *Copies) Rows(s Statement) (rows []string, err error) {
	stmt, _, err := c.conn.Prepare(s.ofCopies())
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	cells := make([][]byte, stmt.ColumnCount())
	for stmt.Step() {
		for i := range cells {
			cells[i] = stmt.ColumnRawText(i)
		}
		rows = append(rows, Row(cells))
	}
	return rows, stmt.Err()
}
