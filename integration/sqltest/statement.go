package sqltest

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

// Statement is a random SELECT. Each of its columns has a name of its own.
type Statement struct {
	SQL string
	// Tables is how many tables it joins.
	Tables int
	// Ordered says that its ORDER BY names all that it selects, so that the order
	// of its rows is part of the answer.
	Ordered bool

	scope []source
}

// Same reports whether two lists of rows are the same answer.
func (s Statement) Same(a, b []string) bool {
	if !s.Ordered {
		a, b = slices.Clone(a), slices.Clone(b)
		slices.Sort(a)
		slices.Sort(b)
	}
	return slices.Equal(a, b)
}

// ofCopies rewrites a statement for the copies: a table there is that of the scope
// columns which the statement uses.
func (s Statement) ofCopies() string {
	sql := s.SQL
	for _, from := range s.scope {
		for _, scope := range scopes(from.table) {
			used := func(name string) bool {
				return regexp.MustCompile(`\b` + from.alias + `\.` + name + `\b`).MatchString(sql)
			}
			if !slices.ContainsFunc(from.table.Spec().Columns, func(c schema.ColumnInfo) bool { return c.Scope && used(c.Name) != slices.Contains(scope, c.Name) }) {
				name := sqlite3.QuoteIdentifier(copyName(from.table, scope))
				sql = strings.Replace(sql+" ", " "+from.table.Spec().Name+" "+from.alias+" ", " "+name+" "+from.alias+" ", 1)
				break
			}
		}
	}
	return sql
}

// Generator writes random statements over tables. Its statements are about
// values that the tables have.
type Generator struct {
	// RowIDs lets statements compare the rowid of two tables. In osquery a table
	// has no rowid of its own.
	RowIDs bool
	// Joins makes every statement a join of two or three tables.
	Joins      bool
	sources    []source
	namespaces []string // that network_namespaces has
}

// NewGenerator reads the tables, and leaves out those without rows.
func NewGenerator(t testing.TB, tables []schema.Table) *Generator {
	t.Helper()
	g := &Generator{}
	for _, table := range tables {
		s := newSource(t, table)
		if len(s.sample) > 0 {
			g.sources = append(g.sources, s)
		}
		if table.Spec().Name == "network_namespaces" {
			inode := slices.IndexFunc(table.Spec().Columns, func(c schema.ColumnInfo) bool { return c.Name == "inode" })
			for _, row := range s.sample {
				g.namespaces = append(g.namespaces, row[inode])
			}
		}
	}
	return g
}

// source is a table in a FROM clause.
type source struct {
	alias    string
	table    schema.Table
	rows     int
	sample   [][]string // some of its rows
	distinct []int      // values of each column
}

func newSource(t testing.TB, table schema.Table) source {
	t.Helper()
	s := source{table: table}
	var all schema.Request
	columns := table.Spec().Columns
	for _, c := range columns {
		all.Used = append(all.Used, c.Name)
	}
	scan := table.Scan(t.Context(), table.Query(all))
	defer scan.Close()
	values := make([]map[string]bool, len(columns))
	var cell schema.Cell
	for ; scan.Next(); s.rows++ {
		var row []string
		for i := range columns {
			scan.Cell(i, &cell)
			row = append(row, string(cell.AppendText(nil)))
			if values[i] == nil {
				values[i] = make(map[string]bool)
			}
			values[i][row[i]] = true
		}
		if s.rows < 5 || s.rows%10 == 0 {
			s.sample = append(s.sample, row)
		}
	}
	if scan.Err() != nil {
		t.Fatal(scan.Err())
	}
	for _, v := range values {
		s.distinct = append(s.distinct, len(v))
	}
	return s
}

func (s source) name(column int) string { return s.alias + "." + s.table.Spec().Columns[column].Name }

// statement is one that is being written.
type statement struct {
	*rand.Rand
	*Generator
	scope []source // what the expressions may name
}

// Statement returns the statement of this seed.
func (g *Generator) Statement(seed uint64) Statement {
	s := &statement{rand.New(rand.NewPCG(seed, 0)), g, nil}
	return s.query()
}

