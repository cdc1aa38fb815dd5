package sqlite_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// TestSameAsCopiedTables asks many random questions twice: of the tables, and
// of an ordinary SQLite database into which their rows were copied. What the
// tables narrow, leave out and identify must not show.
func TestSameAsCopiedTables(t *testing.T) {
	// What socket_sources says changes when another table is read.
	all := slices.DeleteFunc(fixtures(), func(t schema.Table) bool { return t.Spec().Name == "socket_sources" })
	db, joining := open(t, all), open(t, all)
	joining.SnapshotSoon()
	copies := sqltest.Copy(t, all)
	g := sqltest.NewGenerator(t, all)
	g.RowIDs = true
	questions := 4000
	if testing.Short() {
		questions = 400
	}
	answered := 0
	for seed := range questions {
		s := g.Statement(uint64(seed))
		asked := db
		if s.Tables > 1 && seed%2 == 0 {
			asked = joining
		}
		got, err := run(t.Context(), asked, s.SQL)
		want, copiedErr := copies.Rows(s)
		if (err == nil) != (copiedErr == nil) {
			t.Fatalf("seed %d: %s\ngot error  %v\nwant error %v", seed, s.SQL, err, copiedErr)
		}
		if err != nil {
			continue
		}
		if len(want) > 0 {
			answered++
		}
		if !s.Same(got[0].rows, want) {
			t.Fatalf("seed %d: %s\ngot  %d rows %.300s\nwant %d rows %.300s", seed, s.SQL, len(got[0].rows), fmt.Sprint(got[0].rows), len(want), fmt.Sprint(want))
		}
	}
	if answered < questions/3 {
		t.Errorf("of %d questions only %d have an answer", questions, answered)
	}
}
