package osquerytest_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/osquery/osquery-go/plugin/table"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// exampleT stands for the *testing.T of a test.
type exampleT struct{ cleanups []func() }

func (t *exampleT) Helper()                           {}
func (t *exampleT) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *exampleT) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// ports is the table of an extension, written with osquery-go as ever.
func ports() *table.Plugin {
	columns := []table.ColumnDefinition{table.BigIntColumn("pid"), table.IntegerColumn("port"), table.TextColumn("proto")}
	return table.NewPlugin("ports", columns, func(context.Context, table.QueryContext) ([]map[string]string, error) {
		return []map[string]string{
			{"pid": "7", "port": "22", "proto": "tcp"},
			{"pid": "7", "port": "2222", "proto": "tcp"},
			{"pid": "9", "port": "53", "proto": "udp"},
		}, nil
	})
}

func Example() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()

	m := osquerytest.New(t, osquerytest.Core(osquerytest.Processes(
		map[string]string{"pid": "1", "name": "init"},
		map[string]string{"pid": "7", "name": "sshd"},
		map[string]string{"pid": "9", "name": "named"},
	)))
	osquerytest.Serve(t, m, ports())

	answer, err := m.Query(context.Background(), "SELECT name, port FROM ports JOIN processes USING (pid) WHERE proto = 'tcp'")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(answer)
	// Output:
	// name|port
	// sshd|22
	// sshd|2222
}

// A join in the wrong order asks a table again and again: both tables cost the
// same, and SQLite takes the one that is written first as the outer side.
func ExampleManager_Calls() {
	t := &exampleT{}
	defer t.end()
	m := osquerytest.New(t, osquerytest.Core(osquerytest.Processes(
		map[string]string{"pid": "1"}, map[string]string{"pid": "7"}, map[string]string{"pid": "9"},
	)))
	osquerytest.Serve(t, m, ports())

	for _, from := range []string{"ports JOIN processes USING (pid)", "processes JOIN ports USING (pid)"} {
		if _, err := m.Query(context.Background(), "SELECT port FROM "+from); err != nil {
			t.Fatal(err)
		}
		fmt.Println(from)
		for _, call := range m.CallsOf("ports") {
			fmt.Println(" ", call)
		}
	}
	// Output:
	// ports JOIN processes USING (pid)
	//   ports(pid, port): 3 rows
	// processes JOIN ports USING (pid)
	//   ports(pid, port) WHERE pid = 1: 3 rows
	//   ports(pid, port) WHERE pid = 7: 3 rows
	//   ports(pid, port) WHERE pid = 9: 3 rows
}

// A test asserts what a statement may ask for.
func ExampleCall() {
	var t *testing.T // of the test
	var m *osquerytest.Manager
	if calls := m.CallsOf("ports"); len(calls) > 2 {
		t.Errorf("%d calls", len(calls))
	}
	for _, call := range m.CallsOf("ports") {
		if call.Uses("cmdline") {
			t.Errorf("%v reads the command lines of all processes", call)
		}
	}
}

// Without a cell rowid a row is known by its position in an answer, so that a
// table that filters loses rows to OR.
func ExampleManager_Query() {
	t := &exampleT{}
	defer t.end()
	m := osquerytest.New(t)
	columns := []table.ColumnDefinition{table.TextColumn("name"), table.TextColumn("color")}
	osquerytest.Serve(t, m, table.NewPlugin("fruit", columns, func(_ context.Context, q table.QueryContext) (rows []map[string]string, err error) {
		for _, row := range []map[string]string{{"name": "cherry", "color": "red"}, {"name": "lemon", "color": "yellow"}} {
			wanted := q.Constraints["color"].Constraints
			if len(wanted) == 0 || wanted[0].Operator != table.OperatorEquals || wanted[0].Expression == row["color"] {
				rows = append(rows, row)
			}
		}
		return rows, nil
	}))

	answer, err := m.Query(context.Background(), "SELECT name FROM fruit WHERE color = 'yellow' OR name = 'cherry'")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(answer.Lines())
	for _, call := range m.Calls() {
		fmt.Println(call)
	}
	// Output:
	// [lemon]
	// fruit(color, name) WHERE color = yellow: 1 rows
	// fruit(color, name) WHERE name = cherry: 2 rows
}

// osquery drops an extension that does not answer one ping, and says nothing.
func ExampleManager_Forget() {
	t := &exampleT{}
	defer t.end()
	m := osquerytest.New(t)
	extension := osquerytest.Serve(t, m, ports())

	m.Forget(extension.UUID)
	_, err := m.Query(context.Background(), "SELECT * FROM ports")
	fmt.Println(err)
	// Output: vtable constructor failed: ports
}

// What is too large for osquery is so with a small limit too.
func ExampleManager_LimitMessages() {
	t := &exampleT{}
	defer t.end()
	m := osquerytest.New(t)
	osquerytest.Serve(t, m, ports())

	lift := m.LimitMessages(20)
	_, err := m.Query(context.Background(), "SELECT * FROM ports")
	fmt.Println(err)
	lift()
	_, err = m.Query(context.Background(), "SELECT * FROM ports")
	fmt.Println(err)
	// Output:
	// Extension call failed: MaxMessageSize reached
	// <nil>
}

// osqueryd starts a file of extensions.load, and starts it again when it ends.
func ExampleManager_Autoload() {
	var t *testing.T // of the test
	m := osquerytest.New(t)
	a, err := m.Autoload("build/mine.ext", osquerytest.AutoloadOptions{})
	if err != nil {
		t.Fatal(err) // for example: osquery does not load build/mine.ext: check "owner" fails
	}
	m.WaitFor("mine")
	a.Signal(os.Kill)
	m.PingExtensions(t.Context()) // osquery finds out
	m.WaitFor("mine")
}

// One test for the kit and for a real osquery.
func ExampleStartReal() {
	test := func(t *testing.T, o osquerytest.Osquery) {
		osquerytest.Serve(t, o, ports())
		answer, err := o.Query(t.Context(), "SELECT count(*) AS n FROM ports")
		if err != nil || answer.Lines()[0] != "3" {
			t.Errorf("%v, %v", answer, err)
		}
	}
	var t *testing.T // of the test
	t.Run("kit", func(t *testing.T) { test(t, osquerytest.New(t)) })
	if osqueryi := os.Getenv("OSQUERYI"); osqueryi != "" {
		t.Run("osqueryi", func(t *testing.T) { test(t, osquerytest.StartReal(t, osqueryi)) })
	}
}
