package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

func TestGroupsAgainstNetstatAndIP(t *testing.T) {
	ns := netnstest.New(t)
	network(t, ns)
	// Two sockets are members of one group.
	for range 2 {
		err := ns.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			t.Cleanup(func() { unix.Close(fd) })
			return unix.SetsockoptIPMreq(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreq{Multiaddr: [4]byte{239, 1, 2, 3}, Interface: [4]byte{10, 1, 0, 1}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	agree(t, "netstat -gn",
		func() []string { return linesOf(output(t, ns, "netstat", "-gn"), 3) },
		func() []string {
			return listed(t, ns, "SELECT printf('%-15s %-6d %s', interface, refcnt, group_address) FROM multicast_groups WHERE family > 0")
		})
	agree(t, "ip maddr",
		func() (lines []string) {
			for _, i := range ipJSON[struct {
				Ifindex int
				Ifname  string
				Maddr   []struct {
					Family, Address, Link string
					Users                 int
				}
			}](t, ns, "maddr") {
				for _, a := range i.Maddr {
					lines = append(lines, fmt.Sprint(i.Ifindex, " ", i.Ifname, " ", a.Family, " ", cmp.Or(a.Address, a.Link), " ", max(1, a.Users)))
				}
			}
			slices.Sort(lines)
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, " v0 inet 239.1.2.3 2") }) {
				t.Fatalf("ip does not show the group with two members: %v", lines)
			}
			return lines
		},
		func() []string {
			lines := listed(t, ns, "SELECT interface_index || ' ' || interface || ' ' || CASE family WHEN 2 THEN 'inet' WHEN 10 THEN 'inet6' ELSE '' END || ' ' || group_address || ' ' || users FROM multicast_groups")
			slices.Sort(lines)
			return lines
		})
	fromOutside(t, ns, "multicast_groups", "*, family, querier")
}
