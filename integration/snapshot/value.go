package snapshot

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Value is what a column must equal; the zero Value does not say. Values that
// some comparison of SQLite takes for equal are one: texts that differ in case
// or in trailing blanks, and 80, '080' and '80.0', of which one is a number.
type Value struct {
	kind valueKind
	key  string
}

type valueKind uint8

const (
	anything valueKind = iota
	something
	nothing // no row has it
)

// null is the part of a key that NULL is; that of a number begins with n, of a
// text with t.
const null = "\x00"

// Null is what IS NULL looks for. To = no value equals NULL: that is a list of no
// values.
func Null() Value { return Value{something, null} }

// Of reads a host's text of a value that a column of this type must equal. It is
// the zero Value where the text may stand for several numbers, as a fraction or
// a float of many digits does, and for a [schema.Double].
func Of(t schema.Type, text string) Value {
	n, c := number(text)
	switch {
	case t == schema.Double || c == rounded || c == fraction:
		return Value{}
	case c == whole && t == schema.Text && (n <= -exact || n >= exact):
		return Value{} // a float of a text may be as near
	case c == whole:
		return Value{something, string(appendNumber(nil, n))}
	case t != schema.Text:
		return Value{kind: nothing} // a number equals no word
	}
	return Value{something, string(appendText(nil, text))}
}

// OfFloat is what a column of this type must equal to be equal to a float.
func OfFloat(t schema.Type, f float64) Value {
	switch {
	case t == schema.Double || math.Abs(f) >= exact:
		return Value{}
	case f == math.Trunc(f):
		return Value{something, string(appendNumber(nil, int64(f)))}
	case t != schema.Text:
		return Value{kind: nothing} // no integer is a fraction
	}
	return Value{}
}

// appendCell appends the part of a key that is a cell's.
func appendCell(key []byte, cell *schema.Cell) []byte {
	switch cell.Kind {
	case schema.Int:
		return appendNumber(key, cell.Int)
	case schema.Bytes:
		if n, c := number(string(cell.Bytes)); c == whole || c == rounded {
			return appendNumber(key, n)
		}
		return appendText(key, string(cell.Bytes))
	}
	return append(key, null...)
}

func appendNumber(key []byte, n int64) []byte {
	return strconv.AppendInt(append(key, 'n'), n, 10)
}

// appendText appends a text without what SQLite's collations NOCASE, of ASCII
// alone, and RTRIM pass over.
func appendText(key []byte, text string) []byte {
	key = append(key, 't')
	text = strings.TrimRight(text, " ")
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		key = append(key, c)
	}
	return key
}

// class is what a text is where SQLite compares it with a number.
type class uint8

const (
	word     class = iota
	whole          // a whole number
	rounded        // a whole number, or one beside it: a float of more digits than hosts write
	fraction       // another number, or a float that is too large for its integer
)

// maxDigits is how many digits of a float survive in a host's text.
const maxDigits = 15

// exact is where a float no longer names one integer.
const exact = 1 << 53

// number reads a number as SQLite's numeric affinity does, or more.
func number(text string) (int64, class) {
	text = strings.Trim(text, " \t\n\v\f\r")
	if text == "" {
		return 0, word
	}
	digits := 0
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c != '+' && c != '-' && c != '.' && c != 'e' && c != 'E':
			return 0, word
		}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, whole
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, word
	case err != nil || f != math.Trunc(f) || math.Abs(f) >= exact:
		return 0, fraction
	case digits >= maxDigits:
		return int64(f), rounded
	}
	return int64(f), whole
}
