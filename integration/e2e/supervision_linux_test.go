package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// The extension counts what it does, in a table.
func TestExtensionTellsOfItself(t *testing.T) {
	m := osquerytest.New(t)
	start := time.Now().Add(-time.Second).Unix()
	startExtension(t, m, "--proc", fixtureProc, "--services", fixtureServices, "--max-response", "1")
	uuid := m.WaitFor("sockets")
	tcp := len(fixtureRows(t, "tcp_sockets", func(map[string]string) bool { return true }))
	for range 3 {
		generate(t, m, "tcp_sockets", `{"colsUsed":["state"]}`)
	}
	if _, err := m.Generate(t.Context(), "udp_sockets", "not JSON"); err == nil {
		t.Error("a context that is no JSON is understood")
	}
	m.Forget(uuid)
	m.WaitFor("sockets")
	answer, err := m.Generate(t.Context(), "sockets_extension_info", "{}")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]map[string]string{}
	for _, r := range answer {
		rows[r["table_name"]] = r
		var began int64
		fmt.Sscan(r["start_time"], &began)
		if began < start || began > time.Now().Unix() || r["registrations"] != "2" || r["version"] == "" || r["peak_memory_bytes"] < "1" {
			t.Errorf("%v", r)
		}
		if r["losses"] != "1" || r["last_loss_time"] < fmt.Sprint(start) || r["lost_seconds"] < "1" {
			t.Errorf("its losses: %v", r)
		}
		if !strings.Contains(r["sources"], "tcp=procfs") {
			t.Errorf("the sources are %q", r["sources"])
		}
	}
	if r := rows["tcp_sockets"]; r["queries"] != "3" || r["rows"] != fmt.Sprint(3*tcp) || r["errors"] != "0" || r["last_error"] != "" || r["p50_us"] == "" {
		t.Errorf("%v", r)
	}
	if r := rows["udp_sockets"]; r["queries"] != "1" || r["errors"] != "1" || !strings.Contains(r["last_error"], "not understood") || r["last_error_time"] == "" {
		t.Errorf("%v", r)
	}
	if r := rows["well_known_services"]; r["queries"] != "0" || r["p99_us"] != "" {
		t.Errorf("%v", r)
	}
}

// A second copy of the extension ends with an error that names the first, unless
// it has a prefix.
func TestTablePrefix(t *testing.T) {
	m := osquerytest.New(t)
	startExtension(t, m)
	first := m.WaitFor("sockets")
	second := startExtension(t, m)
	if code := second.exit(t); code != 1 || !strings.Contains(second.stderr.String(), fmt.Sprintf("another copy of this extension already serves this osquery (UUID %d", first)) {
		t.Errorf("exit code %d: %s", code, second.stderr.String())
	}
	report(faultRow{fault: "another copy of the extension serves the same osquery", times: 1, sees: "exit code 1 and an error that names the other's UUID", recovery: "with --table-prefix, or when the other ends"})
	startExtension(t, m, "--table-prefix", "my_", "--proc", fixtureProc, "--services", fixtureServices)
	m.WaitFor("my_sockets")
	if rows, _ := generate(t, m, "my_well_known_services", `{"colsUsed":["name"]}`); len(rows) == 0 {
		t.Error("no rows")
	}
}

// An osquery that is lost is waited for, or ends the extension.
func TestOnLoss(t *testing.T) {
	m := osquerytest.New(t)
	waits := startExtension(t, m)
	m.WaitFor("sockets")
	m.Kill()
	time.Sleep(4 * time.Second) // longer than its timeout and interval
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	m.WaitFor("sockets")
	report(faultRow{fault: "osquery is gone for 4 seconds, and the extension was not started by it", times: 1, sees: "no tables meanwhile", recovery: "by itself, at intervals of up to 30 seconds"})
	waits.Process.Signal(os.Interrupt)
	if code := waits.exit(t); code != 0 {
		t.Errorf("exit code %d: %s", code, waits.stderr.String())
	}
	ends := startExtension(t, m, "--on-loss", "exit")
	m.WaitFor("sockets")
	m.Kill()
	report(faultRow{fault: "osquery is gone, and the extension was started by it", times: 1, sees: "the extension ends with exit code 1", recovery: "osquery starts it again"})
	if code := ends.exit(t); code != 1 || !strings.Contains(ends.stderr.String(), "osquery has gone away") {
		t.Errorf("exit code %d: %s", code, ends.stderr.String())
	}
}
