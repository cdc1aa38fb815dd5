package sqltest

import (
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// Fixtures is the database of the tables' own fixtures, for a test of a package below
// integration.
func Fixtures(t testing.TB) *sqlite.DB {
	t.Helper()
	const dir = "../../tables/testdata/"
	h := host.New(host.Options{Proc: dir + "proc", Services: dir + "etc/services", Protocols: dir + "etc/protocols"})
	db, err := sqlite.Open(tables.All(h), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
