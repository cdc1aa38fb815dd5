package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
)

// batch runs commands of ip(8) from its standard input.
func batch(t *testing.T, ns *netnstest.NS, commands string) {
	t.Helper()
	output(t, ns, "sh", "-c", `printf %s "$0" | ip -batch -`, commands)
}

// An interface with as many names as the kernel allows hides neither the others nor
// their names.
func TestInterfaceWithManyNames(t *testing.T) {
	for _, names := range []int{20, 240, 490} {
		t.Run(fmt.Sprint(names), func(t *testing.T) {
			ns := netnstest.New(t)
			commands := "link add big type ifb\nlink add after type ifb\nlink set after up\naddress add 10.7.0.1/24 dev after\n"
			for i := range names {
				commands += fmt.Sprintf("link property add dev big altname a%0124d\n", i)
			}
			batch(t, ns, commands)
			r := queries(t, ns, "/proc",
				"SELECT interface FROM interface_statistics ORDER BY 1",
				"SELECT DISTINCT interface FROM network_routes ORDER BY 1",
				"SELECT interface FROM network_addresses WHERE address = '10.7.0.1'",
				"SELECT count(*) AS interface FROM socket_sources WHERE complete = 0 AND proto = 'dev'")
			row := func(names ...string) (rows []tableRow) {
				for _, n := range names {
					rows = append(rows, tableRow{"interface": n})
				}
				return rows
			}
			for i, want := range [][]tableRow{row("after", "big", "lo"), row("after", "lo"), row("after"), row("0")} {
				if diff := gocmp.Diff(want, r[i]); diff != "" {
					t.Errorf("%d: want (-), got (+):\n%s", i, diff)
				}
			}
			want := strings.Count(output(t, ns, "ip", "-o", "link"), "\n")
			if n := strings.Count(output(t, ns, program, "netstat", "-ia"), "\n") - 2; n != want {
				t.Errorf("netstat shows %d interfaces, ip %d", n, want)
			}
		})
	}
}

