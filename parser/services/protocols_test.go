package services

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// decodeProtocols returns all that Protocols gives.
func decodeProtocols(t testing.TB, in string) (all []Protocol, skipped []*parser.LineError) {
	t.Helper()
	for p, err := range Protocols(strings.NewReader(in), func(e *parser.LineError) { skipped = append(skipped, e) }) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all, skipped
}

// Of these lines getent protocols shows the same, but for 2147483648, which is
// -2147483648 there.
func TestProtocols(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Protocol
	}{
		{"ip\t0\tIP\t\t# internet protocol, pseudo protocol number\n", []Protocol{{"ip", 0, []string{"IP"}, "internet protocol, pseudo protocol number", 1}}},
		{"# head\n\n tcp 6 TCP tcp4#x", []Protocol{{"tcp", 6, []string{"TCP", "tcp4"}, "x", 3}}},
		{"udp 017\r\n", []Protocol{{"udp", 17, nil, "", 1}}},
		{"dccp +33\n", []Protocol{{"dccp", 33, nil, "", 1}}},
		{"g 7#c\nh 8 \x00 x\nk\v12\fK\n", []Protocol{{"g", 7, nil, "c", 1}, {"h", 8, nil, "", 2}, {"k", 12, []string{"K"}, "", 3}}},
		{"mptcp 262\nmax 2147483647\n", []Protocol{{"mptcp", 262, nil, "", 1}, {"max", 1<<31 - 1, nil, "", 2}}},
	} {
		t.Run(c.in, func(t *testing.T) {
			got, skipped := decodeProtocols(t, c.in)
			if diff := cmp.Diff(c.want, got); diff != "" || len(skipped) > 0 {
				t.Errorf("skipped %v, want (-), got (+):\n%s", skipped, diff)
			}
		})
	}
	for _, in := range []string{"a -1", "b 99999999999", "c 2147483648", "d 4294967301", "e 5x", "f", "j ++1", "l 0x", "m 1/2", "n 0x11", "o twelve"} {
		t.Run(in, func(t *testing.T) {
			got, skipped := decodeProtocols(t, "\n"+in+"\nip 0\n")
			if len(got) != 1 || got[0].Line != 3 || len(skipped) != 1 || skipped[0].Line != 2 || skipped[0].Text != in {
				t.Errorf("got %+v, skipped %v", got, skipped)
			}
		})
	}
}

func TestFoundProtocols(t *testing.T) {
	const file = "ip 0\nIP 0\nhopopt 0\nip 1\nip 1\nudp 17 UDP\nudp 17 UDP\nother 17 UDP\nudp 17 uDP\n"
	keys := []string{"ip", "IP", "hopopt", "udp", "UDP", "uDP", "other", "0", "1", "17"}
	want := []string{"ip 0", "IP 0", "hopopt 0", "ip 1", "udp 17 UDP", "other 17 UDP", "udp 17 uDP"}
	var got []string
	for p := range FoundProtocols(Protocols(strings.NewReader(file), nil)) {
		got = append(got, protocolLine(p))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	t.Run("as getent", func(t *testing.T) {
		if diff := cmp.Diff(slices.Sorted(maps.Keys(getent(t, "protocols", file, keys))), slices.Sorted(slices.Values(got))); diff != "" {
			t.Errorf("getent (-), FoundProtocols (+):\n%s", diff)
		}
	})
}

// protocolLine is an entry as getent prints it, with one blank between words.
func protocolLine(p Protocol) string {
	return strings.Join(append([]string{p.Name, strconv.Itoa(int(p.Number))}, p.Aliases...), " ")
}

// TestProtocolsAgainstGetent compares with what the C library itself reads from
// this machine's /etc/protocols.
func TestProtocolsAgainstGetent(t *testing.T) {
	out, err := exec.Command("getent", "protocols").Output()
	if err != nil || len(out) == 0 {
		missing(t, "getent protocols: %d bytes, %v", len(out), err)
	}
	text, err := os.ReadFile("/etc/protocols")
	if err != nil {
		missing(t, "%v", err)
	}
	var want, got []string
	for line := range strings.Lines(string(out)) {
		want = append(want, strings.Join(strings.Fields(line), " "))
	}
	all, _ := decodeProtocols(t, string(text))
	for _, p := range all {
		got = append(got, protocolLine(p))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("getent (-), Protocols (+):\n%s", diff)
	}
}

// An entry that is written as a line is read as it was.
func FuzzProtocols(f *testing.F) {
	f.Add("ip\t0\tIP # internet protocol\nudp 017 U\r\n")
	f.Add("a 1 \xff\x00# c\n b +2#c")
	f.Fuzz(func(t *testing.T, in string) {
		all, _ := decodeProtocols(t, in)
		for _, p := range all {
			line := p.Name + " " + strconv.Itoa(int(p.Number)) + " " + strings.Join(p.Aliases, " ") + " # " + p.Comment + "\n"
			again, _ := decodeProtocols(t, strings.Repeat("\n", p.Line-1)+line)
			if diff := cmp.Diff([]Protocol{p}, again); diff != "" {
				t.Fatalf("written (-) and read again (+):\n%s", diff)
			}
		}
	})
}
