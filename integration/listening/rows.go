package listening

import (
	"context"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// record is a row by column; NULL is "".
type record map[string]string

// collected is a result in memory.
type collected struct {
	names []string
	rows  []record
	rowfmt.Texts
}

func (c *collected) Columns(names []string) error {
	c.names = append(c.names, names...)
	return nil
}

func (c *collected) Row(cells []schema.Cell) error {
	r := make(record, len(cells))
	for i, text := range c.Of(cells) {
		r[c.names[i]] = string(text)
	}
	c.rows = append(c.rows, r)
	return nil
}

func (c *collected) Close() error { return nil }

// ask returns the rows of a statement.
func ask(ctx context.Context, db *sqlite.DB, sql string) ([]record, error) {
	var c collected
	if err := db.Run(ctx, sql, func() (sqlite.Result, error) { return &c, nil }); err != nil {
		return nil, err
	}
	return c.rows, nil
}
