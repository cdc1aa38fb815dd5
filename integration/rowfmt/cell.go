package rowfmt

import (
	"math"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// AppendCell appends a value as osqueryi prints it: nothing for NULL, a text as it
// is.
func AppendCell(b []byte, c *schema.Cell) []byte {
	switch c.Kind {
	case schema.Int:
		return strconv.AppendInt(b, c.Int, 10)
	case schema.Float:
		return appendDouble(b, c.Float)
	case schema.Bytes:
		return append(b, c.Bytes...)
	}
	return b
}

// appendDouble appends a number as osqueryi prints it: with 15 digits, where
// later versions of SQLite have 17.
func appendDouble(b []byte, f float64) []byte {
	if math.IsInf(f, 0) {
		return append(b, strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+")...)
	}
	digits, exponent, scientific := strings.Cut(strconv.FormatFloat(f, 'g', 15, 64), "e")
	b = append(b, digits...)
	if !strings.Contains(digits, ".") {
		b = append(b, ".0"...)
	}
	if scientific {
		b = append(append(b, 'e'), exponent...)
	}
	return b
}

// Texts makes texts of the cells of rows.
type Texts struct{ texts, numbers [][]byte }

// Of returns the texts of a row, nil for NULL. They are valid until the next row,
// and until the cells change.
func (t *Texts) Of(row []schema.Cell) [][]byte {
	for len(t.texts) < len(row) {
		t.texts, t.numbers = append(t.texts, nil), append(t.numbers, nil)
	}
	for i := range row {
		switch c := &row[i]; {
		case c.Kind == schema.Null:
			t.texts[i] = nil
		case c.Kind == schema.Bytes && c.Bytes == nil:
			t.texts[i] = []byte{}
		case c.Kind == schema.Bytes:
			t.texts[i] = c.Bytes
		default:
			t.numbers[i] = AppendCell(t.numbers[i][:0], c)
			t.texts[i] = t.numbers[i]
		}
	}
	return t.texts[:len(row)]
}
