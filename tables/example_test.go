package tables_test

import (
	"flag"
	"log"
	"slices"
	"testing"
	"time"

	"github.com/osquery/osquery-go"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// Another extension serves the tables beside its own.
func Example() {
	// osquery starts an extension with these flags.
	socket := flag.String("socket", "", "path of osquery's extension socket")
	timeout := flag.Int("timeout", 3, "seconds to wait for the socket")
	flag.Int("interval", 3, "seconds between two pings")
	flag.Parse()
	server, err := osquery.NewExtensionManagerServer("mine", *socket, osquery.ServerTimeout(time.Duration(*timeout)*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range tables.All(host.New(host.Options{})) {
		server.RegisterPlugin(sockets.NewTablePlugin(t))
	}
	log.Fatal(server.Run())
}

// The example does what it says, with the server of osquery-go.
func TestExample(t *testing.T) {
	m := osquerytest.New(t)
	server, err := osquery.NewExtensionManagerServer("mine", m.Socket(), osquery.ServerTimeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables.All(host.New(fixtures)) {
		server.RegisterPlugin(sockets.NewTablePlugin(table))
	}
	done := make(chan error, 1)
	go func() { done <- server.Start() }()
	m.WaitFor("mine")
	rows, err := m.Generate(t.Context(), "well_known_services", `{"colsUsed":["name"]}`)
	if err != nil || !slices.ContainsFunc(rows, func(r map[string]string) bool { return r["name"] == "https" }) {
		t.Errorf("%v, %v", rows, err)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
