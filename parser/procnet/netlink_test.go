package procnet

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

const netlinkHeader = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"

// The lines are those of a kernel, of sockets that were made for them, but for the
// last.
func TestNetlink(t *testing.T) {
	const known = sock.KnowsNetlinkQueues | sock.KnowsNetlinkDrops | sock.KnowsNetlinkDump | sock.KnowsNetlinkRefCount
	in := netlinkHeader +
		"0000000064fc2bbf 0   78         00000001 4608     0        0     2        15       12365876\n" +
		"00000000d9e4b8ca 0   77         00000000 4352     0        1     2        0        12365875\n" +
		"000000003652ca0f 16  0          00000000 0        0        0     2        0        12364676\n" +
		"000000003652ca0f 15  4294963200 80000002 0        768      0     3        0        12364676\n"
	want := []sock.Netlink{
		{PortID: 78, Groups: sock.NetlinkGroups{1}, RecvQueue: 4608, RefCount: 2, Drops: 15, Common: sock.Common{Inode: 12365876}, Known: known},
		{PortID: 77, RecvQueue: 4352, Dump: true, RefCount: 2, Common: sock.Common{Inode: 12365875}, Known: known},
		{Protocol: 16, RefCount: 2, Common: sock.Common{Inode: 12364676}, Known: known},
		{Protocol: 15, PortID: 4294963200, Groups: sock.NetlinkGroups{0x80000002}, SendQueue: 768, RefCount: 3, Common: sock.Common{Inode: 12364676}, Known: known},
	}
	got, err := collect(Netlink(strings.NewReader(in)))
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got\n%+v, %v\nwant\n%+v", got, err, want)
	}
}

func TestNetlinkDamage(t *testing.T) {
	good := "0000000064fc2bbf 0   78         00000001 4608     0        0     2        15       12365876\n"
	for name, in := range map[string]string{
		"empty":          "",
		"no header":      good,
		"another header": packetHeader + good,
		"cut":            netlinkHeader + good[:70],
		"short":          netlinkHeader + "0000000064fc2bbf 0   78         00000001 4608     0        0     2        15\n",
		"protocol":       netlinkHeader + strings.Replace(good, " 0   78", " 256 78", 1),
		"port":           netlinkHeader + strings.Replace(good, "78", "-1", 1),
		"groups":         netlinkHeader + strings.Replace(good, "00000001", "100000001", 1),
		"inode":          netlinkHeader + strings.Replace(good, "12365876", "?", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := collect(Netlink(strings.NewReader(in))); err == nil {
				t.Error("no error")
			}
		})
	}
}

func FuzzNetlink(f *testing.F) {
	f.Add([]byte(netlinkHeader + "0000000064fc2bbf 0   78         00000001 4608     0        0     2        15       12365876\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := collect(Netlink(bytes.NewReader(data)))
		checkWhole(t, data, len(got), err)
	})
}
