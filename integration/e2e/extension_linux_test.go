package e2e

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// The fixtures of the tables, as a host to read.
const (
	fixtureProc      = "../../tables/testdata/proc"
	fixtureServices  = "../../tables/testdata/etc/services"
	fixtureProtocols = "../../tables/testdata/etc/protocols"
)

// extension is sockets.ext as osquery runs it.
type extension struct {
	*exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}
}

// startExtension starts the program with the arguments that osquery gives and
// more; it is killed at the latest with the test.
func startExtension(t *testing.T, m *osquerytest.Manager, args ...string) *extension {
	t.Helper()
	e := &extension{ended: make(chan struct{})}
	args = append([]string{"--socket", m.Socket(), "--timeout", "2", "--interval", "1"}, args...)
	e.Cmd = exec.Command(program, args...)
	e.Stderr = &e.stderr
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		e.Wait()
		close(e.ended)
	}()
	t.Cleanup(func() {
		e.Process.Kill()
		<-e.ended
	})
	return e
}

// exit waits for the end and returns the exit code.
func (e *extension) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-e.ended:
		return e.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		t.Fatal("the extension does not end")
		return 0
	}
}

// generate asks for rows and returns them with sorted keys, and their
// identities.
func generate(t *testing.T, m *osquerytest.Manager, table, queryContext string) (rows []string, ids []string) {
	t.Helper()
	answer, err := m.Generate(t.Context(), table, queryContext)
	if err != nil {
		t.Fatalf("%s: %v", queryContext, err)
	}
	for _, r := range answer {
		var row []string
		for _, name := range slices.Sorted(maps.Keys(r)) {
			if name == "rowid" {
				ids = append(ids, r[name])
			} else {
				row = append(row, name+"="+r[name])
			}
		}
		rows = append(rows, strings.Join(row, " "))
	}
	if len(ids) != len(rows) {
		t.Errorf("%s: %d rows, %d of them with an identity", queryContext, len(rows), len(ids))
	}
	return rows, ids
}

