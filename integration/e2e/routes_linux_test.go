package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// ipHop is a next hop of ip route, ipRoute a route with one hop or several.
type ipHop struct {
	Gateway string
	Via     struct{ Host string }
	Dev     string
	Flags   []string
	Weight  int
}

type ipRoute struct {
	ipHop
	Type, Dst, From, Tos, Table, Protocol, Scope, Prefsrc, Pref string
	Metric, NHID, Expires                                       uint32
	Metrics                                                     []map[string]any
	Nexthops                                                    []ipHop
}

// lines writes the rows that network_routes has of a route.
func (r *ipRoute) lines(family string) (lines []string) {
	prefix := func(s string) string {
		switch {
		case s == "default" && family == "-4":
			return "0.0.0.0/0"
		case s == "default":
			return "::/0"
		case s == "" || strings.Contains(s, "/"):
			return s
		case family == "-4":
			return s + "/32"
		}
		return s + "/128"
	}
	metric := func(name string) string {
		for _, m := range r.Metrics {
			if v, ok := m[name].(float64); ok {
				return strconv.Itoa(int(v))
			}
		}
		return ""
	}
	orNothing := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	tos, _ := strconv.ParseUint(cmp.Or(r.Tos, "0"), 0, 8)
	hops := r.Nexthops
	if hops == nil {
		hops = []ipHop{r.ipHop}
	}
	for i, h := range hops {
		lines = append(lines, fmt.Sprintf("%s %s from %s tos %d table %s proto %s scope %s src %s metric %d nhid %s pref %s expires %v hop %d via %s dev %s weight %s %s mtu %s window %s rtt %s advmss %s hoplimit %s",
			cmp.Or(r.Type, "unicast"), prefix(r.Dst), prefix(r.From), tos, cmp.Or(r.Table, "main"), cmp.Or(r.Protocol, "boot"), cmp.Or(r.Scope, "global"), r.Prefsrc, r.Metric,
			orNothing(int(r.NHID)), r.Pref, r.Expires != 0, i, cmp.Or(h.Gateway, h.Via.Host), h.Dev, orNothing(h.Weight), strings.Join(h.Flags, " "),
			metric("mtu"), metric("window"), metric("rtt"), metric("advmss"), metric("hoplimit")))
	}
	return lines
}

const routeStatement = `SELECT printf('%s %s/%d from %s tos %d table %s proto %s scope %s src %s metric %d nhid %s pref %s expires %s hop %d via %s dev %s weight %s %s mtu %s window %s rtt %s advmss %s hoplimit %s',
	type, destination, prefix_length, iif(source_network = '', '', source_network || '/' || source_prefix_length), tos, iif(table_name = '', table_id, table_name), protocol, scope, preferred_source, metric,
	next_hop_id, pref, iif(expires_s > 0, 'true', 'false'), next_hop, gateway, interface, weight, next_hop_flags, mtu, window, irtt, advmss, hoplimit)
	FROM network_routes WHERE family = `

func TestRoutesAgainstIP(t *testing.T) {
	ns := netnstest.New(t)
	network(t, ns)
	for flag, family := range map[string]string{"-4": "2", "-6": "10"} {
		agree(t, "ip "+flag+" route show table all",
			func() (lines []string) {
				for _, r := range ipJSON[ipRoute](t, ns, flag, "route", "show", "table", "all") {
					lines = append(lines, r.lines(flag)...)
				}
				if len(lines) < 20 {
					t.Fatalf("ip shows only %d routes", len(lines))
				}
				return lines
			},
			func() []string { return listed(t, ns, routeStatement+family) })
	}
	rows := queries(t, ns, "/proc", "SELECT expires_s, mtu_locked, source FROM network_routes WHERE expires_s > 0 OR mtu_locked = 1")[0]
	if len(rows) != 2 {
		t.Fatalf("%d routes expire or have their mtu locked: %v", len(rows), rows)
	}
	if n, err := strconv.Atoi(rows[1]["expires_s"]); err != nil || n > 100000 || n < 99000 || rows[0]["mtu_locked"] != "1" || rows[0]["source"] != "rtnetlink" {
		t.Errorf("got %v", rows)
	}
}

