package osquerytest

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/osquery/osquery-go/gen/osquery"
)

// maxCost is what osquery says a scan without constraints costs.
const maxCost = 1000000

// lastBit is the bit for the column at this position and all that follow.
const lastBit = 63

// virtualTable is a table in SQLite's eyes, osquery/sql/virtual_table.cpp.
type virtualTable struct {
	d       *database
	name    string
	core    *Table         // nil for an extension's
	columns []Column       // aliases among them
	aliases map[string]int // to positions
	scans   map[int]*scan  // by idxNum, for one statement
}

// scan is what BestIndex planned.
type scan struct {
	constraints []Constraint // one an argument
	used        []string
	bits        uint64
}

// newVirtualTable is what xCreate keeps of a table's routes.
func newVirtualTable(d *database, name string, routes osquery.ExtensionPluginResponse, core *Table) *virtualTable {
	v := &virtualTable{d: d, name: name, core: core, aliases: make(map[string]int), scans: make(map[int]*scan)}
	for _, route := range routes {
		columnName, named := route["name"]
		kind, typed := route["type"]
		target, aimed := route["target"]
		switch {
		case route["id"] == "column" && named && typed:
			options := routeOptions(route)
			if core == nil && d.m.defaultIndex && options == 0 {
				options = Index
			}
			v.columns = append(v.columns, Column{columnName, columnType(kind), options})
		case route["id"] == "columnAlias" && named && aimed:
			v.columns = append(v.columns, Column{columnName, unknown, Hidden})
			// The first column stands in for one that is not there.
			v.aliases[columnName] = max(0, slices.IndexFunc(v.columns, func(c Column) bool { return c.Name == target }))
		}
	}
	return v
}

func routeOptions(route map[string]string) int {
	n, _ := strtoll(route["op"], 10)
	return int(n)
}

// columnDefinition is what osquery declares a table with, osquery/core/tables.cpp.
func columnDefinition(routes osquery.ExtensionPluginResponse, extension bool) string {
	var columns []Column
	types := make(map[string]ColumnType)
	for _, route := range routes {
		name, named := route["name"]
		kind, typed := route["type"]
		switch {
		case route["id"] == "column" && named && typed:
			c := Column{name, columnType(kind), routeOptions(route)}
			columns, types[name] = append(columns, c), c.Type
		case route["id"] == "columnAlias" && named:
			if kind, ok := types[route["target"]]; ok {
				columns = append(columns, Column{name, kind, Hidden})
			}
		}
	}
	var definitions, keys []string
	indexed := false
	for _, c := range columns {
		text := "`" + c.Name + "` " + string(c.Type)
		if c.Options&Index != 0 {
			indexed = true
		}
		if c.Options&(Index|Additional) != 0 {
			keys = append(keys, c.Name)
		}
		if c.Options&Hidden != 0 {
			text += " HIDDEN"
		}
		for i, collation := range []string{"BINARY", "NOCASE", "RTRIM"} {
			if c.Options&(32<<i) != 0 {
				text += " COLLATE " + collation
				break
			}
		}
		definitions = append(definitions, text)
	}
	withoutRowID := len(keys) > 0 && !extension
	if len(keys) > 0 && !indexed {
		keys = nil
		for _, c := range columns {
			keys = append(keys, c.Name)
		}
	}
	if len(keys) > 0 {
		definitions = append(definitions, "PRIMARY KEY (`"+strings.Join(keys, "`, `")+"`)")
	}
	text := "(" + strings.Join(definitions, ", ") + ")"
	if withoutRowID {
		text += " WITHOUT ROWID"
	}
	return text
}

// BestIndex is xBestIndex.
func (v *virtualTable) BestIndex(index *sqlite3.IndexInfo) error {
	s := &scan{bits: index.ColumnsUsed}
	cost := float64(maxCost)
	hasRequired, required := false, false
	for _, i := range limitFirst(index.Constraint) {
		k := index.Constraint[i]
		if !k.Usable || k.Column < 0 || k.Column >= len(v.columns) {
			continue
		}
		column, op := v.columns[k.Column], Op(k.Op)
		if column.Type == Text && slices.Contains([]Op{GreaterThan, GreaterEquals, LessThan, LessOrEqual}, op) {
			cost += 10
			continue
		}
		switch {
		case column.Options&Required != 0:
			required = true
			cost = 1
		case column.Options&(Index|Additional) != 0:
			cost = 1
		default:
			continue
		}
		if index.In(i, -1) && column.Options&Optimized != 0 {
			index.In(i, 1)
			op = inList
		}
		s.constraints = append(s.constraints, Constraint{Column: column.Name, Op: op})
		index.ConstraintUsage[i].ArgvIndex = len(s.constraints)
	}
	used := make(map[string]bool)
	for i, column := range v.columns {
		bit := min(i, lastBit)
		if s.bits == 0 || s.bits>>bit&1 == 0 {
			continue
		}
		name := column.Name
		if target, ok := v.aliases[name]; ok {
			// An alias behind the 63rd column clears the bit that it shares, and
			// what stands behind it does not count as used.
			s.bits &^= 1 << bit
			s.bits |= 1 << min(target, lastBit)
			name = v.columns[target].Name
		}
		used[name] = true
		if column.Options&Required != 0 {
			hasRequired = true
		}
	}
	if hasRequired && !required {
		cost = maxCost
	}
	s.used = slices.Sorted(maps.Keys(used))
	index.IdxNum = int(v.d.m.plans.Add(1))
	index.EstimatedCost = cost
	v.scans[index.IdxNum] = s
	return nil
}

