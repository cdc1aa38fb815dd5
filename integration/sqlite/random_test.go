package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// TestSameAsCopiedTables asks many random questions twice: of the tables, and
// of an ordinary SQLite database into which their rows were copied. What the
// tables narrow, leave out and identify must not show.
func TestSameAsCopiedTables(t *testing.T) {
	// What socket_sources says changes when another table is read.
	all := slices.DeleteFunc(fixtures(), func(t schema.Any) bool { return t.Spec().Name == "socket_sources" })
	db, joining := open(t, all), open(t, all)
	joining.SnapshotSoon()
	copied := copyTables(t, all)
	questions := 4000
	if testing.Short() {
		questions = 400
	}
	var sources []source
	for _, table := range all {
		// Of some sockets a copy of /proc does not tell.
		if s := newSource(t, table); len(s.sample) > 0 {
			sources = append(sources, s)
		}
	}
	answered := 0
	for seed := range questions {
		g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 0)), sources: sources}
		sql := g.query()
		asked := db
		if strings.Contains(sql, "JOIN") && seed%2 == 0 {
			asked = joining
		}
		got, err := run(t.Context(), asked, sql)
		want, copiedErr := query(copied, g.ofCopies(sql))
		if (err == nil) != (copiedErr == nil) {
			t.Fatalf("seed %d: %s\ngot error  %v\nwant error %v", seed, sql, err, copiedErr)
		}
		if err != nil {
			continue
		}
		if len(want) > 0 {
			answered++
		}
		slices.Sort(got[0].rows)
		slices.Sort(want)
		if !slices.Equal(got[0].rows, want) {
			t.Fatalf("seed %d: %s\ngot  %d rows %.300s\nwant %d rows %.300s", seed, sql, len(got[0].rows), fmt.Sprint(got[0].rows), len(want), fmt.Sprint(want))
		}
	}
	if answered < questions/3 {
		t.Errorf("of %d questions only %d have an answer", questions, answered)
	}
}

