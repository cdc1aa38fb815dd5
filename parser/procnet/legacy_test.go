package procnet

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// The files were made by hand from the formats in the kernel's sources, but for
// the first lines of x25/socket and rfcomm, which users have published: no kernel
// at hand has these families. Package tables has the rows that they give. Of ax25
// and nr netstat --ax25 and --netrom show the same; netstat swaps the queues of
// ipx and the bytes of its ports, fails at the hexadecimal numbers of rose, looks
// for x25 where it was in Linux 2.2, and does not know atalk.
var legacyFiles = map[string]string{
	"ax25": "ax25", "netrom": "nr", "rose": "rose", "x25": "x25/socket", "ipx": "ipx/socket", "atalk": "atalk/socket",
	"l2cap": "l2cap", "rfcomm": "rfcomm", "sco": "sco",
}

func legacyFile(t testing.TB, proto string) string {
	t.Helper()
	b, err := os.ReadFile("../../tables/testdata/proc/1/net/" + legacyFiles[proto])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A list is not taken for another, and none of its words may be missing or be
// something else.
func TestLegacyMalformed(t *testing.T) {
	for proto := range legacyFiles {
		file := legacyFile(t, proto)
		if got, err := collect(Legacy(strings.NewReader(file), proto)); err != nil || len(got) < 1 {
			t.Errorf("%s: %d sockets, %v", proto, len(got), err)
		}
		fails := func(what, file, proto string) {
			t.Helper()
			var line *parser.LineError
			if got, err := collect(Legacy(strings.NewReader(file), proto)); !errors.As(err, &line) {
				t.Errorf("%s: %d sockets, %v", what, len(got), err)
			}
		}
		for other := range legacyFiles {
			bluetooth := strings.HasPrefix(file, "sk ") && strings.HasPrefix(legacyFile(t, other), "sk ")
			if proto != other && !bluetooth {
				fails(proto+" for "+other, file, other)
			}
		}
		lines := strings.SplitAfter(file, "\n")
		last := lines[len(lines)-2]
		words := strings.Fields(last)
		fails(proto+" without its last word", file+strings.Join(words[:len(words)-1], " ")+"\n", proto)
		fails(proto+" with an empty line", file+"\n", proto)
		for _, format := range legacyFormats {
			if format.proto != proto || len(words) != format.words {
				continue
			}
			for _, position := range []int{format.state, format.send, format.receive, format.uid, format.inode} {
				if position > 0 {
					wrong := append([]string(nil), words...)
					wrong[position-1] = "x"
					fails(proto+" with "+strings.Join(wrong, " "), file+strings.Join(wrong, " ")+"\n", proto)
				}
			}
		}
		if proto != "ax25" {
			fails(proto+" without its header", strings.Join(lines[1:], ""), proto)
			fails(proto+" empty", "", proto)
		}
	}
	if got, err := collect(Legacy(strings.NewReader(""), "ax25")); err != nil || len(got) != 0 {
		t.Errorf("ax25 without sockets: %v, %v", got, err)
	}
	if _, err := collect(Legacy(strings.NewReader(""), "decnet")); err == nil {
		t.Error("decnet is no family")
	}
}

// With CONFIG_IPX_INTERN the local address of IPX has the node too.
func TestIPXIntern(t *testing.T) {
	file := "Local_Address               Remote_Address              Tx_Queue  Rx_Queue  State  Uid\n" +
		"00000010:0000000000AB:4003  Not_Connected               00000000  00000000  07     000\n"
	got, err := collect(Legacy(strings.NewReader(file), "ipx"))
	want := sock.Legacy{Proto: "ipx", Local: "00000010:0000000000AB:4003", Remote: "Not_Connected", Queues: true, Common: sock.Common{HasUID: true}, Line: 2}
	if err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzLegacy(f *testing.F) {
	for proto := range legacyFiles {
		f.Add(legacyFile(f, proto), proto)
	}
	f.Fuzz(func(t *testing.T, file, proto string) {
		got, err := collect(Legacy(strings.NewReader(file), proto))
		header := 1
		if proto == "ax25" {
			header = 0
		}
		if err == nil && len(got) != lineCount(file)-header {
			t.Errorf("%d sockets of %q", len(got), file)
		}
		seen := map[int64]bool{}
		for _, s := range got {
			if s.Proto != proto || s.Line < 1 || s.ID() < 0 || s.Inode == 0 && seen[s.ID()] {
				t.Errorf("%+v", s)
			}
			seen[s.ID()] = true
		}
	})
}
