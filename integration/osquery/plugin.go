package osquery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/memlimit"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// osquery's column options, osquery/core/sql/column.h.
const (
	optionIndex     = 1
	optionOptimized = 8
	optionHidden    = 16
)

// MaxResponse is the size in bytes that osquery's Thrift transport accepts for
// one message. Above it osquery says "MaxMessageSize reached".
const MaxResponse = 100 << 20

// defaultTimeout ends a query that hangs; no table here takes a second.
const defaultTimeout = time.Minute

// TablePlugin serves one table to osquery; it is an osquery.OsqueryPlugin of
// osquery-go. It sends only the columns that the statement reads.
//
// Where a join asks again and again, the plugin answers from a snapshot of the
// table: from the third call on that differs in nothing but what columns must
// equal, with at most 50 ms between two. The snapshot is at most a second old.
type TablePlugin struct {
	table  schema.Table
	names  []string // of the columns, as they are encoded
	bursts *bursts
	// MaxResponse is the size in bytes above which a query fails with an
	// error that says so; 0 means the constant [MaxResponse].
	MaxResponse int
	// Timeout ends a query that takes longer; 0 means a minute.
	Timeout time.Duration
	// Prefix goes before the table's name in osquery, where another extension
	// has a table of that name.
	Prefix string
	// Stats counts the queries, if it is not nil.
	Stats *schema.Stats
}

// NewTablePlugin returns the plugin that serves a table to osquery.
func NewTablePlugin(t schema.Table) *TablePlugin {
	p := &TablePlugin{table: t, bursts: newBursts()}
	for _, c := range t.Spec().Columns {
		p.names = append(p.names, encodedName(c.Name))
	}
	return p
}

// Name returns the table's name in osquery.
func (p *TablePlugin) Name() string { return p.Prefix + p.table.Name() }

// RegistryName returns "table", osquery's registry of tables.
func (p *TablePlugin) RegistryName() string { return "table" }

// Ping answers osquery's health check.
func (p *TablePlugin) Ping() osquery.ExtensionStatus {
	return osquery.ExtensionStatus{Code: 0, Message: "OK"}
}

// Shutdown does nothing: what a burst of calls keeps is freed when it is over.
func (p *TablePlugin) Shutdown() {}

// Routes describes the columns to osquery.
//
// Every column is OPTIMIZED: one without options would be made INDEX by
// osquery's default, its constraints sent and its table called once per row
// of a join. Pushed columns are INDEX as well, which together also brings all
// values of an IN in one call. A synonym is an alias, which osquery replaces by
// its column, and whose constraints it keeps to itself.
func (p *TablePlugin) Routes() osquery.ExtensionPluginResponse {
	var routes osquery.ExtensionPluginResponse
	for _, c := range p.table.Spec().Columns {
		if c.SynonymOf != "" {
			routes = append(routes, map[string]string{"id": "columnAlias", "name": c.Name, "target": c.SynonymOf})
			continue
		}
		options := optionOptimized
		if c.Pushed {
			options |= optionIndex
		}
		if c.Hidden {
			options |= optionHidden
		}
		routes = append(routes, map[string]string{
			"id": "column", "name": c.Name, "type": string(c.Type), "op": strconv.Itoa(options),
		})
	}
	return routes
}

// Call answers osquery's requests: the rows of the table, or its columns.
func (p *TablePlugin) Call(ctx context.Context, request osquery.ExtensionPluginRequest) osquery.ExtensionResponse {
	response, rows := p.answer(ctx, request)
	if rows != nil {
		response.Response = rows.maps()
	}
	return response
}

// answer is Call, with the rows of the table apart.
func (p *TablePlugin) answer(ctx context.Context, request osquery.ExtensionPluginRequest) (osquery.ExtensionResponse, *answer) {
	response := osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Code: 0, Message: "OK"}}
	var rows *answer
	var err error
	switch action := request["action"]; action {
	case "generate":
		start := time.Now()
		rows, err = p.generate(ctx, request["context"])
		if p.Stats != nil {
			n := 0
			if rows != nil {
				n = rows.rows
			}
			p.Stats.Observe(p.table.Name(), n, time.Since(start), err)
		}
	case "columns":
		response.Response = p.Routes()
	default:
		err = fmt.Errorf("table %s: osquery asked for the action %q, which only tables that can be written have", p.Name(), action)
	}
	if err != nil {
		return osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Code: 1, Message: text.Printable(err.Error())}}, nil
	}
	return response, rows
}

