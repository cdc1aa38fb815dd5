package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// network gives the namespace interfaces, addresses and routes of every kind:
// two ends of a cable, which are v0 and v1, and a bridge.
func network(t *testing.T, ns *netnstest.NS) {
	t.Helper()
	for _, program := range []string{"ip", "netstat"} {
		if _, err := exec.LookPath(program); err != nil {
			netnstest.SkipOrFail(t, err.Error())
		}
	}
	for line := range strings.Lines(`
link add v0 type veth peer name v1
link add br0 type bridge
link add veth10 type veth peer name veth9
link set veth9 master br0
link set veth9 up
link set br0 up
link set v0 up
link set v1 up
link set v0 mtu 1400
link set v1 promisc on
addr add 10.1.0.1/24 dev v0
addr add 10.2.0.1/24 dev v1
addr add fd00:1::1/64 dev v0 nodad
addr add fd00:2::1/64 dev v1 nodad
route add default via 10.1.0.254 metric 100 proto dhcp src 10.1.0.1
route add 192.0.2.0/24 via 10.1.0.253 mtu 1300 advmss 1200 window 5000 rtt 300ms
route add 192.0.3.1 via 10.1.0.253 mtu lock 1280 hoplimit 7
route add blackhole 198.51.100.0/25
route add unreachable 198.51.100.128/26 metric 7
route add prohibit 198.51.100.192/26
route add unreachable 198.51.100.255
route add throw 198.51.101.0/26 metric 4294967295
route add 203.0.113.0/24 nexthop via 10.1.0.2 weight 1 nexthop via 10.2.0.2 weight 5
route add 10.99.0.0/16 dev v0 table 100 proto static scope link
route add 10.98.0.0/16 dev v0 table 70000 tos 0x10
route add 10.97.0.0/16 via inet6 fe80::1 dev v0
route add 10.94.0.0/16 via 1.2.3.4 dev v0 onlink
route add 10.93.0.0/16 dev v0 metric 1
route append 10.93.0.0/16 dev v1 metric 1
route add multicast 239.1.0.0/16 dev v0
nexthop add id 1 via 10.1.0.3 dev v0
nexthop add id 2 via 10.2.0.3 dev v1
nexthop add id 3 group 1,2/2,4
route add 10.96.0.0/16 nhid 3
route add 10.95.0.0/16 nhid 1
-6 route add default via fe80::1 dev v0 metric 512 proto ra pref high
-6 route add 2001:db8:1::/48 via fd00:1::2 mtu 1300 expires 100000
-6 route add blackhole 2001:db8:2::/48
-6 route add prohibit 2001:db8:3::/48
-6 route add throw 2001:db8:4::/48
-6 route add unreachable 2001:db8:5::/48
-6 route add 2001:db8:6::/48 nexthop via fd00:1::2 dev v0 weight 1 nexthop via fd00:2::2 dev v1 weight 3
-6 nexthop add id 11 via fd00:1::3 dev v0
-6 nexthop add id 12 via fd00:2::3 dev v1
nexthop add id 13 group 11/12
-6 route add 2001:db8:7::/48 nhid 13
-6 route add 2001:db8:8::/48 dev v0 table 200 src fd00:1::1
-6 route add 2001:db8:8::/48 dev v0
-6 route add 2001:db8:9::/48 dev v0 from 2001:db8:a::/48
`) {
		if args := strings.Fields(line); len(args) > 0 {
			if _, err := ns.Command(t.Context(), "ip", args...); err != nil {
				if strings.Contains(err.Error(), "Unknown device type") {
					netnstest.SkipOrFail(t, err.Error())
				}
				t.Fatal(err)
			}
		}
	}
}

// output runs a program in the namespace.
func output(t *testing.T, ns *netnstest.NS, name string, args ...string) string {
	t.Helper()
	out, err := ns.Command(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// agree compares what another program and ours print, until the first says the
// same before and after: counters and references move by themselves.
func agree(t *testing.T, what string, theirs, ours func() []string) {
	t.Helper()
	var got, want []string
	for range maxAttempts {
		want, got = theirs(), ours()
		if slices.Equal(got, want) || slices.Equal(got, theirs()) {
			return
		}
	}
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("%s\ngot  %s\nwant %s", what, g, w)
		}
	}
}

// linesOf splits a text at its newlines, without the headings.
func linesOf(s string, headings int) []string {
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")[headings:]
}

// listed returns the lines that the program prints of a statement with one
// column.
func listed(t *testing.T, ns *netnstest.NS, args ...string) []string {
	t.Helper()
	return linesOf(output(t, ns, program, append([]string{"query", "--list", "--header=false"}, args...)...), 0)
}

// keep starts a process in a namespace, which ends with the test.
func keep(t *testing.T, ns *netnstest.NS) (pid int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	keeper := exec.CommandContext(ctx, "sleep", "600")
	if err := ns.Do(keeper.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = keeper.Wait() // it was killed
	})
	return keeper.Process.Pid
}

// A table shows another namespace as it shows its own.
func fromOutside(t *testing.T, ns *netnstest.NS, table, columns string) {
	t.Helper()
	keep(t, ns)
	number := inodeOf(t, ns)
	statement := "SELECT " + columns + ", net_namespace FROM " + table + " WHERE net_namespace = '" + number + "'"
	agree(t, table+" from outside",
		func() []string { return listed(t, ns, statement) },
		func() []string {
			out, err := exec.CommandContext(t.Context(), program, "query", "--list", "--header=false", statement).Output()
			if err != nil {
				t.Fatal(err)
			}
			return linesOf(string(out), 0)
		})
}

// ipJSON decodes what ip prints.
func ipJSON[T any](t *testing.T, ns *netnstest.NS, args ...string) (v []T) {
	t.Helper()
	out := output(t, ns, "ip", append([]string{"-d", "-j"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("ip %v: %v in %q", args, err, out)
	}
	return v
}