// scopes returns every set of a table's scope columns.
func scopes(table schema.Any) (sets [][]string) {
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
func copyName(table schema.Any, scope []string) string {
	return strings.Join(append([]string{table.Spec().Name}, scope...), "$")
}

// ofCopies rewrites a statement for the copies: a table there is that of the scope
// columns which the statement uses.
func (g *generator) ofCopies(sql string) string {
	for _, s := range g.scope {
		for _, scope := range scopes(s.table) {
			used := func(name string) bool {
				return regexp.MustCompile(`\b` + s.alias + `\.` + name + `\b`).MatchString(sql)
			}
			if !slices.ContainsFunc(s.table.Spec().Columns, func(c schema.ColumnInfo) bool { return c.Scope && used(c.Name) != slices.Contains(scope, c.Name) }) {
				name := sqlite3.QuoteIdentifier(copyName(s.table, scope))
				sql = strings.Replace(sql+" ", " "+s.table.Spec().Name+" "+s.alias+" ", " "+name+" "+s.alias+" ", 1)
				break
			}
		}
	}
	return sql
}

// copyTables makes a database of ordinary tables with the rows of all, for each
// set of scope columns.
func copyTables(t testing.TB, all []schema.Any) *sqlite3.Conn {
	t.Helper()
	conn, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Config(sqlite3.DBCONFIG_DQS_DML, true); err != nil {
		t.Fatal(err)
	}
	for _, table := range all {
		for _, scope := range scopes(table) {
			copyTable(t, conn, table, scope)
		}
	}
	return conn
}

func copyTable(t testing.TB, conn *sqlite3.Conn, table schema.Any, scope []string) {
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

// query returns the rows of a statement as those of a collected result.
func query(conn *sqlite3.Conn, sql string) ([]string, error) {
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	var c collected
	cells := make([][]byte, stmt.ColumnCount())
	for stmt.Step() {
		for i := range cells {
			cells[i] = stmt.ColumnRawText(i)
		}
		c.Row(cells)
	}
	return c.rows, stmt.Err()
}

// generator writes random SQL over the tables.
type generator struct {
	*rand.Rand
	sources []source
	scope   []source // what the expressions may name
}

// source is a table in a FROM clause.
type source struct {
	alias  string
	table  schema.Any
	sample [][]string // some of its rows
}

func newSource(t testing.TB, table schema.Any) source {
	t.Helper()
	s := source{table: table}
	var all schema.Request
	for _, c := range table.Spec().Columns {
		all.Used = append(all.Used, c.Name)
	}
	scan := table.Scan(t.Context(), table.Query(all))
	defer scan.Close()
	var cell schema.Cell
	for i := 0; scan.Next(); i++ {
		if i%10 != 0 {
			continue
		}
		var row []string
		for i := range table.Spec().Columns {
			scan.Cell(i, &cell)
			row = append(row, string(cell.AppendText(nil)))
		}
		s.sample = append(s.sample, row)
	}
	if scan.Err() != nil {
		t.Fatal(scan.Err())
	}
	return s
}

// from picks a table under an alias.
func (g *generator) from(alias string) source {
	s := pick(g, g.sources...)
	s.alias = alias
	return s
}

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *generator) query() string {
	g.scope = []source{g.from("a")}
	from := g.scope[0].table.Spec().Name + " a"
	if g.IntN(4) == 0 {
		second := g.from("b")
		on := g.join(g.scope[0], second)
		g.scope = append(g.scope, second)
		from += pick(g, " JOIN ", " LEFT JOIN ", " CROSS JOIN ", " RIGHT JOIN ", " FULL JOIN ") + second.table.Spec().Name + " b ON " + on
	}
	var sql strings.Builder
	sql.WriteString("SELECT ")
	var columns []string
	for range 1 + g.IntN(4) {
		_, name, _ := g.column()
		columns = append(columns, name)
	}
	group := ""
	switch g.IntN(5) {
	case 0:
		sql.WriteString("count(*)")
	case 1:
		_, name, _ := g.column()
		fmt.Fprintf(&sql, "%s, count(*), %s(%s)", columns[0], pick(g, "min", "max", "count", "sum"), name)
		group = " GROUP BY " + columns[0]
		columns = columns[:1]
	case 2:
		sql.WriteString("DISTINCT ")
		fallthrough
	default:
		sql.WriteString(strings.Join(columns, ", "))
	}
	sql.WriteString(" FROM " + from)
	if g.IntN(8) > 0 {
		sql.WriteString(" WHERE " + g.condition(3))
	}
	sql.WriteString(group)
	// Ordered by all that is selected any choice among equals is the same.
	if !strings.HasPrefix(sql.String(), "SELECT count") && g.IntN(3) == 0 {
		fmt.Fprintf(&sql, " ORDER BY %s", strings.Join(columns, pick(g, ", ", " DESC, ")))
		if group == "" || g.IntN(2) == 0 {
			fmt.Fprintf(&sql, " LIMIT %d OFFSET %d", g.IntN(20), g.IntN(5))
		}
	}
	return sql.String()
}

// join is an equality of columns that some rows share, and maybe more.
func (g *generator) join(a, b source) string {
	name := func(s source) string {
		for _, c := range []string{"local_port", "port"} {
			for _, column := range s.table.Spec().Columns {
				if column.Name == c {
					return s.alias + "." + c
				}
			}
		}
		return "1"
	}
	return name(a) + " = " + name(b) + pick(g, "", " AND "+b.alias+".protocol = 'tcp'", " AND a.rowid = b.rowid")
}

// column returns a column in scope, by name and with a value that a row has.
func (g *generator) column() (schema.ColumnInfo, string, string) {
	s := pick(g, g.scope...)
	i := g.IntN(len(s.table.Spec().Columns))
	c := s.table.Spec().Columns[i]
	return c, s.alias + "." + c.Name, pick(g, s.sample...)[i]
}

func (g *generator) condition(depth int) string {
	if depth > 0 {
		switch g.IntN(6) {
		case 0, 1:
			return g.condition(depth-1) + " AND " + g.condition(depth-1)
		case 2:
			return "(" + g.condition(depth-1) + " OR " + g.condition(depth-1) + ")"
		case 3:
			return "NOT (" + g.condition(depth-1) + ")"
		}
	}
	c, name, value := g.column()
	switch g.IntN(10) {
	case 0:
		return name + pick(g, " IS NULL", " IS NOT NULL", " = NULL", " = ''")
	case 1:
		var list []string
		for range g.IntN(4) {
			list = append(list, g.literal(c, value))
			_, _, value = g.column()
		}
		return name + pick(g, " IN (", " NOT IN (") + strings.Join(list, ", ") + ")"
	case 2:
		return name + " BETWEEN " + g.literal(c, value) + " AND " + g.literal(c, pick(g, value, "9"))
	case 3:
		return name + pick(g, " LIKE '%", " LIKE '", " GLOB '*") + strings.ReplaceAll(value[:min(3, len(value))], "'", "") + pick(g, "%'", "*'", "'")
	case 4:
		return name + " IN (SELECT port FROM well_known_services WHERE protocol = 'tcp')"
	case 5:
		_, other, _ := g.column()
		return name + pick(g, " = ", " < ", " <> ", " IS ") + other
	case 6:
		return name + " = " + g.literal(c, value) + pick(g, " COLLATE NOCASE", " COLLATE RTRIM", " COLLATE BINARY")
	}
	return name + pick(g, " = ", " = ", " = ", " <> ", " < ", " <= ", " > ", " >= ", " IS ") + g.literal(c, value)
}

// literal writes a value in one of the ways in which people do.
func (g *generator) literal(c schema.ColumnInfo, value string) string {
	quoted := "'" + strings.ReplaceAll(value, "'", "''") + "'"
	if c.Type == schema.Text {
		return pick(g, quoted, quoted, quoted, strings.ToUpper(quoted), strings.ToLower(quoted), "'"+value+" '", "22", "22.0", "NULL", "x'74'", "'%'")
	}
	if value == "" {
		value = "1"
	}
	return pick(g, value, value, value, "'"+value+"'", "' "+value+" '", "'"+value+".0'", value+".5", "-"+value, "1e4", "'x'", "NULL", "9223372036854775807", "'0x16'", value+" + 1")
}
