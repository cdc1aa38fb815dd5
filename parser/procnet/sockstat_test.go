package procnet

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

func TestSummaries(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name, in string
		want     []sock.Summary
	}{
		{"sockstat", "sockets: used 290\nTCP: inuse 38 orphan 1 tw 11 alloc 43 mem 6\nUDP: inuse 2 mem 0\nFRAG: inuse 0 memory 7\n", []sock.Summary{
			{Protocol: "sockets", InUse: 290},
			{Protocol: "TCP", InUse: 38, Orphans: number(1), TimeWait: number(11), Allocated: number(43), MemoryPages: number(6)},
			{Protocol: "UDP", InUse: 2, MemoryPages: number(0)},
			{Protocol: "FRAG", MemoryBytes: number(7)},
		}},
		{"the last newline is lost", "TCP6: inuse 5\nFRAG6: inuse 1 memory 2", []sock.Summary{{Protocol: "TCP6", InUse: 5}, {Protocol: "FRAG6", InUse: 1, MemoryBytes: number(2)}}},
		{"negative", "UDP: inuse -1\n", []sock.Summary{{Protocol: "UDP", InUse: -1}}},
		{"what is not known", "hello\n\nx: y z\nsockets: inuse 4\nNEW: inuse 1 more x\nRAW: used 7\n", []sock.Summary{{Protocol: "NEW", InUse: 1}}},
		{"a protocol with odd bytes", "\u0085X\u00a0: inuse 3\n", []sock.Summary{{Protocol: "\u0085X\u00a0", InUse: 3}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := collect(Summaries(strings.NewReader(c.in)))
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v, want (-), got (+):\n%s", err, diff)
			}
		})
	}
	for in, want := range map[string]string{
		"":                                  "line 1: the file is empty",
		"TCP: inuse x\n":                    "line 1: inuse: expected a decimal number",
		"TCP: inuse 1\nUDP: inuse\n":        "line 2: inuse: expected a decimal number",
		"TCP: inuse 1 tw 1.5\n":             "line 1: tw: expected a decimal number",
		"TCP: inuse 1\nFRAG: inuse 1":       "line 2: the file ends in the middle of a line",
		"TCP: inuse 1\nTC":                  "line 2: the file ends in the middle of a line",
		"FRAG: inuse 1 memory":              "line 1: the file ends in the middle of a line",
		"TCP: inuse 99999999999999999999\n": "line 1: inuse: the number is too large",
	} {
		t.Run(in, func(t *testing.T) {
			if got, err := collect(Summaries(strings.NewReader(in))); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %+v, %v, want %q", got, err, want)
			}
		})
	}
}

// A protocol that is told of is in the file.
func FuzzSummaries(f *testing.F) {
	f.Add("sockets: used 290\nTCP: inuse 38 orphan 1 tw 11 alloc 43 mem 6\nFRAG: inuse 0 memory 7\n")
	f.Fuzz(func(t *testing.T, in string) {
		for s, err := range Summaries(strings.NewReader(in)) {
			if err == nil && !strings.Contains(in, s.Protocol+":") {
				t.Errorf("%+v of %q", s, in)
			}
		}
	})
}