// addRoute adds an IPv4 route with that many next hops, more than ip(8) takes.
func addRoute(t *testing.T, ns *netnstest.NS, device string, hops int) {
	t.Helper()
	order := binary.NativeEndian
	var index uint32
	err := ns.Do(func() error {
		link, err := net.InterfaceByName(device)
		if err == nil {
			index = uint32(link.Index)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var multipath []byte
	for i := range hops {
		multipath = order.AppendUint16(multipath, 16)
		multipath = append(multipath, 0, 0)
		multipath = order.AppendUint32(multipath, index)
		multipath = netlink.AppendAttribute(multipath, order, unix.RTA_GATEWAY, []byte{10, 0, byte(i / 250), byte(2 + i%250)})
	}
	body := []byte{unix.AF_INET, 24, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
	body = netlink.AppendAttribute(body, order, unix.RTA_DST, []byte{10, 60, 0, 0})
	change(t, ns, unix.RTM_NEWROUTE, netlink.AppendAttribute(body, order, unix.RTA_MULTIPATH, multipath))
}

// change asks rtnetlink for something that ip(8) cannot ask for.
func change(t *testing.T, ns *netnstest.NS, kind uint16, body []byte) {
	t.Helper()
	order := binary.NativeEndian
	err := ns.Do(func() error {
		request := netlink.AppendHeader(nil, order, kind, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE, 1, len(body))
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Sendto(fd, append(request, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		answer := make([]byte, 1<<17)
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			return err
		}
		if errno := int32(order.Uint32(answer[16:n])); errno != 0 {
			return unix.Errno(-errno)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A route with more next hops than fit into a message hides no other, and what the
// kernel leaves out is said.
func TestRouteWithManyHops(t *testing.T) {
	for _, c := range []struct {
		hops    int
		leftOut string
	}{{500, "0"}, {2500, "1"}} {
		t.Run(fmt.Sprint(c.hops), func(t *testing.T) {
			ns := netnstest.New(t)
			batch(t, ns, "link add d0 type ifb\nlink set d0 up\naddress add 10.0.0.1/16 dev d0\naddress add fd00::1/64 dev d0 nodad\nroute add 10.50.0.0/24 via 10.0.0.2\nroute add 10.70.0.0/24 via 10.0.0.2\n")
			addRoute(t, ns, "d0", c.hops)
			r := queries(t, ns, "/proc",
				"SELECT DISTINCT destination FROM network_routes WHERE family = 2 AND table_id = 254 ORDER BY 1",
				"SELECT count(*) AS n FROM network_routes WHERE destination = '10.60.0.0'",
				"SELECT count(*) AS n FROM socket_sources WHERE complete = 0 AND proto = 'route'")
			want := []tableRow{{"destination": "10.0.0.0"}, {"destination": "10.50.0.0"}, {"destination": "10.60.0.0"}, {"destination": "10.70.0.0"}}
			if diff := gocmp.Diff(want, r[0]); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			hops := fmt.Sprint(c.hops)
			if c.leftOut == "1" {
				hops = "1" // /proc has the first
			}
			if diff := gocmp.Diff([][]tableRow{{{"n": hops}}, {{"n": c.leftOut}}}, r[1:]); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// The same for IPv6, of which /proc has all next hops.
func TestRoute6WithManyHops(t *testing.T) {
	ns := netnstest.New(t)
	commands := "link add d0 type ifb\nlink set d0 up\naddress add fd00::1/64 dev d0 nodad\nroute add fd02::/64 via fd00::2\nroute add fd04::/64 via fd00::2\n"
	for i := range 1500 {
		commands += fmt.Sprintf("route append fd03::/64 via fd00::1:%x dev d0\n", i)
	}
	batch(t, ns, commands)
	r := queries(t, ns, "/proc",
		"SELECT destination, count(*) AS n FROM network_routes WHERE family = 10 AND destination IN ('fd00::', 'fd02::', 'fd03::', 'fd04::') GROUP BY 1",
		"SELECT reason FROM socket_sources WHERE complete = 0 AND proto = 'ipv6_route'")
	want := []tableRow{{"destination": "fd00::", "n": "1"}, {"destination": "fd02::", "n": "1"}, {"destination": "fd03::", "n": "1500"}, {"destination": "fd04::", "n": "1"}}
	if diff := gocmp.Diff(want, r[0]); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if len(r[1]) != 1 || !strings.Contains(r[1][0]["reason"], "the kernel left routes out") {
		t.Errorf("socket_sources says %v", r[1])
	}
}

// A nexthop object with more members than fit into a message hides neither the
// objects before it nor the routes, and what the kernel leaves out is said.
func TestNextHopWithManyMembers(t *testing.T) {
	const members = 4500
	ns := netnstest.New(t)
	var commands strings.Builder
	commands.WriteString("link add d0 type ifb\nlink set d0 up\naddress add 10.0.0.1/16 dev d0\n")
	for i := range members {
		fmt.Fprintf(&commands, "nexthop add id %d via 10.0.%d.%d dev d0\n", i+1, i/250, 2+i%250)
	}
	output(t, ns, "sh", "-c", "ip -batch "+write(t, commands.String()))
	order := binary.NativeEndian
	for id, size := range map[uint32]int{9000: members, 9001: 3} {
		body := []byte{unix.AF_UNSPEC, 0, unix.RTPROT_BOOT, 0, 0, 0, 0, 0} // struct nhmsg
		body = netlink.AppendAttribute(body, order, unix.NHA_ID, order.AppendUint32(nil, id))
		var group []byte
		for i := range size {
			group = append(order.AppendUint32(group, uint32(i+1)), 0, 0, 0, 0)
		}
		change(t, ns, unix.RTM_NEWNEXTHOP, netlink.AppendAttribute(body, order, unix.NHA_GROUP, group))
	}
	batch(t, ns, "route add 10.71.0.0/16 via 10.0.0.2\nroute add 10.72.0.0/16 nhid 7\nroute add 10.73.0.0/16 nhid 9001\n")
	r := queries(t, ns, "/proc",
		"SELECT count(*) AS n FROM nexthops",
		"SELECT destination, count(gateway) AS n FROM network_routes WHERE destination LIKE '10.7_.0.0' GROUP BY 1 ORDER BY 1",
		"SELECT proto FROM socket_sources WHERE complete = 0 AND proto = 'nexthops'")
	want := [][]tableRow{
		{{"n": fmt.Sprint(members)}},
		{{"destination": "10.71.0.0", "n": "1"}, {"destination": "10.72.0.0", "n": "1"}, {"destination": "10.73.0.0", "n": "3"}},
		{{"proto": "nexthops"}},
	}
	if diff := gocmp.Diff(want, r); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// write makes a file for the test and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
