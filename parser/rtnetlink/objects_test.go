package rtnetlink

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// printedAs is what ip prints of an object.
type printedAs = map[string]any

// devices are the interfaces of the namespace of the captures.
var devices = map[uint32]string{1: "lo", 2: "v1", 3: "v0"}

// decoded decodes the captures, whose messages all are objects.
func decoded[T any](t *testing.T, decode func(netlink.Message, *T) (bool, error), captures ...string) (all []T) {
	t.Helper()
	for _, name := range captures {
		for _, m := range captured(t, name) {
			var v T
			if ok, err := decode(m, &v); !ok || err != nil {
				t.Fatalf("%s: %v, %v", name, ok, err)
			}
			all = append(all, v)
		}
	}
	return all
}

// set adds what is not zero.
func (p printing) set(key string, value any, isSet bool) {
	if isSet {
		p[key] = value
	}
}

type printing map[string]any

func words(s string) []any {
	all := []any{}
	for w := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == ',' }) {
		all = append(all, w)
	}
	return all
}

func TestNextHopsAgainstIP(t *testing.T) {
	var got []printedAs
	for _, o := range decoded(t, func(m netlink.Message, o *network.NextHopObject) (bool, error) {
		return NextHop(m.Type, m.Payload, binary.LittleEndian, o)
	}, "nexthop.rtnl") {
		p := printing{"id": float64(o.ID), "scope": o.Scope.String(), "protocol": o.Protocol.String(), "flags": words(o.Hop.Flags.String())}
		p.set("gateway", o.Hop.Gateway.String(), o.Hop.Gateway.IsValid())
		p.set("dev", devices[o.Hop.Interface], o.Hop.Interface != 0)
		p.set("blackhole", nil, o.Blackhole)
		p.set("fdb", nil, o.FDB)
		var group []any
		for _, m := range o.Group {
			member := printing{"id": float64(m.ID)}
			member.set("weight", float64(m.Weight), m.Weight != 1)
			group = append(group, map[string]any(member))
		}
		p.set("group", group, group != nil)
		p.set("type", "resilient", o.Resilient)
		p.set("resilient_args", map[string]any{"buckets": float64(o.Buckets), "idle_timer": o.IdleTimer.Seconds(), "unbalanced_timer": o.UnbalancedTimer.Seconds(), "unbalanced_time": o.Unequal.Seconds()}, o.Resilient)
		p.set("encap", o.Hop.Encap.String(), o.Hop.Encap != 0)
		got = append(got, printedAs(p))
	}
	want := printed[printedAs](t, "nexthop.json")
	for _, w := range want {
		if w["encap"] == "ip" { // whose own attributes have the same names
			w["id"] = float64(33)
			for _, key := range []string{"src", "dst", "ttl", "tos"} {
				delete(w, key)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 13 {
		t.Errorf("%d, ip (-), got (+):\n%s", len(want), diff)
	}
}

func TestNeighborsAgainstIP(t *testing.T) {
	var got []printedAs
	for _, n := range decoded(t, func(m netlink.Message, n *network.Neighbor) (bool, error) {
		return Neighbor(m.Type, m.Payload, binary.LittleEndian, n)
	}, "neighbor.rtnl", "proxy.rtnl") {
		if n.State.String() == "NOARP" {
			continue // which ip shows to those who ask for them
		}
		p := printing{"dst": n.Address.String(), "dev": devices[n.Interface]}
		for flag := range strings.FieldsFuncSeq(n.Flags.String(), func(r rune) bool { return r == ',' }) {
			p[flag] = nil
		}
		var address []string
		for _, b := range n.LinkAddress {
			address = append(address, fmt.Sprintf("%02x", b))
		}
		p.set("lladdr", strings.Join(address, ":"), address != nil)
		p.set("refcnt", float64(n.References), n.References != 0)
		if n.HasTimes {
			p["used"], p["confirmed"], p["updated"], p["probes"] = float64(n.Used/1000), float64(n.Confirmed/1000), float64(n.Updated/1000), float64(n.Probes)
			p["state"] = []any{n.State.String()}
		}
		p.set("protocol", n.Protocol.String(), n.Protocol != 0)
		got = append(got, printedAs(p))
	}
	if diff := cmp.Diff(printed[printedAs](t, "neighbor.json"), got); diff != "" || len(got) < 9 {
		t.Errorf("%d, ip (-), got (+):\n%s", len(got), diff)
	}
}

func TestRulesAgainstIP(t *testing.T) {
	for _, c := range []struct {
		name   string
		family sock.Family
		least  int
	}{{"rule4", sock.INET, 18}, {"rule6", sock.INET6, 5}} {
		t.Run(c.name, func(t *testing.T) {
			var got []printedAs
			for _, r := range decoded(t, func(m netlink.Message, r *network.Rule) (bool, error) {
				return Rule(m.Type, m.Payload, binary.LittleEndian, c.family, r)
			}, c.name+".rtnl") {
				got = append(got, printedRule(&r))
			}
			if diff := cmp.Diff(printed[printedAs](t, c.name+".json"), got); diff != "" || len(got) < c.least {
				t.Errorf("%d, ip (-), got (+):\n%s", len(got), diff)
			}
		})
	}
}

func printedRule(r *network.Rule) printedAs {
	p := printing{"priority": float64(r.Priority), "protocol": r.Protocol.String(), "src": "all"}
	if r.Source.IsValid() {
		p["src"] = r.Source.Addr().String()
		p.set("srclen", float64(r.Source.Bits()), !r.Source.IsSingleIP())
	}
	if r.Destination.IsValid() {
		p["dst"] = r.Destination.Addr().String()
		p.set("dstlen", float64(r.Destination.Bits()), !r.Destination.IsSingleIP())
	}
	p.set("not", nil, r.Inverted)
	p.set("iif", r.Input, r.Input != "")
	p.set("oif", r.Output, r.Output != "")
	p.set("tos", fmt.Sprintf("%#x", r.TOS), r.TOS != 0)
	p.set("fwmark", fmt.Sprintf("%#x", r.Mark), r.Mask != 0)
	p.set("fwmask", fmt.Sprintf("%#x", r.Mask), r.Mask != 0 && r.Mask != 1<<32-1)
	p.set("ipproto", map[uint8]string{6: "tcp"}[r.IPProtocol], r.IPProtocol != 0)
	ports := func(key string, ports sock.PortRange) {
		switch {
		case ports == sock.PortRange{}:
		case ports.Low == ports.High:
			p[key] = float64(ports.Low)
		default:
			p[key+"_start"], p[key+"_end"] = float64(ports.Low), float64(ports.High)
		}
	}
	ports("sport", r.SourcePorts)
	ports("dport", r.DestinationPorts)
	if r.HasUsers {
		p["uid_start"], p["uid_end"] = float64(r.FirstUser), float64(r.LastUser)
	}
	p.set("tun_id", float64(r.TunnelID), r.TunnelID != 0)
	p.set("l3mdev", nil, r.VRF)
	p.set("suppress_prefixlen", float64(r.SuppressPrefix), r.HasSuppressPrefix)
	p.set("suppress_ifgroup", strconv.Itoa(int(r.SuppressGroup)), r.HasSuppressGroup)
	p.set("flow_from", strconv.Itoa(int(r.Realm>>16)), r.Realm>>16 != 0)
	p.set("flow_to", strconv.Itoa(int(r.Realm&0xffff)), r.Realm&0xffff != 0)
	switch r.Action.String() {
	case "lookup":
		table := network.TableName(r.Table)
		if table == "" {
			table = strconv.Itoa(int(r.Table))
		}
		p.set("table", table, !r.VRF)
	case "goto":
		p["goto"] = float64(r.Goto)
	case "nop":
		p["nop"] = nil
	default:
		p["action"] = r.Action.String()
	}
	return printedAs(p)
}

// The weight of a member has had a second byte since Linux 6.12.
func TestWeights(t *testing.T) {
	b := make([]byte, nextHopSize)
	b = netlink.AppendAttribute(b, binary.LittleEndian, nextHopGroup, []byte{1, 0, 0, 0, 0x2b, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0})
	var o network.NextHopObject
	if ok, err := NextHop(typeNewNextHop, b, binary.LittleEndian, &o); !ok || err != nil || o.Members() != "1,300/2" {
		t.Errorf("%v, %v, %s", ok, err, o.Members())
	}
}

func FuzzObjects(f *testing.F) {
	for kind, name := range []string{"nexthop.rtnl", "neighbor.rtnl", "proxy.rtnl", "rule4.rtnl", "rule6.rtnl"} {
		for _, m := range captured(f, name) {
			f.Add(m.Payload, byte(kind), false)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, kind byte, big bool) {
		order := orderOf(big)
		switch kind % 5 {
		case 0:
			var o network.NextHopObject
			if ok, err := NextHop(typeNewNextHop, b, order, &o); ok != (err == nil) {
				t.Errorf("%v, %v", ok, err)
			}
		case 1, 2:
			var n network.Neighbor
			if ok, err := Neighbor(typeNewNeighbor, b, order, &n); ok && (err != nil || (n.Family == sock.INET) != n.Address.Is4()) {
				t.Errorf("%v, %+v", err, n)
			}
		default:
			var r network.Rule
			family := sock.INET
			if kind%5 == 4 {
				family = sock.INET6
			}
			if ok, err := Rule(typeNewRule, b, order, family, &r); ok && (err != nil || r.Family != family) {
				t.Errorf("%v, %+v", err, r)
			}
		}
	})
}