// fixtureRows returns the rows of a table's fixture, in the network namespace of
// the fixture's process 1, that keep wants.
func fixtureRows(t *testing.T, table string, keep func(map[string]string) bool) (rows []map[string]string) {
	t.Helper()
	f, err := os.Open("../../tables/testdata/" + table + ".csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range all[1:] {
		r := make(map[string]string)
		for i, name := range all[0] {
			r[name] = record[i]
		}
		if r["net_namespace"] == "4026531840" && keep(r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// cut returns rows of some columns as generate does: a cell that is empty does not
// go over the wire.
func cut(rows []map[string]string, names ...string) (cut []string) {
	slices.Sort(names)
	for _, r := range rows {
		var row []string
		for _, name := range names {
			if r[name] != "" {
				row = append(row, name+"="+r[name])
			}
		}
		cut = append(cut, strings.Join(row, " "))
	}
	return cut
}

// The requests have the shape of those recorded from a real osqueryi.
func TestExtensionAnswersOsquery(t *testing.T) {
	m := osquerytest.New(t)
	e := startExtension(t, m, "--proc", fixtureProc, "--services", fixtureServices, "--protocols", fixtureProtocols)
	m.WaitFor("sockets")

	request := func(used string, constraints ...string) string {
		lists := map[string][]string{"family": nil, "local_port": nil, "proto": nil, "state": nil}
		for _, c := range constraints {
			f := strings.SplitN(c, " ", 3)
			lists[f[0]] = append(lists[f[0]], fmt.Sprintf(`{"op":%s,"expr":%q}`, f[1], f[2]))
		}
		var all []string
		for _, name := range slices.Sorted(maps.Keys(lists)) {
			all = append(all, fmt.Sprintf(`{"name":%q,"list":[%s],"affinity":"TEXT"}`, name, strings.Join(lists[name], ",")))
		}
		return fmt.Sprintf(`{"constraints":[%s],"colsUsed":[%s],"colsUsedBitset":1}`, strings.Join(all, ","), used)
	}
	column := func(name, value string) func(map[string]string) bool {
		return func(r map[string]string) bool { return r[name] == value }
	}
	any := func(map[string]string) bool { return true }
	for _, c := range []struct {
		request string
		want    []string
	}{
		{request(`"local_address","local_port","state"`, "state 2 LISTEN"), cut(fixtureRows(t, "tcp_sockets", column("state", "LISTEN")), "local_address", "local_port", "state")},
		{request(`"inode","local_port"`, "local_port 2 22"), cut(fixtureRows(t, "tcp_sockets", column("local_port", "22")), "inode", "local_port")},
		{request(`"local_port"`, "local_port 4 440", "local_port 16 445"), cut(fixtureRows(t, "tcp_sockets", column("local_port", "443")), "local_port")},
		{request(`"proto","local_service"`, "proto 2 tcp6"), cut(fixtureRows(t, "tcp_sockets", column("proto", "tcp6")), "proto", "local_service")},
		{request(``), cut(fixtureRows(t, "tcp_sockets", any))},
		{request(`"proto","local_port","inode"`, "net_namespace 2 4026532201"), []string{"inode=12338799 local_port=80 proto=tcp", "inode=12338800 local_port=80 proto=tcp6"}},
		{request(`"local_port","net_namespace"`, "local_port 2 80"), []string{"local_port=80 net_namespace=4026531840", "local_port=80 net_namespace=4026532201", "local_port=80 net_namespace=4026532201"}},
		{request(`"local_port","net_namespace"`, "net_namespace 72 4026532201"), []string{"local_port=80 net_namespace=4026532201", "local_port=80 net_namespace=4026532201"}},
		{request(`"state"`, "proto 73 2"), cut(fixtureRows(t, "tcp_sockets", any), "state")},
	} {
		got, _ := generate(t, m, "tcp_sockets", c.request)
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s\ngot  %d %q\nwant %d %q", c.request, len(got), got, len(c.want), c.want)
		}
	}

	// osquery's planner takes a constrained INDEX (1) for cheap, and calls the
	// table for each row of another: what people JOIN by must not be one.
	options := map[string]string{}
	for _, route := range m.Routes("tcp_sockets") {
		options[route["name"]] = route["op"]
	}
	for name, want := range map[string]string{"pid": "8", "uid": "8", "inode": "9", "fd": "24", "state": "9", "local_port": "9", "remote_address": "9", "family": "25", "net_namespace": "25"} {
		if options[name] != want {
			t.Errorf("the column %s has the options %s, want %s", name, options[name], want)
		}
	}
	// The arms of an OR are two calls; SQLite merges them by the identities.
	_, arm1 := generate(t, m, "tcp_sockets", request(`"local_port","state"`, "state 2 LISTEN"))
	_, arm2 := generate(t, m, "tcp_sockets", request(`"local_port","state"`, "local_port 2 22"))
	merged := map[string]bool{}
	for _, id := range append(arm1, arm2...) {
		merged[id] = true
	}
	want := fixtureRows(t, "tcp_sockets", func(r map[string]string) bool { return r["state"] == "LISTEN" || r["local_port"] == "22" })
	if len(merged) != len(want) {
		t.Errorf("state = 'LISTEN' OR local_port = 22 has %d rows, want %d", len(merged), len(want))
	}

	got, _ := generate(t, m, "well_known_services", `{"constraints":[],"colsUsed":["name","port","protocol"]}`)
	if !slices.Contains(got, "name=https port=443 protocol=tcp") {
		t.Errorf("well_known_services: %q", got)
	}
	e.Process.Signal(syscall.SIGTERM)
	// The copy of /proc names a mounted namespace that nothing in it shows.
	code := e.exit(t)
	for line := range strings.Lines(e.stderr.String()) {
		if !strings.Contains(line, "net_namespace=4026532288") {
			t.Errorf("it wrote %q", line)
		}
	}
	if code != 0 || e.stderr.Len() == 0 {
		t.Errorf("exit code %d, it wrote %q", code, e.stderr.String())
	}
}

func TestExtensionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(*testing.T, *osquerytest.Manager, *extension)
		code   int
		stderr string
	}{
		"SIGTERM": {func(_ *testing.T, _ *osquerytest.Manager, e *extension) { e.Process.Signal(syscall.SIGTERM) }, 0, ""},
		"SIGHUP":  {func(_ *testing.T, _ *osquerytest.Manager, e *extension) { e.Process.Signal(syscall.SIGHUP) }, 0, ""},
		"SIGINT":  {func(_ *testing.T, _ *osquerytest.Manager, e *extension) { e.Process.Signal(syscall.SIGINT) }, 0, ""},
		"shutdown": {func(t *testing.T, m *osquerytest.Manager, _ *extension) {
			uuid, _ := m.Find("sockets")
			client, err := m.Dial(t.Context(), uuid)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}, 0, ""},
		"manager gone": {func(_ *testing.T, m *osquerytest.Manager, _ *extension) { m.Kill() }, 1, "osquery has gone away"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := osquerytest.New(t)
			e := startExtension(t, m, "--on-loss", "exit")
			uuid := m.WaitFor("sockets")
			c.end(t, m, e)
			if code := e.exit(t); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if got := e.stderr.String(); (c.stderr == "") != (got == "") || !strings.Contains(got, c.stderr) {
				t.Errorf("it wrote %q, want %q", got, c.stderr)
			}
			if _, found := m.Find("sockets"); found && c.code == 0 {
				t.Error("it is still registered")
			}
			if _, err := os.Stat(m.ExtensionSocket(uuid)); !errors.Is(err, fs.ErrNotExist) {
				t.Error("its socket file is still there")
			}
		})
	}
}

