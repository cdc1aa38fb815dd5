package tables_test

import (
	"context"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/osquerycore"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// The host of the fixtures: /proc/net of a namespace with sockets in every
// state, and files of services and protocols. The rows that they must give are beside them,
// as netstat and getent show them of the same files. The register belongs to whoever
// has this copy of the source.
var fixtures = host.Options{Proc: "testdata/proc", Services: "testdata/etc/services", Protocols: "testdata/etc/protocols", Register: "testdata/etc/approved.yaml", RegisterOwner: uint32(os.Getuid())}

// result is what a scan gives, by row identity.
type result map[int64][]string

// read scans a table; NULL is the empty text. Columns that are not used are
// not read.
func read(t testing.TB, table schema.Table, r schema.Request) result {
	t.Helper()
	columns := table.Spec().Columns
	s := table.Scan(t.Context(), table.Query(r))
	defer s.Close()
	rows := make(result)
	var cell schema.Cell
	for s.Next() {
		var row []string
		for i := range columns {
			if r.All || slices.Contains(r.Used, columns[i].Name) {
				s.Cell(i, &cell)
				row = append(row, string(cell.AppendText(nil)))
			}
		}
		id := s.RowID()
		if _, again := rows[id]; again {
			t.Errorf("%s: two rows have the identity %d", table.Spec().Name, id)
		}
		rows[id] = row
	}
	if err := s.Err(); err != nil {
		t.Fatalf("%s %+v: %v", table.Spec().Name, r, err)
	}
	return rows
}

// all are the tables of the fixtures' host. Those whose rows only netlink gives,
// which a copy of /proc has not, have them of a capture.
func all() []schema.Table {
	h := host.New(fixtures)
	all := tables.All(h)
	for i := range all {
		switch all[i].Spec().Name {
		case "mptcp_sockets":
			all[i] = tables.MPTCPTable(h, capturedSockets[sock.MPTCP, host.InetFilter]("sockdiag/testdata/mptcp.diag", func(m netlink.Message, s *sock.MPTCP) error { return sockdiag.MPTCP(m.Payload, binary.LittleEndian, s) }))
		case "vsock_sockets":
			all[i] = tables.VsockTable(h, capturedSockets[sock.Vsock, host.VsockFilter]("sockdiag/testdata/vsock.diag", func(m netlink.Message, s *sock.Vsock) error { return sockdiag.Vsock(m.Payload, binary.LittleEndian, s) }))
		case "network_addresses":
			all[i] = tables.AddressTable(h, captured[network.Address, host.Namespaces]("rtnetlink/testdata/address.rtnl", func(m netlink.Message, a *network.Address) error {
				_, err := rtnetlink.Address(m.Type, m.Payload, binary.LittleEndian, a)
				return err
			}))
		case "neighbors":
			all[i] = tables.NeighborTable(h, captured[network.Neighbor, host.Namespaces]("rtnetlink/testdata/neighbor.rtnl", func(m netlink.Message, n *network.Neighbor) error {
				_, err := rtnetlink.Neighbor(m.Type, m.Payload, binary.LittleEndian, n)
				return err
			}))
		case "routing_rules":
			all[i] = tables.RuleTable(h, captured[network.Rule, host.Namespaces]("rtnetlink/testdata/rule4.rtnl", func(m netlink.Message, r *network.Rule) error {
				_, err := rtnetlink.Rule(m.Type, m.Payload, binary.LittleEndian, sock.INET, r)
				return err
			}))
		case "nexthops":
			all[i] = tables.NextHopTable(h, captured[network.NextHopObject, host.Namespaces]("rtnetlink/testdata/nexthop.rtnl", func(m netlink.Message, o *network.NextHopObject) error {
				_, err := rtnetlink.NextHop(m.Type, m.Payload, binary.LittleEndian, o)
				return err
			}))
		}
	}
	return all
}

// captured streams what a capture has, for any question.
func captured[T, F any](name string, decode func(netlink.Message, *T) error) func(context.Context, F) iter.Seq2[T, error] {
	return func(context.Context, F) iter.Seq2[T, error] {
		return func(yield func(T, error) bool) {
			var s T
			b, err := os.ReadFile("../parser/" + name)
			if err != nil {
				yield(s, err)
				return
			}
			for m, err := range netlink.Messages(b, binary.LittleEndian) {
				if err == nil && m.Done {
					continue
				}
				if err == nil {
					err = decode(m, &s)
				}
				if !yield(s, err) || err != nil {
					return
				}
			}
		}
	}
}

// capturedSockets is captured, of sockets, which are valid until the next.
func capturedSockets[T, F any](name string, decode func(netlink.Message, *T) error) func(context.Context, F) iter.Seq2[*T, error] {
	return func(ctx context.Context, f F) iter.Seq2[*T, error] {
		return func(yield func(*T, error) bool) {
			var s T
			for next, err := range captured[T, F](name, decode)(ctx, f) {
				if s = next; !yield(&s, err) {
					return
				}
			}
		}
	}
}

// perTable runs a test for each table, of a host that nothing was asked yet.
func perTable(t *testing.T, test func(*testing.T, schema.Table)) {
	t.Helper()
	for i := range all() {
		table := all()[i]
		t.Run(table.Spec().Name, func(t *testing.T) { test(t, table) })
	}
}

// fixtureCore are osquery's own tables of the fixtures' host: those whose rows do not
// come of netlink, nor of what a statement asks for.
func fixtureCore() []schema.Table {
	h := host.New(fixtures)
	return slices.DeleteFunc(osquerycore.All(h, osquerycore.Options{Root: "testdata"}), func(t schema.Table) bool {
		return slices.Contains([]string{"file", "hash", "interface_addresses", "interface_details", "interface_ipv6", "osquery_info", "routes", "time"}, t.Name())
	})
}

// perCore runs a test for each of osquery's own tables.
func perCore(t *testing.T, test func(*testing.T, schema.Table)) {
	t.Helper()
	for _, table := range fixtureCore() {
		t.Run(table.Name(), func(t *testing.T) { test(t, table) })
	}
}

// The fixtures of osquery's own tables are written by hand of the same files. They have
// the columns that do not depend on this machine. The sockets are compared with a real
// osqueryi in the end-to-end tests, and the files of etc in those of our own tables.
func TestCoreFixtures(t *testing.T) {
	perCore(t, func(t *testing.T, table schema.Table) {
		switch table.Name() {
		case "process_open_sockets", "listening_ports", "etc_services", "etc_protocols":
			return
		}
		file, err := os.Open(filepath.Join("osquerycore", "testdata", table.Name()+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		want, err := csv.NewReader(file).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var names []string // in the table's order
		for _, c := range table.Spec().Columns {
			if slices.Contains(want[0], c.Name) {
				names = append(names, c.Name)
			}
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(want[0])), slices.Sorted(slices.Values(names))); diff != "" {
			t.Fatalf("the fixture's columns (-) and the table's (+):\n%s", diff)
		}
		var got, wanted []string
		for _, row := range read(t, table, schema.Request{Used: names}) {
			got = append(got, strings.Join(row, "|"))
		}
		for _, row := range want[1:] {
			var line []string
			for _, name := range names {
				line = append(line, row[slices.Index(want[0], name)])
			}
			wanted = append(wanted, strings.Join(line, "|"))
		}
		slices.Sort(got)
		slices.Sort(wanted)
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("the fixture (-) and the table (+) differ:\n%s", diff)
		}
	})
}

func TestFixtures(t *testing.T) {
	perTable(t, func(t *testing.T, table schema.Table) {
		file, err := os.Open(filepath.Join("testdata", table.Spec().Name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		want, err := csv.NewReader(file).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		// The file has every column but those of this machine and synonyms.
		var names []string
		for _, c := range table.Spec().Columns {
			if c.SynonymOf == "" && c.Name != "username" && c.Name != "user" {
				names = append(names, c.Name)
			}
		}
		if got, want := slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(want[0])); !slices.Equal(got, want) {
			t.Fatalf("the fixture has the columns\n%v, the table\n%v", want, got)
		}
		order := make([]int, len(names))
		for i, name := range names {
			order[i] = slices.Index(want[0], name)
		}
		var got, wanted []string
		for _, row := range read(t, table, schema.Request{Used: names}) {
			got = append(got, strings.Join(row, "|"))
		}
		for _, c := range table.Spec().Columns {
			for _, row := range want[1:] {
				if i := slices.Index(want[0], c.Name); i >= 0 {
					if mistake := c.Mistake(row[i], false); mistake != "" {
						t.Errorf("a row is thought to be none: %s", mistake)
					}
				}
			}
		}
		for _, row := range want[1:] {
			var line []string
			for _, i := range order {
				line = append(line, row[i])
			}
			wanted = append(wanted, strings.Join(line, "|"))
		}
		slices.Sort(got)
		slices.Sort(wanted)
		if len(wanted) == 0 {
			t.Error("the fixture has no row")
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("the fixture (-) and the table (+) differ:\n%s", diff)
		}
	})
}

// username is the name that the C library gives a number in this machine's
// /etc/passwd.
func username(t *testing.T, uid string) string {
	t.Helper()
	out, err := exec.Command("getent", "--service=files", "passwd", uid).Output()
	if exit := (&exec.ExitError{}); errors.As(err, &exit) && exit.ExitCode() == 2 { // there is none
		return ""
	} else if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(string(out), ":")
	return name
}

func TestUsernames(t *testing.T) {
	perTable(t, func(t *testing.T, table schema.Table) {
		columns := table.Spec().Columns
		has := func(name string) bool {
			return slices.ContainsFunc(columns, func(c schema.ColumnInfo) bool { return c.Name == name })
		}
		if !has("username") {
			return
		}
		for _, row := range read(t, table, schema.Request{Used: []string{"uid", "username"}}) {
			if want := username(t, row[0]); row[1] != want {
				t.Errorf("uid %q has the name %q, want %q", row[0], row[1], want)
			}
		}
	})
}

// The user of a process is its effective one: the second number of four. 250 has
// no status.
func TestUsersOfProcesses(t *testing.T) {
	effective := map[string]string{"100": "1", "90000": "0", "250": "", "": ""}
	perTable(t, func(t *testing.T, table schema.Table) {
		if !slices.ContainsFunc(table.Spec().Columns, func(c schema.ColumnInfo) bool { return c.Name == "user" }) {
			return
		}
		for _, row := range read(t, table, schema.Request{Used: []string{"pid", "user"}}) {
			if want := username(t, effective[row[0]]); row[1] != want {
				t.Errorf("process %q runs as %q, want %q", row[0], row[1], want)
			}
		}
	})
}

// scopes returns every set of a table's scope columns.
func scopes(table schema.Table) (sets [][]string) {
	sets = [][]string{{}}
	for _, c := range table.Spec().Columns {
		if c.Scope && c.SynonymOf == "" {
			for _, set := range sets {
				sets = append(sets, append(slices.Clone(set), c.Name))
			}
		}
	}
	return sets
}

// fullRows are the rows of a table, with all columns but the scope columns that
// are not in the set: those are "".
func fullRows(t testing.TB, table schema.Table, scope []string) result {
	t.Helper()
	var used []string
	var positions []int
	for i, c := range table.Spec().Columns {
		if !c.Scope || slices.Contains(scope, c.Name) {
			used, positions = append(used, c.Name), append(positions, i)
		}
	}
	full := make(result)
	for id, row := range read(t, table, schema.Request{Used: used}) {
		full[id] = make([]string, len(table.Spec().Columns))
		for i, p := range positions {
			full[id][p] = row[i]
		}
	}
	return full
}

// Projection: any subset of columns that uses the same scope columns gives the
// full rows, cut down.
func TestProjectionLaw(t *testing.T) {
	test := func(t *testing.T, table schema.Table) {
		columns := table.Spec().Columns
		random := rand.New(rand.NewPCG(1, 2))
		for _, scope := range scopes(table) {
			full := fullRows(t, table, scope)
			if len(full) == 0 {
				t.Fatal("the fixture has no rows")
			}
			for range 50 {
				var used []string
				var positions []int
				for i, c := range columns {
					if c.Scope && slices.Contains(scope, c.Name) || !c.Scope && random.IntN(3) == 0 {
						used, positions = append(used, c.Name), append(positions, i)
					}
				}
				got := read(t, table, schema.Request{Used: used})
				if len(got) != len(full) {
					t.Errorf("%v: %d rows, want %d", used, len(got), len(full))
				}
				for id, row := range got {
					if full[id] == nil {
						t.Fatalf("%v: %q is no row of the table", used, row)
					}
					for i, p := range positions {
						if row[i] != full[id][p] {
							t.Errorf("%v: %s is %q, in the full row %q", used, used[i], row[i], full[id][p])
						}
					}
				}
			}
		}
	}
	perTable(t, test)
	perCore(t, test)
}

// A host that does not say which columns a statement uses sees what a statement
// without scope columns does, unless it compares one.
func TestEveryColumnUsed(t *testing.T) {
	test := func(t *testing.T, table schema.Table) {
		own, whole := fullRows(t, table, nil), scopes(table)
		for _, limit := range []schema.Op{73, 74} {
			r := schema.Request{All: true, Constraints: []schema.Constraint{{Column: table.Spec().Columns[0].Name, Op: limit, Value: "1"}}}
			if got := read(t, table, r); len(got) != len(own) {
				t.Errorf("%d rows, want %d", len(got), len(own))
			}
		}
		for _, scope := range whole[1:] {
			r := schema.Request{All: true}
			for _, name := range scope {
				r.Constraints = append(r.Constraints, schema.Constraint{Column: name, Op: 65, Value: "%"}) // LIKE
			}
			if got, want := read(t, table, r), fullRows(t, table, scope); len(got) != len(want) {
				t.Errorf("compared %v: %d rows, want %d", scope, len(got), len(want))
			}
		}
	}
	perTable(t, test)
	perCore(t, test)
}

// Push-down and scope: a constrained query gives no row that the same query
// without its constraints has not, and all of those that meet them. The columns
// that a query compares are used by it.
func TestPushDownAndScopeLaw(t *testing.T) {
	test := func(t *testing.T, table schema.Table) {
		columns := table.Spec().Columns
		full := make(map[string]result) // by the scope columns that are used
		for _, scope := range scopes(table) {
			full[strings.Join(scope, " ")] = fullRows(t, table, scope)
		}
		all := scopes(table)
		whole := full[strings.Join(all[len(all)-1], " ")]
		var sample [][]string
		for _, row := range whole {
			sample = append(sample, row)
		}
		// Map order is random and the seed is not: sort.
		slices.SortFunc(sample, slices.Compare)
		random := rand.New(rand.NewPCG(3, 4))
		var valued []int // columns that have a value in some row
		for i := range columns {
			if slices.ContainsFunc(sample, func(row []string) bool { return row[i] != "" }) {
				valued = append(valued, i)
			}
		}
		narrowed := 0
		for range 2000 {
			var r schema.Request
			used := func(i int) {
				if !slices.Contains(r.Used, columns[i].Name) {
					r.Used = append(r.Used, columns[i].Name)
				}
			}
			used(random.IntN(len(columns)))
			meets := func([]string) bool { return true }
			for range 1 + random.IntN(3) {
				i := valued[random.IntN(len(valued))]
				if slices.ContainsFunc(r.Constraints, func(k schema.Constraint) bool { return k.Column == columns[i].Name }) {
					continue
				}
				op := []schema.Op{schema.EQ, schema.EQ, schema.IS, schema.GT, schema.GE, schema.LT, schema.LE, 65}[random.IntN(8)]
				equal := op == schema.EQ || op == schema.IS
				numeric := columns[i].Type != schema.Text
				var values []string
				for range 1 + random.IntN(2)*random.IntN(3) {
					v := sample[random.IntN(len(sample))][i]
					if v == "" { // osquery sends neither NULL nor the empty text
						continue
					}
					values = append(values, vary(random, v, numeric))
					if !equal {
						break
					}
				}
				if len(values) == 0 || !equal && op.Known() && !numeric {
					continue
				}
				used(i)
				for _, v := range values {
					r.Constraints = append(r.Constraints, schema.Constraint{Column: columns[i].Name, Op: op, Value: v})
				}
				if !op.Known() { // LIKE anything
					continue
				}
				before := meets
				meets = func(row []string) bool {
					return before(row) && slices.ContainsFunc(values, func(v string) bool { return compare(row[i], op, v, numeric) })
				}
			}
			var scope []string
			for _, c := range columns {
				if c.Scope && slices.Contains(r.Used, c.Name) {
					scope = append(scope, c.Name)
				}
			}
			full := full[strings.Join(scope, " ")]
			got := read(t, table, r)
			for id := range got {
				if _, ok := full[id]; !ok {
					t.Errorf("%+v gives a row that it has not without constraints", r)
				}
			}
			for id, row := range full {
				if _, ok := got[id]; !ok && meets(row) {
					t.Fatalf("%+v lacks the row %q", r, row)
				}
			}
			if len(got) < len(full) {
				narrowed++
			}
		}
		// The rows of socket_sources and listening_services are much alike.
		if len(whole) >= 20 && narrowed < 700 && !slices.Contains([]string{"socket_sources", "listening_services"}, table.Name()) {
			t.Errorf("of 2000 constrained queries only %d were narrowed", narrowed)
		}
	}
	perTable(t, test)
	perCore(t, test)
}

// vary writes a value as people do, or another near it.
func vary(random *rand.Rand, v string, numeric bool) string {
	if !numeric {
		return v
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return v
	}
	switch random.IntN(6) {
	case 0:
		return " " + v + " "
	case 1:
		return v + ".0"
	case 2:
		return v + ".5"
	case 3:
		return strconv.FormatInt(n+int64(random.IntN(5))-2, 10)
	case 4:
		return v + "x"
	}
	return v
}

// compare is SQLite's comparison of a cell with an operand, for those that
// vary makes.
func compare(cell string, op schema.Op, operand string, numeric bool) bool {
	if !numeric {
		return cell == operand
	}
	if cell == "" {
		return false // NULL
	}
	operand = strings.Trim(operand, " ")
	a, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		return true // whatever it means, the row must be there
	}
	b, err := strconv.ParseFloat(operand, 64)
	if err != nil {
		// Numbers sort before texts.
		return op == schema.LT || op == schema.LE
	}
	switch op {
	case schema.EQ, schema.IS:
		return a == b
	case schema.GT:
		return a > b
	case schema.GE:
		return a >= b
	case schema.LT:
		return a < b
	}
	return a <= b
}

// A state that a later kernel may add is shown as its number, and found by it.
func TestUnknownState(t *testing.T) {
	dir := t.TempDir()
	list, err := os.ReadFile("testdata/proc/1/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "net"), 0o755); err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(list), " 0A ", " 0E ", 1)
	if err := os.WriteFile(filepath.Join(dir, "net", "tcp"), []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	table := tables.TCPSockets(host.New(host.Options{Proc: dir}))
	for _, states := range [][]string{{"14"}, {"LISTEN", "14"}} {
		r := schema.Request{Used: []string{"state"}}
		for _, s := range states {
			r.Constraints = append(r.Constraints, schema.Constraint{Column: "state", Op: schema.EQ, Value: s})
		}
		found := false
		for _, row := range read(t, table, r) {
			found = found || row[0] == "14"
		}
		if !found {
			t.Errorf("state IN %v does not give the socket in state 14", states)
		}
	}
}

// The declarations are in order; each has examples, a fixture with a row, and a
// description of each column, that are sentences.
func TestDeclarations(t *testing.T) {
	var names []string
	fixtures := make(map[string]bool)
	files, err := filepath.Glob("testdata/*.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		fixtures[strings.TrimSuffix(filepath.Base(file), ".csv")] = true
	}
	shared := make(map[string]string) // descriptions by column
	perTable(t, func(t *testing.T, table schema.Table) {
		spec := table.Spec()
		names = append(names, spec.Name)
		if len(spec.Examples) < 2 {
			t.Errorf("%d examples, want 2 or more", len(spec.Examples))
		}
		if !strings.HasSuffix(spec.Doc, ".") {
			t.Errorf("%q is no sentence", spec.Doc)
		}
		if !fixtures[spec.Name] {
			t.Errorf("testdata/%s.csv is missing", spec.Name)
		}
		delete(fixtures, spec.Name)
		for _, c := range spec.Columns {
			t.Run(c.Name, func(t *testing.T) {
				if !strings.HasSuffix(c.Doc, ".") {
					t.Errorf("%q is no sentence", c.Doc)
				}
				doc := strings.TrimSuffix(c.Doc, " "+c.Note)
				if other := shared[c.Name]; c.Shared && other != "" && other != doc {
					t.Errorf("the shared column is described as %q, in another table as %q", doc, other)
				}
				if c.Shared {
					shared[c.Name] = doc
				}
			})
		}
	})
	for name := range fixtures {
		t.Errorf("testdata/%s.csv is of no table", name)
	}
	if !slices.IsSorted(names) {
		t.Errorf("the tables are not sorted: %v", names)
	}
	// osquery refuses a whole extension for one name that its core has.
	for _, taken := range []string{"process_open_sockets", "listening_ports", "etc_services", "etc_protocols", "routes", "arp_cache",
		"interface_details", "interface_addresses", "interface_ipv6", "iptables", "socket_events", "process_namespaces"} {
		t.Run(taken, func(t *testing.T) {
			if slices.Contains(names, taken) {
				t.Errorf("osquery has a table %s", taken)
			}
		})
	}
}

// Owners are looked up for rows that meet the constraints on all other columns:
// if there are none, no process is read.
func TestOwnersOfNoRow(t *testing.T) {
	for name, constraint := range map[string]schema.Constraint{
		"a number": {Column: "recv_q", Op: schema.EQ, Value: "987654321"},
		"a text":   {Column: "local_scope", Op: schema.EQ, Value: "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			h := host.New(fixtures)
			if got := read(t, tables.UDPSockets(h), schema.Request{Used: []string{"program"}, Constraints: []schema.Constraint{constraint}}); len(got) > 0 {
				t.Fatalf("got %v", got)
			}
			lists := map[string]string{}
			for _, row := range read(t, tables.SocketSources(h), schema.Request{Used: []string{"proto", "last_source"}}) {
				lists[row[0]] = row[1]
			}
			if lists["udp"] == "" || lists["holders"] != "" {
				t.Errorf("the lists were read from %v", lists)
			}
		})
	}
}
