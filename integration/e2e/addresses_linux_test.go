package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
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
