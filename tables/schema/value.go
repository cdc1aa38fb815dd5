package schema

import (
	"cmp"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
)

// Type is a column's SQL type, as osquery spells it.
type Type string

// The types that survive osquery's way through strings. There is no unsigned
// one: above 2^63-1 osquery makes it NULL.
const (
	Text    Type = "TEXT"
	Integer Type = "INTEGER" // 32 bits, signed
	BigInt  Type = "BIGINT"  // 64 bits, signed
	Double  Type = "DOUBLE"
)

// Value lists the Go types a column may have. A uint64 is not among them: the
// accessor has to say what becomes of a number above 2^63-1.
type Value interface {
	bool | uint8 | uint16 | int32 | uint32 | int64 | float64 | string | netip.Addr
}

// typeOf returns the SQL type that holds every value of V.
func typeOf[V Value]() Type {
	switch any(*new(V)).(type) {
	case bool, uint8, uint16, int32:
		return Integer
	case uint32, int64:
		return BigInt
	case float64:
		return Double
	}
	return Text
}

// Kind says what a [Cell] holds.
type Kind uint8

// The kinds of a cell.
const (
	Null Kind = iota
	Int
	Float
	Bytes
)

// Cell is one value of a row on its way into a host. It is used again for the
// next value, so that a row costs no allocation.
type Cell struct {
	Kind  Kind
	Int   int64
	Float float64
	// Bytes is a text, to be read only.
	Bytes []byte
}

// AppendText appends the value as osquery's text: no leading zeros, nothing
// for NULL.
func (c *Cell) AppendText(b []byte) []byte {
	switch c.Kind {
	case Int:
		return strconv.AppendInt(b, c.Int, 10)
	case Float:
		return strconv.AppendFloat(b, c.Float, 'g', -1, 64)
	case Bytes:
		return append(b, c.Bytes...)
	}
	return b
}

// escaped makes an accessor of texts return them as [text.Escape] writes them:
// here every text of every table becomes safe to print, and what a statement
// compares with is the text that it shows. Other accessors stay as they are.
func escaped[R any, V Value](get func(*R) (V, bool)) func(*R) (V, bool) {
	raw, ok := any(get).(func(*R) (string, bool))
	if !ok {
		return get
	}
	return any(func(r *R) (string, bool) {
		s, ok := raw(r)
		return text.Escape(s), ok
	}).(func(*R) (V, bool))
}

// put writes a value of a column's Go type into the cell. The invalid address
// is written as an empty text.
func put[V Value](c *Cell, v V) {
	c.Kind = Int
	switch v := any(v).(type) {
	case bool:
		c.Int = 0
		if v {
			c.Int = 1
		}
	case uint8:
		c.Int = int64(v)
	case uint16:
		c.Int = int64(v)
	case int32:
		c.Int = int64(v)
	case uint32:
		c.Int = int64(v)
	case int64:
		c.Int = v
	case float64:
		c.Kind, c.Float = Float, v
	case string:
		c.Kind, c.Bytes = Bytes, append(c.Bytes[:0], v...)
	case netip.Addr:
		c.Kind, c.Bytes = Bytes, c.Bytes[:0]
		if v.IsValid() {
			c.Bytes = sock.AppendAddr(c.Bytes, v)
		}
	}
}

// parse reads an operand of a comparison with a column of type V. It is false
// unless SQLite would compare the column with exactly this value.
func parse[V Value](operand string) (v V, ok bool) {
	switch p := any(&v).(type) {
	case *string:
		// SQLite's NOCASE and RTRIM collations arrive as plain comparisons,
		// see fold.
		*p, ok = strings.TrimRight(operand, " "), true
	case *netip.Addr:
		a, err := netip.ParseAddr(strings.TrimRight(operand, " "))
		*p, ok = a, err == nil && a.Zone() == ""
	case *float64:
		return v, false
	default:
		n, isInt := parseInt(operand)
		if !isInt {
			return v, false
		}
		switch p := p.(type) {
		case *bool:
			*p, ok = n == 1, n == 0 || n == 1
		case *uint8:
			*p, ok = uint8(n), n >= 0 && n <= math.MaxUint8
		case *uint16:
			*p, ok = uint16(n), n >= 0 && n <= math.MaxUint16
		case *int32:
			*p, ok = int32(n), n >= math.MinInt32 && n <= math.MaxInt32
		case *uint32:
			*p, ok = uint32(n), n >= 0 && n <= math.MaxUint32
		case *int64:
			*p, ok = n, true
		}
	}
	return v, ok
}

// fold returns the same of all values that any of SQLite's collations takes for
// equal: of texts that differ in the case of ASCII letters and in trailing blanks.
func fold[V Value](v V) V {
	s, ok := any(v).(string)
	if !ok {
		return v
	}
	s = strings.TrimRight(s, " ")
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return any(string(b)).(V)
		}
	}
	return any(s).(V)
}

// compare orders values of one type.
func compare[V Value](a, b V) int {
	switch a := any(a).(type) {
	case string:
		return strings.Compare(a, any(b).(string))
	case netip.Addr:
		return a.Compare(any(b).(netip.Addr))
	}
	var x, y Cell
	put(&x, a)
	put(&y, b)
	return cmp.Or(cmp.Compare(x.Int, y.Int), cmp.Compare(x.Float, y.Float))
}

// parseInt reads an operand that SQLite compares as an integer: 22, '22',
// ' 22 ', 22.0 and 2.2e1 are all 22.
func parseInt(text string) (int64, bool) {
	f, whole, ok := parseNumber(text)
	if !ok {
		return 0, false
	}
	if whole != nil {
		return *whole, true
	}
	// Beyond 2^53 a float no longer names one integer.
	if f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// maxDigits is how many decimal digits a double keeps. Hosts hand over numbers
// as text of so many digits: a longer one may have been rounded.
const maxDigits = 15

// parseNumber reads a number as SQLite's numeric affinity does. It is strict:
// what it takes, SQLite takes for the same number. A number that is written
// as an integer of 64 bits is in whole too.
func parseNumber(text string) (f float64, whole *int64, ok bool) {
	text = strings.Trim(text, " \t\n\v\f\r")
	digits, exponent := 0, false
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '+' || c == '-':
			if i > 0 && text[i-1] != 'e' && text[i-1] != 'E' {
				return 0, nil, false
			}
		case c == '.':
			if i == 0 || i == len(text)-1 || exponent || !isDigit(text[i-1]) || !isDigit(text[i+1]) {
				return 0, nil, false
			}
		case c == 'e' || c == 'E':
			if digits == 0 || exponent {
				return 0, nil, false
			}
			exponent = true
		default:
			return 0, nil, false
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return float64(n), &n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, nil, err == nil && !math.IsInf(f, 0) && digits < maxDigits
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
