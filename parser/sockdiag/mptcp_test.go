package sockdiag

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// The protocol does not fit the request's byte: 262 would be 6, TCP's.
func TestWideProtocol(t *testing.T) {
	r := Request{Family: sock.INET6, Protocol: sock.ProtoMPTCP, States: 1 << sock.Listen, Attributes: Info, Filter: []byte{1, 2, 3, 4}}
	got := r.Append(nil, binary.LittleEndian, 7)
	want := bytes.Join([][]byte{
		{88, 0, 0, 0, 20, 0, 1, 3, 7, 0, 0, 0, 0, 0, 0, 0}, // struct nlmsghdr
		{10, 0, 2, 0, 0, 4, 0, 0},                          // family, protocol, attributes, states
		make([]byte, 40), bytes.Repeat([]byte{0xff}, 8),
		{8, 0, 1, 0, 1, 2, 3, 4}, // INET_DIAG_REQ_BYTECODE
		{8, 0, 3, 0, 6, 1, 0, 0}, // INET_DIAG_REQ_PROTOCOL
	}, nil)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// mptcpMessage is struct inet_diag_msg with struct mptcp_info of size bytes, each
// byte its own position.
func mptcpMessage(order binary.ByteOrder, state sock.State, size int) []byte {
	info := make([]byte, size)
	for i := range info {
		info[i] = byte(i)
	}
	m := message(order, 0)[netlink.HeaderSize:]
	m[1] = byte(state)
	return netlink.AppendAttribute(m, order, attrInfo, info)
}

// Kernels that have less of struct mptcp_info leave no value for the rest; what
// only pads the end of theirs is none.
func TestMPTCPInfoGrows(t *testing.T) {
	for _, c := range []struct {
		size  int
		known sock.MPTCPKnown
	}{
		{40, 1}, {47, 1}, {48, 3}, {79, 3}, {80, 7}, {87, 7}, {88, 15}, {95, 15}, {96, 31}, {104, 31},
	} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			var s sock.MPTCP
			if err := MPTCP(mptcpMessage(binary.LittleEndian, sock.Established, c.size), binary.LittleEndian, &s); err != nil || s.Info.Known != c.known {
				t.Errorf("%d bytes: %05b, %v; want %05b", c.size, s.Info.Known, err, c.known)
			}
		})
	}
	for size := range 40 {
		var s sock.MPTCP
		if err := MPTCP(mptcpMessage(binary.LittleEndian, sock.Established, size), binary.LittleEndian, &s); !errors.Is(err, netlink.ErrShort) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	var s sock.MPTCP
	if err := MPTCP(mptcpMessage(binary.LittleEndian, sock.Listen, 96), binary.LittleEndian, &s); err != nil || s.Info != (sock.MPTCPInfo{}) {
		t.Errorf("a listener has %+v, %v", s.Info, err)
	}
}

func TestMPTCPBigEndian(t *testing.T) {
	var s sock.MPTCP
	if err := MPTCP(mptcpMessage(binary.BigEndian, sock.CloseWait, 96), binary.BigEndian, &s); err != nil {
		t.Fatal(err)
	}
	want := sock.MPTCPInfo{
		Known: 31, Subflows: 0, AddressesSignalled: 1, AddressesAccepted: 2, MaxSubflows: 3, MaxAddressesSignalled: 4, MaxAddressesAccepted: 5,
		Fallback: true, RemoteKey: true, Token: 0x0c0d0e0f,
		WriteSeq: 0x1011121314151617, SentUnacked: 0x18191a1b1c1d1e1f, Next: 0x2021222324252627,
		LocalAddresses: 40, MaxLocalAddresses: 41, Checksum: true,
		Retransmits: 0x2c2d2e2f, BytesRetransmitted: 0x3031323334353637, BytesSent: 0x38393a3b3c3d3e3f, BytesReceived: 0x4041424344454647, BytesAcked: 0x48494a4b4c4d4e4f,
		TotalSubflows: 80, LastDataSent: 0x54555657, LastDataReceived: 0x58595a5b, LastAckReceived: 0x5c5d5e5f,
	}
	if s.Info != want || s.Protocol != sock.ProtoMPTCP || s.State != sock.CloseWait || s.Inode != 4242 {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

// The capture mptcp.diag, with what ss shows of it in mptcp.ss, is compared
// column by column in package tables.
func FuzzMPTCP(f *testing.F) {
	b, err := os.ReadFile("testdata/mptcp.diag")
	if err != nil {
		f.Fatal(err)
	}
	for m, err := range netlink.Messages(b, binary.LittleEndian) {
		if err != nil {
			f.Fatal(err)
		}
		if !m.Done {
			f.Add(m.Payload, false)
		}
	}
	f.Add(mptcpMessage(binary.BigEndian, sock.Established, 96), true)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		var s sock.MPTCP
		if err := MPTCP(b, order, &s); err == nil && (len(b) < inetMessageSize || !s.Local.IsValid() || s.Protocol != sock.ProtoMPTCP || s.State == sock.Listen && s.Info.Known != 0) {
			t.Errorf("%d bytes give %+v", len(b), s)
		}
	})
}
