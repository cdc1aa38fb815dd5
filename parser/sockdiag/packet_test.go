package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// packets returns the sockets of a file with an answer of a little-endian kernel.
func packets(t testing.TB, name string) (all []sock.Packet) {
	t.Helper()
	for _, b := range payloads(t, name) {
		var s sock.Packet
		if err := Packet(b, binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// The captures hold sockets of every kind and with every option; beside them is
// what ss -H0anem printed of them, each on one line.
func TestPacketAgainstSS(t *testing.T) {
	text, err := os.ReadFile("testdata/packet.ss")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	got := packets(t, "packet.diag")
	if len(got) != len(want) {
		t.Fatalf("%d sockets, ss shows %d", len(got), len(want))
	}
	for i := range got {
		line := strings.Replace(want[i], "ALL:", "*:", 1)
		if ours := ssPacket(&got[i]); ours != line {
			t.Errorf("\ngot  %s\nwant %s", ours, line)
		}
	}
}

// ssPacket writes a socket as ss does.
func ssPacket(s *sock.Packet) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	kind := "p_dgr"
	if s.Type == sock.Raw {
		kind = "p_raw"
	}
	add("%s UNCONN %d 0 ", kind, s.RecvQueue)
	if s.Protocol == 3 {
		add("*:")
	} else {
		add("[%d]:", s.Protocol)
	}
	add("%s *", map[int32]string{0: "*", 1: "lo", 2: "eth0", sock.NoInterface: "if4294967295"}[s.Interface])
	if s.UID != 0 {
		add(" uid:%d", s.UID)
	}
	add(" ino:%d sk:%x ver:%d cpy_thresh:%d flags(", s.Inode, s.Cookie, s.Version-1, s.CopyThreshold)
	flags := ""
	for _, f := range []struct {
		set  bool
		name string
	}{{s.Running, "running"}, {s.AuxData, "auxdata"}, {s.OrigDev, "origdev"}, {s.VnetHeader, "vnethdr"}, {s.Loss, "loss"}} {
		if f.set {
			flags += " " + f.name
		}
	}
	if flags == "" {
		flags = " 0"
	}
	add("%s )", flags)
	// ss shows how the bytes of a ring are made up; of the captured ones we know.
	if s.Known&sock.KnowsRxRing != 0 && s.RxRing.Bytes == 8192*4 {
		add(" ring_rx(blk_size:8192,blk_nr:4,frm_size:2048,frm_nr:%d,tmo:60,features:0x0)", s.RxRing.Frames)
	}
	if s.Known&sock.KnowsTxRing != 0 && s.TxRing.Bytes == 4096*2 {
		add(" ring_tx(blk_size:4096,blk_nr:2,frm_size:2048,frm_nr:%d,tmo:0,features:0x0)", s.TxRing.Frames)
	}
	if s.Known&sock.KnowsFanout != 0 {
		add(" fanout(id:%d,type:%s)", s.FanoutID, s.FanoutType)
	}
	m := &s.Memory
	add(" skmem:(r%d,rb%d,t%d,tb%d,f%d,w%d,o%d,bl%d,d%d)", m.Received, m.ReceiveBuffer, m.Sent, m.SendBuffer, m.Forward, m.Queued, m.Options, m.Backlog, m.Drops)
	return b.String()
}

// Of the captured sockets one has asked for promiscuous mode of two interfaces
// and for all multicasts of one; ss does not show that.
func TestPacketMemberships(t *testing.T) {
	for _, s := range packets(t, "packet_members.diag") {
		memberships, promiscuous := uint32(0), uint32(0)
		if s.Inode == 12364733 {
			memberships, promiscuous = 3, 2
		}
		if s.Memberships != memberships || s.Promiscuous != promiscuous || s.Known != sock.KnowsMemberships {
			t.Errorf("%+v", s)
		}
	}
	for _, s := range packets(t, "packet.diag") {
		if s.Known&sock.KnowsMemberships != 0 {
			t.Errorf("%+v knows what was not asked for", s)
		}
	}
}

// What is cut off anywhere but between attributes is an error.
func TestPacketCut(t *testing.T) {
	for _, name := range []string{"packet.diag", "packet_members.diag"} {
		t.Run(name, func(t *testing.T) {
			for _, b := range payloads(t, name) {
				whole := map[int]bool{len(b): true, packetMessageSize: true}
				for i := packetMessageSize; i < len(b); i += netlink.Align(int(binary.LittleEndian.Uint16(b[i:]))) {
					whole[i] = true
				}
				for n := range b {
					var s sock.Packet
					err := Packet(b[:n], binary.LittleEndian, &s)
					if (err == nil) != whole[n] || err != nil && !errors.Is(err, netlink.ErrShort) {
						t.Errorf("%d of %d bytes: %v", n, len(b), err)
					}
				}
			}
		})
	}
	var s sock.Packet
	other := make([]byte, packetMessageSize)
	other[0] = byte(sock.INET)
	if err := Packet(other, binary.LittleEndian, &s); err == nil || !strings.Contains(err.Error(), "family 2") {
		t.Errorf("another family: %v", err)
	}
}

func TestPacketBigEndian(t *testing.T) {
	o := binary.BigEndian
	b := []byte{17, 3, 0x88, 0xcc, 0, 0, 0x10, 0x92, 0x05, 0x06, 0x07, 0x08, 0x01, 0x02, 0x03, 0x04}
	info := make([]byte, packetInfoSize)
	o.PutUint32(info, 7)
	o.PutUint32(info[4:], 2)
	o.PutUint32(info[20:], 0x5)
	b = netlink.AppendAttribute(b, o, attrPacketInfo, info)
	b = netlink.AppendAttribute(b, o, attrPacketFanout, []byte{0, 1, 0x12, 0x67})
	b = netlink.AppendAttribute(b, o, 99, []byte{1}) // of a later kernel
	var s sock.Packet
	if err := Packet(b, o, &s); err != nil {
		t.Fatal(err)
	}
	want := sock.Packet{Type: sock.Raw, Protocol: 0x88cc, Common: sock.Common{Inode: 4242, Cookie: 0x0102030405060708}, Interface: 7, Version: 3, Running: true, OrigDev: true,
		FanoutID: 4711, FanoutType: 1, Known: sock.KnowsPacketInfo | sock.KnowsFanout}
	if s != want {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	request := (&PacketRequest{Show: PacketMemberships}).Append(nil, o, 9)
	if got := fmt.Sprintf("%x", request); got != "00000024"+"0014"+"0301"+"00000009"+"00000000"+"11000000"+"00000000"+"00000002"+"0000000000000000" {
		t.Errorf("request %s", got)
	}
}

func FuzzPacket(f *testing.F) {
	for _, name := range []string{"packet.diag", "packet_members.diag"} {
		for _, b := range payloads(f, name) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sock.Packet
		if err := Packet(b, binary.LittleEndian, &s); err == nil && (s.Promiscuous > s.Memberships || len(b) < packetMessageSize) {
			t.Errorf("%+v", s)
		}
	})
}
