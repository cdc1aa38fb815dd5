package osquerytest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// plugin is a table as a test describes it.
type plugin struct {
	name     string
	routes   osquery.ExtensionPluginResponse
	generate func(c context.Context, request string) ([]map[string]string, error)

	// written is the answer to a write; the default is no answer.
	written row

	mu       sync.Mutex
	requests []string // contexts, and writes
}

func (p *plugin) Name() string                            { return p.name }
func (p *plugin) RegistryName() string                    { return "table" }
func (p *plugin) Routes() osquery.ExtensionPluginResponse { return p.routes }
func (p *plugin) Ping() osquery.ExtensionStatus           { return osquery.ExtensionStatus{Message: "OK"} }
func (p *plugin) Shutdown()                               {}

func (p *plugin) Call(ctx context.Context, request osquery.ExtensionPluginRequest) osquery.ExtensionResponse {
	if request["action"] == "columns" {
		return osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Message: "OK"}, Response: p.routes}
	}
	p.mu.Lock()
	p.requests = append(p.requests, request["context"])
	if request["action"] != "generate" {
		write := fmt.Sprint(maps.Clone(request))
		p.requests[len(p.requests)-1] = write
		p.mu.Unlock()
		return osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Message: "OK"}, Response: []row{p.written}}
	}
	p.mu.Unlock()
	rows, err := p.generate(ctx, request["context"])
	if err != nil {
		return osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Code: 1, Message: err.Error()}}
	}
	return osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Message: "OK"}, Response: rows}
}

// take returns the contexts since the last take.
func (p *plugin) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.requests
	p.requests = nil
	return taken
}

// column is the route of a column; an alias is one with a target.
func column(name, kind string, options int) map[string]string {
	return map[string]string{"id": "column", "name": name, "type": kind, "op": fmt.Sprint(options)}
}

func alias(name, target string) map[string]string {
	return map[string]string{"id": "columnAlias", "name": name, "target": target}
}

func always(rows ...map[string]string) func(context.Context, string) ([]map[string]string, error) {
	return func(context.Context, string) ([]map[string]string, error) { return rows, nil }
}

type row = map[string]string

