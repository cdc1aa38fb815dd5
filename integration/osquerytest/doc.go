// Package osquerytest is osquery's extension manager in pure Go, for the tests
// of any osquery extension: no osquery, no root, milliseconds.
package osquerytest
