package osquery_test

import (
	"os"
	"slices"
	"testing"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Joins of two and three of our tables have the same rows in osquery's plans, in
// the embedded host, and as joins of ordinary tables into which the rows were
// copied; and in a real osqueryi where OSQUERYI names one. What osquery changes
// on the way does not show: our texts are never absent, our numbers fit their
// columns and have no leading zero, and whatever osquery does not send, it checks
// itself.
func TestJoinsAreTheSameEverywhere(t *testing.T) {
	h := host.New(host.Options{Proc: "../../tables/testdata/proc", Services: "../../tables/testdata/etc/services", Protocols: "../../tables/testdata/etc/protocols"})
	// What socket_sources says changes when another table is read, and the others are
	// of this host alone.
	all := slices.DeleteFunc(tables.All(h), func(t schema.Table) bool {
		return slices.Contains([]string{"socket_sources", "network_addresses", "neighbors", "nexthops", "routing_rules"}, t.Name())
	})
	db, err := sqlite.Open(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	copies := sqltest.Copy(t, all)
	g := sqltest.NewGenerator(t, all)
	g.Joins = true

	kit := osquerytest.New(t)
	hosts := map[string]osquerytest.Osquery{"the kit": kit}
	if path := os.Getenv("OSQUERYI"); path != "" {
		hosts["osqueryi"] = osquerytest.StartReal(t, path)
	}
	for _, o := range hosts {
		var plugins []sockets.Plugin
		for i, table := range all {
			p := sockets.NewTablePlugin(table)
			if i%2 == 0 {
				p.SnapshotSoon()
			}
			plugins = append(plugins, p)
		}
		serve(t, o, plugins...)
		o.WaitFor("test")
	}

	statements := 2000
	if testing.Short() {
		statements = 400
	}
	answered, failed := 0, 0
	for seed := range statements {
		s := g.Statement(uint64(seed))
		want, wantErr := copies.Rows(s)
		if len(want) > 0 {
			answered++
		}
		check := func(name string, got []string, err error) {
			if (err == nil) != (wantErr == nil) || !s.Same(got, want) {
				failed++
				t.Errorf("seed %d: %s\n%s: %d rows, error %v: %.300q\ncopied tables: %d rows, error %v: %.300q", seed, s.SQL, name, len(got), err, got, len(want), wantErr, want)
			}
		}
		var embedded sqltest.Rows
		err := db.Run(t.Context(), s.SQL, func() (sqlite.Result, error) { return &embedded, nil })
		check("the embedded host", embedded, err)
		for name, o := range hosts {
			answer, err := o.Query(t.Context(), s.SQL)
			if err != nil {
				answer = &osquerytest.Answer{}
			}
			check(name, sqltest.Answer(answer), err)
		}
		if failed >= 10 {
			t.Fatal("and so on")
		}
	}
	if answered < statements/3 {
		t.Errorf("of %d statements only %d have an answer", statements, answered)
	}
}
