package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// lister writes random statements about one table, most of which package plain
// runs: listings, counts, groups.
type lister struct {
	*rand.Rand
	table schema.Table
	rows  [][]string // all of the table
}

func newListers(t *testing.T, all []schema.Table) (listers []*lister) {
	for _, table := range all {
		l := &lister{table: table}
		var q schema.Request
		for _, c := range table.Spec().Columns {
			q.Used = append(q.Used, c.Name)
		}
		scan := table.Scan(t.Context(), table.Query(q))
		for scan.Next() {
			var row []string
			var cell schema.Cell
			for i := range q.Used {
				scan.Cell(i, &cell)
				row = append(row, string(cell.AppendText(nil)))
			}
			l.rows = append(l.rows, row)
		}
		if err := scan.Err(); err != nil {
			t.Fatal(err)
		}
		scan.Close()
		if len(l.rows) > 0 {
			listers = append(listers, l)
		}
	}
	return listers
}

func (l *lister) column() (name string, i int) {
	i = l.IntN(len(l.table.Spec().Columns))
	return l.table.Spec().Columns[i].Name, i
}

// constant is a literal, often a value of the column.
func (l *lister) constant(column int) string {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	value := l.rows[l.IntN(len(l.rows))][column]
	switch l.IntN(30) {
	case 0:
		return "NULL"
	case 1:
		return fmt.Sprint(l.IntN(70000) - 100)
	case 2:
		return pick(l.Rand, "''", "'x'", "' 22 '", "'1e1'", "'0x10'", "'-'", "'.5'", "' '", "'9223372036854775808'", "'22abc'")
	case 3:
		return pick(l.Rand, "22.0", "21.5", "-0.0", "1e300", "9223372036854775807", "-9223372036854775808", "x'3232'")
	case 4:
		return quote(strings.ToUpper(value))
	}
	if l.table.Spec().Columns[column].Type == schema.Text || value == "" || l.IntN(4) == 0 {
		return quote(value)
	}
	return value
}

func (l *lister) condition() string {
	name, i := l.column()
	switch l.IntN(9) {
	case 0:
		return name + pick(l.Rand, " IS NULL", " IS NOT NULL", " NOTNULL")
	case 1:
		var list []string
		for range 1 + l.IntN(4) {
			list = append(list, l.constant(i))
		}
		return name + pick(l.Rand, " IN (", " NOT IN (") + strings.Join(list, ", ") + ")"
	case 2:
		other, _ := l.column()
		return name + pick(l.Rand, " = ", " < ", " IS ", " <> ") + other
	case 3:
		return name + " BETWEEN " + l.constant(i) + " AND " + l.constant(i)
	case 4:
		return "(" + l.condition() + " OR " + l.condition() + ")"
	case 5:
		return "NOT " + l.condition()
	case 6:
		return l.constant(i) + pick(l.Rand, " = ", " < ", " >= ") + name + pick(l.Rand, "", "", " COLLATE NOCASE")
	}
	return name + pick(l.Rand, " = ", " <> ", " < ", " <= ", " > ", " >= ", " IS ", " IS NOT ", " == ") + l.constant(i)
}

func (l *lister) where() string {
	if l.IntN(3) == 0 {
		return ""
	}
	s := " WHERE " + l.condition()
	for range l.IntN(3) {
		s += pick(l.Rand, " AND ", " AND ", " OR ") + l.condition()
	}
	return s
}

func (l *lister) aggregate() string {
	name, _ := l.column()
	if l.IntN(12) == 0 {
		return pick(l.Rand, "count(DISTINCT "+name+")", "avg("+name+")", "total("+name+")", "group_concat("+name+")")
	}
	return pick(l.Rand, "count(*)", "count(*)", "count("+name+")", "sum("+name+")", "min("+name+")", "max("+name+")")
}