// from picks a table under an alias.
func (s *statement) from(alias string) source {
	picked := pick(s, s.sources...)
	if s.IntN(3) == 0 {
		// What is asked most, where there are two namespaces.
		for _, other := range s.sources {
			if name := other.table.Spec().Name; name == "tcp_sockets" || name == "udp_sockets" && s.IntN(2) == 0 {
				picked = other
			}
		}
	}
	picked.alias = alias
	return picked
}

func pick[T any](s *statement, of ...T) T { return of[s.IntN(len(of))] }

func (s *statement) query() Statement {
	s.scope = []source{s.from("a")}
	from := s.scope[0].table.Spec().Name + " a"
	rows := s.scope[0].rows
	joined := max(0, s.IntN(6)-3)
	if s.Joins {
		joined = 1 + s.IntN(2)
	}
	for _, alias := range []string{"b", "c"}[:joined] {
		next := s.from(alias)
		var on string
		on, rows = s.join(next, rows)
		s.scope = append(s.scope, next)
		from += pick(s, " JOIN ", " LEFT JOIN ", " CROSS JOIN ", " RIGHT JOIN ", " FULL JOIN ") + next.table.Spec().Name + " " + alias + " ON " + on
	}
	var columns []string
	for range 1 + s.IntN(4) {
		_, name, _ := s.column()
		columns = append(columns, name)
	}
	selected, distinct, group := columns, "", ""
	switch s.IntN(5) {
	case 0:
		selected, columns = []string{"count(*)"}, nil
	case 1:
		c, name, _ := s.column()
		function := pick(s, "min", "max", "count", "sum")
		if c.Type == schema.Text && function == "sum" {
			function = "count"
		}
		columns = columns[:1]
		selected = []string{columns[0], "count(*)", function + "(" + name + ")"}
		group = " GROUP BY " + columns[0]
	case 2:
		distinct = "DISTINCT "
	}
	var sql strings.Builder
	sql.WriteString("SELECT " + distinct)
	for i, expression := range selected {
		if i > 0 {
			sql.WriteString(", ")
		}
		fmt.Fprintf(&sql, "%s AS c%d", expression, i)
	}
	sql.WriteString(" FROM " + from)
	if s.IntN(8) > 0 {
		sql.WriteString(" WHERE " + s.condition(3))
	}
	sql.WriteString(group)
	// Ordered by all that is selected any choice among equals is the same.
	ordered := columns != nil && s.IntN(3) == 0
	if ordered {
		fmt.Fprintf(&sql, " ORDER BY %s", strings.Join(columns, pick(s, ", ", " DESC, ")))
		if group == "" || s.IntN(2) == 0 {
			fmt.Fprintf(&sql, " LIMIT %d OFFSET %d", s.IntN(20), s.IntN(5))
		}
	}
	return Statement{sql.String(), len(s.scope), ordered, s.scope}
}

// joinable are columns whose values are of one kind, by which people join.
var joinable = [][]string{
	{"local_port", "remote_port", "port"}, {"inode", "peer_inode"}, {"net_namespace", "inode"}, {"pid"}, {"uid"}, {"cookie"},
	{"interface"}, {"proto"}, {"protocol", "ip_protocol"}, {"local_address", "remote_address"},
}

// maxRows is about how many rows a join may have before its conditions.
const maxRows = 1000

// join returns the condition on which a table joins those in scope, whose join
// has about so many rows, and how many the result has: an equality of columns of
// one kind, and maybe more.
func (s *statement) join(next source, rows int) (on string, result int) {
	type equality struct {
		text string
		rows int
	}
	var found []equality
	for _, names := range joinable {
		for i, c := range next.table.Spec().Columns {
			if !slices.Contains(names, c.Name) {
				continue
			}
			n := rows * next.rows / max(next.distinct[i], 1)
			for _, before := range s.scope {
				for j, other := range before.table.Spec().Columns {
					if slices.Contains(names, other.Name) && n <= maxRows {
						found = append(found, equality{before.name(j) + " = " + next.name(i), n})
					}
				}
			}
		}
	}
	if s.RowIDs && s.IntN(8) == 0 {
		found = []equality{{s.scope[0].alias + ".rowid = " + next.alias + ".rowid", rows}}
	}
	if len(found) == 0 {
		// Of one value of a column with many there are few rows.
		best := 0
		for i, n := range next.distinct {
			if n > next.distinct[best] {
				best = i
			}
		}
		value := pick(s, next.sample...)[best]
		found = []equality{{next.name(best) + " = '" + strings.ReplaceAll(value, "'", "''") + "'", rows * (1 + next.rows/next.distinct[best])}}
	}
	e := pick(s, found...)
	scope := s.scope
	defer func() { s.scope = scope }()
	s.scope = append(slices.Clone(scope), next)
	return e.text + pick(s, "", "", " AND "+s.condition(0)), e.rows
}

