package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// ipAddress is what ip -json address prints of an address.
type ipAddress struct {
	Local     string `json:"local"`
	Peer      string `json:"address"`
	Broadcast string `json:"broadcast"`
	Bits      int    `json:"prefixlen"`
	Scope     string `json:"scope"`
	Label     string `json:"label"`
	Metric    int    `json:"metric"`
	Dynamic   bool   `json:"dynamic"`
	Tentative bool   `json:"tentative"`
	Secondary bool   `json:"secondary"`
	Failed    bool   `json:"dadfailed"`
}

// The addresses are those of ip address, attribute by attribute.
func TestAddressesAgainstIP(t *testing.T) {
	s := seed(t)
	for _, args := range []string{
		"link add v0 type veth peer name v1",
		"link set v0 up",
		"link set v1 up",
		"address add 10.1.0.1/24 brd + dev v0 label v0:one",
		"address add 10.1.0.2/24 dev v0",
		"address add 10.2.0.1 peer 10.3.0.0/16 dev v1",
		"address add 192.0.2.9/32 dev v1 scope link valid_lft 500 preferred_lft 300",
		"address add 198.51.100.1/25 dev v1 scope 77 metric 42 noprefixroute",
		"address add 2001:db8::2 peer 2001:db8:1::/48 dev v0 nodad",
		"address add 2001:db8::4/64 dev v1",
		"address add 2001:db8::4/64 dev v0",
	} {
		output(t, s.ns, "ip", strings.Fields(args)...)
	}
	theirs := func() (all []string) {
		var links []struct {
			Name      string      `json:"ifname"`
			Addresses []ipAddress `json:"addr_info"`
		}
		if err := json.Unmarshal([]byte(output(t, s.ns, "ip", "-json", "address")), &links); err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			for _, a := range l.Addresses {
				all = append(all, fmt.Sprint(l.Name, a))
			}
		}
		slices.Sort(all)
		return all
	}
	const sql = `SELECT interface AS "ifname", address, peer, broadcast, prefix_length, scope, label, coalesce(metric, 0) AS metric,
		flags NOT LIKE '%permanent%' AS dynamic, flags LIKE '%tentative%' AS tentative, flags LIKE '%secondary%' AS secondary, flags LIKE '%dadfailed%' AS failed FROM network_addresses`
	ours := func() (all []string) {
		for _, r := range query(t, s.ns, sql) {
			b := func(name string) bool { return r[name] == "1" }
			var a ipAddress
			fmt.Sscan(r["prefix_length"], &a.Bits)
			fmt.Sscan(r["metric"], &a.Metric)
			a.Local, a.Peer, a.Broadcast, a.Scope, a.Label = r["address"], r["peer"], r["broadcast"], r["scope"], r["label"]
			a.Dynamic, a.Tentative, a.Secondary, a.Failed = b("dynamic"), b("tentative"), b("secondary"), b("failed")
			all = append(all, fmt.Sprint(r["ifname"], a))
		}
		slices.Sort(all)
		return all
	}
	agree(t, "addresses", theirs, ours)
	if n := len(theirs()); n < 14 {
		t.Errorf("only %d addresses", n)
	}
}

