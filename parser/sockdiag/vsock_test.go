package sockdiag

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

func TestVsockRequest(t *testing.T) {
	r := VsockRequest{States: 1 << sock.Listen}
	want := append([]byte{
		40, 0, 0, 0, 20, 0, 1, 3, 7, 0, 0, 0, 0, 0, 0, 0, // struct nlmsghdr
		40, 0, 0, 0, 0, 4, 0, 0, // family, protocol, states
	}, make([]byte, 16)...)
	if got := r.Append(nil, binary.LittleEndian, 7); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// The messages were made by hand from struct vsock_diag_msg, for want of a kernel
// with vsock_diag; vsock.ss is what ss --vsock showed when it was given them for
// the kernel's. It has no words for the types and states that are numbers.
func TestVsockAgainstSS(t *testing.T) {
	b, err := os.ReadFile("testdata/vsock.diag")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/vsock.ss")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{"STREAM": "v_str", "DGRAM": "v_dgr"}
	states := map[sock.State]string{sock.Close: "UNCONN"}
	for s, name := range ssStates {
		states[s] = name
	}
	number := func(n uint32) string {
		if n == sock.AnyVsock {
			return "*"
		}
		return strconv.FormatUint(uint64(n), 10)
	}
	var got, want []string
	for m, err := range netlink.Messages(b, binary.LittleEndian) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Done {
			continue
		}
		var s sock.Vsock
		if err := Vsock(m.Payload, binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		kind, state := types[s.Type.String()], states[s.State]
		if kind == "" {
			kind = "???"
		}
		if state == "" {
			state = "syn-sent"
		}
		got = append(got, fmt.Sprint(kind, " ", state, " 0 0 ", number(s.LocalCID), ":", number(s.LocalPort), " ", number(s.RemoteCID), ":", number(s.RemotePort)))
	}
	for line := range strings.Lines(string(text)) {
		want = append(want, strings.Join(strings.Fields(line), " "))
	}
	if len(want) != 8 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVsockBytes(t *testing.T) {
	b := make([]byte, 36)
	for i := range b {
		b[i] = byte(i)
	}
	b[0] = 40
	for _, c := range []struct {
		order binary.ByteOrder
		want  sock.Vsock
	}{
		{binary.LittleEndian, sock.Vsock{Type: 1, State: 2, Shutdown: 3, LocalCID: 0x07060504, LocalPort: 0x0b0a0908, RemoteCID: 0x0f0e0d0c, RemotePort: 0x13121110, Common: sock.Common{Inode: 0x17161514, Cookie: 0x1f1e1d1c1b1a1918}}},
		{binary.BigEndian, sock.Vsock{Type: 1, State: 2, Shutdown: 3, LocalCID: 0x04050607, LocalPort: 0x08090a0b, RemoteCID: 0x0c0d0e0f, RemotePort: 0x10111213, Common: sock.Common{Inode: 0x14151617, Cookie: 0x1c1d1e1f18191a1b}}},
	} {
		t.Run(fmt.Sprint(c.want), func(t *testing.T) {
			var s sock.Vsock
			if err := Vsock(b, c.order, &s); err != nil || s != c.want {
				t.Errorf("%v: %+v, %v; want %+v", c.order, s, err, c.want)
			}
			for n := range 32 {
				if err := Vsock(b[:n], c.order, &s); err == nil {
					t.Errorf("%d bytes pass for %+v", n, s)
				}
			}
		})
	}
	b[0] = 1
	if err := Vsock(b, binary.LittleEndian, new(sock.Vsock)); err == nil || !strings.Contains(err.Error(), "address family 1") {
		t.Errorf("another family: %v", err)
	}
}

func FuzzVsock(f *testing.F) {
	b, err := os.ReadFile("testdata/vsock.diag")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[netlink.HeaderSize:netlink.HeaderSize+vsockMessageSize], false)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		var s sock.Vsock
		if err := Vsock(b, order, &s); (err == nil) != (len(b) >= 32 && b[0] == 40) || err == nil && s.ID() < 0 {
			t.Errorf("%d bytes give %+v, %v", len(b), s, err)
		}
	})
}
