package procnet

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

func testdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// printed returns the lines that netstat printed of the files, without its
// headings.
func printed(t testing.TB, name string, headings int) (lines []string) {
	t.Helper()
	return strings.SplitAfter(strings.TrimSuffix(testdata(t, name), "\n"), "\n")[headings:]
}

// The files in testdata are of a little-endian kernel; netstat printed them at
// the same instant.
func TestRoutesAgainstNetstat(t *testing.T) {
	var got strings.Builder
	routes, err := collect(Routes(strings.NewReader(testdata(t, "route")), sock.INET, binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		var hop network.NextHop
		if len(r.Hops) > 0 {
			hop = r.Hops[0]
		}
		mask := netip.AddrFrom4([4]byte{})
		if b := r.Destination.Bits(); b > 0 {
			mask = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-b))))
		}
		gateway, name, ref := "0.0.0.0", cmp.Or(hop.Name, "*"), fmt.Sprint(r.Kernel[0].Ref)
		metric := func(number int) uint32 { v, _ := r.Metrics.Get(number); return v }
		if hop.Gateway.IsValid() {
			gateway = hop.Gateway.String()
		}
		mss := metric(network.MetricAdvMSS)
		if mss != 0 {
			mss += 40
		}
		rest := fmt.Sprintf("%-5d %-6d %d", mss, metric(network.MetricWindow), metric(network.MetricRTT)/8)
		if flags := r.Kernel[0].Flags; flags&network.FlagReject != 0 {
			gateway, name, ref, rest = "-", "-", "-", "-     -      -"
		}
		fmt.Fprintf(&got, "%-15s %-15s %-15s %-5s %-6d %-3s %6d %-6.6s   %s\n", r.Destination.Addr(), gateway, mask, r.Kernel[0].Flags.Letters(sock.INET), int32(r.Metric),
			ref, r.Kernel[0].Use, name, rest)
	}
	want := strings.Join(printed(t, "netstat-rnee", 2), "") + "\n"
	if single(got.String()) != single(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}

	got.Reset()
	routes, err = collect(Routes(strings.NewReader(testdata(t, "ipv6_route")), sock.INET6, binary.BigEndian)) // the order does not matter
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		gateway := "::"
		if r.Hops[0].Gateway.IsValid() {
			gateway = r.Hops[0].Gateway.String()
		}
		fmt.Fprintf(&got, "%-30s %-26s %-4s %-3d %-1d %6d %s\n", r.Destination, gateway, r.Kernel[0].Flags.Letters(sock.INET6), int32(r.Metric), r.Kernel[0].Ref, r.Kernel[0].Use, r.Hops[0].Name)
	}
	if want := strings.Join(printed(t, "netstat-rn6", 2), "") + "\n"; got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// single takes the widths of columns away.
func single(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}

