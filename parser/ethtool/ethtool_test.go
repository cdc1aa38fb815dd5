package ethtool

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
)

// message is a struct genlmsghdr and attributes, of their numbers and values.
func message(order binary.ByteOrder, attributes ...any) []byte {
	b := make([]byte, headerSize)
	for i := 0; i < len(attributes); i += 2 {
		b = netlink.AppendAttribute(b, order, uint16(attributes[i].(int)), attributes[i+1].([]byte))
	}
	return b
}

func TestFamily(t *testing.T) {
	order := binary.LittleEndian
	for _, c := range []struct {
		name  string
		kind  uint16
		b     []byte
		id    uint16
		ok    bool
		short bool
	}{
		{"ethtool", typeControl, message(order, familyName, []byte("ethtool\x00"), familyID, []byte{21, 0}), 21, true, false},
		{"another", typeControl, message(order, familyName, []byte("ethtool2\x00"), familyID, []byte{22, 0}), 22, false, false},
		{"no number", typeControl, message(order, familyName, []byte("ethtool\x00")), 0, false, false},
		{"another message", 17, message(order, familyName, []byte("ethtool\x00"), familyID, []byte{21, 0}), 0, false, false},
		{"short", typeControl, []byte{1, 2}, 0, false, true},
		{"short number", typeControl, message(order, familyID, []byte{1}), 0, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, ok, err := Family(c.kind, c.b, order)
			if id != c.id || ok != c.ok || errors.Is(err, netlink.ErrShort) != c.short {
				t.Errorf("%d, %v, %v", id, ok, err)
			}
		})
	}
}

func TestLink(t *testing.T) {
	order := binary.BigEndian
	for _, c := range []struct {
		name  string
		b     []byte
		want  network.Link
		short bool
	}{
		{"10 Gbit/s", message(order, linkHeader, []byte{}, linkSpeed, []byte{0, 0, 39, 16}, linkDuplex, []byte{1}), network.Link{Speed: network.Number{Value: 10000, Known: true}, Duplex: "full"}, false},
		{"half", message(order, linkSpeed, []byte{0, 0, 0, 10}, linkDuplex, []byte{0}), network.Link{Speed: network.Number{Value: 10, Known: true}, Duplex: "half"}, false},
		{"unknown", message(order, linkSpeed, []byte{255, 255, 255, 255}, linkDuplex, []byte{255}), network.Link{}, false},
		{"nothing", message(order), network.Link{}, false},
		{"short", []byte{1}, network.Link{}, true},
		{"short speed", message(order, linkDuplex, []byte{1}, linkSpeed, []byte{1, 2}), network.Link{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got network.Link
			err := Link(c.b, order, &got)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(network.Counters{})); diff != "" || errors.Is(err, netlink.ErrShort) != c.short {
				t.Errorf("%v; want (-), got (+):\n%s", err, diff)
			}
		})
	}
}

func FuzzFamily(f *testing.F) {
	f.Add(message(binary.LittleEndian, familyName, []byte("ethtool\x00"), familyID, []byte{21, 0}), false)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		if id, ok, err := Family(typeControl, b, orderOf(big)); ok && (id == 0 || err != nil) {
			t.Errorf("%d, %v", id, err)
		}
	})
}

func FuzzLink(f *testing.F) {
	f.Add(message(binary.LittleEndian, linkSpeed, []byte{16, 39, 0, 0}, linkDuplex, []byte{1}), false)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var l network.Link
		if err := Link(b, orderOf(big), &l); err != nil && (l.Speed.Known || l.Duplex != "") {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

func orderOf(big bool) binary.ByteOrder {
	if big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}