// What netstat -r prints is a statement away, byte for byte, from either source.
func TestRoutesAgainstNetstat(t *testing.T) {
	ns := netnstest.New(t)
	network(t, ns)
	const (
		lines = " FROM network_routes WHERE family = 2 AND source = 'procfs'"
		main  = " FROM network_routes WHERE family = 2 AND table_name = 'main' AND type NOT IN ('broadcast', 'multicast') AND next_hop = 0"
		where = "iif(gateway = '' OR gateway LIKE '%:%', '0.0.0.0', gateway)"
		rn    = "SELECT iif(flags LIKE '!%', printf('%-15s -               %-15s %-5s     - -          - -', destination, genmask, flags)," +
			"printf('%-15s %-15s %-15s %-5s %5d %-5d %6d %s', destination, " + where + ", genmask, flags, mss, window, irtt, iif(interface = '', '*', interface)))"
		ren = "SELECT iif(flags LIKE '!%', printf('%-15s -               %-15s %-5s %-6d -  %7d -', destination, genmask, flags, iif(metric > 2147483647, metric - 4294967296, metric), use)," +
			"printf('%-15s %-15s %-15s %-5s %-6d %-2d %7d %s', destination, " + where + ", genmask, flags, iif(metric > 2147483647, metric - 4294967296, metric), ref, use, iif(interface = '', '*', interface)))"
		rn6 = "SELECT printf('%-30s %-26s %-4s %-3d %-1d %6d %s', destination || '/' || prefix_length, iif(gateway = '', '::', gateway), flags, iif(metric > 2147483647, metric - 4294967296, metric), ref, use, interface)" +
			" FROM network_routes WHERE family = 10 AND source = 'procfs'"
	)
	for _, c := range []struct{ flags, statement, proc string }{
		{"-rn", rn + lines, "/proc"}, {"-rn", rn + main, "/proc"}, {"-ren", ren + lines, "/proc"}, {"-ren", ren + main, "/proc"}, {"-rn6", rn6, "/proc"},
		{"-rn", rn + lines, onlyProc}, {"-ren", ren + lines, onlyProc}, {"-rn6", rn6, onlyProc},
	} {
		agree(t, "netstat "+c.flags+" of "+c.proc,
			func() []string {
				lines := linesOf(output(t, ns, "netstat", c.flags), 2)
				if len(lines) < 15 {
					t.Fatalf("netstat %s shows only %d routes", c.flags, len(lines))
				}
				return lines
			},
			func() []string { return listed(t, ns, "--proc", c.proc, c.statement) })
	}
}

// What both sources tell they tell alike; flags and references of an IPv6 route
// that rtnetlink tells of come from /proc.
func TestRouteSourcesAgree(t *testing.T) {
	ns := netnstest.New(t)
	network(t, ns)
	const columns = `SELECT destination, prefix_length, genmask, flags, metric, interface, mss, window, irtt, family, source_network, flags_number`
	agree(t, "sources of IPv4",
		func() []string {
			return listed(t, ns, columns+", iif(gateway LIKE '%:%', '', gateway) FROM network_routes WHERE family = 2 AND table_name = 'main' AND type NOT IN ('broadcast', 'multicast') AND next_hop = 0")
		},
		func() []string {
			return listed(t, ns, columns+", gateway FROM network_routes WHERE family = 2 AND source = 'procfs'")
		})
	// The lines for what is not found are left out.
	agree(t, "sources of IPv6",
		func() []string {
			return listed(t, ns, columns+", gateway, ref, use, pref FROM network_routes WHERE family = 10 AND (next_hop = 0 OR next_hop_id IS NULL)")
		},
		func() []string {
			return listed(t, ns, columns+", gateway, ref, use, pref FROM network_routes WHERE family = 10 AND source = 'procfs' AND metric < 4294967295")
		})
	for _, r := range query(t, ns, "SELECT destination, flags, ref FROM network_routes WHERE family = 10") {
		if r["flags"] == "" || r["ref"] == "" {
			t.Errorf("no flags of %v", r)
		}
	}
	both := query(t, ns, "SELECT source, count(*) AS n FROM network_routes WHERE source IN ('rtnetlink', 'procfs') GROUP BY source ORDER BY source")
	one := query(t, ns, "SELECT count(*) AS n FROM network_routes")
	if len(both) != 2 || both[1]["n"] != one[0]["n"] {
		t.Errorf("both sources have %v, rtnetlink %v", both, one)
	}
	fromOutside(t, ns, "network_routes", "*, flags_number")
	fromOutside(t, ns, "network_routes", "destination, ref, next_hop_id, interface_index, weight")
}