// Whether somebody reads its log is nothing to the extension.
func TestExtensionWithoutReaderOfItsLog(t *testing.T) {
	for _, gone := range []bool{true, false} {
		t.Run(fmt.Sprintf("gone=%t", gone), func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			m := osquerytest.New(t)
			cmd := exec.Command(program, "--socket", m.Socket(), "--verbose", "--log-level", "trace")
			cmd.Stderr = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			defer cmd.Wait()
			defer cmd.Process.Kill()
			if gone {
				r.Close()
			}
			m.WaitFor("sockets")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			// More lines than a pipe and the queue hold.
			for range 2000 {
				if rows, err := m.Generate(ctx, "ip_protocols", `{"constraints":[],"colsUsed":["name"]}`); err != nil || len(rows) == 0 {
					t.Fatalf("%d rows, %v", len(rows), err)
				}
			}
		})
	}
}

func TestExtensionIsRefused(t *testing.T) {
	m := osquerytest.New(t)
	m.RefuseRegistration("Failed adding registry: Registry item tcp_sockets conflicts with another item of the same name.")
	e := startExtension(t, m)
	if code := e.exit(t); code != 1 || !strings.Contains(e.stderr.String(), "tcp_sockets") {
		t.Errorf("exit code %d, it wrote %s", code, e.stderr.String())
	}
}

func TestExtensionRegistersAgain(t *testing.T) {
	m := osquerytest.New(t)
	startExtension(t, m)
	uuid := m.WaitFor("sockets")
	m.Forget(uuid)
	start := time.Now()
	m.WaitFor("sockets")
	report(faultRow{fault: "osquery drops the registration and says nothing", times: 1, sees: "no tables meanwhile", recovery: fmt.Sprintf("%d ms, with --interval 1", time.Since(start).Milliseconds())})
	if rows, err := m.Generate(context.Background(), "tcp_sockets", `{"colsUsed":[]}`); err != nil {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}
