package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// gaugesOfNstat are numbers that nstat takes for no counters and leaves out.
var gaugesOfNstat = []string{"IpForwarding", "IpDefaultTTL", "TcpRtoAlgorithm", "TcpRtoMin", "TcpRtoMax", "TcpMaxConn", "TcpCurrEstab"}

// counters returns the value of each counter by nstat's name.
func counters(rows []tableRow) map[string]string {
	all := make(map[string]string)
	for _, r := range rows {
		all[r["protocol"]+r["name"]] = r["value"]
	}
	return all
}

// procCounters reads the files of /proc/net by their words alone: of two lines
// that begin alike the second has the values.
func procCounters(t *testing.T, ns *netnstest.NS) map[string]string {
	t.Helper()
	files := []string{"/proc/net/snmp", "/proc/net/netstat", "/proc/net/snmp6"}
	if _, err := os.Stat("/proc/net/sctp/snmp"); err == nil { // every namespace has it then
		files = append(files, "/proc/net/sctp/snmp")
	}
	out, err := ns.Command(t.Context(), "cat", files...)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	var names []string
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		head, paired := strings.CutSuffix(words[0], ":")
		switch {
		case !paired:
			all[words[0]] = words[1]
		case names == nil:
			names = words[1:]
		default:
			for i, name := range names {
				all[head+name] = words[1+i]
			}
			names = nil
		}
	}
	return all
}

func TestStatistics(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	holdSockets(t, ns) // a process by which it is found
	const statement = "SELECT * FROM protocol_statistics"
	var ours, proc, nstat map[string]string
	for range maxAttempts { // timers of the sockets go on
		before := procCounters(t, ns)
		rows := query(t, ns, statement)
		out, err := ns.Command(t.Context(), "nstat", "-azs", "--json")
		if err != nil {
			t.Fatal(err)
		}
		from := counters(outside(t, statement+" WHERE net_namespace = '"+inodeOf(t, ns)+"'"))
		proc = procCounters(t, ns)
		ours = counters(rows)
		if !maps.Equal(before, proc) {
			continue
		}
		if !maps.Equal(ours, from) {
			t.Errorf("from outside %d counters, from inside %d", len(from), len(ours))
		}
		var kernel struct{ Kernel map[string]json.Number }
		if err := json.Unmarshal(out, &kernel); err != nil {
			t.Fatal(err)
		}
		nstat = make(map[string]string)
		for name, value := range kernel.Kernel {
			nstat[name] = value.String()
		}
		for _, r := range rows {
			// A counter without a description came with a later kernel than this test's.
			if r["description"] == "" || r["kind"] != "counter" && r["kind"] != "gauge" {
				t.Errorf("not described: %v", r)
			}
		}
		break
	}
	if nstat == nil {
		t.Fatal("the counters do not rest")
	}
	different(t, "/proc", ours, proc)
	// Where nstat shows no SCTP there is nothing to compare with.
	if _, ok := nstat["SctpCurrEstab"]; !ok {
		maps.DeleteFunc(ours, func(name, _ string) bool { return strings.HasPrefix(name, "Sctp") })
	}
	for _, name := range gaugesOfNstat {
		delete(ours, name)
	}
	different(t, "nstat", ours, nstat)
	if len(ours) < 200 || ours["TcpActiveOpens"] == "0" || ours["Udp6InDatagrams"] == "" {
		t.Errorf("%d counters: %v", len(ours), ours)
	}
}

// different reports what two sides do not have alike.
func different(t *testing.T, other string, ours, theirs map[string]string) {
	t.Helper()
	names := slices.Collect(maps.Keys(ours))
	for name := range theirs {
		if _, ok := ours[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		a, ok1 := ours[name]
		b, ok2 := theirs[name]
		if a != b || ok1 != ok2 {
			t.Errorf("%s: we %q, %s %q", name, a, other, b)
		}
	}
}
