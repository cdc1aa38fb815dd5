package tables

import (
	"slices"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// listeningColumn is the column, of every table of sockets, of those that take
// something from outside their process without having asked for it; doc says what
// that is of the table's kind.
func listeningColumn[R any](doc string, is func(*R) bool, options ...schema.Option) *schema.Column[R, bool] {
	return schema.NotNull("listening", "1 if the socket "+doc+", else 0.", is, options...)
}

// onlyListening reports whether a query allows no socket that does not listen.
func onlyListening[R any](listening *schema.Column[R, bool], q schema.Query) bool {
	values := listening.Values(q)
	return len(values) > 0 && !slices.Contains(values, false)
}
