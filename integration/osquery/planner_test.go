package osquery_test

import (
	"slices"
	"testing"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// A join of our tables with processes or users calls ours once, in whatever order
// it is written; and what one process has open is found without the others.
func TestOurTablesInOsquerysPlans(t *testing.T) {
	h := host.New(host.Options{Proc: "../../tables/testdata/proc", Services: "../../tables/testdata/etc/services"})
	pids := []string{"1", "100", "250", "300", "400", "90000"}
	uids := []string{"0", "1", "2", "1000", "65534"}
	rows := func(column string, values []string) (rows []map[string]string) {
		for _, v := range values {
			rows = append(rows, map[string]string{column: v})
		}
		return rows
	}
	m := osquerytest.New(t, osquerytest.Core(osquerytest.Processes(rows("pid", pids)...), osquerytest.Users(rows("uid", uids)...)))
	// ask returns the first column of a statement.
	ask := func(sql string) (values []string) {
		t.Helper()
		answer, err := m.Query(t.Context(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for _, row := range answer.Rows {
			values = append(values, row[0].Text)
		}
		return values
	}
	var plugins []sockets.Plugin
	var names []string
	for _, table := range tables.All(h) {
		plugins = append(plugins, sockets.NewTablePlugin(table))
		names = append(names, table.Spec().Name)
	}
	serve(t, m, plugins...)
	m.WaitFor("test")

	joins := 0
	for _, name := range names {
		for _, join := range []struct {
			other, column string
			values        []string
		}{{"processes", "pid", pids}, {"users", "uid", uids}} {
			has := func(route map[string]string) bool { return route["name"] == join.column }
			if name == "socket_processes" || !slices.ContainsFunc(m.Routes(name), has) {
				continue
			}
			want := 0
			for _, v := range ask("SELECT " + join.column + " FROM " + name) {
				if slices.Contains(join.values, v) {
					want++
				}
			}
			if want > 0 {
				joins++
			}
			for _, from := range []string{name + " JOIN " + join.other, join.other + " JOIN " + name} {
				rows := ask("SELECT " + join.column + " FROM " + from + " USING (" + join.column + ")")
				if n := len(m.CallsOf(name)); n != 1 || len(rows) != want {
					t.Errorf("%s: %d calls of %s, %d rows, want %d", from, n, name, len(rows), want)
				}
			}
		}
	}
	if joins < 4 {
		t.Errorf("%d joins had rows", joins)
	}

	holders := func() usage.Usage {
		t.Helper()
		sources, err := h.Sources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sources {
			if s.Proto == "holders" && s.Last != nil {
				return *s.Last
			}
		}
		t.Fatal("nobody asked for holders")
		return usage.Usage{}
	}
	// One call with the constraint, for which only that process is read.
	found := ask("SELECT fd FROM socket_processes WHERE pid = 100")
	if calls := m.CallsOf("socket_processes"); len(found) != 6 || len(calls) != 1 || !slices.Equal(calls[0].Values("pid"), []string{"100"}) {
		t.Errorf("rows %v of the calls %v", found, calls)
	}
	if last := holders(); last.Sockets != 6 || last.Reason != "only some processes are asked about" {
		t.Errorf("got %+v", last)
	}
	// For each process in a join, which is as cheap.
	found = ask("SELECT fd FROM processes JOIN socket_processes USING (pid) WHERE pid IN (100, 250)")
	if calls := m.CallsOf("socket_processes"); len(found) != 8 || slices.ContainsFunc(calls, func(c osquerytest.Call) bool { return len(c.Values("pid")) == 0 }) {
		t.Errorf("rows %v of the calls %v", found, calls)
	}
	// A socket table has no such constraint in osquery.
	found = ask("SELECT inode FROM tcp_sockets WHERE pid = 100")
	if calls := m.CallsOf("tcp_sockets"); len(found) != 2 || len(calls) != 1 || len(calls[0].Constraints) != 0 {
		t.Errorf("rows %v of the calls %v", found, calls)
	}
	if last := holders(); last.Reason == "only some processes are asked about" {
		t.Errorf("got %+v", last)
	}
}
