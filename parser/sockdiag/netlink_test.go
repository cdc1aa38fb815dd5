package sockdiag

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// netlinks returns the sockets of a file with an answer of a little-endian kernel.
func netlinks(t testing.TB) (all []sock.Netlink) {
	t.Helper()
	for _, b := range payloads(t, "netlink.diag") {
		var s sock.Netlink
		if err := Netlink(b, binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// Beside the capture is what ss -Hf netlink -anem printed, with the number of its
// own socket made that of the capture's. It shows groups up to 32.
func TestNetlinkAgainstSS(t *testing.T) {
	text, err := os.ReadFile("testdata/netlink.ss")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	got := netlinks(t)
	if len(got) != len(want) {
		t.Fatalf("%d sockets, ss shows %d", len(got), len(want))
	}
	memory := regexp.MustCompile(`skmem:.*,d(\d+)\)`)
	for i, s := range got {
		low := sock.NetlinkGroups{}
		if len(s.Groups) > 0 {
			low = append(low, s.Groups[0]&(1<<32-1))
		}
		line := fmt.Sprintf("UNCONN %d %d %d:%d * sk=0 cb=0 groups=%v drops:%d", s.RecvQueue, s.SendQueue, s.Protocol, s.PortID, low, s.Drops)
		if w := memory.ReplaceAllString(want[i], "drops:$1"); line != w {
			t.Errorf("\ngot  %s\nwant %s", line, w)
		}
	}
}

// What ss does not show, of sockets that were made for it.
func TestNetlinkDetails(t *testing.T) {
	seen := map[uint64]sock.Netlink{}
	for _, s := range netlinks(t) {
		seen[s.Inode] = s
	}
	for inode, want := range map[uint64]string{
		12365876: "0x00000001 dump=false quiet=false all=false",  // 4608 bytes of receive buffer, and more messages
		12365875: "0x00000000 dump=true quiet=false all=false",   // has asked for addresses and read none
		12365829: "0x00000011 dump=false quiet=false all=false",  // groups 1 and 5
		12365830: "0x200000001 dump=false quiet=false all=false", // not bound, groups 34 and 1
		12365831: "0x200000000 dump=false quiet=true all=false",  // NETLINK_NO_ENOBUFS, group 34
		12365832: "0x00000003 dump=false quiet=false all=true",   // NETLINK_LISTEN_ALL_NSID
	} {
		t.Run(fmt.Sprint(inode), func(t *testing.T) {
			s := seen[inode]
			if got := fmt.Sprintf("%v dump=%t quiet=%t all=%t", s.Groups, s.Dump, s.NoENOBUFS, s.ListenAll); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if s.Cookie == 0 || s.Known != sock.KnowsNetlinkQueues|sock.KnowsNetlinkDrops|sock.KnowsNetlinkDump|sock.KnowsNetlinkOptions {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What is cut off anywhere but between attributes is an error.
func TestNetlinkCut(t *testing.T) {
	for _, b := range payloads(t, "netlink.diag") {
		whole := map[int]bool{len(b): true, netlinkMessageSize: true}
		for i := netlinkMessageSize; i < len(b); i += netlink.Align(int(binary.LittleEndian.Uint16(b[i:]))) {
			whole[i] = true
		}
		for n := range b {
			var s sock.Netlink
			err := Netlink(b[:n], binary.LittleEndian, &s)
			if (err == nil) != whole[n] || err != nil && !errors.Is(err, netlink.ErrShort) {
				t.Errorf("%d of %d bytes: %v", n, len(b), err)
			}
		}
	}
	var s sock.Netlink
	other := make([]byte, netlinkMessageSize)
	other[0] = byte(sock.INET)
	if err := Netlink(other, binary.LittleEndian, &s); err == nil || !strings.Contains(err.Error(), "family 2") {
		t.Errorf("another family: %v", err)
	}
	other[0] = byte(sock.NETLINK)
	for size, ok := range map[int]bool{0: true, 2: false, 4: true, 8: true, 10: false, 12: true, 16: true} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			b := netlink.AppendAttribute(other[:netlinkMessageSize:netlinkMessageSize], binary.LittleEndian, attrNetlinkGroups, make([]byte, size))
			if err := Netlink(b, binary.LittleEndian, &s); (err == nil) != ok {
				t.Errorf("%d bytes of groups: %v", size, err)
			}
		})
	}
}

func TestNetlinkBigEndian(t *testing.T) {
	o := binary.BigEndian
	b := []byte{16, 3, 15, 7, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x92, 0x05, 0x06, 0x07, 0x08, 0x01, 0x02, 0x03, 0x04}
	b = netlink.AppendAttribute(b, o, attrNetlinkGroups, []byte{0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	b = netlink.AppendAttribute(b, o, attrNetlinkFlags, []byte{0, 0, 0, 1})
	b = netlink.AppendAttribute(b, o, 99, []byte{1}) // of a later kernel
	var s sock.Netlink
	if err := Netlink(b, o, &s); err != nil {
		t.Fatal(err)
	}
	if s.Protocol != 15 || s.PortID != 4294963200 || s.Inode != 4242 || s.Cookie != 0x0102030405060708 || !s.Dump || s.NoENOBUFS ||
		s.Groups.String() != "0x200000001" || s.Known != sock.KnowsNetlinkDump|sock.KnowsNetlinkOptions {
		t.Errorf("%+v", s)
	}
	request := (&NetlinkRequest{Show: NetlinkGroups | NetlinkFlags}).Append(nil, o, 9)
	if got := fmt.Sprintf("%x", request); got != "00000024"+"0014"+"0301"+"00000009"+"00000000"+"10ff0000"+"00000000"+"0000000a"+"0000000000000000" {
		t.Errorf("request %s", got)
	}
}

func FuzzNetlink(f *testing.F) {
	for _, b := range payloads(f, "netlink.diag") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sock.Netlink
		if err := Netlink(b, binary.LittleEndian, &s); err == nil && (len(b) < netlinkMessageSize || len(s.Groups) > len(b)/4) {
			t.Errorf("%+v", s)
		}
	})
}
