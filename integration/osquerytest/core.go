package osquerytest

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/osquery/osquery-go/gen/osquery"
)

// Column options, osquery/core/sql/column.h.
const (
	Index      = 1  // its constraints are sent, and make the table cheap
	Required   = 2  // as Index, and a statement without such a constraint fails
	Additional = 4  // as Index
	Optimized  = 8  // with one of these, an IN is sent as one list
	Hidden     = 16 // not part of SELECT *

	CollateNocase = 64
)

// ColumnType is the type of a column in osquery.
type ColumnType string

const (
	Text           ColumnType = "TEXT"
	Integer        ColumnType = "INTEGER" // 32 bits
	BigInt         ColumnType = "BIGINT"
	UnsignedBigInt ColumnType = "UNSIGNED BIGINT" // of 63 bits, for SQLite
	Double         ColumnType = "DOUBLE"
	Blob           ColumnType = "BLOB"
	unknown        ColumnType = "UNKNOWN"
)

// columnType returns the type that osquery understands.
func columnType(name string) ColumnType {
	types := []ColumnType{Text, Integer, BigInt, UnsignedBigInt, Double, Blob}
	if i := slices.Index(types, ColumnType(name)); i >= 0 {
		return types[i]
	}
	return unknown
}

// Column is a column of a table.
type Column struct {
	Name    string
	Type    ColumnType
	Options int // such as Index|Optimized
}

// Table is one of osquery's own tables, which an extension's may be joined
// with.
type Table struct {
	Name    string
	Columns []Column
	// Generate returns the rows that a request may want; more are harmless. A
	// row is a text for each column name; a number that is absent is NULL. A name
	// that no column has fails the statement.
	Generate func(ctx context.Context, request Call) ([]map[string]string, error)
}

// Rows returns a table that has these rows and returns all of them each time.
func Rows(name string, columns []Column, rows ...map[string]string) Table {
	return Table{name, columns, func(context.Context, Call) ([]map[string]string, error) { return rows, nil }}
}

// lookUp returns a table that returns only the rows with a value that is asked
// for by = in one of the columns, as osquery's own does.
func lookUp(name string, columns []Column, rows []map[string]string, by ...string) Table {
	return Table{name, columns, func(_ context.Context, request Call) ([]map[string]string, error) {
		for _, column := range by {
			if values := request.Values(column); len(values) > 0 {
				var found []map[string]string
				for _, row := range rows {
					if slices.Contains(values, row[column]) {
						found = append(found, row)
					}
				}
				return found, nil
			}
		}
		return rows, nil
	}}
}

// Processes returns osquery's table processes on Linux with these rows
// (specs/processes.table).
func Processes(rows ...map[string]string) Table {
	columns := []Column{
		{"pid", BigInt, Index | Optimized}, {"name", Text, 0}, {"path", Text, 0}, {"cmdline", Text, 0}, {"state", Text, 0},
		{"cwd", Text, 0}, {"root", Text, 0}, {"uid", BigInt, 0}, {"gid", BigInt, 0}, {"euid", BigInt, 0}, {"egid", BigInt, 0},
		{"suid", BigInt, 0}, {"sgid", BigInt, 0}, {"on_disk", Integer, 0}, {"wired_size", BigInt, 0}, {"resident_size", BigInt, 0},
		{"total_size", BigInt, 0}, {"user_time", BigInt, 0}, {"system_time", BigInt, 0}, {"disk_bytes_read", BigInt, 0},
		{"disk_bytes_written", BigInt, 0}, {"start_time", BigInt, 0}, {"parent", BigInt, 0}, {"pgroup", BigInt, 0},
		{"threads", Integer, 0}, {"nice", Integer, 0}, {"cgroup_path", Text, 0},
	}
	return lookUp("processes", columns, rows, "pid")
}

// Users returns osquery's table users on Linux with these rows
// (specs/users.table).
func Users(rows ...map[string]string) Table {
	columns := []Column{
		{"uid", BigInt, Index}, {"gid", BigInt, 0}, {"uid_signed", BigInt, 0}, {"gid_signed", BigInt, 0},
		{"username", Text, Additional}, {"description", Text, 0}, {"directory", Text, 0}, {"shell", Text, 0},
		{"uuid", Text, Index | CollateNocase}, {"pid_with_namespace", Integer, Additional | Hidden},
		{"include_remote", Integer, Additional | Hidden},
	}
	return lookUp("users", columns, rows, "uid", "username")
}

// routes describe the table as a registration does.
func (t *Table) routes() (routes osquery.ExtensionPluginResponse) {
	for _, c := range t.Columns {
		routes = append(routes, map[string]string{
			"id": "column", "name": c.Name, "type": string(c.Type), "op": strconv.Itoa(c.Options),
		})
	}
	return routes
}

// rows are those of Generate. It finds the cells that no column takes: those of a
// name that is misspelled would be absent in silence.
func (t *Table) rows(ctx context.Context, request Call) ([]map[string]string, error) {
	rows, err := t.Generate(ctx, request)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		for name := range row {
			if name != "rowid" && !slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == name }) {
				return nil, fmt.Errorf("row %d of the test's table %s has a cell %q, and the table no such column", i+1, t.Name, name)
			}
		}
	}
	return rows, nil
}

// call is TablePlugin::call, osquery/core/tables.cpp.
func (t *Table) call(ctx context.Context, request osquery.ExtensionPluginRequest) (osquery.ExtensionPluginResponse, error) {
	switch request["action"] {
	case "columns":
		return t.routes(), nil
	case "generate":
		c, err := parseContext(t.Name, request["context"])
		if err != nil {
			return nil, err
		}
		return t.rows(ctx, c)
	case "":
		return nil, said("Table plugins must include a request action")
	}
	return nil, said("Unknown table plugin action: " + request["action"])
}
