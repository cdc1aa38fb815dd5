package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// outside runs the program in the namespace of the tests.
func outside(t *testing.T, sql string) []tableRow {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "query", "--json", sql).Output()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return decode(t, out)[0]
}

// ssSummary is SQL that prints what ss -s prints: its numbers in their order.
var ssSummary = []string{
	"SELECT in_use AS a FROM socket_summary WHERE proto = 'all'",
	`SELECT t.allocated + t.time_wait AS a, estab.value AS b, t.allocated - (t.in_use + coalesce(t6.in_use, 0) - t.time_wait) AS c, t.orphan AS d, t.time_wait AS e
	 FROM socket_summary t LEFT JOIN socket_summary t6 ON t6.proto = 'tcp6', (SELECT count(*) AS value FROM tcp_sockets WHERE state IN ('ESTABLISHED', 'CLOSE_WAIT')) AS estab
	 WHERE t.proto = 'tcp'`,
	summaryLine("'raw', 'raw6'"), summaryLine("'udp', 'udp6'"), summaryLine("'tcp', 'tcp6'"),
	summaryLine("'raw', 'raw6', 'udp', 'udp6', 'tcp', 'tcp6'"), summaryLine("'frag', 'frag6'"),
}

func summaryLine(protos string) string {
	return "SELECT sum(in_use) AS a, sum(in_use * (family = 2)) AS b, sum(in_use * (family = 10)) AS c FROM socket_summary WHERE proto IN (" + protos + ")"
}

// The numbers of ss -s come out of SQL. Those of the whole host move with other
// programs: ss is asked before and after, and either answer will do.
func TestSummarySameAsSS(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	numbers := func() (all []string) {
		out, err := ns.Command(t.Context(), "ss", "-s")
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsFuncSeq(string(out), func(r rune) bool { return strings.ContainsRune(" \t\n(),", r) }) {
			if _, err := strconv.Atoi(word); err == nil {
				all = append(all, word)
			}
		}
		return all
	}
	var before, ours, after []string
	for range maxAttempts {
		before = numbers()
		ours = nil
		for _, rows := range queries(t, ns, "/proc", ssSummary...) {
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				if v, ok := rows[0][name]; ok {
					ours = append(ours, v)
				}
			}
		}
		after = numbers()
		if fmt.Sprint(ours) == fmt.Sprint(before) || fmt.Sprint(ours) == fmt.Sprint(after) {
			if len(ours) != 21 {
				t.Errorf("ss -s shows %d numbers, want 21", len(ours))
			}
			return
		}
	}
	t.Errorf("ss -s shows %v and then %v, we %v", before, after, ours)
}

// What is counted is what the other tables list.
func TestSummaryCountsSockets(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	for proto, listed := range map[string]string{
		"tcp":  "SELECT count(*) AS n FROM tcp_sockets WHERE proto = 'tcp' AND state NOT IN ('TIME_WAIT', 'SYN_RECV') AND timer <> 'timewait'",
		"tcp6": "SELECT count(*) AS n FROM tcp_sockets WHERE proto = 'tcp6' AND state NOT IN ('TIME_WAIT', 'SYN_RECV') AND timer <> 'timewait'",
		"udp":  "SELECT count(*) AS n FROM udp_sockets WHERE proto = 'udp'",
		"udp6": "SELECT count(*) AS n FROM udp_sockets WHERE proto = 'udp6'",
	} {
		statement := "SELECT in_use AS n FROM socket_summary WHERE proto = '" + proto + "'"
		var r [][]tableRow
		for range maxAttempts {
			if r = queries(t, ns, "/proc", statement, listed, statement); r[0][0]["n"] == r[1][0]["n"] || r[2][0]["n"] == r[1][0]["n"] {
				break
			}
		}
		if n := r[0][0]["n"]; n != r[1][0]["n"] || n == "0" {
			t.Errorf("%s: %v in use, %v listed", proto, n, r[1])
		}
	}
}

// A namespace's numbers from outside are those from inside; the limits of memory
// are shown outside only.
func TestSummaryOfNamespace(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	holdSockets(t, ns) // a process by which it is found
	const columns = "proto, family, in_use, time_wait"
	inside := query(t, ns, "SELECT "+columns+" FROM socket_summary")
	from := outside(t, "SELECT "+columns+" FROM socket_summary WHERE net_namespace = '"+inodeOf(t, ns)+"'")
	names := strings.Split(columns, ", ")
	if a, b := lines(inside, names), lines(from, names); strings.Join(a, "\n") != strings.Join(b, "\n") || len(a) < 11 {
		t.Errorf("inside\n%s\nfrom outside\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	for _, proto := range []string{"tcp", "udp"} {
		want := []string{"", "", ""}
		if text, err := os.ReadFile("/proc/sys/net/ipv4/" + proto + "_mem"); err == nil {
			want = strings.Fields(string(text))
		}
		r := outside(t, "SELECT * FROM socket_summary WHERE proto = '"+proto+"'")[0]
		if got := []string{r["memory_low_pages"], r["memory_pressure_pages"], r["memory_high_pages"]}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: limits %v, want %v", proto, got, want)
		}
		pages, err1 := strconv.Atoi(r["memory_pages"])
		bytes, err2 := strconv.Atoi(r["memory_bytes"])
		if err1 != nil || err2 != nil || bytes != pages*os.Getpagesize() {
			t.Errorf("%s: %q pages, %q bytes", proto, r["memory_pages"], r["memory_bytes"])
		}
	}
}
