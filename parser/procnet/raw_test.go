package procnet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

const rawHeader = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"

// The lines are those of a kernel, of sockets that were made for them.
func TestRaw(t *testing.T) {
	const raw6Header = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	for _, c := range []struct {
		family sock.Family
		ping   bool
		order  binary.ByteOrder
		in     string
		want   sock.RawIP
	}{
		{sock.INET, false, binary.LittleEndian,
			rawHeader + "  53: 00000000:0001 00000000:0000 07 00000000:00001580 00:00000000 00000000     0        0 12364719 2 0000000096d0f6be 6\n",
			sock.RawIP{Inet: sock.Inet{Family: sock.INET, State: sock.Close, RecvQueue: 5504, Common: sock.Common{HasUID: true, Inode: 12364719}, Local: ap("0.0.0.0:0"), Remote: ap("0.0.0.0:0")}, IPProtocol: 1, Drops: 6}},
		{sock.INET, false, binary.BigEndian,
			rawHeader + " 210: C0000207:0059 7F000002:0000 01 00000000:00000000 00:00000000 00000000  1000        0 12364721 2 00000000a510bb61 0\n",
			sock.RawIP{Inet: sock.Inet{Family: sock.INET, State: sock.Established, Common: sock.Common{HasUID: true, UID: 1000, Inode: 12364721}, Local: ap("192.0.2.7:0"), Remote: ap("127.0.0.2:0")}, IPProtocol: 89}},
		{sock.INET6, false, binary.LittleEndian,
			raw6Header + "   41: 0000000000000000FFFF00000100007F:0070 0000000000000000FFFF00000100007F:0000 01 00000000:00000000 00:00000000 00000000     0        0 12364727 2 00000000487d8e64 0\n",
			sock.RawIP{Inet: sock.Inet{Family: sock.INET6, State: sock.Established, Common: sock.Common{HasUID: true, Inode: 12364727}, Local: ap("[::ffff:127.0.0.1]:0"), Remote: ap("[::ffff:127.0.0.1]:0")}, IPProtocol: 112}},
		{sock.INET, true, binary.LittleEndian,
			strings.TrimSuffix(rawHeader, "\n") + "             \n   47: 0100007F:0309 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 12364728 2 00000000ffc93230 0      \n",
			sock.RawIP{Inet: sock.Inet{Family: sock.INET, State: sock.Close, Common: sock.Common{HasUID: true, UID: 1000, Inode: 12364728}, Local: ap("127.0.0.1:0"), Remote: ap("0.0.0.0:0")}, Ping: true, IPProtocol: 1, Identifier: 777}},
		{sock.INET6, true, binary.LittleEndian,
			raw6Header + "   30: 00000000000000000000000001000000:0378 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12364730 2 00000000ad76ae71 0\n",
			sock.RawIP{Inet: sock.Inet{Family: sock.INET6, State: sock.Close, Common: sock.Common{HasUID: true, Inode: 12364730}, Local: ap("[::1]:0"), Remote: ap("[::]:0")}, Ping: true, IPProtocol: 58, Identifier: 888}},
	} {
		t.Run(fmt.Sprintf("family %d, ping %v, %v", c.family, c.ping, c.order), func(t *testing.T) {
			got, err := collect(Raw(strings.NewReader(c.in), c.family, c.ping, c.order))
			if err != nil || fmt.Sprint(got) != fmt.Sprint([]sock.RawIP{c.want}) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func FuzzRaw(f *testing.F) {
	f.Add([]byte(rawHeader+"  53: 00000000:0001 00000000:0000 07 00000000:00001580 00:00000000 00000000     0        0 12364719 2 0000000096d0f6be 6\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, ping bool) {
		got, err := collect(Raw(bytes.NewReader(data), sock.INET, ping, binary.LittleEndian))
		checkWhole(t, data, len(got), err)
		for _, s := range got {
			if s.Ping != ping || s.Local.Port() != 0 || s.Local.Addr() == (netip.Addr{}) {
				t.Errorf("%+v", s)
			}
		}
	})
}