// recordedTables are the tables of testdata/recorded.txt.
func recordedTables() []*plugin {
	var wide osquery.ExtensionPluginResponse
	wideRow := row{}
	for i := range 70 {
		name := fmt.Sprintf("c%02d", i)
		wide = append(wide, column(name, "BIGINT", 8))
		wideRow[name] = fmt.Sprint(i)
	}
	wide = append(wide, alias("far", "c01"), alias("farther", "c69"), alias("stray", "none"))
	casts := row{}
	var castColumns osquery.ExtensionPluginResponse
	for i, cell := range castCells {
		for _, kind := range []string{"TEXT", "INTEGER", "BIGINT", "UNSIGNED BIGINT", "DOUBLE"} {
			name := fmt.Sprintf("%c%d", kind[0]|0x20, i)
			castColumns = append(castColumns, column(name, kind, 8))
			casts[name] = cell
		}
	}
	castColumns = append(castColumns, column("t_absent", "TEXT", 8), column("b_absent", "BIGINT", 8), column("x", "NOTYPE", 8))
	// filtered answers with the rows that a request asks for, at their positions
	// or with a rowid.
	filtered := func(identified bool) func(context.Context, string) ([]map[string]string, error) {
		return func(_ context.Context, request string) ([]map[string]string, error) {
			rows := []row{{"id": "1", "state": "a"}, {"id": "2", "state": "b"}, {"id": "3", "state": "a"}, {"id": "4", "state": "c"}}
			return slices.DeleteFunc(rows, func(r row) bool {
				if identified {
					r["rowid"] = r["id"] + "00"
				}
				for _, k := range parse(request).Constraints {
					for _, e := range k.List {
						if e.Op == 2 && r[k.Name] != e.Expr {
							return true
						}
					}
				}
				return false
			}), nil
		}
	}
	return []*plugin{
		{name: "t", routes: osquery.ExtensionPluginResponse{
			column("a", "TEXT", 0), column("n", "BIGINT", 0), column("d", "DOUBLE", 0), column("plain", "BIGINT", 8),
			column("listed", "BIGINT", 1|8), column("names", "TEXT", 1|8), column("more", "BIGINT", 4), column("hidden", "TEXT", 16|8),
		}, generate: always(
			row{"a": "x", "n": "1", "d": "1.5", "plain": "10", "listed": "1", "names": "one", "more": "0", "hidden": "h"},
			row{"a": "y", "n": "2", "d": "2", "plain": "20", "listed": "2", "names": "", "more": "0", "hidden": ""},
			row{"a": "", "n": "3", "plain": "30", "listed": "3", "names": "three", "more": "1"},
		)},
		{name: "p", routes: osquery.ExtensionPluginResponse{column("uid", "BIGINT", 0), column("v", "TEXT", 8)},
			generate: always(row{"uid": "0", "v": "root's"}, row{"uid": "1", "v": "another's"}, row{"uid": "99999", "v": "nobody's"})},
		{name: "q", routes: osquery.ExtensionPluginResponse{column("uid", "BIGINT", 8), column("v", "TEXT", 8)},
			generate: always(row{"uid": "0", "v": "root's"}, row{"uid": "1", "v": "another's"}, row{"uid": "99999", "v": "nobody's"})},
		{name: "l", routes: osquery.ExtensionPluginResponse{column("uid", "BIGINT", 1|8), column("v", "TEXT", 1|8)},
			generate: always(row{"uid": "0", "v": "a"}, row{"uid": "1", "v": "b"}, row{"uid": "99999", "v": "a"})},
		{name: "need", routes: osquery.ExtensionPluginResponse{column("k", "TEXT", 2), column("v", "BIGINT", 0)},
			generate: always(row{"k": "a", "v": "1"}, row{"k": "b", "v": "2"})},
		{name: "wide", routes: wide, generate: always(wideRow)},
		{name: "aliased", routes: osquery.ExtensionPluginResponse{column("real", "TEXT", 0), column("n", "BIGINT", 8), alias("old", "real"), alias("older", "n"), {"id": "alias", "alias": "view_of_aliased"}},
			generate: always(row{"real": "r", "n": "7"})},
		{name: "casts", routes: castColumns, generate: always(casts)},
		{name: "positions", routes: osquery.ExtensionPluginResponse{column("id", "BIGINT", 0), column("state", "TEXT", 0)}, generate: filtered(false)},
		{name: "identities", routes: osquery.ExtensionPluginResponse{column("id", "BIGINT", 0), column("state", "TEXT", 0)}, generate: filtered(true)},
		{name: "notes", routes: osquery.ExtensionPluginResponse{column("id", "BIGINT", 1), column("text", "TEXT", 8), column("weight", "DOUBLE", 8)},
			generate: always(row{"id": "1", "text": "one", "weight": "1.5", "rowid": "11"}, row{"id": "2", "text": "two", "rowid": "12"}),
			written:  row{"status": "success", "id": "13"}},
		{name: "frozen", routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 0)}, generate: always(row{"x": "1"}), written: row{"status": "readonly"}},
		{name: "refused", routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 0)}, generate: always(row{"x": "1"}), written: row{"status": "failure", "message": "not today"}},
		{name: "strict", routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 0)}, generate: always(row{"x": "1"}), written: row{"status": "constraint"}},
		{name: "broken", routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 0)},
			generate: func(context.Context, string) ([]map[string]string, error) {
				return nil, fmt.Errorf("the disk is on fire")
			}},
		{name: "badrowid", routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 0), column("y", "TEXT", 0)}, generate: always(row{"x": "1", "y": "1", "rowid": "none"})},
	}
}

var castCells = []string{
	"", "0", "7", "007", "08", "010", "0x1F", "0xZ", "-5", "+5", " 9", "9 ", "9abc", "abc", "1.5", "1e3", "0x1p4", "inf", "-inf", "nan",
	"2147483647", "2147483648", "4294967295", "9223372036854775807", "9223372036854775808", "18446744073709551615", "-9223372036854775808",
	"--1", "+-1", "0x", "1_000", ".5", "5.", "\t3", "0.1", "100000000000000000000", "1e400",
}

// parsed is osquery's JSON.
type parsed struct {
	Constraints []struct {
		Name, Affinity string
		List           []struct {
			Op   osquerytest.Op
			Expr string
		}
	}
	ColsUsed       []string
	ColsUsedBitset uint64
}

