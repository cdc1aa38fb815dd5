package osquerytest_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/plugin/table"
)

// asExtension makes this program an extension, as the tests of autoloading
// start it.
const asExtension = "OSQUERYTEST_EXTENSION"

func TestMain(m *testing.M) {
	if os.Getenv(asExtension) != "" {
		extension()
		return
	}
	os.Exit(m.Run())
}

// extension is a whole extension as osquery-go's users write it. Its one table
// says how it was started.
func extension() {
	fmt.Printf("started: %q, OSQUERY_EXTENSION is its own process ID: %v\n", os.Args[1:], os.Getenv("OSQUERY_EXTENSION") == fmt.Sprint(os.Getpid()))
	var socket string
	for i, arg := range os.Args {
		if arg == "--socket" {
			socket = os.Args[i+1]
		}
	}
	server, err := osquerygo.NewExtensionManagerServer("autoloaded", socket, osquerygo.ServerTimeout(3*time.Second), osquerygo.ServerPingInterval(20*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	server.RegisterPlugin(table.NewPlugin("life", []table.ColumnDefinition{table.BigIntColumn("pid")},
		func(context.Context, table.QueryContext) ([]map[string]string, error) {
			return []map[string]string{{"pid": fmt.Sprint(os.Getpid())}}, nil
		}))
	if err := server.Run(); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
}
