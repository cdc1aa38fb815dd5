package osquerytest_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery/osquery-go/gen/osquery"
	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// A request is the JSON that a real osqueryi 5.23 was recorded to send.
func TestRequestIsOsquerys(t *testing.T) {
	m := osquerytest.New(t)
	osquerytest.Serve(t, m, &plugin{name: "foo", routes: osquery.ExtensionPluginResponse{
		column("x", "TEXT", 0), column("n", "BIGINT", 0), column("d", "DOUBLE", 0), column("a", "TEXT", 0), column("pid", "BIGINT", 0),
	}, generate: always()})
	const want = `{"constraints":[{"name":"a","list":[],"affinity":"TEXT"},{"name":"d","list":[],"affinity":"DOUBLE"},{"name":"n","list":[],"affinity":"BIGINT"},` +
		`{"name":"pid","list":[],"affinity":"BIGINT"},{"name":"x","list":[{"op":2,"expr":"a"}],"affinity":"TEXT"}],"colsUsed":["a","x"],"colsUsedBitset":9}`
	if _, err := m.Query(t.Context(), "SELECT a FROM foo WHERE x='a'"); err != nil {
		t.Fatal(err)
	}
	calls := m.Calls()
	if len(calls) != 1 || calls[0].Context != want {
		t.Fatalf("got %s\nwant %s", calls, want)
	}
	if got := calls[0].String(); got != "foo(a, x) WHERE x = a: 0 rows" {
		t.Errorf("got %s", got)
	}
	if !calls[0].Uses("a") || calls[0].Uses("n") || fmt.Sprint(calls[0].Values("x"), calls[0].Values("a")) != "[a] []" {
		t.Errorf("got %+v", calls[0])
	}
	// What is in a text is not lost.
	odd := "\"\\/\b\f\n\r\t\x01\x1f\x7fé\u2028<&\xff"
	if _, err := m.Query(t.Context(), "SELECT a FROM foo WHERE x = '"+odd+"'"); err != nil {
		t.Fatal(err)
	}
	if got := m.Calls()[0]; got.Values("x")[0] != odd || !strings.Contains(got.Context, `"expr":"\"\\/\b\f\n\r\t\u0001\u001F`+"\x7fé\u2028<&\xff"+`"`) {
		t.Errorf("got %s", got.Context)
	}
}

// A cell of a test's row that no column takes is said, and not absent in silence.
func TestMisspelledCells(t *testing.T) {
	for _, c := range []struct {
		name  string
		table osquerytest.Table
		sql   string
		want  string // "" for none
	}{
		{"processes", osquerytest.Processes(row{"pid": "1"}, row{"pid": "7", "nmae": "sshd"}), "SELECT name FROM processes", `row 2 of the test's table processes has a cell "nmae"`},
		{"users", osquerytest.Users(row{"user": "root"}), "SELECT uid FROM users", `row 1 of the test's table users has a cell "user"`},
		{"any table", osquerytest.Rows("t", []osquerytest.Column{{"a", osquerytest.Text, 0}}, row{"A": "1"}), "SELECT * FROM t", `row 1 of the test's table t has a cell "A"`},
		{"right", osquerytest.Processes(row{"pid": "7", "name": "sshd", "rowid": "3"}), "SELECT name FROM processes", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := osquerytest.New(t, osquerytest.Core(c.table))
			_, err := m.Query(t.Context(), c.sql)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Joins with 76 processes, as they were counted in a real osqueryi 5.23.
func TestJoinsWithProcesses(t *testing.T) {
	var processes []map[string]string
	for pid := range 76 {
		processes = append(processes, row{"pid": strconv.Itoa(pid + 1)})
	}
	m := osquerytest.New(t, osquerytest.Core(osquerytest.Processes(processes...), coreUsers()))
	seventh := always(row{"pid": "7"})
	osquerytest.Serve(t, m,
		&plugin{name: "plain", routes: osquery.ExtensionPluginResponse{column("pid", "BIGINT", 0)}, generate: seventh},
		&plugin{name: "optimized", routes: osquery.ExtensionPluginResponse{column("pid", "BIGINT", 8)}, generate: seventh})
	for _, c := range []struct {
		table, from string
		calls       int
	}{
		{"plain", "processes p JOIN plain t ON t.pid = p.pid", 76},
		{"plain", "plain t JOIN processes p ON t.pid = p.pid", 1},
		{"optimized", "processes p JOIN optimized t ON t.pid = p.pid", 1},
		{"optimized", "optimized t JOIN processes p ON t.pid = p.pid", 1},
		{"plain", "processes p LEFT JOIN plain t ON t.pid = p.pid", 76},
		{"optimized", "processes p LEFT JOIN optimized t ON t.pid = p.pid", 76},
	} {
		t.Run(c.table, func(t *testing.T) {
			a, err := m.Query(t.Context(), "SELECT t.pid FROM "+c.from+" WHERE p.pid = t.pid")
			if strings.Contains(c.from, "LEFT") {
				a, err = m.Query(t.Context(), "SELECT t.pid FROM "+c.from)
				a.Rows = a.Rows[6:7]
			}
			if err != nil || fmt.Sprint(a.Lines()) != "[7]" {
				t.Errorf("%s: %v, %v", c.from, a, err)
			}
			if n := len(m.CallsOf(c.table)); n != c.calls {
				t.Errorf("%s: %d calls, want %d", c.from, n, c.calls)
			}
		})
	}
	// osquery's own tables answer what they are asked, and are shown too.
	if _, err := m.Query(t.Context(), "SELECT username FROM processes JOIN users USING (uid) WHERE pid IN (1, 2)"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m.CallsOf("processes")); got != "[processes(pid, uid) WHERE pid = 1 AND pid = 2: 2 rows]" {
		t.Errorf("got %s", got)
	}
	a, err := m.Query(t.Context(), "SELECT uid FROM users WHERE uuid = 'X' OR username = 'daemon'")
	if err != nil || fmt.Sprint(a.Lines()) != "[1]" {
		t.Errorf("%v, %v", a, err)
	}
}

// A plugin of osquery-go runs unchanged, its errors included.
func TestServe(t *testing.T) {
	m := osquerytest.New(t)
	s := osquerytest.Serve(t, m, ports())
	a, err := m.Query(t.Context(), "SELECT port FROM ports WHERE port > 100")
	if err != nil || fmt.Sprint(a.Lines()) != "[2222]" {
		t.Errorf("%v, %v", a, err)
	}
	if n := len(m.Routes("ports")); n != 3 {
		t.Errorf("%d routes", n)
	}
	rows, err := m.Generate(t.Context(), "ports", m.Calls()[0].Context)
	if err != nil || len(rows) != 3 {
		t.Errorf("%v, %v", rows, err)
	}
	if _, err := m.Generate(t.Context(), "ports", "no JSON"); err == nil || !strings.Contains(err.Error(), "status 1: ") {
		t.Errorf("got %v", err)
	}
	if _, err := m.Generate(t.Context(), "none", "{}"); err == nil || err.Error() != "Cannot call registry item: none" {
		t.Errorf("got %v", err)
	}
	s.Stop()
	if _, found := m.Find(s.Name); found {
		t.Error("it is registered after its end")
	}
	// The table can be taken again.
	osquerytest.Serve(t, m, table.NewPlugin("ports", []table.ColumnDefinition{table.TextColumn("other")}, nil))
	if _, err := m.Query(t.Context(), "SELECT port FROM ports"); err == nil || err.Error() != "no such column: port" {
		t.Errorf("got %v", err)
	}
}
