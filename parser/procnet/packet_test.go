package procnet

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

const packetHeader = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"

// The lines are those of a kernel, of sockets that were made for them.
func TestPacket(t *testing.T) {
	in := packetHeader +
		"000000002d7f348b 3      3    0003   1     1 5120   0      12364732\n" +
		"00000000a88d3e1f 3      2    0806   2     1 0      4294967294 12364735\n" +
		"0000000027f2d10f 2      3    88cc   -1    0 0      0      12364736\n" +
		"00000000aeb5a701 3      10   0003   0     1 23040  0      12365823\n"
	want := []sock.Packet{
		{Type: sock.Raw, Protocol: 3, Interface: 1, Running: true, RecvQueue: 5120, Common: sock.Common{HasUID: true, Inode: 12364732}},
		{Type: sock.Datagram, Protocol: 0x806, Interface: 2, Running: true, Common: sock.Common{HasUID: true, UID: 4294967294, Inode: 12364735}},
		{Type: sock.Raw, Protocol: 0x88cc, Interface: sock.NoInterface, Common: sock.Common{HasUID: true, Inode: 12364736}},
		{Type: sock.OldPacket, Protocol: 3, Running: true, RecvQueue: 23040, Common: sock.Common{HasUID: true, Inode: 12365823}},
	}
	got, err := collect(Packet(strings.NewReader(in)))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%v, %v\nwant\n%v", got, err, want)
	}
	// Columns that a later kernel may add are ignored.
	later := strings.ReplaceAll(in, "\n", " 9\n")
	if got, err := collect(Packet(strings.NewReader(later))); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("with a column more: %v, %v", got, err)
	}
}

func TestPacketDamage(t *testing.T) {
	good := "000000002d7f348b 3      3    0003   1     1 5120   0      12364732\n"
	for name, in := range map[string]string{
		"empty":           "",
		"no header":       good,
		"another header":  header + good,
		"cut":             packetHeader + good[:50],
		"short":           packetHeader + "000000002d7f348b 3      3    0003   1     1 5120   0\n",
		"type":            packetHeader + strings.Replace(good, " 3    0003", " x    0003", 1),
		"protocol":        packetHeader + strings.Replace(good, "0003", "10003", 1),
		"interface":       packetHeader + strings.Replace(good, " 1     1 ", " -2    1 ", 1),
		"negative memory": packetHeader + strings.Replace(good, "5120", "-5120", 1),
		"inode":           packetHeader + strings.Replace(good, "12364732", "0x1", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := collect(Packet(strings.NewReader(in))); err == nil {
				t.Error("no error")
			}
		})
	}
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte(packetHeader + "0000000027f2d10f 2      3    88cc   -1    0 0      0      12364736\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := collect(Packet(bytes.NewReader(data)))
		checkWhole(t, data, len(got), err)
		for _, s := range got {
			if s.Interface < sock.NoInterface || s.Known != 0 {
				t.Errorf("%+v", s)
			}
		}
	})
}
