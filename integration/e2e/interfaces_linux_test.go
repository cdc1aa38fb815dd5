package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// ipLink is an interface of ip -d -s -s link.
type ipLink struct {
	Ifindex     int
	Ifname      string
	Flags       []string
	MTU         int
	Qdisc       string
	Master      string
	Operstate   string
	Txqlen      int
	Link_type   string
	Address     string
	Promiscuity int
	Linkinfo    struct{ Info_kind string }
	Stats64     map[string]map[string]int64
}

// ipCounters are our columns of ip's counters.
var ipCounters = map[string]string{
	"rx_multicast": "multicast", "tx_collisions": "collisions", "tx_carrier_changes": "carrier_changes",
}

func TestInterfacesAgainstIP(t *testing.T) {
	ns := netnstest.New(t)
	network(t, ns)
	agree(t, "ip -s -s link",
		func() (lines []string) {
			all := ipJSON[ipLink](t, ns, "-s", "-s", "link")
			slices.SortFunc(all, func(a, b ipLink) int { return cmp.Compare(a.Ifindex, b.Ifindex) })
			if len(all) < 6 { // more where modules of tunnels are loaded, which have one in each namespace
				t.Fatalf("ip shows %d interfaces", len(all))
			}
			for _, l := range all {
				// Of flags ip adds two and leaves RUNNING out.
				flags := slices.DeleteFunc(l.Flags, func(f string) bool { return f == "NO-CARRIER" || f == "M-DOWN" })
				slices.Sort(flags)
				line := fmt.Sprintf("%d %s %s mtu %d %s %s %s %d %d %s promiscuity %d kind %s", l.Ifindex, l.Ifname, strings.Join(flags, ","), l.MTU, l.Qdisc, l.Master, l.Operstate, l.Txqlen,
					map[string]int{"ether": 1, "loopback": 772}[l.Link_type], l.Address, l.Promiscuity, l.Linkinfo.Info_kind)
				for _, direction := range []string{"rx", "tx"} {
					for _, name := range slices.Sorted(maps.Keys(l.Stats64[direction])) {
						line += fmt.Sprintf(" %s %d", direction+"_"+name, l.Stats64[direction][name])
					}
				}
				lines = append(lines, line)
			}
			return lines
		},
		func() (lines []string) {
			names := make(map[string][]string) // of counters, as ip shows them
			for _, l := range ipJSON[ipLink](t, ns, "-s", "-s", "link") {
				for _, direction := range []string{"rx", "tx"} {
					names[l.Ifname] = append(names[l.Ifname], func() (all []string) {
						for _, name := range slices.Sorted(maps.Keys(l.Stats64[direction])) {
							all = append(all, direction+"_"+name)
						}
						return all
					}()...)
				}
			}
			for _, r := range query(t, ns, "SELECT *, interface_index, qdisc, master, qdisc_length, promiscuity, kind, carrier_changes, flags_number FROM interface_statistics ORDER BY interface_index") {
				flags := slices.DeleteFunc(strings.Split(r["flag_names"], ","), func(f string) bool { return f == "RUNNING" })
				slices.Sort(flags)
				line := fmt.Sprintf("%s %s %s mtu %s %s %s %s %s %s %s promiscuity %s kind %s", r["interface_index"], r["interface"], strings.Join(flags, ","), r["mtu"], r["qdisc"], r["master"], r["state"],
					r["qdisc_length"], r["type"], r["address"], r["promiscuity"], r["kind"])
				for _, name := range names[r["interface"]] {
					line += fmt.Sprintf(" %s %s", name, r[cmp.Or(ipCounters[name], name)])
				}
				lines = append(lines, line)
			}
			return lines
		})
	// Something was counted.
	for _, r := range query(t, ns, "SELECT sum(rx_packets) > 0 AND sum(tx_packets) > 0 AND sum(rx_bytes) > sum(rx_packets) AS counted FROM interface_statistics") {
		if r["counted"] != "1" {
			t.Error("nothing was counted")
		}
	}
}

// What netstat -i prints is a statement away, byte for byte, and in its order.
func TestInterfacesAgainstNetstat(t *testing.T) {
	ns := netnstest.New(t)
	network(t, ns)
	const statement = "SELECT printf('%-15.15s %5d %8d %6d %6d %-6d %8d %6d %6d %6d %s', interface, mtu, rx_ok, rx_err, rx_drp, rx_ovr, tx_ok, tx_err, tx_drp, tx_ovr, iif(flags_number = 0, '[NO FLAGS]', flags)) FROM interface_statistics"
	for flag, where := range map[string]string{"-ia": "", "-i": " WHERE flags LIKE '%U'"} {
		agree(t, "netstat "+flag,
			func() []string { return linesOf(output(t, ns, "netstat", flag), 2) },
			func() []string { return listed(t, ns, statement+where) })
	}
}

