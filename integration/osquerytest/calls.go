package osquerytest

import (
	"fmt"
	"slices"
	"strings"
)

// Call is one request for rows of a table, and what came of it.
type Call struct {
	Table       string
	Used        []string // columns, sorted
	Constraints []Constraint
	// Context is the request as osquery writes it, the JSON in which Used and
	// Constraints are: an input for [Manager.Generate].
	Context string
	Rows    int
	Bytes   int   // of the answer on the wire; 0 for a core table
	Err     error // the statement's error, if the call failed
}

// Uses reports whether the column is used.
func (c Call) Uses(column string) bool { return slices.Contains(c.Used, column) }

// Values returns the values that a column is compared with by =. Several are
// the list of an IN.
func (c Call) Values(column string) (values []string) {
	for _, k := range c.Constraints {
		if k.Column == column && k.Op == Equals {
			values = append(values, k.Value)
		}
	}
	return values
}

// String returns the call as one line, such as "t(a, b) WHERE a = 1: 3 rows".
func (c Call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s(%s)", c.Table, strings.Join(c.Used, ", "))
	for i, k := range c.Constraints {
		b.WriteString([]string{" WHERE ", " AND "}[min(i, 1)])
		b.WriteString(k.String())
	}
	if c.Err != nil {
		return fmt.Sprintf("%s: %v", &b, c.Err)
	}
	return fmt.Sprintf("%s: %d rows", &b, c.Rows)
}

// Constraint is a condition that osquery sends. SQLite checks it again.
type Constraint struct {
	Column string
	Op     Op
	Value  string
}

func (k Constraint) String() string {
	return fmt.Sprintf("%s %v %s", k.Column, k.Op, k.Value)
}

// Op is the operator of a constraint, osquery/core/tables.h. Those that osquery
// has no name for are SQLite's, and reach an extension all the same.
type Op int

const (
	Equals        Op = 2
	GreaterThan   Op = 4
	LessOrEqual   Op = 8
	LessThan      Op = 16
	GreaterEquals Op = 32
	Match         Op = 64
	Like          Op = 65
	Glob          Op = 66
	Regexp        Op = 67
	NotEqual      Op = 68
	IsNot         Op = 69
	IsNotNull     Op = 70
	IsNull        Op = 71
	Is            Op = 72
	Limit         Op = 73 // on the first column, with which it has nothing to do
	Offset        Op = 74 // on the first column too

	inList Op = 3 // an IN at once, until its first scan
)

// String returns the operator in SQL.
func (o Op) String() string {
	names := map[Op]string{
		Equals: "=", GreaterThan: ">", LessOrEqual: "<=", LessThan: "<", GreaterEquals: ">=",
		Match: "MATCH", Like: "LIKE", Glob: "GLOB", Regexp: "REGEXP", NotEqual: "<>",
		IsNot: "IS NOT", IsNotNull: "NOTNULL", IsNull: "ISNULL", Is: "IS", Limit: "LIMIT", Offset: "OFFSET",
	}
	if name := names[o]; name != "" {
		return name
	}
	return fmt.Sprint("op ", int(o))
}

// Calls returns the calls that the last [Manager.Query] made, in their order.
func (m *Manager) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// CallsOf returns those of one table.
func (m *Manager) CallsOf(table string) []Call {
	return slices.DeleteFunc(m.Calls(), func(c Call) bool { return c.Table != table })
}

func (m *Manager) note(c Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, c)
}
