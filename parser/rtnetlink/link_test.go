package rtnetlink

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
)

// nested appends an attribute of attributes.
func nested(b []byte, order binary.ByteOrder, kind uint16, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return netlink.AppendAttribute(b, order, kind, all)
}

// Names, other ends and the table of a VRF, in nested attributes of a big-endian
// kernel.
func TestLinkAttributes(t *testing.T) {
	order := binary.BigEndian
	attribute := func(kind uint16, value ...byte) []byte {
		return netlink.AppendAttribute(nil, order, kind, value)
	}
	text := func(kind uint16, s string) []byte { return attribute(kind, append([]byte(s), 0)...) }
	link := func(attributes ...[]byte) []byte {
		b := make([]byte, linkSize)
		b = append(b, text(linkName, "a")...)
		for _, a := range attributes {
			b = append(b, a...)
		}
		return b
	}
	const typeNested = 0x8000 // NLA_F_NESTED
	for _, c := range []struct {
		name string
		b    []byte
		want network.Link
	}{
		{"alias", link(text(linkAlias, "up, and\x1b")), network.Link{Alias: "up, and\x1b"}},
		{"altnames", link(nested(nil, order, linkProperties|typeNested, text(linkAltName, "b"), text(77, "x"), text(linkAltName, "c,d"))), network.Link{AltNames: []string{"b", "c,d"}}},
		{"lower", link(attribute(linkLower, 0, 0, 0, 7)), network.Link{Lower: 7}},
		{"lower elsewhere", link(attribute(linkLower, 0, 0, 0, 7), attribute(linkLowerNamespace, 0, 0, 0, 0)), network.Link{Lower: 7, LowerElsewhere: true}},
		{"lower unknown", link(attribute(linkLowerNamespace, 255, 255, 255, 255)), network.Link{LowerElsewhere: true, LowerID: -1}},
		{"vrf", link(nested(nil, order, linkInfo, text(linkInfoKind, "vrf"), nested(nil, order, linkInfoData, attribute(linkVRFTable, 0, 1, 0, 2)))), network.Link{Kind: "vrf", VRFTable: 65538}},
		{"vxlan", link(nested(nil, order, linkInfo, text(linkInfoKind, "vxlan"), nested(nil, order, linkInfoData, attribute(1, 0, 0, 0, 9), attribute(15, 0x12, 0xb5)))), network.Link{Kind: "vxlan", UDPPort: 4789}},
		{"no vrf", link(nested(nil, order, linkInfo, text(linkInfoKind, "vlan"), nested(nil, order, linkInfoData, attribute(linkVRFTable, 0, 5)))), network.Link{Kind: "vlan"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got network.Link
			if ok, err := Link(typeNewLink, c.b, order, &got); !ok || err != nil {
				t.Fatal(ok, err)
			}
			c.want.Name = "a"
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(network.Counters{})); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
	names := network.Link{AltNames: []string{"b", "c,d", `\e\x2c`}}
	if got, want := names.OtherNames(), `b,c\x2cd,\e\x5cx2c`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, b := range map[string][]byte{
		"short lower":     link(attribute(linkLower, 1, 2)),
		"short namespace": link(attribute(linkLowerNamespace, 1, 2)),
		"short table":     link(nested(nil, order, linkInfo, text(linkInfoKind, "vrf"), nested(nil, order, linkInfoData, attribute(linkVRFTable, 0)))),
		"short property":  link(attribute(linkProperties, 9, 0, 53)),
	} {
		t.Run(name, func(t *testing.T) {
			var l network.Link
			if ok, err := Link(typeNewLink, b, order, &l); ok || !errors.Is(err, netlink.ErrShort) {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

// The number of a namespace as the kernel answers it.
func TestNamespaceID(t *testing.T) {
	order := binary.LittleEndian
	id := func(value ...byte) []byte {
		return netlink.AppendAttribute(make([]byte, namespaceSize), order, namespaceID, value)
	}
	for _, c := range []struct {
		name string
		kind uint16
		b    []byte
		want int32
		ok   bool
	}{
		{"3", typeNewNSID, id(3, 0, 0, 0), 3, true},
		{"none", typeNewNSID, id(255, 255, 255, 255), -1, true},
		{"no attribute", typeNewNSID, make([]byte, namespaceSize), -1, true},
		{"short", typeNewNSID, []byte{0, 0}, 0, false},
		{"short number", typeNewNSID, id(3, 0), 0, false},
		{"another message", typeNewLink, id(3, 0, 0, 0), 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := NamespaceID(c.kind, c.b, order)
			if got != c.want || (err == nil) != c.ok {
				t.Errorf("%d, %v; want %d", got, err, c.want)
			}
		})
	}
	want := []byte{28, 0, 0, 0, typeGetNSID, 0, byte(netlink.FlagRequest), 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, namespaceFile, 0, 5, 0, 0, 0}
	if diff := cmp.Diff(want, (&NamespaceRequest{FD: 5}).Append(nil, order, 9)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func FuzzNamespaceID(f *testing.F) {
	f.Add(netlink.AppendAttribute(make([]byte, namespaceSize), binary.LittleEndian, namespaceID, []byte{3, 0, 0, 0}), false)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		if id, err := NamespaceID(typeNewNSID, b, orderOf(big)); err != nil && id != 0 {
			t.Errorf("%d, %v", id, err)
		}
	})
}
