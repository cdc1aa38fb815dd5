package rtnetlink

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// captured returns the messages of a dump that a little-endian kernel gave.
func captured(t testing.TB, name string) (all []netlink.Message) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	done := false
	for m, err := range netlink.Messages(b, binary.LittleEndian) {
		if err != nil {
			t.Fatal(err)
		}
		if done = m.Done; !done {
			all = append(all, m)
		}
	}
	if !done {
		t.Errorf("%s has no end", name)
	}
	return all
}

// printed decodes what ip -json printed in the same namespace.
func printed[T any](t testing.TB, name string) (v []T) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// ipLink is an interface of ip -d -s -s link.
type ipLink struct {
	Index     uint32   `json:"ifindex"`
	Name      string   `json:"ifname"`
	Flags     []string `json:"flags"`
	MTU       uint32   `json:"mtu"`
	Qdisc     string   `json:"qdisc"`
	Master    string   `json:"master"`
	State     string   `json:"operstate"`
	Length    uint32   `json:"txqlen"`
	LinkType  string   `json:"link_type"`
	Address   string   `json:"address"`
	Promisc   uint32   `json:"promiscuity"`
	Linkinfo  struct{ Info_kind string }
	Stats64   map[string]map[string]int64
	Broadcast string
}

// ipHop is a next hop of ip route, and ipRoute a route.
type ipHop struct {
	Gateway string
	Via     struct{ Host string }
	Dev     string
	Flags   []string
	Weight  uint16
}

type ipRoute struct {
	ipHop
	Type, Dst, From, Tos, Table, Protocol, Scope, Prefsrc, Pref string
	Metric, NHID                                                uint32
	Expires                                                     int32
	Metrics                                                     []map[string]uint32
	Nexthops                                                    []ipHop
}

// line writes the route as routeLine does.
func (r *ipRoute) line(index map[string]uint32) string {
	prefix := func(s string) string {
		bits, zero := 32, "0.0.0.0/0"
		if strings.Contains(r.Dst, ":") || r.Pref != "" {
			bits, zero = 128, "::/0"
		}
		switch {
		case s == "default" || s == "":
			return zero
		case !strings.Contains(s, "/"):
			return fmt.Sprintf("%s/%d", s, bits)
		}
		return s
	}
	if r.Tos == "" {
		r.Tos = "0"
	}
	tos, _ := strconv.ParseUint(r.Tos, 0, 8)
	hops := r.Nexthops
	if hops == nil && (r.Dev != "" || r.Gateway != "") {
		hops = []ipHop{r.ipHop}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s from %s tos %d table %s proto %s scope %s src %s metric %d nhid %d pref %s expires %v", cmp.Or(r.Type, "unicast"), prefix(r.Dst), prefix(r.From), tos,
		cmp.Or(r.Table, "main"), cmp.Or(r.Protocol, "boot"), cmp.Or(r.Scope, "global"), r.Prefsrc, r.Metric, r.NHID, r.Pref, r.Expires != 0)
	for _, h := range hops {
		fmt.Fprintf(&b, " via %s dev %d weight %d %s", cmp.Or(h.Gateway, h.Via.Host), index[h.Dev], h.Weight, strings.Join(h.Flags, " "))
	}
	for _, name := range []string{"mtu", "window", "rtt", "advmss", "hoplimit"} {
		value := uint32(0)
		for _, m := range r.Metrics {
			value += m[name]
		}
		fmt.Fprintf(&b, " %s %d", name, value)
	}
	return b.String()
}

func routeLine(r *network.Route) string {
	addr := func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	}
	pref := ""
	if r.HasPreference {
		pref = network.Preference(r.Preference)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s from %s tos %d table %s proto %s scope %s src %s metric %d nhid %d pref %s expires %v", r.Type, r.Destination, r.Source, r.TOS,
		cmp.Or(network.TableName(r.Table), fmt.Sprint(r.Table)), r.Protocol, r.Scope, addr(r.PreferredSource), r.Metric, r.NextHopID, pref, r.Expiring)
	for _, h := range r.Hops {
		fmt.Fprintf(&b, " via %s dev %d weight %d %s", addr(h.Gateway), h.Interface, h.Weight, h.Flags)
	}
	for _, m := range []struct {
		name   string
		number int
		scale  uint32
	}{{"mtu", network.MetricMTU, 1}, {"window", network.MetricWindow, 1}, {"rtt", network.MetricRTT, 8}, {"advmss", network.MetricAdvMSS, 1}, {"hoplimit", network.MetricHopLimit, 1}} {
		value, _ := r.Metrics.Get(m.number)
		fmt.Fprintf(&b, " %s %d", m.name, value/m.scale)
	}
	return b.String()
}

