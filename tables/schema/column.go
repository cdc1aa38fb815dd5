package schema

import (
	"math"
	"net/netip"
	"slices"
)

// Need names work that a row costs only when a column asks for it, one bit
// each. The bits belong to the package that does the work.
type Need uint64

// Cheap is the need of work that costs so little that a statement may do it for a
// column that it does not use: see [Bind].
const Cheap Need = 1 << 63

// ColumnInfo is what hosts and documents know of a column.
type ColumnInfo struct {
	Name string
	Doc  string
	Type Type
	// Shared columns mean the same in all tables that have one of the name: their
	// Docs differ in nothing but Note, with which they end.
	Shared bool
	Note   string
	// Hidden columns are left out of SELECT *.
	Hidden bool
	// Pushed columns narrow the work by their constraints. osquery sends the
	// constraints of no others; the embedded host sends all.
	Pushed bool
	// Scope columns widen where the table looks: a statement that uses one sees
	// more rows than a statement that does not, such as those of all network
	// namespaces. Its constraints only narrow, as those of any column.
	Scope bool
	// Required columns say what the table shows: it fails without a comparison of one
	// of them by =, IN or LIKE.
	Required bool
	// SynonymOf is the column that this one repeats under another name, or "".
	SynonymOf string
	Needs     Need
	synonyms  []string
	domain    *domain // nil if the column can have any value of its type
}

// Option adds to a column's declaration.
type Option func(*ColumnInfo)

// Hidden leaves the column out of SELECT *; it can still be named.
func Hidden(c *ColumnInfo) { c.Hidden = true }

// Pushed makes osquery send the column's constraints to the table. It then also
// takes a scan with one for cheap, so that as the inner side of a join the table
// may be asked once for each row of the other.
func Pushed(c *ColumnInfo) { c.Pushed = true }

// Scope makes the table look further where a statement uses the column: see
// [Column.Uses].
func Scope(c *ColumnInfo) { c.Pushed, c.Scope = true, true }

// Required makes the table show what the column's =, IN and LIKE ask for, and no more:
// see [Column.Asked]. Such a table, as that of all files, has no whole: the law of
// push-down holds for what its statements have in common.
func Required(c *ColumnInfo) { c.Pushed, c.Required = true, true }

// Shared says that other tables have the column too: documents of several tables
// describe it once.
func Shared(c *ColumnInfo) { c.Shared = true }

// Note adds what holds for this table only to the description of a [Shared]
// column. The empty text adds nothing.
func Note(text string) Option {
	return func(c *ColumnInfo) {
		if c.Note = text; text != "" {
			c.Doc += " " + text
		}
	}
}

// Needs says what work the column's values cost.
func Needs(n Need) Option { return func(c *ColumnInfo) { c.Needs |= n } }

// Synonym adds a hidden column of the same values under another name.
func Synonym(name string) Option {
	return func(c *ColumnInfo) { c.synonyms = append(c.synonyms, name) }
}

// AnyColumn is a [Column] of a table with rows of type R, whatever its values are.
// Only [NotNull] and [Nullable] make one.
type AnyColumn[R any] interface {
	info() *ColumnInfo
	set(*R, *Cell)
	// filter returns a function that is true for rows which may meet the
	// query's constraints on this column, or nil if all do.
	filter(Query) func(*R) bool
}

// Column is a column whose values have the Go type V. Tables keep it to ask a
// query for the column's constraints.
type Column[R any, V Value] struct {
	about ColumnInfo
	get   func(*R) (V, bool)
}

// Col declares a column that has a value in every row.
func NotNull[R any, V Value](name, doc string, get func(*R) V, options ...Option) *Column[R, V] {
	return Nullable(name, doc, func(r *R) (V, bool) { return get(r), true }, options...)
}

// Opt declares a column whose value may be absent: NULL for a number, the
// empty text for a text, since osquery knows no other absent text. A text is
// shown, and compared, as [text.Escape] writes it.
func Nullable[R any, V Value](name, doc string, get func(*R) (V, bool), options ...Option) *Column[R, V] {
	c := &Column[R, V]{ColumnInfo{Name: name, Doc: doc, Type: typeOf[V]()}, escaped(get)}
	if _, ok := any(*new(V)).(netip.Addr); ok {
		c.about.domain = addresses
	}
	for _, o := range options {
		o(&c.about)
	}
	return c
}