// column returns a column in scope, by name and with a value that a row has.
func (s *statement) column() (schema.ColumnInfo, string, string) {
	from := pick(s, s.scope...)
	i := s.IntN(len(from.table.Spec().Columns))
	if s.IntN(4) == 0 {
		// Of so many columns the scope columns would be rare.
		for j, c := range from.table.Spec().Columns {
			if c.Scope && s.IntN(2) == 0 {
				i = j
			}
		}
	}
	c, value := from.table.Spec().Columns[i], pick(s, from.sample...)[i]
	if c.Name == "net_namespace" && len(s.namespaces) > 0 {
		// Also of those in which the table has no rows, or shows none.
		value = pick(s, append(slices.Clone(s.namespaces), value)...)
	}
	return c, from.name(i), value
}

func (s *statement) condition(depth int) string {
	if depth > 0 {
		switch s.IntN(6) {
		case 0, 1:
			return s.condition(depth-1) + " AND " + s.condition(depth-1)
		case 2:
			return "(" + s.condition(depth-1) + " OR " + s.condition(depth-1) + ")"
		case 3:
			return "NOT (" + s.condition(depth-1) + ")"
		}
	}
	c, name, value := s.column()
	switch s.IntN(10) {
	case 0:
		return name + pick(s, " IS NULL", " IS NOT NULL", " = NULL", " = ''")
	case 1:
		var list []string
		for range s.IntN(4) {
			list = append(list, s.literal(c, value))
			_, _, value = s.column()
		}
		if list == nil {
			// IN () would be false before SQLite sees which columns are used, and with
			// it what AND puts beside it.
			list = []string{"SELECT 1 WHERE 0"}
		}
		return name + pick(s, " IN (", " NOT IN (") + strings.Join(list, ", ") + ")"
	case 2:
		return name + " BETWEEN " + s.literal(c, value) + " AND " + s.literal(c, pick(s, value, "9"))
	case 3:
		return name + pick(s, " LIKE '%", " LIKE '", " GLOB '*") + strings.ReplaceAll(value[:min(3, len(value))], "'", "") + pick(s, "%'", "*'", "'")
	case 4:
		return name + " IN (SELECT port FROM well_known_services WHERE protocol = 'tcp')"
	case 5:
		_, other, _ := s.column()
		return name + pick(s, " = ", " < ", " <> ", " IS ") + other
	case 6:
		return name + " = " + s.literal(c, value) + pick(s, " COLLATE NOCASE", " COLLATE RTRIM", " COLLATE BINARY")
	}
	return name + pick(s, " = ", " = ", " = ", " <> ", " < ", " <= ", " > ", " >= ", " IS ") + s.literal(c, value)
}

// literal writes a value in one of the ways in which people do.
func (s *statement) literal(c schema.ColumnInfo, value string) string {
	quoted := "'" + strings.ReplaceAll(value, "'", "''") + "'"
	if c.Type == schema.Text {
		return pick(s, quoted, quoted, quoted, strings.ToUpper(quoted), strings.ToLower(quoted), "'"+strings.ReplaceAll(value, "'", "''")+" '", "22", "22.0", "NULL", "x'74'", "'%'")
	}
	if value == "" {
		value = "1"
	}
	return pick(s, value, value, value, "'"+value+"'", "' "+value+" '", "'"+value+".0'", value+".5", "-"+value, "1e4", "'x'", "NULL", "9223372036854775807", "'0x16'", value+" + 1")
}