func parse(request string) (p parsed) {
	if err := json.Unmarshal([]byte(request), &p); err != nil {
		panic(err)
	}
	slices.Sort(p.ColsUsed)
	return p
}

func describe(table, request string) string {
	if strings.HasPrefix(request, "map[") {
		return "  writes " + table + " " + request
	}
	p := parse(request)
	text := fmt.Sprintf("  asks %s(%s) bits %x", table, strings.Join(p.ColsUsed, " "), p.ColsUsedBitset)
	for _, k := range p.Constraints {
		for _, e := range k.List {
			text += fmt.Sprintf(", %s %v %q", k.Name, e.Op, e.Expr)
		}
	}
	return text
}

// record runs the statements and describes what came of each, with the JSON of
// its requests.
func record(t *testing.T, o osquerytest.Osquery, tables []*plugin, statements []string) (texts, requests []string) {
	t.Helper()
	for _, sql := range statements {
		for _, p := range tables {
			p.take()
		}
		answer, err := o.Query(t.Context(), sql)
		lines := []string{"> " + sql}
		var asked []string
		for _, p := range tables {
			for _, request := range p.take() {
				lines = append(lines, describe(p.name, request))
				asked = append(asked, request)
			}
		}
		if err != nil {
			lines = append(lines, "  error "+err.Error())
		} else {
			for _, line := range answer.Lines() {
				lines = append(lines, "  "+strings.ReplaceAll(line, "\t", "\\t"))
			}
		}
		texts = append(texts, strings.Join(lines, "\n"))
		requests = append(requests, strings.Join(asked, "\n"))
	}
	return texts, requests
}

// coreUsers is a table users for the kit that a real osquery has too.
func coreUsers() osquerytest.Table {
	return osquerytest.Users(row{"uid": "0", "username": "root"}, row{"uid": "1", "username": "daemon"})
}

const recording = "testdata/recorded.txt"

var update = flag.Bool("update", false, "write "+recording+" from the osqueryi that OSQUERYI names")

// The kit does what a real osqueryi was recorded to do. With OSQUERYI a real one
// runs the same statements again.
func TestRecorded(t *testing.T) {
	content, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	var want, statements []string
	for _, text := range strings.Split(strings.TrimSpace(string(content)), "\n\n") {
		sql, _, _ := strings.Cut(text, "\n")
		want, statements = append(want, text), append(statements, strings.TrimPrefix(sql, "> "))
	}
	register := func(t *testing.T, o osquerytest.Osquery) []*plugin {
		tables := recordedTables()
		for _, p := range tables {
			osquerytest.Serve(t, o, p)
		}
		return tables
	}
	kit := osquerytest.New(t, osquerytest.Core(coreUsers()))
	got, requests := record(t, kit, register(t, kit), statements)
	if osqueryi := os.Getenv("OSQUERYI"); osqueryi != "" {
		real := osquerytest.StartReal(t, osqueryi)
		texts, realRequests := record(t, real, register(t, real), statements)
		if *update {
			if err := os.WriteFile(recording, []byte(strings.Join(texts, "\n\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			want = texts
		}
		for i, sql := range statements {
			if texts[i] != want[i] {
				t.Errorf("%s: osqueryi gives\n%s\nwant\n%s", sql, texts[i], want[i])
			}
			if a, b := normal(requests[i]), normal(realRequests[i]); a != b {
				t.Errorf("%s: the kit sends\n%s\nosqueryi sends\n%s", sql, a, b)
			}
		}
	}
	for i, sql := range statements {
		t.Run(cmp.Or(sql, "nothing"), func(t *testing.T) {
			if got[i] != want[i] {
				t.Errorf("got\n%s\nwant\n%s", got[i], want[i])
			}
		})
	}
}

// normal sorts colsUsed in requests; osquery's order is that of a hash table.
func normal(requests string) string {
	var lines []string
	for line := range strings.Lines(requests) {
		head, tail, _ := strings.Cut(line, `"colsUsed":[`)
		list, tail, _ := strings.Cut(tail, "]")
		names := strings.Split(list, ",")
		slices.Sort(names)
		lines = append(lines, head+`"colsUsed":[`+strings.Join(names, ",")+"]"+tail)
	}
	return strings.Join(lines, "")
}
