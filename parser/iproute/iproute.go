// Package iproute decodes the files of iproute2 that give numbers names, such as
// /etc/iproute2/rt_tables:
//
//	number name
//
// with a decimal or, behind 0x, a hexadecimal number. What follows the name is
// passed by (fread_id_name, lib/rt_names.c of iproute2).
package iproute

import (
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Entry is one line of such a file.
type Entry struct {
	Number uint32
	Name   string // bytes as the file has them, which need not be UTF-8
}

// Decode streams the entries in the file's order. Nothing is merged: of several names
// of a number ip(8) prints the last. A malformed line is skipped, where ip reads no
// further. See [parser.Entries] for skipped and errors.
func Decode(r io.Reader, skipped func(*parser.LineError)) iter.Seq2[Entry, error] {
	return parser.Entries(r, skipped, (*Entry).parse)
}

func (e *Entry) parse(_ int, line string) (reason string) {
	const expected = "expected a number and a name"
	fields := strings.FieldsFunc(line, func(r rune) bool { return r < 0x80 && parser.IsSpace(byte(r)) })
	if len(fields) < 2 {
		return expected
	}
	digits, base := fields[0], 10
	if hex, ok := strings.CutPrefix(digits, "0x"); ok {
		digits, base = hex, 16
	}
	// ParseUint with an explicit base takes digits only: no sign, no underscore.
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return expected
	}
	e.Number, e.Name = uint32(n), fields[1]
	return ""
}