// The captures hold routes of every kind that ip can make; beside them is what
// ip -json route show table all printed then.
func TestRoutesAgainstIP(t *testing.T) {
	index := make(map[string]uint32)
	for _, l := range printed[ipLink](t, "link.json") {
		index[l.Name] = l.Index
	}
	for name, family := range map[string]sock.Family{"route4": sock.INET, "route6": sock.INET6} {
		t.Run(name, func(t *testing.T) {
			want := printed[ipRoute](t, name+".json")
			types := make(map[network.RouteType]bool)
			n := 0
			for _, m := range captured(t, name+".rtnl") {
				var r network.Route
				ok, err := Route(m.Type, m.Payload, binary.LittleEndian, family, &r)
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					continue
				}
				if n == len(want) {
					t.Fatalf("more routes than the %d of ip", n)
				}
				w := want[n]
				n++
				if got, want := routeLine(&r), w.line(index); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				// ip was asked a moment later.
				if d := r.Expires - w.Expires; d < 0 || d > 5 {
					t.Errorf("%v expires in %d s, ip says %d", r.Destination, r.Expires, w.Expires)
				}
				types[r.Type] = true
				// No other family's.
				if ok, err := Route(m.Type, m.Payload, binary.LittleEndian, sock.INET+sock.INET6-family, &r); ok || err != nil {
					t.Errorf("a route of family %d is one of another: %v", family, err)
				}
			}
			if n != len(want) || len(types) < 6 {
				t.Errorf("%d routes of %d types, ip shows %d", n, len(types), len(want))
			}
		})
	}
}

// The counters of ip, by the direction and the name there.
var counters = map[string]int{
	"rx bytes": network.RxBytes, "rx packets": network.RxPackets, "rx errors": network.RxErrors, "rx dropped": network.RxDropped,
	"rx over_errors": network.RxOverErrors, "rx multicast": network.MulticastPackets, "rx length_errors": network.RxLengthErrors,
	"rx crc_errors": network.RxCRCErrors, "rx frame_errors": network.RxFrameErrors, "rx fifo_errors": network.RxFIFOErrors,
	"rx missed_errors": network.RxMissedErrors, "rx nohandler": network.RxNoHandler,
	"tx bytes": network.TxBytes, "tx packets": network.TxPackets, "tx errors": network.TxErrors, "tx dropped": network.TxDropped,
	"tx carrier_errors": network.TxCarrierErrors, "tx collisions": network.Collisions, "tx aborted_errors": network.TxAbortedErrors,
	"tx fifo_errors": network.TxFIFOErrors, "tx window_errors": network.TxWindowErrors, "tx heartbeat_errors": network.TxHeartbeatErrors,
}

func TestLinksAgainstIP(t *testing.T) {
	want := printed[ipLink](t, "link.json")
	messages := captured(t, "link.rtnl")
	if len(messages) != len(want) {
		t.Fatalf("%d interfaces, ip shows %d", len(messages), len(want))
	}
	index := map[string]uint32{"": 0}
	for _, l := range want {
		index[l.Name] = l.Index
	}
	types := map[string]uint16{"loopback": 772, "ether": 1}
	dropped := int64(0)
	for i, m := range messages {
		var l network.Link
		if ok, err := Link(m.Type, m.Payload, binary.LittleEndian, &l); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w := want[i]
		got := fmt.Sprintln(l.Index, l.Name, l.MTU, l.Queueing, l.Master, l.State, l.QueueLength, l.Type, network.HardwareAddress(l.Address), l.Promiscuity, l.Kind)
		if want := fmt.Sprintln(w.Index, w.Name, w.MTU, w.Qdisc, index[w.Master], w.State, network.Number{Value: w.Length, Known: true}, types[w.LinkType], w.Address,
			network.Number{Value: w.Promisc, Known: true}, w.Linkinfo.Info_kind); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for _, flag := range w.Flags {
			if has := slices.Contains(strings.Split(l.Flags.String(), ","), flag); !has && flag != "NO-CARRIER" && flag != "M-DOWN" {
				t.Errorf("%s: %s lacks %s", l.Name, l.Flags, flag)
			}
		}
		compared := 0
		for direction, numbers := range w.Stats64 {
			for name, value := range numbers {
				if name == "carrier_changes" {
					if l.CarrierChanges != (network.Number{Value: uint32(value), Known: true}) {
						t.Errorf("%s: %v carrier changes, want %d", l.Name, l.CarrierChanges, value)
					}
					continue
				}
				number, known := counters[direction+" "+name]
				if got, ok := l.Counters.Get(number); !known || !ok || got != value {
					t.Errorf("%s: %s %s is %d, %v, want %d", l.Name, direction, name, got, ok, value)
				}
				compared++
			}
		}
		if compared < 21 {
			t.Errorf("%s: only %d counters of ip", l.Name, compared)
		}
		d, _ := l.Counters.Get(network.RxDrops)
		dropped += d
	}
	if dropped != 5 {
		t.Errorf("%d packets were dropped, want 5", dropped)
	}
}