func (c *Column[R, V]) info() *ColumnInfo { return &c.about }

func (c *Column[R, V]) set(r *R, cell *Cell) {
	switch v, ok := c.get(r); {
	case ok:
		put(cell, v)
	case c.about.Type == Text:
		cell.Kind, cell.Bytes = Bytes, cell.Bytes[:0]
	default:
		cell.Kind = Null
	}
}

// maxIn bounds the values of a column that narrow a query: a longer list costs
// more than it spares.
const maxIn = 512

// Values returns the values that the query allows in this column by = and IN; nil
// means any. Text compares without case: a superset of what is asked for.
func (c *Column[R, V]) Values(q Query) []V {
	in := []V(nil)
	for _, k := range q.where {
		if k.Op != EQ || k.Column != c.about.Name {
			continue
		}
		v, ok := parse[V](k.Value)
		if !ok {
			return nil
		}
		in = append(in, v)
	}
	slices.SortFunc(in, compare)
	if in = slices.Compact(in); len(in) > maxIn {
		return nil
	}
	return in
}

// Asked returns the texts with which a statement compares this [Required] column: by =
// and IN, and by LIKE.
func (c *Column[R, V]) Asked(q Query) (equal, like []string) {
	for _, k := range q.where {
		switch {
		case k.Column != c.about.Name:
		case k.Op == EQ:
			equal = append(equal, k.Value)
		case k.Op == LIKE:
			like = append(like, k.Value)
		}
	}
	return equal, like
}

// Uses reports whether the statement uses this [Scope] column: selects it or
// compares it in any way. A host that does not say which columns a statement
// uses uses it only in a comparison.
func (c *Column[R, V]) Uses(q Query) bool { return slices.Contains(q.scope, c.about.Name) }

// Range returns the smallest and largest number that the query allows in this
// column by <, <=, > and >=, both inclusive.
func (c *Column[R, V]) Range(q Query) (lo, hi int64) {
	lo, hi = math.MinInt64, math.MaxInt64
	for _, k := range q.where {
		if k.Op == EQ || k.Op == LIKE || k.Column != c.about.Name {
			continue
		}
		f, whole, ok := parseNumber(k.Value)
		if !ok || whole == nil && math.Abs(f) >= 1<<53 {
			continue
		}
		// A fraction widens to the whole number on its outer side.
		below, above := int64(math.Floor(f)), int64(math.Ceil(f))
		op := k.Op
		if whole != nil {
			below, above = *whole, *whole
		} else if below == above {
			// A host may have written 4.999999999999999 as 5.0.
			switch op {
			case GT:
				op = GE
			case LT:
				op = LE
			}
		}
		switch op {
		case GT:
			if below < math.MaxInt64 {
				lo = max(lo, below+1)
			}
		case GE:
			lo = max(lo, above)
		case LT:
			if above > math.MinInt64 {
				hi = min(hi, above-1)
			}
		case LE:
			hi = min(hi, below)
		}
	}
	return lo, hi
}

func (c *Column[R, V]) filter(q Query) func(*R) bool {
	var in map[V]struct{} // what may be equal has one key
	for _, v := range c.Values(q) {
		if in == nil {
			in = make(map[V]struct{})
		}
		in[fold(v)] = struct{}{}
	}
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	if c.about.Type == Integer || c.about.Type == BigInt {
		lo, hi = c.Range(q)
	}
	if in == nil && lo == math.MinInt64 && hi == math.MaxInt64 {
		return nil
	}
	var scratch Cell
	return func(r *R) bool {
		v, ok := c.get(r)
		if !ok {
			// NULL meets no comparison, but an absent text is '' and may.
			return c.about.Type == Text
		}
		if _, ok := in[fold(v)]; in != nil && !ok {
			return false
		}
		if lo != math.MinInt64 || hi != math.MaxInt64 {
			put(&scratch, v)
			return lo <= scratch.Int && scratch.Int <= hi
		}
		return true
	}
}