func (p *TablePlugin) generate(ctx context.Context, queryContext string) (*answer, error) {
	request, err := parseContext(queryContext)
	if err != nil {
		return nil, fmt.Errorf("table %s: osquery's query context is not understood: %w", p.Name(), err)
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	query := p.table.Query(request)
	var used []column
	for i, name := range p.names {
		if query.Uses(i) {
			used = append(used, column{i, name})
		}
	}
	scan, end := p.scan(ctx, &request, query)
	defer end()
	defer scan.Close()
	rows := &answer{size: responseOverhead}
	var cell schema.Cell
	for scan.Next() {
		rows.add(scan, used, &cell)
		if err := p.fits(rows); err != nil {
			return nil, err
		}
	}
	if err := scan.Err(); err != nil {
		if cause := context.Cause(ctx); errors.As(cause, new(memlimit.Exceeded)) {
			err = fmt.Errorf("table %s: the query was given up: %w", p.Name(), cause)
		}
		return nil, err
	}
	return rows, nil
}

// responseOverhead is what a message has beside the rows, in bytes, generously.
const responseOverhead = 256

// fits reports the response that osquery would refuse, before it is whole.
func (p *TablePlugin) fits(a *answer) error {
	limit := p.MaxResponse
	if limit == 0 {
		limit = MaxResponse
	}
	if a.size <= limit {
		return nil
	}
	return fmt.Errorf("table %s: the answer is over osquery's limit of %d bytes for one message at row %d (%d bytes): select fewer columns, or narrow the WHERE clause by state, port or address", p.Name(), limit, a.rows, a.size)
}

// withoutEmptyLists cuts out of osquery's JSON what says that a column has no
// constraints, of which there is one for each other column of the table: most of
// the text, and of the time that reading it takes. A text of any other form is
// returned as it is.
func withoutEmptyLists(text string) string {
	const head, object = `{"constraints":[`, `{"name":"`
	rest, ok := strings.CutPrefix(text, head)
	if !ok || !strings.HasPrefix(rest, object) {
		return text
	}
	kept := []byte(head)
	for {
		n := objectLength(rest)
		if n == 0 || n == len(rest) {
			return text
		}
		if !hasEmptyList(rest[:n]) {
			kept = append(append(kept, rest[:n]...), ',')
		}
		rest = rest[n:]
		if rest[0] == ']' {
			return string(bytes.TrimSuffix(kept, []byte{','})) + rest
		}
		if !strings.HasPrefix(rest, ","+object) {
			return text
		}
		rest = rest[1:]
	}
}

// hasEmptyList reports whether an object is {"name":"N","list":[],"affinity":"A"}
// and nothing more: neither text has a quote, and so no other member.
func hasEmptyList(object string) bool {
	name, affinity, found := strings.Cut(strings.TrimPrefix(object, `{"name":"`), `","list":[],"affinity":"`)
	affinity, ends := strings.CutSuffix(affinity, `"}`)
	return found && ends && !strings.ContainsAny(name, `"\`) && !strings.ContainsAny(affinity, `"\`)
}

// objectLength returns the length of the JSON object that a text begins with, 0
// if it does not end.
func objectLength(text string) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// parseContext reads the JSON that osquery sends with a request for rows.
func parseContext(text string) (schema.Request, error) {
	return parseJSON(withoutEmptyLists(text))
}

func parseJSON(text string) (schema.Request, error) {
	var r schema.Request
	if text == "" {
		r.All = true
		return r, nil
	}
	var context struct {
		Constraints []struct {
			Name string          `json:"name"`
			List json.RawMessage `json:"list"`
		} `json:"constraints"`
		ColsUsed *[]string `json:"colsUsed"`
	}
	if err := json.Unmarshal([]byte(text), &context); err != nil {
		return r, err
	}
	if context.ColsUsed == nil {
		r.All = true
	} else {
		r.Used = *context.ColsUsed
	}
	for _, column := range context.Constraints {
		// Old osquery writes an empty list as an empty string.
		if list := bytes.TrimSpace(column.List); len(list) == 0 || list[0] != '[' {
			continue
		}
		var list []struct {
			Op   flexibleInt `json:"op"`
			Expr string      `json:"expr"`
		}
		if err := json.Unmarshal(column.List, &list); err != nil {
			return r, fmt.Errorf("column %s: %w", column.Name, err)
		}
		for _, k := range list {
			r.Constraints = append(r.Constraints, schema.Constraint{Column: column.Name, Op: k.Op.op(), Value: k.Expr})
		}
	}
	return r, nil
}

// flexibleInt is a JSON number, or a string of one as old osquery writes it.
type flexibleInt int

func (n *flexibleInt) UnmarshalJSON(b []byte) error {
	v, err := strconv.Atoi(string(bytes.Trim(b, `"`)))
	*n = flexibleInt(v)
	return err
}

// op is the operator of that number; one that no schema.Op can hold is unknown.
func (n flexibleInt) op() schema.Op {
	if n < 0 || n > 255 {
		return 0
	}
	return schema.Op(n)
}