// The fields of struct rtnl_link_stats64 are told apart by numbers of their own,
// and those that an older kernel lacks are not known.
func TestCounters(t *testing.T) {
	message := func(counters int) []byte {
		stats := make([]byte, 8*counters)
		for i := range counters {
			binary.BigEndian.PutUint64(stats[8*i:], uint64(i)+100)
		}
		b := make([]byte, linkSize)
		binary.BigEndian.PutUint32(b[4:], 7)
		b = netlink.AppendAttribute(b, binary.BigEndian, linkName, []byte("eth0\x00"))
		return netlink.AppendAttribute(b, binary.BigEndian, linkStats64, stats)
	}
	for _, n := range []int{23, 24, 25, 40} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var l network.Link
			if ok, err := Link(typeNewLink, message(n), binary.BigEndian, &l); !ok || err != nil || l.Index != 7 || l.Name != "eth0" {
				t.Fatal(l, ok, err)
			}
			for i := range network.RxOtherHostDropped + 1 {
				if got, ok := l.Counters.Get(i); ok != (i < n) || ok && got != int64(i)+100 {
					t.Errorf("%d counters: counter %d is %d, %v", n, i, got, ok)
				}
			}
			for sum, want := range map[int]int64{network.RxDrops: 106 + 115, network.RxFrame: 110 + 111 + 112 + 113, network.TxCarrier: 117 + 116 + 120 + 119} {
				if got, ok := l.Counters.Get(sum); !ok || got != want {
					t.Errorf("%d counters: sum %d is %d, %v, want %d", n, sum, got, ok, want)
				}
			}
		})
	}
	var l network.Link
	if ok, err := Link(typeNewLink, message(22), binary.BigEndian, &l); ok || !errors.Is(err, netlink.ErrShort) {
		t.Errorf("22 counters: %v, %v", ok, err)
	}
	l.Counters.Set(network.RxBytes, 1<<63)
	if v, ok := l.Counters.Get(network.RxBytes); ok {
		t.Errorf("2^63 is %d", v)
	}
}

// A big-endian route with everything that the capture lacks.
func TestBigEndianRoute(t *testing.T) {
	order := binary.BigEndian
	attribute := func(b []byte, kind uint16, value ...byte) []byte {
		return netlink.AppendAttribute(b, order, kind, value)
	}
	metrics := attribute(nil, network.MetricCongestion, 'b', 'b', 'r', 0)
	metrics = attribute(metrics, network.MetricInitCwnd, 0, 0, 0, 10)
	metrics = attribute(metrics, 200, 1) // of a later kernel
	b := []byte{2, 24, 0, 0x10, 252, 186, 253, 1, 0, 0, 0, 0x11}
	b = attribute(b, routeDst, 192, 0, 2, 0)
	b = attribute(b, routeTable, 0, 1, 0, 0)
	b = attribute(b, routeOIF, 0, 0, 0, 3)
	b = attribute(b, routeFlow, 0, 1, 0, 2)
	b = attribute(b, routeMetrics, metrics...)
	b = attribute(b, routeEncapType, 0, 1)
	b = attribute(b, 999, 1, 2, 3)
	var r network.Route
	if ok, err := Route(typeNewRoute, b, order, sock.INET, &r); !ok || err != nil {
		t.Fatal(ok, err)
	}
	initcwnd, _ := r.Metrics.Get(network.MetricInitCwnd)
	got := fmt.Sprint(r.Destination, r.Table, r.TOS, r.Protocol, r.Scope, r.Type, r.Realm, r.Metrics.Congestion, initcwnd, r.Hops[0].Interface, r.Hops[0].Flags, r.Hops[0].Encap)
	if want := "192.0.2.0/24 65536 16 bgp link unicast 65538bbr10 3 dead linkdown mpls"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b[8+2] |= flagCloned >> 8
	if ok, err := Route(typeNewRoute, b, order, sock.INET, &r); ok || err != nil {
		t.Errorf("a clone: %v, %v", ok, err)
	}
}

