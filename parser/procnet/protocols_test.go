package procnet

import (
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

const protocolsHeader = "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n"

func protocolLine(name, sockets string) string {
	return name + "     1936      " + sockets + "       0   no       0   yes  kernel      y  y  y  n  y  y  y  y  y  y  y  y  n  n  y  y  y  n\n"
}

func TestProtocol(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     int64
		ok       bool
		fails    string
	}{
		{"listed", protocolsHeader + protocolLine("MPTCPv6", "12") + protocolLine("MPTCP", "4"), 4, true, ""},
		{"none of it", protocolsHeader + protocolLine("MPTCP", "0"), 0, true, ""},
		{"not listed", protocolsHeader + protocolLine("MPTCPv6", "12"), 0, false, ""},
		{"empty", "", 0, false, "line 1: the file is empty"},
		{"another list", header, 0, false, "line 1: expected the header of another list"},
		{"short line", protocolsHeader + "MPTCP 1936\n", 0, false, "line 2: sockets: expected a decimal number"},
		{"cut off", protocolsHeader + "MPTCP 1936 4", 0, false, "line 2: the file ends in the middle of a line"},
		{"without the last newline", protocolsHeader + strings.TrimSuffix(protocolLine("MPTCP", "4"), "\n"), 4, true, ""},
		{"short line of another", protocolsHeader + "TCP 2304\n" + protocolLine("MPTCP", "4"), 0, false, "line 2: sockets: expected a decimal number"},
		{"another without a number", protocolsHeader + "A B C\n" + protocolLine("MPTCP", "4"), 4, true, ""},
		{"no number", protocolsHeader + protocolLine("MPTCP", "?"), 0, false, "line 2: sockets: expected a decimal number"},
		{"long line", protocolsHeader + protocolLine("MPTCP", strings.Repeat("1", parser.MaxLine)), 0, false, "line 2: the line is too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok, err := Protocol(strings.NewReader(c.in), "MPTCP")
			if got != c.want || ok != c.ok || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("got %d, %v, %v, want %d, %v, %q", got, ok, err, c.want, c.ok, c.fails)
			}
		})
	}
}

func FuzzProtocol(f *testing.F) {
	f.Add(protocolsHeader+protocolLine("MPTCP", "4"), "MPTCP")
	f.Fuzz(func(t *testing.T, in, name string) {
		n, ok, err := Protocol(strings.NewReader(in), name)
		if ok && (err != nil || !strings.Contains(in, name)) || !ok && n != 0 {
			t.Errorf("got %d, %v, %v", n, ok, err)
		}
	})
}