// limitFirst returns the positions of the constraints with LIMIT before OFFSET,
// as SQLite in osquery has them; later versions turn them around.
func limitFirst(constraints []sqlite3.IndexConstraint) []int {
	positions := make([]int, len(constraints))
	for i, k := range constraints {
		positions[i] = i
		if i > 0 && Op(k.Op) == Limit && Op(constraints[i-1].Op) == Offset {
			positions[i-1], positions[i] = i, i-1
		}
	}
	return positions
}

// Open is xOpen.
func (v *virtualTable) Open() (sqlite3.VTabCursor, error) { return &cursor{v: v}, nil }

// Destroy lets a DROP end the table.
func (v *virtualTable) Destroy() error { return nil }

type cursor struct {
	v    *virtualTable
	rows []map[string]string
	row  int
}

// Filter is xFilter.
func (c *cursor) Filter(idxNum int, _ string, args ...sqlite3.Value) error {
	v := c.v
	s := v.scans[idxNum]
	if s == nil {
		s = &scan{}
	}
	c.rows, c.row = nil, 0
	r := &request{affinity: make(map[string]ColumnType), constraints: make(map[string][]Constraint), used: s.used, bits: s.bits}
	options := make(map[string]int)
	needed := false
	for _, column := range v.columns {
		r.affinity[column.Name] = column.Type
		options[column.Name] = column.Options
		needed = needed || column.Options&Required != 0
	}
	for i, arg := range args {
		k := &s.constraints[i]
		add := func(value sqlite3.Value, empty bool) {
			if value.Type() == sqlite3.NULL {
				return
			}
			text, _, _ := strings.Cut(value.Text(), "\x00") // a C string
			if text == "" && !empty {
				return
			}
			r.constraints[k.Column] = append(r.constraints[k.Column], Constraint{k.Column, k.Op, text})
		}
		if k.Op != inList {
			add(arg, false)
			continue
		}
		// Here osquery forgets that it is a list. At the next scan the argument
		// has no text, and goes the way of NULL.
		k.Op = Equals
		for value, err := arg.InFirst(); err == nil; value, err = arg.InNext() {
			add(value, true)
		}
	}
	for _, k := range s.constraints {
		// Whatever it is, a LIMIT included, and whether or not it has a value.
		needed = needed && options[k.Column]&Required == 0
	}
	if needed {
		v.d.err = said("Table " + v.name + " was queried without a required column in the WHERE clause")
		return sqlite3.CONSTRAINT
	}
	call := r.call(v.name)
	c.rows, call.Bytes, call.Err = v.generate(call)
	call.Rows = len(c.rows)
	v.d.m.note(call)
	if call.Err != nil {
		v.d.err = call.Err
		return sqlite3.ERROR
	}
	return nil
}

// generate asks the table for the rows of a call.
func (v *virtualTable) generate(call Call) (rows []map[string]string, bytes int, err error) {
	m, ctx := v.d.m, v.d.ctx
	if v.core != nil {
		rows, err := v.core.rows(ctx, call)
		return rows, 0, err
	}
	m.mu.Lock()
	uuid := m.routes[v.name]
	m.mu.Unlock()
	if uuid == 0 {
		return nil, 0, said("Cannot call registry item: " + v.name)
	}
	response, bytes, err := m.callExtension(ctx, uuid, "table", v.name,
		osquery.ExtensionPluginRequest{"action": "generate", "context": call.Context})
	if err != nil {
		return nil, bytes, err
	}
	if response.Status.Code != 0 {
		return nil, bytes, errors.New(response.Status.Message)
	}
	return response.Response, bytes, nil
}

func (c *cursor) Next() error { c.row++; return nil }
func (c *cursor) EOF() bool   { return c.row >= len(c.rows) }

// RowID is DynamicTableRow::get_rowid: the position, where a row has no rowid.
func (c *cursor) RowID() (int64, error) {
	text, ok := c.rows[c.row]["rowid"]
	if !ok {
		return int64(c.row), nil
	}
	n, ok := strtoll(text, 10)
	if !ok {
		return 0, sqlite3.ERROR
	}
	return n, nil
}

// Column is xColumn.
func (c *cursor) Column(ctx sqlite3.Context, i int) error {
	column := &c.v.columns[i]
	if target, ok := c.v.aliases[column.Name]; ok {
		// osquery overwrites the alias with a copy of its target, for good: later
		// statements find a second column of that name.
		column.Name, column.Type = c.v.columns[target].Name, c.v.columns[target].Type
	}
	result(ctx, column.Type, c.rows[c.row][column.Name])
	return nil
}
