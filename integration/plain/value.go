package plain

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// comparison is an Eq, Ne, Lt, Le, Gt or Ge: whether it jumps if the one value is
// less than, equal to or greater than the other.
type comparison struct {
	less, equal, greater bool
	null                 bool // it jumps if one value is NULL
	nullEqual            bool // NULL equals NULL, and nothing else
	numeric              bool // a text that is a number is compared as one
}

// The flags of P5, SQLITE_* of sqliteInt.h.
const (
	affinityMask    = 0x47
	affinityText    = 0x42
	affinityNumeric = 0x43
	jumpIfNull      = 0x10
	nullEqual       = 0x80
)

func newComparison(op Op) (c comparison, ok bool) {
	switch op.Name {
	case "Eq":
		c.equal = true
	case "Ne":
		c.less, c.greater = true, true
	case "Lt":
		c.less = true
	case "Le":
		c.less, c.equal = true, true
	case "Gt":
		c.greater = true
	case "Ge":
		c.equal, c.greater = true, true
	}
	c.null, c.nullEqual = op.P5&jumpIfNull != 0, op.P5&nullEqual != 0
	c.numeric = op.P5&affinityMask >= affinityNumeric
	return c, op.P5&^(affinityMask|jumpIfNull|nullEqual) == 0 && (op.P4 == binaryCollation || op.P4 == "")
}

// jumps reports whether a comparison of left with right jumps.
func (c *comparison) jumps(left, right *schema.Cell) bool {
	if left.Kind == schema.Null || right.Kind == schema.Null {
		if !c.nullEqual {
			return c.null
		}
		if left.Kind == right.Kind {
			return c.equal
		}
		return !c.equal
	}
	var order int
	switch {
	case left.Kind == schema.Bytes && right.Kind == schema.Bytes:
		order = bytes.Compare(left.Bytes, right.Bytes)
	case left.Kind == schema.Bytes:
		order = -compareText(right, left.Bytes)
	case right.Kind == schema.Bytes:
		order = compareText(left, right.Bytes)
	default:
		order = compareNumbers(left, right)
	}
	switch {
	case order < 0:
		return c.less
	case order > 0:
		return c.greater
	}
	return c.equal
}

// compareText compares a number with a text that may be a number; one that is not
// is greater than all numbers.
func compareText(n *schema.Cell, text []byte) int {
	m, _ := number(text)
	if m.Kind == schema.Bytes {
		return -1
	}
	return compareNumbers(n, &m)
}

// number returns what a comparison with numbers takes a text for: the integer
// that it is, or the text. ok is false if SQLite may have another opinion.
func number(text []byte) (n schema.Cell, ok bool) {
	s := strings.Trim(string(text), " \t\n\v\f\r")
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return schema.Cell{Kind: schema.Int, Int: i}, true
	}
	return schema.Cell{Kind: schema.Bytes, Bytes: text}, s == "" || !strings.ContainsAny(s[:1], "+-.0123456789")
}

func compareNumbers(a, b *schema.Cell) int {
	switch {
	case a.Kind == schema.Int && b.Kind == schema.Int:
		return cmp.Compare(a.Int, b.Int)
	case a.Kind == schema.Int:
		return compareIntFloat(a.Int, b.Float)
	case b.Kind == schema.Int:
		return -compareIntFloat(b.Int, a.Float)
	}
	return cmp.Compare(a.Float, b.Float)
}

// compareIntFloat compares exactly, where a double would round the integer.
func compareIntFloat(i int64, f float64) int {
	if f < math.MinInt64 {
		return 1
	}
	if f >= -math.MinInt64 {
		return -1
	}
	whole := int64(f)
	if i != whole {
		return cmp.Compare(i, whole)
	}
	return cmp.Compare(float64(whole), f)
}

// order compares values as keys: NULL is equal to NULL and less than all numbers,
// which are less than all texts.
func order(a, b *schema.Cell) int {
	rank := func(c *schema.Cell) int {
		switch c.Kind {
		case schema.Null:
			return 0
		case schema.Bytes:
			return 2
		}
		return 1
	}
	if x, y := rank(a), rank(b); x != y {
		return cmp.Compare(x, y)
	} else if x == 0 {
		return 0
	} else if x == 1 {
		return compareNumbers(a, b)
	}
	return bytes.Compare(a.Bytes, b.Bytes)
}

// keep returns a value that stays when the row is gone.
func keep(c *schema.Cell) schema.Cell {
	kept := *c
	if c.Kind == schema.Bytes {
		kept.Bytes = append([]byte{}, c.Bytes...)
	}
	return kept
}

// aggregate is a function of many rows, SQLite's name with the number of its
// arguments.
type aggregate uint8

const (
	aggregateRows aggregate = iota
	aggregateCount
	aggregateSum
	aggregateMin
	aggregateMax
)

var aggregates = map[string]aggregate{
	"count(0)": aggregateRows, "count(1)": aggregateCount, "sum(1)": aggregateSum, "min(1)": aggregateMin, "max(1)": aggregateMax,
}

// total is what an aggregate has seen.
type total struct {
	n        int64 // values
	sum      int64
	overflow bool
	best     schema.Cell // of min and max
}

func (t *total) add(a aggregate, v *schema.Cell) {
	if a == aggregateRows {
		t.n++
		return
	}
	if v.Kind == schema.Null {
		return
	}
	t.n++
	switch a {
	case aggregateSum:
		sum := t.sum + v.Int
		t.overflow = t.overflow || (sum > t.sum) != (v.Int > 0) && v.Int != 0
		t.sum = sum
	case aggregateMin, aggregateMax:
		if t.n > 1 {
			if by := order(v, &t.best); by == 0 || (by < 0) != (a == aggregateMin) {
				return
			}
		}
		t.best = keep(v)
	}
}

func (t *total) final(a aggregate) (v schema.Cell, overflow bool) {
	switch {
	case a == aggregateRows || a == aggregateCount:
		return schema.Cell{Kind: schema.Int, Int: t.n}, false
	case t.n == 0:
		return schema.Cell{}, false
	case a == aggregateSum:
		return schema.Cell{Kind: schema.Int, Int: t.sum}, t.overflow
	}
	return t.best, false
}
