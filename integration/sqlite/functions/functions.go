// Package functions gives SQLite the functions and collations that osquery adds, so
// that a statement written for osquery has the same answer without it.
//
// What differs: regex_match and regex_split take RE2's syntax (package regexp), where
// osquery takes that of ECMAScript. RE2 has no lookahead and no backreference, and
// its . matches a character of UTF-8 rather than a byte; its time is linear in the
// text.
package functions

import (
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// function is a function of SQL.
type function struct {
	name      string
	arguments int // -1 for any number
	run       sqlite3.ScalarFunction
}

// collation is an order of texts.
type collation struct {
	name    string
	compare func(a, b []byte) int
}

// all returns what osquery adds.
func all() ([]function, []collation) {
	functions := append(texts(), mathematics()...)
	functions = append(append(functions, hashes()...), paths()...)
	functions = append(functions, networks()...)
	versions, collations := versions()
	return append(functions, versions...), collations
}

// Names returns the names of the functions.
func Names() (names []string) {
	functions, _ := all()
	for _, f := range functions {
		names = append(names, f.name)
	}
	return names
}

// Named returns which names a text may have: a start does no work for the others.
func Named(text string) func(name string) bool {
	text = strings.ToLower(text)
	return func(name string) bool { return strings.Contains(text, name) }
}

// Register makes the functions and collations of those names known.
func Register(conn *sqlite3.Conn, wanted func(name string) bool) error {
	functions, collations := all()
	for _, f := range functions {
		if wanted(f.name) {
			if err := conn.CreateFunction(f.name, f.arguments, sqlite3.DETERMINISTIC, f.run); err != nil {
				return err
			}
		}
	}
	for _, c := range collations {
		if wanted(c.name) {
			if err := conn.CreateCollation(c.name, c.compare); err != nil {
				return err
			}
		}
	}
	return nil
}

// text returns a value as C's functions see it: up to the first NUL byte. It is not
// ok for NULL.
func text(v sqlite3.Value) (s string, ok bool) {
	if v.Type() == sqlite3.NULL {
		return "", false
	}
	s, _, _ = strings.Cut(v.Text(), "\x00")
	return s, true
}

// anyNull reports whether one of the arguments is NULL.
func anyNull(arguments []sqlite3.Value) bool {
	for _, a := range arguments {
		if a.Type() == sqlite3.NULL {
			return true
		}
	}
	return false
}
