package tables_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// each reads a table by Table.Each, as read does by Table.Scan.
func each(t testing.TB, table schema.Table, r schema.Request, rows int) (result, error) {
	t.Helper()
	got := make(result)
	var cell schema.Cell
	err := table.Each(t.Context(), table.Query(r), func(row schema.Row) bool {
		var values []string
		for i, c := range table.Spec().Columns {
			if r.All || slices.Contains(r.Used, c.Name) {
				row.Cell(i, &cell)
				values = append(values, string(cell.AppendText(nil)))
			} else if row.Cell(i, &cell); cell.Kind != schema.Null {
				t.Errorf("%s has a value that the query does not use", c.Name)
			}
		}
		got[row.RowID()] = values
		return len(got) != rows
	})
	return got, err
}

func TestEachSameAsScan(t *testing.T) {
	perTable(t, func(t *testing.T, table schema.Table) {
		columns := table.Spec().Columns
		for _, c := range []struct {
			name    string
			request schema.Request
		}{
			{"all", schema.Request{All: true}},
			{"none", schema.Request{}},
			{"the first and the last", schema.Request{Used: []string{columns[0].Name, columns[len(columns)-1].Name}}},
		} {
			t.Run(c.name, func(t *testing.T) {
				want := read(t, table, c.request)
				got, err := each(t, table, c.request, -1)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-Scan +Each)\n%s", diff)
				}
				if some, err := each(t, table, c.request, 1); err != nil || len(some) > 1 {
					t.Errorf("%d rows after the end, error %v", len(some), err)
				}
			})
		}
	})
}
