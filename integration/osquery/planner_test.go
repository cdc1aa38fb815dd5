package osquery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/osquery/osquery-go/gen/osquery"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquery/managertest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// osquery's column options, osquery/core/sql/column.h.
const (
	optionIndex      = 1
	optionRequired   = 2
	optionAdditional = 4
	optionOptimized  = 8
	optionHidden     = 16
)

// planner plans statements with SQLite as osquery does, over the tables of a
// manager's extension and some of the core's, and counts what tables are asked.
type planner struct {
	*sqlite3.Conn
	tables map[string]*plannedTable
}

// plannedTable is a table in the eyes of osquery's SQLite.
type plannedTable struct {
	columns  []plannedColumn
	generate func(queryContext string) ([]map[string]string, error)
	contexts []string // of the calls since the last statement began
}

type plannedColumn struct {
	name, kind string
	options    int
}

// newPlanner has the named tables of the extension, and the core's processes and
// users with these numbers.
func newPlanner(t *testing.T, m *managertest.Manager, names []string, pids, uids []string) *planner {
	t.Helper()
	conn, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &planner{conn, make(map[string]*plannedTable)}
	for _, name := range names {
		table := &plannedTable{generate: func(queryContext string) ([]map[string]string, error) {
			return m.Generate(t.Context(), name, queryContext)
		}}
		for _, route := range m.Routes(name) {
			if route["id"] != "column" {
				continue
			}
			options, err := strconv.Atoi(route["op"])
			if err != nil {
				t.Fatal(err)
			}
			if options == 0 {
				options = optionIndex // --extensions_default_index
			}
			table.columns = append(table.columns, plannedColumn{route["name"], route["type"], options})
		}
		p.tables[name] = table
	}
	// specs/processes.table and specs/users.table have these columns as an index.
	for _, core := range []struct {
		name, column string
		values       []string
	}{{"processes", "pid", pids}, {"users", "uid", uids}} {
		p.tables[core.name] = &plannedTable{
			columns: []plannedColumn{{core.column, "BIGINT", optionIndex | optionOptimized}},
			generate: func(string) (rows []map[string]string, err error) {
				for _, v := range core.values {
					rows = append(rows, map[string]string{core.column: v})
				}
				return rows, nil
			},
		}
	}
	for name, table := range p.tables {
		var columns []string
		for _, c := range table.columns {
			column := sqlite3.QuoteIdentifier(c.name) + " " + c.kind
			if c.options&optionHidden != 0 {
				column += " HIDDEN"
			}
			columns = append(columns, column)
		}
		//lint:ignore SA1019 the method that replaces it needs a later Go
		err := sqlite3.CreateModule(conn, name, nil, func(conn *sqlite3.Conn, _, _, _ string, _ ...string) (*plannedTable, error) {
			return table, conn.DeclareVTab("CREATE TABLE x(" + strings.Join(columns, ", ") + ")")
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// ask runs a statement and returns its first column.
func (p *planner) ask(t *testing.T, sql string) (values []string) {
	t.Helper()
	for _, table := range p.tables {
		table.contexts = nil
	}
	stmt, _, err := p.Prepare(sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer stmt.Close()
	for stmt.Step() {
		values = append(values, stmt.ColumnText(0))
	}
	if err := stmt.Err(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return values
}

// BestIndex is osquery's xBestIndex, osquery/sql/virtual_table.cpp: it takes the
// constraints on columns with one of three options, and one makes the table cheap.
func (p *plannedTable) BestIndex(index *sqlite3.IndexInfo) error {
	index.EstimatedCost = 1e6
	var plan []string
	for i, k := range index.Constraint {
		if !k.Usable || k.Column < 0 || p.columns[k.Column].options&(optionIndex|optionRequired|optionAdditional) == 0 {
			continue
		}
		index.EstimatedCost = 1
		plan = append(plan, fmt.Sprint(k.Column, ":", k.Op))
		index.ConstraintUsage[i].ArgvIndex = len(plan)
	}
	index.IdxStr = fmt.Sprint(index.ColumnsUsed, " ", strings.Join(plan, " "))
	return nil
}

func (p *plannedTable) Open() (sqlite3.VTabCursor, error) {
	return &plannedCursor{plannedTable: p}, nil
}

type plannedCursor struct {
	*plannedTable
	rows []map[string]string
}

// Filter asks for rows, with the request that osquery makes.
func (c *plannedCursor) Filter(_ int, plan string, args ...sqlite3.Value) error {
	type constraint struct {
		Op   int    `json:"op"`
		Expr string `json:"expr"`
	}
	type list struct {
		Name     string       `json:"name"`
		List     []constraint `json:"list"`
		Affinity string       `json:"affinity"`
	}
	request := struct {
		Constraints []list   `json:"constraints"`
		ColsUsed    []string `json:"colsUsed"`
	}{ColsUsed: []string{}}
	fields := strings.Fields(plan)
	used, err := strconv.ParseUint(fields[0], 10, 64)
	for i, column := range c.columns {
		request.Constraints = append(request.Constraints, list{column.name, []constraint{}, column.kind})
		if used>>min(i, 63)&1 != 0 {
			request.ColsUsed = append(request.ColsUsed, column.name)
		}
	}
	for i, term := range fields[1:] {
		var column, op int
		_, scanned := fmt.Sscanf(term, "%d:%d", &column, &op)
		err = errors.Join(err, scanned)
		of := &request.Constraints[column]
		of.List = append(of.List, constraint{op, args[i].Text()})
	}
	text, marshalled := json.Marshal(request)
	if err := errors.Join(err, marshalled); err != nil {
		return err
	}
	c.contexts = append(c.contexts, string(text))
	c.rows, err = c.generate(string(text))
	return err
}

func (c *plannedCursor) Next() error           { c.rows = c.rows[1:]; return nil }
func (c *plannedCursor) EOF() bool             { return len(c.rows) == 0 }
func (c *plannedCursor) RowID() (int64, error) { return strconv.ParseInt(c.rows[0]["rowid"], 10, 64) }

func (c *plannedCursor) Column(ctx sqlite3.Context, i int) error {
	value := c.rows[0][c.columns[i].name]
	if n, err := strconv.ParseInt(value, 10, 64); c.columns[i].kind == "TEXT" {
		ctx.ResultText(value)
	} else if err == nil {
		ctx.ResultInt64(n)
	}
	return nil
}

// pidTable has a column pid with the options that are said.
type pidTable struct {
	plugin
	options string
}

func (p *pidTable) Routes() osquery.ExtensionPluginResponse {
	return osquery.ExtensionPluginResponse{{"id": "column", "name": "pid", "type": "BIGINT", "op": p.options}}
}

// The planner plans as a real osqueryi was seen to.
func TestPlannerIsOsquerys(t *testing.T) {
	rows := func(name, options string) *pidTable {
		return &pidTable{plugin{name, func(context.Context) osquery.ExtensionResponse { return ok(map[string]string{"pid": "7"}) }}, options}
	}
	m := managertest.New(t)
	serve(t, m, rows("plain", "0"), rows("optimized", "8"))
	m.WaitFor(t, "test")
	var pids []string
	for pid := range 76 {
		pids = append(pids, strconv.Itoa(pid+1))
	}
	p := newPlanner(t, m, []string{"plain", "optimized"}, pids, nil)
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
		p.ask(t, "SELECT t.pid FROM "+c.from)
		if n := len(p.tables[c.table].contexts); n != c.calls {
			t.Errorf("%s: %d calls, want %d", c.from, n, c.calls)
		}
	}
}

// A join of our tables with processes or users calls ours once, in whatever order
// it is written; and what one process has open is found without the others.
func TestOurTablesInOsquerysPlans(t *testing.T) {
	h := host.New(host.Options{Proc: "../../tables/testdata/proc", Services: "../../tables/testdata/etc/services"})
	m := managertest.New(t)
	var plugins []sockets.Plugin
	var names []string
	for _, table := range tables.All(h) {
		plugins = append(plugins, sockets.NewTablePlugin(table))
		names = append(names, table.Spec().Name)
	}
	serve(t, m, plugins...)
	m.WaitFor(t, "test")
	pids := []string{"1", "100", "250", "300", "400", "90000"}
	uids := []string{"0", "1", "2", "1000", "65534"}
	p := newPlanner(t, m, names, pids, uids)

	joins := 0
	for _, name := range names {
		for _, join := range []struct {
			other, column string
			values        []string
		}{{"processes", "pid", pids}, {"users", "uid", uids}} {
			has := func(c plannedColumn) bool { return c.name == join.column }
			if name == "socket_processes" || !slices.ContainsFunc(p.tables[name].columns, has) {
				continue
			}
			want := 0
			for _, v := range p.ask(t, "SELECT "+join.column+" FROM "+name) {
				if slices.Contains(join.values, v) {
					want++
				}
			}
			if want > 0 {
				joins++
			}
			for _, from := range []string{name + " JOIN " + join.other, join.other + " JOIN " + name} {
				rows := p.ask(t, "SELECT "+join.column+" FROM "+from+" USING ("+join.column+")")
				if n := len(p.tables[name].contexts); n != 1 || len(rows) != want {
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
	const one = `{"name":"pid","list":[{"op":2,"expr":"100"}]`
	rows := p.ask(t, "SELECT fd FROM socket_processes WHERE pid = 100")
	if calls := p.tables["socket_processes"].contexts; len(rows) != 6 || len(calls) != 1 || !strings.Contains(calls[0], one) {
		t.Errorf("rows %v of the calls %v", rows, calls)
	}
	if last := holders(); last.Sockets != 6 || last.Reason != "only some processes are asked about" {
		t.Errorf("got %+v", last)
	}
	// For each process in a join, which is as cheap.
	rows = p.ask(t, "SELECT fd FROM processes JOIN socket_processes USING (pid) WHERE pid IN (100, 250)")
	if calls := p.tables["socket_processes"].contexts; len(rows) != 8 || slices.ContainsFunc(calls, func(c string) bool { return !strings.Contains(c, `"op":2`) }) {
		t.Errorf("rows %v of the calls %v", rows, calls)
	}
	// A socket table has no such constraint in osquery.
	rows = p.ask(t, "SELECT inode FROM tcp_sockets WHERE pid = 100")
	if calls := p.tables["tcp_sockets"].contexts; len(rows) != 2 || len(calls) != 1 || strings.Contains(calls[0], `"op"`) {
		t.Errorf("rows %v of the calls %v", rows, calls)
	}
	if last := holders(); last.Reason == "only some processes are asked about" {
		t.Errorf("got %+v", last)
	}
}