func (l *lister) statement() string {
	from := " FROM " + l.table.Name()
	limit := ""
	if l.IntN(6) == 0 {
		limit = fmt.Sprintf(" LIMIT %d", l.IntN(8)-1)
		if l.IntN(2) == 0 {
			limit += fmt.Sprintf(" OFFSET %d", l.IntN(5)-1)
		}
	}
	order := func(names []string) string {
		if l.IntN(3) > 0 {
			return ""
		}
		s := " ORDER BY "
		for i := range 1 + l.IntN(2) {
			if i > 0 {
				s += ", "
			}
			s += pick(l.Rand, names...) + pick(l.Rand, "", " DESC", "", " DESC", "", " DESC", " DESC NULLS LAST", " COLLATE NOCASE")
		}
		return s
	}
	switch l.IntN(20) {
	case 0, 1, 2, 3:
		list := []string{l.aggregate()}
		for range l.IntN(3) {
			list = append(list, l.aggregate())
		}
		return "SELECT " + strings.Join(list, ", ") + from + l.where()
	case 4, 5, 6, 7, 8:
		key, _ := l.column()
		list := []string{key}
		if l.IntN(3) == 0 {
			second, _ := l.column()
			list = append(list, second)
		}
		group := " GROUP BY " + strings.Join(list, ", ")
		list = append(list, l.aggregate()+" AS n")
		if l.IntN(3) == 0 {
			group += pick(l.Rand, " HAVING n > 1", " HAVING count(*) > 1", " HAVING n IS NOT NULL")
		}
		return "SELECT " + strings.Join(list, ", ") + from + l.where() + group + order([]string{key, "n", "1"}) + limit
	case 9:
		name, _ := l.column()
		return "SELECT DISTINCT " + name + from + l.where() + order([]string{name}) + limit
	}
	var names []string
	for range 1 + l.IntN(5) {
		name, i := l.column()
		if l.IntN(10) == 0 {
			name = pick(l.Rand, "rowid", l.constant(i), "coalesce("+name+", 0)")
		}
		names = append(names, name)
	}
	s := "SELECT " + pick(l.Rand, strings.Join(names, ", "), strings.Join(names, ", "), "*") + from + l.where()
	if l.IntN(8) == 0 && !strings.Contains(s, "SELECT *") {
		return s + " UNION ALL " + s + limit
	}
	name, _ := l.column()
	return s + order([]string{name, names[0] + " + 0", "1"}) + limit
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// TestPlainSameAsSQLite asks many random statements twice, of package plain and of
// SQLite: names, rows and their order are the same.
func TestPlainSameAsSQLite(t *testing.T) {
	all := slices.DeleteFunc(fixtures(), func(t schema.Table) bool { return t.Name() == "socket_sources" })
	plainly, bySQLite := open(t, all), open(t, all)
	bySQLite.SQLiteOnly = true
	listers, generator := newListers(t, all), sqltest.NewGenerator(t, all)
	generator.RowIDs = true
	questions := 24000
	if testing.Short() {
		questions = 2400
	}
	plain := 0
	for seed := range questions {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		l := pick(r, listers...)
		l.Rand = r
		sql := l.statement()
		if seed%8 == 0 {
			sql = generator.Statement(uint64(seed)).SQL
		}
		got, gotErr := run(t.Context(), plainly, sql)
		want, wantErr := run(t.Context(), bySQLite, sql)
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("seed %d: %s\ngot error  %v\nwant error %v", seed, sql, gotErr, wantErr)
		}
		if wantErr != nil {
			if gotErr.Error() != wantErr.Error() {
				t.Fatalf("seed %d: %s\ngot error  %v\nwant error %v", seed, sql, gotErr, wantErr)
			}
			continue
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(collected{})); diff != "" {
			t.Fatalf("seed %d: %s\nplain: %t\n(-SQLite +plain)\n%s", seed, sql, plainly.RunsPlain(sql), diff)
		}
		if plainly.RunsPlain(sql) {
			plain++
		}
	}
	t.Logf("%d of %d statements are plain", plain, questions)
	if plain < questions/4 {
		t.Errorf("of %d statements only %d are plain", questions, plain)
	}
}
