// Package sqltest is test support: random statements over the tables, and an
// ordinary SQLite database with copies of the tables' rows, whose answers are
// the right ones.
//
//	g := sqltest.NewGenerator(t, all)
//	copies := sqltest.Copy(t, all)
//	s := g.Statement(seed)
//	want, err := copies.Rows(s)
//	got, err := run(s.SQL) // rows as Row writes them
//	if !s.Same(got, want) …
//
// The rows of the tables must not change meanwhile. [Fixtures] is a database whose rows do not.
package sqltest
