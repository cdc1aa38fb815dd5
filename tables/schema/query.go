package schema

// Op is a comparison that may be pushed into a table, with SQLite's and
// osquery's numbers.
type Op uint8

// The comparisons that narrow. Every other operator is left to the host.
const (
	EQ Op = 2
	GT Op = 4
	LE Op = 8
	LT Op = 16
	GE Op = 32
	// IS is EQ for every value but NULL, which hosts send as no constraint.
	IS Op = 72
	// LIKE is for [Required] columns alone: see [Column.Asked].
	LIKE Op = 65
)

// SQLite's LIMIT and OFFSET come as constraints on the first column.
const (
	limit  Op = 73
	offset Op = 74
)

// Known reports whether the operator is one that narrows. Hosts send others
// too, among them SQLite's LIMIT, which must never be honoured: it counts the
// rows after the host's own checks.
func (o Op) Known() bool {
	return o == EQ || o == IS || o == GT || o == LE || o == LT || o == GE
}

// Constraint is a comparison of a column with a value, both as the host's
// text. Several with [EQ] or [IS] on one column mean any of them, as in IN; all
// others must hold together.
//
// A constraint is a hint: the host checks every row again, so that a table may
// return more than was asked for, and must where it does not understand.
type Constraint struct {
	Column string
	Op     Op
	Value  string
}

// Request is what a host wants of a table.
type Request struct {
	// Used names the columns whose values will be read.
	Used []string
	// All says that every column is read, whatever Used names.
	All         bool
	Constraints []Constraint
}

// Query is a [Request] in the terms of one table: see [Table.Query].
type Query struct {
	used  []bool // by the column's position, synonyms included
	where []Constraint
	needs Need
	scope []string // the scope columns that the statement uses
}

// Needs reports whether any column that the query reads or compares needs n.
func (q Query) Needs(n Need) bool { return q.needs&n != 0 }

// Uses reports whether the host reads the column at this position of the spec.
func (q Query) Uses(i int) bool { return q.used[i] }
