package rtnetlink

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// ipAddresses is an interface of ip -d address.
type ipAddresses struct {
	Index     uint32           `json:"ifindex"`
	Addresses []map[string]any `json:"addr_info"`
}

// Every attribute that ip prints of an address is decoded, and no other.
func TestAddressesAgainstIP(t *testing.T) {
	var want []map[string]any
	for _, l := range printed[ipAddresses](t, "address.json") {
		for _, a := range l.Addresses {
			a["index"] = float64(l.Index)
			want = append(want, a)
		}
	}
	var got []map[string]any
	for _, m := range captured(t, "address.rtnl") {
		var a network.Address
		if ok, err := Address(m.Type, m.Payload, binary.LittleEndian, &a); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		got = append(got, asPrinted(&a))
	}
	for _, all := range [][]map[string]any{want, got} {
		slices.SortFunc(all, func(a, b map[string]any) int {
			key := func(m map[string]any) string {
				return strconv.Itoa(int(m["index"].(float64))) + m["local"].(string)
			}
			return strings.Compare(key(a), key(b))
		})
	}
	if len(want) < 14 {
		t.Errorf("only %d addresses", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ip (-), got (+):\n%s", diff)
	}
}

// asPrinted is an address as ip prints it.
func asPrinted(a *network.Address) map[string]any {
	seconds := func(d time.Duration) float64 {
		if d == network.Forever {
			return 1<<32 - 1
		}
		return d.Seconds()
	}
	m := map[string]any{
		"index": float64(a.Interface), "family": "inet", "local": a.Prefix.Addr().String(), "prefixlen": float64(a.Prefix.Bits()),
		"scope": a.Scope.String(), "valid_life_time": seconds(a.Valid), "preferred_life_time": seconds(a.Preferred),
	}
	if a.Family == sock.INET6 {
		m["family"] = "inet6"
	}
	if a.Peer.IsValid() {
		m["address"] = a.Peer.Addr().String()
	}
	if a.Broadcast.IsValid() {
		m["broadcast"] = a.Broadcast.String()
	}
	if a.Label != "" {
		m["label"] = a.Label
	}
	if a.Metric != 0 {
		m["metric"] = float64(a.Metric)
	}
	permanent := false
	for flag := range strings.SplitSeq(a.Flags.Names(a.Family), ",") {
		switch flag {
		case "":
		case "permanent":
			permanent = true
		default:
			m[flag] = true
		}
	}
	if !permanent {
		m["dynamic"] = true
	}
	return m
}

// A peer's address is no address of this host, whatever comes first.
func TestDamagedAddress(t *testing.T) {
	order := binary.LittleEndian
	for name, c := range map[string]struct {
		b    []byte
		ok   bool
		fail string
	}{
		"another family":    {[]byte{17, 0, 0, 0, 1, 0, 0, 0}, false, ""},
		"short":             {[]byte{2, 24, 0, 0, 1, 0, 0}, false, "struct ifaddrmsg of 7 bytes"},
		"without address":   {[]byte{2, 24, 0, 0, 1, 0, 0, 0}, false, "with a prefix of 24 bits"},
		"prefix too long":   {[]byte{2, 33, 0, 0, 1, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 1}, false, "10.0.0.1 with a prefix of 33 bits"},
		"address too short": {[]byte{10, 64, 0, 0, 1, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 1}, false, "address of 4 bytes, want 16"},
		"whole":             {[]byte{2, 8, 0, 0, 1, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 1}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var a network.Address
			ok, err := Address(typeNewAddress, c.b, order, &a)
			if ok != c.ok || (err != nil) != (c.fail != "") || err != nil && !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%v, %v", ok, err)
			}
			if ok && a.Prefix != netip.MustParsePrefix("10.0.0.1/8") {
				t.Errorf("%v", a.Prefix)
			}
		})
	}
	var a network.Address
	if ok, err := Address(typeNewLink, nil, order, &a); ok || err != nil {
		t.Errorf("an interface: %v, %v", ok, err)
	}
}

func FuzzAddress(f *testing.F) {
	for _, m := range captured(f, "address.rtnl") {
		f.Add(m.Payload, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var a network.Address
		ok, err := Address(typeNewAddress, b, orderOf(big), &a)
		if ok && (err != nil || !a.Prefix.IsValid() || (a.Family == sock.INET) != a.Prefix.Addr().Is4()) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
