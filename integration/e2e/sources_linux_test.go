package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// onlyProc makes the program read /proc/net of its own namespace, and no
// netlink.
const onlyProc = "/proc/self"

// queries runs statements in one process and returns the rows of each.
func queries(t *testing.T, ns *netnstest.NS, proc string, statements ...string) [][]tableRow {
	t.Helper()
	return decode(t, []byte(output(t, ns, program, "query", "--json", "--proc", proc, strings.Join(statements, ";\n"))))
}

// decode returns the rows of each result.
func decode(t *testing.T, out []byte) (results [][]tableRow) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var rows []tableRow
		switch err := decoder.Decode(&rows); err {
		case nil:
			results = append(results, rows)
		case io.EOF:
			return results
		default:
			t.Fatal(err)
		}
	}
}

// lines returns rows as sorted text.
func lines(rows []tableRow, columns []string) (lines []string) {
	for _, r := range rows {
		var line []string
		for _, c := range columns {
			line = append(line, c+"="+r[c])
		}
		lines = append(lines, strings.Join(line, " "))
	}
	slices.Sort(lines)
	return lines
}

// still are columns that do not change while nobody uses a socket.
var still = []string{"proto", "local_address", "local_port", "remote_address", "remote_port", "state", "uid", "inode", "recv_q", "local_service", "local_scope", "family", "protocol"}

// Netlink and /proc must give the same rows.
func TestSourcesAgree(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	for table, columns := range map[string][]string{
		"tcp_sockets": append(slices.Clone(still), "timer"),
		"udp_sockets": append(slices.Clone(still), "send_q", "drops"),
	} {
		statement := "SELECT *, local_service, local_scope, family, protocol FROM " + table
		source := "SELECT DISTINCT last_source FROM socket_sources WHERE last_source <> '' AND proto NOT IN ('holders', 'processes', 'namespaces')"
		var diag, proc []string
		for range maxAttempts {
			before := queries(t, ns, onlyProc, statement, source)
			netlink := queries(t, ns, "/proc", statement, source)
			after := queries(t, ns, onlyProc, statement)
			if from := before[1][0]["last_source"]; from != "procfs" || len(before[1]) != 1 {
				t.Fatalf("--proc %s reads %v", onlyProc, before[1])
			}
			if from := netlink[1][0]["last_source"]; from != "sock_diag" || len(netlink[1]) != 1 {
				t.Fatalf("the kernel's lists come from %v", netlink[1])
			}
			diag, proc = lines(netlink[0], columns), lines(before[0], columns)
			if slices.Equal(diag, proc) || slices.Equal(diag, lines(after[0], columns)) {
				break
			}
		}
		for _, line := range diag {
			if !slices.Contains(proc, line) {
				t.Errorf("%s: only netlink has %s", table, line)
			}
		}
		for _, line := range proc {
			if !slices.Contains(diag, line) {
				t.Errorf("%s: only /proc has %s", table, line)
			}
		}
		if len(diag) != len(proc) || len(diag) < 50 {
			t.Errorf("%s: %d rows of netlink, %d of /proc", table, len(diag), len(proc))
		}
	}
}