func TestInterfaceSourcesAgree(t *testing.T) {
	ns := netnstest.New(t)
	network(t, ns)
	const statement = `SELECT interface, rx_packets, rx_errors, rx_drops, rx_fifo_errors, tx_packets, tx_errors, tx_dropped, tx_fifo_errors, rx_bytes, tx_bytes, multicast, collisions, rx_frame, tx_carrier,
		rx_compressed, tx_compressed FROM interface_statistics`
	for _, proc := range []string{"/proc", onlyProc} {
		agree(t, "/proc/net/dev",
			func() []string { return listed(t, ns, statement) },
			func() []string { return listed(t, ns, "--proc", proc, statement+" WHERE source = 'procfs'") })
	}
	fromOutside(t, ns, "interface_statistics", "*, qdisc, master")
}

// Names, and where other ends are, as ip tells them: in this namespace by their
// name, in others by their number.
func TestInterfaceEndsAgainstIP(t *testing.T) {
	a, b := netnstest.New(t), netnstest.New(t)
	inodeA, inodeB := inodeOf(t, a), inodeOf(t, b)
	keep(t, a)
	batch(t, a, fmt.Sprintf(`link add v0 type veth peer name v1
link property add dev v0 altname other altname another,with
link set v0 alias "cable to v1"
link add w0 index 77 type veth peer name w1
link add x0 type veth peer name x1
link set w1 netns %[1]d
link set x1 netns %[1]d
`, keep(t, b)))
	var want []string
	all := ipJSON[ipEnds](t, a, "link")
	index := make(map[string]int)
	for _, l := range all {
		index[l.Ifname] = l.Ifindex
	}
	for _, l := range all {
		end, where := cmp.Or(l.Link_index, index[l.Link]), inodeA
		if l.Link_netnsid != nil {
			where = inodeB
		}
		line := fmt.Sprintf("%s|%s|%s|", l.Ifname, l.Ifalias, strings.ReplaceAll(strings.Join(l.Altnames, "|"), ",", `\x2c`))
		if line = strings.ReplaceAll(line, "other|another", "other,another"); end != 0 {
			line += fmt.Sprintf("%d|%s", end, where)
		} else {
			line += "|"
		}
		want = append(want, line)
	}
	slices.Sort(want)
	const columns = "SELECT interface || '|' || alias || '|' || altnames || '|' || coalesce(link_index, '') || '|' || link_namespace AS line FROM interface_statistics"
	if diff := gocmp.Diff(want, listed(t, a, columns+" ORDER BY 1")); diff != "" {
		t.Errorf("ip (-), got (+):\n%s", diff)
	}
	// From the other side, and from elsewhere: the ends find each other.
	ends := "SELECT l.interface || '-' || p.interface AS line FROM interface_statistics l JOIN interface_statistics p ON p.net_namespace = l.link_namespace AND p.interface_index = l.link_index" +
		fmt.Sprintf(" WHERE l.net_namespace IN ('%s', '%s') ORDER BY 1", inodeA, inodeB)
	for name, ns := range map[string]*netnstest.NS{"a": a, "b": b, "another": netnstest.New(t)} {
		t.Run(name, func(t *testing.T) {
			want := []string{"v0-v1", "v1-v0", "w0-w1", "w1-w0", "x0-x1", "x1-x0"}
			if diff := gocmp.Diff(want, listed(t, ns, ends)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// ipEnds is what ip -d link prints of an interface's names and ends.
type ipEnds struct {
	Ifindex      int
	Ifname       string
	Ifalias      string
	Altnames     []string
	Link         string
	Link_index   int
	Link_netnsid *int
}

// Speed and duplex are those of sysfs, which has them of interfaces that are up.
func TestInterfaceSpeed(t *testing.T) {
	ns := netnstest.New(t)
	batch(t, ns, `link add v0 type veth peer name v1
link set v0 up
link set v1 up
link add d0 type ifb
link set d0 up
link add w0 type veth peer name w1
link add br0 type bridge
tuntap add dev t0 mode tun
link set t0 up
`)
	const script = `mount -t sysfs sysfs /sys && for i in /sys/class/net/*; do [ -d $i ] || continue
		s=$(cat $i/speed 2>/dev/null); d=$(cat $i/duplex 2>/dev/null); case $s in -1) s=;; esac; case $d in unknown) d=;; esac; echo "${i##*/}|$s|$d"; done | sort`
	agree(t, "sysfs",
		func() []string { return linesOf(output(t, ns, "unshare", "--mount", "sh", "-c", script), 0) },
		func() []string {
			return listed(t, ns, "SELECT interface || '|' || coalesce(speed, '') || '|' || duplex FROM interface_statistics ORDER BY 1")
		})
	got := listed(t, ns, "SELECT interface FROM interface_statistics WHERE speed > 0 ORDER BY 1")
	if !slices.Contains(got, "v0") || slices.Contains(got, "w0") {
		t.Errorf("the speeds of %v are known", got)
	}
}