// Tables have the names that iproute2's files give them, as ip prints them.
func TestTableNamesAgainstIP(t *testing.T) {
	ns := netnstest.New(t)
	batch(t, ns, `link add d0 type ifb
link set d0 up
route add 10.7.0.0/16 dev d0 table 77
route add 10.8.0.0/16 dev d0 table 78
route add 10.9.0.0/16 dev d0 table 79
route add 10.10.0.0/16 dev d0 table 70000
rule add from 10.1.0.0/16 table 77 priority 100
rule add from 10.2.0.0/16 table 80 priority 101
rule add from 10.3.0.0/16 table 70000 priority 102
`)
	// Files that this mount namespace alone has.
	const files = `mount -t tmpfs tmpfs /etc/iproute2 && mkdir /etc/iproute2/rt_tables.d && printf '# names\n 77 blue # of two\n0x4e\tgreen\n254 most\n79 a\n79 b\n' >/etc/iproute2/rt_tables &&
		printf '70000 far' >/etc/iproute2/rt_tables.d/far.conf && printf '80 hidden' >/etc/iproute2/rt_tables.d/README && exec "$0" "$@"`
	with := func(program string, args ...string) string {
		return output(t, ns, "unshare", append([]string{"--mount", "sh", "-c", files, program}, args...)...)
	}
	names := func(args ...string) (all []string) {
		var printed []struct{ Table string }
		if err := json.Unmarshal([]byte(with("ip", append([]string{"-json", "-details", "-4"}, args...)...)), &printed); err != nil {
			t.Fatal(err)
		}
		for _, p := range printed {
			all = append(all, cmp.Or(p.Table, "most")) // ip leaves out the main table's
		}
		slices.Sort(all)
		return all
	}
	for _, c := range []struct {
		table string
		args  []string
	}{{"network_routes", []string{"route", "show", "table", "all"}}, {"routing_rules", []string{"rule"}}} {
		t.Run(c.table, func(t *testing.T) {
			got := linesOf(with(program, "query", "--list", "--header=false", "SELECT coalesce(nullif(table_name, ''), table_id) AS name FROM "+c.table+" WHERE family = 2 ORDER BY 1"), 0)
			if diff := gocmp.Diff(names(c.args...), got); diff != "" || !slices.Contains(got, "blue") || !slices.Contains(got, "far") {
				t.Errorf("ip (-), got (+):\n%s", diff)
			}
		})
	}
}

// A VRF's routes name it, as ip vrf does.
func TestVRFs(t *testing.T) {
	ns := netnstest.New(t)
	if _, err := ns.Command(t.Context(), "ip", "link", "add", "blue", "type", "vrf", "table", "77"); err != nil {
		if strings.Contains(err.Error(), "Unknown device type") {
			netnstest.NotInThisKernel(t, "VRFs")
		}
		t.Fatal(err)
	}
	batch(t, ns, `link add red type vrf table 70000
link add d0 type veth peer name d1
link set d0 master blue
link set d1 master red
link set blue up
link set red up
link set d0 up
link set d1 up
address add 10.7.0.1/24 dev d0
address add 10.8.0.1/24 dev d1
`)
	got := listed(t, ns, "SELECT DISTINCT vrf, table_id FROM network_routes WHERE family = 2 AND interface IN ('d0', 'd1') ORDER BY 1")
	if diff := gocmp.Diff([]string{"blue|77", "red|70000"}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