// The source of an IPv6 route, its type and its router's preference are in
// columns and flags that netstat does not print.
func TestRoute6Details(t *testing.T) {
	routes, err := collect(Routes(strings.NewReader(testdata(t, "ipv6_route")), sock.INET6, binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, r := range routes {
		switch r.Destination.String() {
		case "2001:db8:9::/48":
			if r.Source.String() != "2001:db8:a::/48" {
				t.Errorf("from %v", r.Source)
			}
			found++
		case "::1/128":
			if r.Type != network.Local {
				t.Errorf("%v is of type %v", r.Destination, r.Type)
			}
			found++
		case "::/0":
			if r.Hops[0].Gateway.IsValid() && network.Preference(r.Preference) != "high" {
				t.Errorf("the preference is %d", r.Preference)
			}
			found++
		}
	}
	if found != 6 {
		t.Errorf("found %d routes", found)
	}
}

func TestGroupsAgainstNetstatAndIP(t *testing.T) {
	var got strings.Builder
	byInterface := make(map[string][]string)
	for _, name := range []string{IGMP, IGMP6, DevMcast} {
		t.Run(name, func(t *testing.T) {
			groups, err := collect(Groups(strings.NewReader(testdata(t, name)), name, binary.LittleEndian))
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				if g.Proto != DevMcast {
					fmt.Fprintf(&got, "%-15s %-6d %s\n", g.Interface, g.Users, &g)
				}
				if (g.Querier == "V3") != (g.Proto == IGMP) {
					t.Errorf("%+v: querier", g)
				}
				key := fmt.Sprint(g.Index, g.Interface)
				byInterface[key] = append(byInterface[key], fmt.Sprint(g.Users, " ", &g))
			}
		})
	}
	if want := strings.Join(printed(t, "netstat-gn", 3), "") + "\n"; got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	var all []struct {
		Ifindex int
		Ifname  string
		Maddr   []struct {
			Address, Link string
			Users         int
		}
	}
	if err := json.Unmarshal([]byte(testdata(t, "maddr.json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		var want []string
		for _, a := range i.Maddr {
			want = append(want, fmt.Sprint(max(1, a.Users), " ", cmp.Or(a.Address, a.Link)))
		}
		key := fmt.Sprint(i.Ifindex, i.Ifname)
		got := byInterface[key]
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s\ngot  %v\nwant %v", key, got, want)
		}
		delete(byInterface, key)
	}
	if len(byInterface) > 0 {
		t.Errorf("ip does not show %v", byInterface)
	}
}

// In a big-endian kernel's files the words are as they are read.
func TestBigEndianRoutes(t *testing.T) {
	in := "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
		"eth0\tC0000200\tC6336401\t0003\t0\t0\t-1\tFFFFFF00\t1240\t0\t0\t9\n"
	routes, err := collect(Routes(strings.NewReader(in), sock.INET, binary.BigEndian))
	if err != nil || len(routes) != 1 || routes[0].Destination.String() != "192.0.2.0/24" || routes[0].Hops[0].Gateway.String() != "198.51.100.1" || routes[0].Metric != 1<<32-1 {
		t.Errorf("got %+v, %v", routes, err)
	}
	in = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n12\ta-long-name:     1      V2\n\t\t\t\tE0000001     3 0:00000000\t\t0\n"
	groups, err := collect(Groups(strings.NewReader(in), IGMP, binary.BigEndian))
	if err != nil || len(groups) != 1 || groups[0].String() != "224.0.0.1" || groups[0].Interface != "a-long-name" || groups[0].Index != 12 || groups[0].Users != 3 || groups[0].Querier != "V2" {
		t.Errorf("got %+v, %v", groups, err)
	}
}

// Damage anywhere is an error that says where.
func TestDamagedNetworkLists(t *testing.T) {
	decode := func(name string, in string) (n int, err error) {
		switch name {
		case "route", "ipv6_route":
			family := sock.INET
			if name == "ipv6_route" {
				family = sock.INET6
			}
			routes, err := collect(Routes(strings.NewReader(in), family, binary.LittleEndian))
			return len(routes), err
		}
		groups, err := collect(Groups(strings.NewReader(in), name, binary.LittleEndian))
		return len(groups), err
	}
	for _, name := range []string{"route", "ipv6_route", IGMP, IGMP6, DevMcast} {
		t.Run(name, func(t *testing.T) {
			whole := testdata(t, name)
			if _, err := decode(name, whole); err != nil {
				t.Fatal(err)
			}
			// A field that is garbage.
			for _, line := range slices.Collect(strings.Lines(whole))[:4] {
				if _, err := decode(name, strings.Replace(whole, line, "\t\t\t\tx y z\n", 1)); err == nil {
					t.Errorf("garbage in place of %q passes", line)
				}
			}
		})
	}
	for name, in := range map[string]string{
		"route": "", IGMP: "",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decode(name, in); err == nil {
				t.Errorf("an empty %s passes", name)
			}
		})
	}
	header := strings.SplitAfter(testdata(t, "route"), "\n")[0]
	for what, line := range map[string]string{
		"a mask with a hole": "v0\t00000000\t00000000\t0001\t0\t0\t0\t00FF00FF\t0\t0\t0\n",
		"a long number":      "v0\t00000000\t00000000\t0001\t0\t0\t99999999999\t00FFFFFF\t0\t0\t0\n",
		"two signs":          "v0\t00000000\t00000000\t0001\t0\t0\t--1\t00FFFFFF\t0\t0\t0\n",
		"no metric":          "v0\t00000000\t00000000\t0001\t0\t0\n",
	} {
		t.Run(what, func(t *testing.T) {
			if _, err := decode("route", header+line); err == nil {
				t.Errorf("%s passes", what)
			}
		})
	}
	v6 := strings.SplitAfter(testdata(t, "ipv6_route"), "\n")[0]
	if _, err := decode("ipv6_route", strings.Replace(v6, " 30 ", " 81 ", 1)); err == nil {
		t.Error("a prefix of 129 bits passes")
	}
	if _, err := decode(DevMcast, "2    v1              1     0     33330000000\n"); err == nil {
		t.Error("half a byte passes")
	}
}

func FuzzNetworkLists(f *testing.F) {
	names := []string{"route", "ipv6_route", IGMP, IGMP6, DevMcast}
	for i, name := range names {
		f.Add(uint8(i), []byte(testdata(f, name)))
	}
	f.Fuzz(func(t *testing.T, list uint8, b []byte) {
		switch name := names[int(list)%len(names)]; name {
		case "route", "ipv6_route":
			family := sock.INET
			if name == "ipv6_route" {
				family = sock.INET6
			}
			for r, err := range Routes(bytes.NewReader(b), family, binary.LittleEndian) {
				if err == nil && (!r.Destination.IsValid() || len(r.Kernel) != 1 || len(r.Hops) > 1) {
					t.Errorf("%+v", r)
				}
			}
		default:
			for g, err := range Groups(bytes.NewReader(b), name, binary.LittleEndian) {
				if err == nil && (len(g.Address) == 0 || g.String() == "") {
					t.Errorf("%+v", g)
				}
			}
		}
	})
}
