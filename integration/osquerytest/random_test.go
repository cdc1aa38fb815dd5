package osquerytest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// randomStatement is one over one to three of the recorded tables.
func randomStatement(r *rand.Rand) string {
	type table struct {
		name, number, text string
		others             []string
	}
	tables := []table{
		{"t", "n", "a", []string{"plain", "listed", "more", "names", "d"}}, {"p", "uid", "v", nil}, {"q", "uid", "v", nil}, {"l", "uid", "v", nil},
		{"identities", "id", "state", nil}, {"users", "uid", "username", nil},
	}
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	var from strings.Builder
	var numbers, texts, all []string
	for i := range 1 + r.IntN(3) {
		t := tables[r.IntN(len(tables))]
		alias := string(rune('x' + i))
		number, text := alias+"."+t.number, alias+"."+t.text
		if i > 0 {
			fmt.Fprintf(&from, " %s JOIN ", pick("", "LEFT", "CROSS", "RIGHT", "FULL", "INNER"))
		}
		from.WriteString(t.name + " " + alias)
		if i > 0 {
			fmt.Fprintf(&from, " ON %s = %s", pick(numbers...), number)
			if r.IntN(3) == 0 {
				fmt.Fprintf(&from, " AND %s %s", text, pick("= 'a'", "IN ('a', 'b')", "<> 'a'", "LIKE 'r%'", "IN ('a', '')"))
			}
		}
		numbers, texts = append(numbers, number), append(texts, text)
		all = append(all, number, text)
		for _, o := range t.others {
			all = append(all, alias+"."+o)
		}
	}
	condition := func() string {
		if r.IntN(2) == 0 {
			return pick(texts...) + pick(" = 'a'", " = 'x'", " IN ('a', 'b', 'root')", " > 'b'", " LIKE '%o%'", " IS NULL", " = ''", " IS NOT NULL", " IS 'a'", " NOT IN ('a')", " GLOB 'r*'")
		}
		return pick(all...) + pick(" = 1", " IN (0, 1)", " IN (1, 2, NULL)", " > 1", " BETWEEN 1 AND 2", " <> 1", " = '1'", " IS NULL", " = "+pick(all...), " IN (SELECT uid FROM l)")
	}
	sql := fmt.Sprintf("SELECT %s AS a, %s AS b FROM %s", pick(all...), pick(all...), from.String())
	for i := range r.IntN(4) {
		sql += []string{" WHERE ", pick(" AND ", " OR ")}[min(i, 1)] + condition()
	}
	switch r.IntN(6) {
	case 0:
		sql += " ORDER BY 1, 2 LIMIT 2"
	case 1:
		sql += " ORDER BY 1, 2"
	case 2:
		sql = strings.Replace(sql, "SELECT ", "SELECT DISTINCT ", 1)
	}
	return sql
}

// Random statements have the rows that a real osqueryi gives, if OSQUERYI names
// one, and nearly all of them the calls: osquery 5.23 has SQLite 3.42, and later
// ones have better plans for some outer joins.
func TestRandomStatements(t *testing.T) {
	osqueryi := os.Getenv("OSQUERYI")
	if osqueryi == "" {
		return
	}
	real := osquerytest.StartReal(t, osqueryi)
	answer, err := real.Query(t.Context(), "SELECT * FROM users")
	if err != nil {
		t.Fatal(err)
	}
	kit := osquerytest.New(t, osquerytest.Core(osquerytest.Users(answer.Maps()...)))
	register := func(o osquerytest.Osquery) []*plugin {
		tables := recordedTables()
		for _, p := range tables {
			osquerytest.Serve(t, o, p)
		}
		return tables
	}
	n := 2000
	if testing.Short() {
		n = 200
	}
	seed := uint64(1)
	r := rand.New(rand.NewPCG(seed, 0))
	var statements []string
	for range n {
		statements = append(statements, randomStatement(r))
	}
	want, wantRequests := record(t, real, register(real), statements)
	got, requests := record(t, kit, register(kit), statements)
	plans := 0
	for i := range statements {
		if same(got[i], false) != same(want[i], false) {
			t.Errorf("the kit gives\n%s\nosqueryi gives\n%s", got[i], want[i])
		}
		if same(got[i], true) != same(want[i], true) || normal(requests[i]) != normal(wantRequests[i]) {
			plans++
		}
	}
	t.Logf("%d of %d statements have another plan", plans, n)
	if plans > n/20 {
		t.Error("those are too many")
	}
}

// same returns what a record says of the calls, or of the rows in any order.
func same(record string, calls bool) string {
	var lines []string
	for line := range strings.Lines(record + "\n") {
		if strings.HasPrefix(line, "  asks ") == calls {
			lines = append(lines, line)
		}
	}
	if !calls {
		slices.Sort(lines)
	}
	return strings.Join(lines, "")
}
