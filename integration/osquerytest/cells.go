package osquerytest

import (
	"errors"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// result gives SQLite a cell of a row, cast to the type of its column as
// DynamicTableRow::get_column does (osquery/sql/dynamic_table_row.cpp). A cell
// that is absent is an empty text.
func result(ctx sqlite3.Context, kind ColumnType, cell string) {
	switch kind {
	case Text, Blob:
		ctx.ResultText(cell)
	case Integer:
		if n, ok := strtoll(cell, 0); ok {
			ctx.ResultInt64(int64(int32(n)))
		}
	case BigInt, UnsignedBigInt:
		if n, ok := strtoll(cell, 0); ok {
			ctx.ResultInt64(n)
		}
	case Double:
		if f, ok := strtod(cell); ok {
			ctx.ResultFloat(f)
		}
	}
}

const cSpace = " \t\n\v\f\r"

// strtoll reads a number as C does: after white space a sign, in base 0 a prefix
// 0x or 0 for the base, and as many digits as there are; what follows is ignored.
// It reports false where there is no digit, and for a number over 64 bits.
func strtoll(text string, base int) (int64, bool) {
	text = strings.TrimLeft(text, cSpace)
	digits := strings.TrimLeft(text, "+-")
	sign := text[:len(text)-len(digits)]
	if len(sign) > 1 {
		return 0, false
	}
	if base == 0 {
		base = 10
		if strings.HasPrefix(digits, "0") {
			base = 8
			if len(digits) > 2 && digits[1]|0x20 == 'x' && digit(digits[2]) < 16 {
				base, digits = 16, digits[2:]
			}
		}
	}
	end := 0
	for end < len(digits) && digit(digits[end]) < base {
		end++
	}
	n, err := strconv.ParseInt(sign+digits[:end], base, 64)
	return n, err == nil
}

// digit returns the value of a digit of base 16, and 16 for what is none.
func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return 16
}

// strtod reads a text that is a number to its end, as C does.
func strtod(text string) (float64, bool) {
	text = strings.TrimLeft(text, cSpace)
	if strings.ContainsRune(text, '_') { // a digit separator in Go alone
		return 0, false
	}
	if lower := strings.ToLower(text); strings.HasPrefix(strings.TrimLeft(lower, "+-"), "0x") && !strings.Contains(lower, "p") {
		text += "p0" // the exponent is optional in C
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// cellOf returns a value of a statement's row, as osquery's castVariant prints
// it (osquery/utils/conversions/castvariant.h).
func cellOf(stmt *sqlite3.Stmt, column int) Cell {
	switch stmt.ColumnType(column) {
	case sqlite3.NULL:
		return Cell{Null: true}
	case sqlite3.INTEGER:
		return Cell{Text: strconv.FormatInt(stmt.ColumnInt64(column), 10)}
	case sqlite3.FLOAT:
		return Cell{Text: formatDouble(stmt.ColumnFloat(column))}
	}
	text, _, _ := strings.Cut(stmt.ColumnText(column), "\x00") // a C string
	return Cell{Text: text}
}

// formatDouble prints 15 significant digits, and .0 after what has no point.
func formatDouble(f float64) string {
	text := strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'g', 15, 64)), "+") // +Inf
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