// Neighbours, policy rules and nexthop objects are those of ip, field by field for
// those that both print.
func TestObjectsAgainstIP(t *testing.T) {
	ns := netnstest.New(t)
	batch(t, ns, `link add v0 type veth peer name v1
link set v0 up
link set v1 up
address add 10.1.0.1/24 dev v0
address add fd00::1/64 dev v0 nodad
nexthop add id 1 via 10.1.0.11 dev v0
nexthop add id 2 via 10.1.0.12 dev v0 onlink
nexthop add id 3 blackhole
nexthop add id 5 via fd00::9 dev v0
nexthop add id 20 group 1/2,200
nexthop add id 22 group 1/2 type resilient buckets 32 idle_timer 60
route add 10.72.0.0/16 nhid 1
route add 10.73.0.0/16 nhid 20
neighbour add 10.1.0.50 lladdr 02:00:00:00:00:01 dev v0 nud permanent
neighbour add 10.1.0.51 lladdr 02:00:00:00:00:02 dev v0 nud permanent protocol static
neighbour add fd00::50 lladdr 02:00:00:00:00:04 dev v0 router nud permanent
neighbour add proxy 10.1.0.60 dev v0
rule add from 10.2.0.0/16 to 10.3.0.0/24 table 77 priority 100
rule add iif v0 lookup 78 priority 101
rule add fwmark 0x10/0xff table 79 priority 102
rule add to 192.0.2.0/24 blackhole priority 103
rule add not from 10.9.0.0/16 table main suppress_prefixlength 0 priority 109
`)
	if err := ns.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/nexthop_compat_mode", []byte("0"), 0)
	}); err != nil {
		t.Fatal(err)
	}
	printed := func(args ...string) (all []map[string]any) {
		if err := json.Unmarshal([]byte(output(t, ns, "ip", append([]string{"-json", "-details"}, args...)...)), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	text := func(v any) string {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	for _, c := range []struct {
		name, sql string
		args      []string
		line      func(map[string]any) string
	}{
		{"nexthops", "SELECT id || '|' || gateway || '|' || interface || '|' || members || '|' || scope AS line FROM nexthops", []string{"nexthop"}, func(o map[string]any) string {
			var group []string
			members, _ := o["group"].([]any)
			for _, m := range members {
				member := text(m.(map[string]any)["id"])
				if weight := m.(map[string]any)["weight"]; weight != nil {
					member += "," + text(weight)
				}
				group = append(group, member)
			}
			return strings.Join([]string{text(o["id"]), text(o["gateway"]), text(o["dev"]), strings.Join(group, "/"), text(o["scope"])}, "|")
		}},
		{"neighbors", "SELECT address || '|' || interface || '|' || link_address || '|' || state AS line FROM neighbors WHERE state <> 'NOARP' AND NOT proxy", []string{"neighbour"}, func(n map[string]any) string {
			return strings.Join([]string{text(n["dst"]), text(n["dev"]), text(n["lladdr"]), text(n["state"].([]any)[0])}, "|")
		}},
		{"proxies", "SELECT address || '|' || interface AS line FROM neighbors WHERE proxy", []string{"neighbour", "show", "proxy"}, func(n map[string]any) string {
			return text(n["dst"]) + "|" + text(n["dev"])
		}},
		{"rules", "SELECT priority || '|' || source || '|' || input || '|' || CASE action WHEN 'lookup' THEN coalesce(nullif(table_name, ''), table_id) ELSE action END || '|' || inverted AS line FROM routing_rules WHERE family = 2", []string{"rule"}, func(r map[string]any) string {
			source := text(r["src"])
			if bits := r["srclen"]; bits != nil {
				source += "/" + text(bits)
			}
			_, inverted := r["not"]
			return strings.Join([]string{text(r["priority"]), strings.TrimPrefix(source, "all"), text(r["iif"]), text(r["table"]) + text(r["action"]), map[bool]string{true: "1", false: "0"}[inverted]}, "|")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			agree(t, c.name, func() (lines []string) {
				for _, o := range printed(c.args...) {
					lines = append(lines, c.line(o))
				}
				slices.Sort(lines)
				return lines
			}, func() (lines []string) {
				for _, r := range query(t, ns, c.sql) {
					lines = append(lines, r["line"])
				}
				slices.Sort(lines)
				return lines
			})
		})
	}

	// Routes that come without their next hops have those of their object.
	got := query(t, ns, "SELECT destination, gateway, interface, coalesce(weight, 0) AS weight FROM network_routes WHERE next_hop_id IS NOT NULL ORDER BY 1, 2")
	want := []tableRow{
		{"destination": "10.72.0.0", "gateway": "10.1.0.11", "interface": "v0", "weight": "0"},
		{"destination": "10.73.0.0", "gateway": "10.1.0.11", "interface": "v0", "weight": "1"},
		{"destination": "10.73.0.0", "gateway": "10.1.0.12", "interface": "v0", "weight": "200"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	for _, table := range []string{"neighbors", "nexthops", "routing_rules", "network_addresses"} {
		out := output(t, ns, program, "schema", "--json", table)
		var specs []struct{ Examples []string }
		if err := json.Unmarshal([]byte(out), &specs); err != nil || len(specs) != 1 || len(specs[0].Examples) == 0 {
			t.Fatalf("%s: %v", table, err)
		}
		for _, sql := range specs[0].Examples {
			query(t, ns, sql)
		}
	}
}

// While objects come and go, those that stay are in every answer, each once; an
// answer that is not whole is an error.
func TestObjectsUnderChurn(t *testing.T) {
	const stable, answers = 100, 15
	ns := netnstest.New(t)
	objects := func(command string, from, n int) string {
		var b strings.Builder
		for i := from; i < from+n; i++ {
			fmt.Fprintf(&b, "address %[1]s 10.%[2]d.0.1/24 dev v0\n", command, i)
			fmt.Fprintf(&b, "neighbour %[1]s 192.0.2.%[2]d lladdr 02:00:00:00:00:01 dev v0 nud permanent\n", command, i)
			fmt.Fprintf(&b, "rule %[1]s table 77 priority %[2]d\n", command, 1000+i)
			fmt.Fprintf(&b, "nexthop %[1]s id %[2]d blackhole\n", command, i)
		}
		return b.String()
	}
	batch(t, ns, "link add v0 type veth peer name v1\nlink set v0 up\nlink set v1 up\n"+objects("add", 1, stable))
	loop := `while :; do ip -force -batch "$0" >/dev/null 2>&1; done`
	ctx, cancel := context.WithCancel(t.Context())
	churn := exec.CommandContext(ctx, "timeout", "60", "sh", "-c", loop, write(t, objects("add", 150, 50)+objects("del", 150, 50)))
	churn.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	churn.Cancel = func() error { return syscall.Kill(-churn.Process.Pid, syscall.SIGKILL) }
	if err := ns.Do(churn.Start); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = churn.Wait() // it was killed
	}()
	totals := make(map[string]bool)
	for table, sql := range map[string]string{
		"network_addresses": "SELECT (SELECT count(*) FROM network_addresses) AS total, count(*) AS n, count(DISTINCT address) AS several FROM network_addresses WHERE interface = 'v0' AND family = 2 AND CAST(substr(address, 4) AS INTEGER) <= 100",
		"neighbors":         "SELECT (SELECT count(*) FROM neighbors) AS total, count(*) AS n, count(DISTINCT address) AS several FROM neighbors WHERE address LIKE '192.0.2.%' AND CAST(substr(address, 9) AS INTEGER) <= 100",
		"routing_rules":     "SELECT (SELECT count(*) FROM routing_rules) AS total, count(*) AS n, count(DISTINCT priority) AS several FROM routing_rules WHERE priority BETWEEN 1001 AND 1100",
		"nexthops":          "SELECT (SELECT count(*) FROM nexthops) AS total, count(*) AS n, count(DISTINCT id) AS several FROM nexthops WHERE id <= 100",
	} {
		t.Run(table, func(t *testing.T) {
			whole := 0
			for range answers {
				out, err := ns.Command(t.Context(), program, "query", "--json", sql)
				if err != nil {
					if !strings.Contains(err.Error(), "ask again") {
						t.Fatal(err)
					}
					continue
				}
				whole++
				got := decode(t, out)[0]
				totals[table+got[0]["total"]] = true
				want := []tableRow{{"total": got[0]["total"], "n": fmt.Sprint(stable), "several": fmt.Sprint(stable)}}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("want (-), got (+):\n%s", diff)
				}
			}
			if whole == 0 {
				t.Error("no answer was whole")
			}
			t.Logf("%d of %d answers were whole", whole, answers)
		})
	}
	if len(totals) < 8 {
		t.Errorf("little has changed meanwhile: %v", totals)
	}
}