// A WHERE clause that the kernel evaluates gives the rows that SQLite alone
// would: a + before a column keeps SQLite from handing a condition on.
func TestKernelFiltersAsSQLite(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	random := rand.New(rand.NewPCG(5, 6))
	for _, table := range []string{"tcp_sockets", "udp_sockets"} {
		rows := queries(t, ns, "/proc", "SELECT * FROM "+table)[0]
		var conditions []string
		add := func(format string, args ...any) {
			conditions = append(conditions, fmt.Sprintf(format, args...))
		}
		for range 20 {
			a, b := rows[random.IntN(len(rows))], rows[random.IntN(len(rows))]
			add("@local_port = %s", a["local_port"])
			add("@remote_port = %s", a["remote_port"])
			add("@local_port IN (%s, %s, 1)", a["local_port"], b["local_port"])
			add("@local_port BETWEEN %s AND %s", a["local_port"], b["local_port"])
			add("@local_port > %s AND @remote_port <= %s", a["local_port"], b["remote_port"])
			add("@local_port < %s AND @local_port IN (%s, %s)", a["local_port"], b["local_port"], a["local_port"])
			add("@local_address = '%s'", a["local_address"])
			add("@remote_address IN ('%s', '%s') AND @local_port >= %s", a["remote_address"], b["remote_address"], b["local_port"])
			add("@state = '%s' AND @local_address = '%s'", a["state"], b["local_address"])
			add("@state IN ('%s', '%s') AND @proto = '%s'", a["state"], b["state"], b["proto"])
			add("@family = 2 AND @local_port = %s OR @state = '%s'", a["local_port"], b["state"])
			// A + also takes a column's affinity away: numbers stay unquoted.
			add("@inode = %s OR @uid = %s", cmp.Or(a["inode"], "NULL"), cmp.Or(b["uid"], "NULL"))
			add("@local_address = '%s' AND @local_port = %s AND @remote_address = '%s' AND @remote_port = %s", a["local_address"], a["local_port"], a["remote_address"], a["remote_port"])
			add("@local_address = '%s' AND @local_port = %s AND @remote_address = '%s' AND @remote_port = %s", a["local_address"], a["local_port"], b["remote_address"], b["remote_port"])
		}
		var statements []string
		for _, c := range conditions {
			for _, prefix := range []string{"", "+"} {
				statements = append(statements, "SELECT * FROM "+table+" WHERE "+strings.ReplaceAll(c, "@", prefix))
			}
		}
		var results [][]tableRow
		for some := range slices.Chunk(statements, 200) { // an argument has at most 128 KiB
			results = append(results, queries(t, ns, "/proc", some...)...)
		}
		if len(results) != len(statements) {
			t.Fatalf("%d results of %d statements", len(results), len(statements))
		}
		found := 0
		for i, c := range conditions {
			pushed, plain := lines(results[2*i], still[:9]), lines(results[2*i+1], still[:9])
			if len(plain) > 0 {
				found++
			}
			if !slices.Equal(pushed, plain) {
				t.Errorf("%s WHERE %s\ngot  %d %.300s\nwant %d %.300s", table, c, len(pushed), fmt.Sprint(pushed), len(plain), fmt.Sprint(plain))
			}
		}
		if found < len(conditions)/2 {
			t.Errorf("of %d conditions only %d have rows", len(conditions), found)
		}
	}
}

// The kernel hands over only what was asked for.
func TestKernelNarrows(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	full := queries(t, ns, "/proc", "SELECT * FROM tcp_sockets")[0]
	var connected tableRow
	for _, r := range full {
		if r["state"] == "ESTABLISHED" && r["proto"] == "tcp" {
			connected = r
		}
	}
	count := func(keep func(tableRow) bool) (n int) {
		for _, r := range full {
			if keep(r) {
				n++
			}
		}
		return n
	}
	for where, want := range map[string]int{
		"state = 'LISTEN'": count(func(r tableRow) bool { return r["state"] == "LISTEN" }),
		"local_port = 22":  count(func(r tableRow) bool { return r["local_port"] == "22" }),
		"local_port < 100": count(func(r tableRow) bool { n, _ := strconv.Atoi(r["local_port"]); return n < 100 }),
		"proto = 'tcp'":    count(func(r tableRow) bool { return r["proto"] == "tcp" }),
		fmt.Sprintf("local_address = '%s' AND local_port = %s AND remote_address = '%s' AND remote_port = %s",
			connected["local_address"], connected["local_port"], connected["remote_address"], connected["remote_port"]): 1,
	} {
		r := queries(t, ns, "/proc", "SELECT count(*) AS n FROM tcp_sockets WHERE "+where, "SELECT sum(last_rows) AS n FROM socket_sources")
		if got := r[1][0]["n"]; got != strconv.Itoa(want) {
			t.Errorf("%s: the kernel handed over %s sockets, want %d", where, got, want)
		}
	}
}

// A question must not make the kernel load a module. Where there are no
// modules the protocols that are registered tell.
func TestNoModuleIsLoaded(t *testing.T) {
	ns := netnstest.New(t)
	state := func() string {
		var all []string
		for _, pattern := range []string{"/proc/modules", "/proc/net/protocols", "/sys/module/*"} {
			paths, err := filepath.Glob(pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				all = append(all, path)
				if pattern == path {
					b, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					for line := range strings.Lines(string(b)) {
						all = append(all, strings.Fields(line)[0])
					}
				}
			}
		}
		return strings.Join(all, "\n")
	}
	before := state()
	asked := 0
	for _, table := range tables.All(host.New(host.Options{})) {
		_, err := ns.Command(t.Context(), program, "query", "--json", "SELECT * FROM "+table.Spec().Name)
		if err == nil {
			asked++
		} else if table.Spec().Name != "vsock_sockets" { // which fails where its module is not there
			t.Error(err)
		}
	}
	if asked < 20 {
		t.Errorf("only %d tables were asked", asked)
	}
	if after := state(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