func TestDamage(t *testing.T) {
	order := binary.LittleEndian
	header := []byte{2, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0}
	with := func(kind uint16, value ...byte) []byte {
		return netlink.AppendAttribute(bytes.Clone(header), order, kind, value)
	}
	long := bytes.Clone(header)
	long[1] = 33
	for name, b := range map[string][]byte{
		"no header":          header[:11],
		"long prefix":        long,
		"short destination":  with(routeDst, 1, 2, 3),
		"IPv6 destination":   with(routeDst, make([]byte, 16)...),
		"short metric":       with(routePriority, 1),
		"short interface":    with(routeOIF, 1, 2),
		"short hop":          with(routeMultipath, 1, 2, 3),
		"hop beyond its end": with(routeMultipath, 9, 0, 0, 0, 1, 0, 0, 0),
		"hop of no length":   with(routeMultipath, 0, 0, 0, 0, 1, 0, 0, 0),
		"short cacheinfo":    with(routeCacheInfo, 1, 2, 3, 4),
		"short metrics":      with(routeMetrics, 5, 0, 2, 0, 1),
		"attribute too long": append(bytes.Clone(header), 40, 0, 1, 0),
	} {
		t.Run(name, func(t *testing.T) {
			var r network.Route
			if ok, err := Route(typeNewRoute, b, order, sock.INET, &r); ok || err == nil {
				t.Errorf("%v", r)
			}
		})
	}
	var l network.Link
	for name, b := range map[string][]byte{"short": make([]byte, 15), "no name": make([]byte, 16)} {
		t.Run(name, func(t *testing.T) {
			if ok, err := Link(typeNewLink, b, order, &l); ok || err == nil {
				t.Errorf("%v", l)
			}
		})
	}
}

// Each cut of a captured message is an error or a route, never a panic; so is
// each message whatever its bytes.
func FuzzRoute(f *testing.F) {
	for name, family := range map[string]sock.Family{"route4.rtnl": sock.INET, "route6.rtnl": sock.INET6} {
		for _, m := range captured(f, name) {
			f.Add(m.Payload, uint8(family), false)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, family uint8, big bool) {
		var r network.Route
		ok, err := Route(typeNewRoute, b, orderOf(big), sock.Family(family), &r)
		if ok && (err != nil || !r.Destination.IsValid() || !r.Source.IsValid()) {
			t.Errorf("%+v, %v", r, err)
		}
		for i := range r.Hops {
			_ = r.ID(i)
		}
		_, _ = r.FlagsOf(0)
	})
}

func FuzzLink(f *testing.F) {
	for _, m := range captured(f, "link.rtnl") {
		f.Add(m.Payload, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var l network.Link
		if ok, err := Link(typeNewLink, b, orderOf(big), &l); ok != (err == nil) || ok && l.Name == "" {
			t.Errorf("%+v, %v, %v", l, ok, err)
		}
	})
}

func orderOf(big bool) binary.ByteOrder {
	if big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// The requests are those that ip sends, but for its filters.
func TestRequests(t *testing.T) {
	for _, c := range []struct {
		name string
		got  []byte
		want []byte
	}{
		{"routes", (&RouteRequest{sock.INET6}).Append(nil, binary.LittleEndian, 9), append([]byte{28, 0, 0, 0, 26, 0, 1, 3, 9, 0, 0, 0, 0, 0, 0, 0, 10}, make([]byte, 11)...)},
		{"links", LinkRequest{}.Append(nil, binary.BigEndian, 9), append(append([]byte{0, 0, 0, 40, 0, 18, 3, 1, 0, 0, 0, 9, 0, 0, 0, 0}, make([]byte, 16)...), 0, 8, 0, 29, 0, 0, 0, 4)},
		{"addresses", AddressRequest{}.Append(nil, binary.LittleEndian, 9), append([]byte{24, 0, 0, 0, 22, 0, 1, 3, 9, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !bytes.Equal(c.got, c.want) {
				t.Errorf("got  %x\nwant %x", c.got, c.want)
			}
		})
	}
}
