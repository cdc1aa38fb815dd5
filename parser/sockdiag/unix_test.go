package sockdiag

import (
	"bytes"
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

// unixOfSS takes a record of ss -Haxemn apart: type, state, queues, path, inode
// and peer, skmem and what is shut down. Paths may have newlines.
var unixOfSS = regexp.MustCompile(`(?ms)^(u_\w+) +(\S+) +(\d+) +(\d+) +(.*?) (\d+) \* (\d+) +skmem:\((.*?)\) ([<-]-[->])`)

var ssTypes = map[sock.Type]string{sock.Stream: "u_str", sock.Datagram: "u_dgr", sock.SeqPacket: "u_seq"}

var ssUnixStates = map[sock.UnixState]string{sock.UnixListening: "LISTEN", sock.UnixConnected: "ESTAB", sock.UnixUnconnected: "UNCONN"}

// The capture is of a namespace with sockets of every kind; beside it is what ss
// printed of them. ss does not show the user: the SEQPACKET socket is of user
// 1000, all others are of root.
func TestUnixAgainstSS(t *testing.T) {
	text, err := os.ReadFile("testdata/unix.ss")
	if err != nil {
		t.Fatal(err)
	}
	want := unixOfSS.FindAllStringSubmatch(string(text), -1)
	got := payloads(t, "unix.diag")
	if len(got) != len(want) || len(want) != bytes.Count(text, []byte("skmem:")) {
		t.Fatalf("%d sockets, ss shows %d", len(got), len(want))
	}
	arrows := []string{"<->", "-->", "<--", "---"}
	for i, payload := range got {
		var s sock.Unix
		if err := Unix(payload, binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		path, m := s.Path, s.Memory
		if path == "" {
			path = "*"
		}
		line := fmt.Sprint(ssTypes[s.Type], " ", ssUnixStates[s.State], " ", s.RecvQueue, " ", s.SendQueue, " ", path, " ", s.Inode, " ", s.Peer, " ",
			fmt.Sprintf("r%d,rb%d,t%d,tb%d,f%d,w%d,o%d,bl%d,d%d ", m.Received, m.ReceiveBuffer, m.Sent, m.SendBuffer, m.Forward, m.Queued, m.Options, m.Backlog, m.Drops),
			arrows[s.Shutdown])
		if wanted := strings.Join(want[i][1:], " "); line != wanted {
			t.Errorf("got  %q\nwant %q", line, wanted)
		}
		uid, flags := uint32(0), ""
		if s.Type == sock.SeqPacket {
			uid = 1000
		}
		if s.State == sock.UnixListening {
			flags = "ACC"
		}
		if s.UID != uid || s.FlagNames() != flags || s.Cookie == 0 || !s.HasUID || s.KnownUnix != sock.KnowsQueues || s.Known != sock.KnowsShutdown|sock.KnowsMemory {
			t.Errorf("%+v", s)
		}
	}
}

// unixMessage is a struct unix_diag_msg with attributes behind it.
func unixMessage(order binary.ByteOrder, attributes ...[]byte) []byte {
	b := make([]byte, unixMessageSize)
	b[0], b[1], b[2] = 1, 5, 10
	order.PutUint32(b[4:], 4242)
	order.PutUint32(b[8:], 7)
	order.PutUint32(b[12:], 1)
	return append(b, bytes.Join(attributes, nil)...)
}

func TestUnixInBothByteOrders(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		word := func(n ...uint32) (b []byte) {
			b = make([]byte, 4*len(n))
			for i := range n {
				order.PutUint32(b[4*i:], n[i])
			}
			return b
		}
		b := unixMessage(order,
			attribute(order, attrUnixName, []byte("\x00a\x00b\x00")...), attribute(order, attrUnixPeer, word(99)...), attribute(order, attrUnixQueues, word(3, 5, 7)...),
			attribute(order, attrUnixUID, word(1000)...), attribute(order, attrUnixShutdown, 3), attribute(order, 60, 1, 2, 3))
		var s sock.Unix
		if err := Unix(b, order, &s); err != nil {
			t.Fatal(err)
		}
		want := sock.Unix{Type: sock.SeqPacket, State: sock.UnixListening, Flags: sock.AcceptsConnections, Path: "@a@b@", Common: sock.Common{Inode: 4242, Cookie: 1<<32 | 7, UID: 1000, HasUID: true},
			KnownUnix: sock.KnowsQueues, RecvQueue: 3, SendQueue: 5, Peer: 99, Details: sock.Details{Known: sock.KnowsShutdown, Shutdown: 3}}
		if s != want {
			t.Errorf("%v: got %+v, want %+v", order, s, want)
		}
	}
}

func TestUnixStates(t *testing.T) {
	for _, c := range []struct {
		state sock.State
		inode byte
		want  sock.UnixState
	}{
		{sock.Established, 1, sock.UnixConnected}, {sock.Established, 0, sock.UnixConnecting},
		{sock.Listen, 1, sock.UnixListening}, {sock.Listen, 0, sock.UnixDisconnecting},
		{sock.Close, 1, sock.UnixUnconnected}, {sock.Close, 0, sock.UnixDisconnecting}, {sock.SynSent, 1, sock.UnixUnconnected},
	} {
		t.Run(fmt.Sprint(c.state), func(t *testing.T) {
			b := unixMessage(binary.LittleEndian)
			b[2] = byte(c.state)
			copy(b[4:], []byte{c.inode, 0, 0, 0})
			var s sock.Unix
			if err := Unix(b, binary.LittleEndian, &s); err != nil || s.State != c.want {
				t.Errorf("%v of inode %d: %q, %v", c.state, c.inode, s.State, err)
			}
		})
	}
}

func TestUnixPath(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "/a b\n\x00": "/a b\n", "/" + strings.Repeat("p", 107) + "\x00": "/" + strings.Repeat("p", 107),
		"\x00": "@", "\x00a\x00": "@a@", "@a\x00": "@a", "\x00a": "@a", "/\xff\x00": "/\xff",
	} {
		t.Run(name, func(t *testing.T) {
			if got := unixPath([]byte(name)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestShortUnix(t *testing.T) {
	order := binary.LittleEndian
	whole := unixMessage(order)
	for n := range whole {
		if err := Unix(whole[:n], order, &sock.Unix{}); !errors.Is(err, netlink.ErrShort) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for kind, size := range map[uint16]int{attrUnixPeer: 4, attrUnixQueues: 8, attrUnixUID: 4, attrUnixShutdown: 1} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			if err := Unix(unixMessage(order, attribute(order, kind, make([]byte, size-1)...)), order, &sock.Unix{}); !errors.Is(err, netlink.ErrShort) {
				t.Errorf("the attribute %d of %d bytes: %v", kind, size-1, err)
			}
		})
	}
	whole[0] = byte(sock.INET)
	if err := Unix(whole, order, &sock.Unix{}); err == nil || !strings.Contains(err.Error(), "family 2") {
		t.Errorf("another family: %v", err)
	}
}

func TestUnixRequest(t *testing.T) {
	r := UnixRequest{States: 1<<sock.Listen | 1<<sock.Established, Show: ShowPath | ShowQueues}
	for order, want := range map[binary.ByteOrder]string{
		binary.LittleEndian: "2800000014000103040000000000000001000000020400000000000011000000ffffffffffffffff",
		binary.BigEndian:    "0000002800140301000000040000000001000000000004020000000000000011ffffffffffffffff",
	} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			if got := fmt.Sprintf("%x", r.Append(nil, order, 4)); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func FuzzUnix(f *testing.F) {
	for _, p := range payloads(f, "unix.diag") {
		f.Add(p, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, little bool) {
		var order binary.ByteOrder = binary.BigEndian
		if little {
			order = binary.LittleEndian
		}
		var s sock.Unix
		if err := Unix(b, order, &s); err == nil && (len(b) < unixMessageSize || strings.Contains(s.Path, "\x00") || s.ID() < 0) {
			t.Errorf("%+v of %x", s, b)
		}
	})
}
