package procnet

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// notInNstat are those that nstat leaves out, as no counters.
var notInNstat = []string{"IpForwarding", "IpDefaultTTL", "TcpRtoAlgorithm", "TcpRtoMin", "TcpRtoMax", "TcpMaxConn", "TcpCurrEstab"}

// The files of testdata are of a namespace with some traffic, nstat.json is what
// nstat -az --json showed there.
func TestStatisticsSameAsNstat(t *testing.T) {
	text, err := os.ReadFile("testdata/nstat.json")
	if err != nil {
		t.Fatal(err)
	}
	var nstat struct{ Kernel map[string]int64 }
	if err := json.Unmarshal(text, &nstat); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int64)
	for name, decode := range map[string]func(io.Reader) iter.Seq2[sock.Statistic, error]{
		"snmp": PairedStatistics, "netstat": PairedStatistics, "snmp6": NamedStatistics,
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.Open(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			all, err := collect(decode(file))
			if err != nil {
				t.Fatalf("%v", err)
			}
			for _, s := range all {
				if _, again := got[s.Protocol+s.Name]; again || s.TooLarge {
					t.Errorf("%+v", s)
				}
				got[s.Protocol+s.Name] = s.Value
			}
		})
	}
	for name, value := range got {
		want, ok := nstat.Kernel[name]
		if slices.Contains(notInNstat, name) {
			continue
		}
		if !ok || value != want {
			t.Errorf("%s is %d, nstat shows %d, %v", name, value, want, ok)
		}
	}
	if len(got) != len(nstat.Kernel)+len(notInNstat) || len(got) < 300 {
		t.Errorf("%d counters, nstat shows %d", len(got), len(nstat.Kernel))
	}
	if got["TcpMaxConn"] != -1 || got["IpDefaultTTL"] != 64 || got["TcpRtoMax"] != 120000 {
		t.Errorf("got %v", got)
	}
}

func TestPairedStatistics(t *testing.T) {
	in := "Tcp: MaxConn  A B C D\nTcp: -1 9223372036854775807 9223372036854775808 18446744073709551615 -9223372036854775808\nNone:\nNone:\n"
	want := []sock.Statistic{
		{Protocol: "Tcp", Name: "MaxConn", Value: -1},
		{Protocol: "Tcp", Name: "A", Value: math.MaxInt64},
		{Protocol: "Tcp", Name: "B", TooLarge: true},
		{Protocol: "Tcp", Name: "C", TooLarge: true},
		{Protocol: "Tcp", Name: "D", Value: math.MinInt64},
	}
	if got, err := collect(PairedStatistics(iotest.OneByteReader(strings.NewReader(in)))); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The lines of sctp_snmp_seq_show in Linux's net/sctp/proc.c.
func TestNamedStatistics(t *testing.T) {
	in := "SctpCurrEstab                   \t1\nSctpT3RtxExpireds               \t-2\nIp6InReceives                   \t18446744073709551615\nUdpLite6NoPorts\t3\nIcmp6InType143 4\n"
	want := []sock.Statistic{
		{Protocol: "Sctp", Name: "CurrEstab", Value: 1},
		{Protocol: "Sctp", Name: "T3RtxExpireds", Value: -2},
		{Protocol: "Ip6", Name: "InReceives", TooLarge: true},
		{Protocol: "UdpLite6", Name: "NoPorts", Value: 3},
		{Protocol: "Icmp6", Name: "InType143", Value: 4},
	}
	if got, err := collect(NamedStatistics(iotest.OneByteReader(strings.NewReader(in)))); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What a foreign kernel says besides, and that it has nothing to say, is no error.
func TestForeignStatistics(t *testing.T) {
	for _, c := range []struct {
		name   string
		decode func(io.Reader) iter.Seq2[sock.Statistic, error]
		in     string
		want   []sock.Statistic
	}{
		{"names alone, as gVisor has them", PairedStatistics, "TcpExt: SyncookiesSent SyncookiesRecv\n", nil},
		{"a protocol without names", PairedStatistics, "IcmpMsg:\nIcmpMsg:\n", nil},
		{"lines without a protocol", PairedStatistics, "\nhello\nTcp: A\n: 7\nTcp: 1\n# end\n", []sock.Statistic{{Protocol: "Tcp", Name: "A", Value: 1}}},
		{"lines of another beginning", NamedStatistics, "\nIpInReceives 1\nIp6InReceives 2\nSctp 3\nIp6 4\nhello x\n", []sock.Statistic{{Protocol: "Ip6", Name: "InReceives", Value: 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := collect(c.decode(strings.NewReader(c.in)))
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v, want (-), got (+):\n%s", err, diff)
			}
		})
	}
}

func TestStatisticsErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		decode     func(io.Reader) iter.Seq2[sock.Statistic, error]
		in, reason string
		line       int
	}{
		{PairedStatistics, "", "empty", 1},
		{PairedStatistics, "Tcp: A B\nTcp: 1\n", "B: expected a decimal", 2},
		{PairedStatistics, "Tcp: A\nTcp: 1 2\n", "more values", 2},
		{PairedStatistics, "Tcp: A\nUdp: 1\n", "values of Tcp", 2},
		{PairedStatistics, "Tcp: A\nTcp: 1\nUdp: A\n", "values of Udp are missing", 3},
		{PairedStatistics, "Tcp: A\nTcp: x\n", "A: expected a decimal", 2},
		{PairedStatistics, "Tcp: A\nTcp: - 1\n", "A: expected a decimal", 2},
		{PairedStatistics, "Tcp: A\nTcp: -\n", "A: expected a decimal", 2},
		{PairedStatistics, "Tcp: A\nTcp: 18446744073709551616\n", "too large", 2},
		{PairedStatistics, "Tcp: A\nTcp: -9223372036854775809\n", "too small", 2},
		{PairedStatistics, "Tcp: A\nTcp: 1\nUdp: A", "middle of a line", 3},
		{PairedStatistics, "Tcp: A B", "middle of a line", 1},
		{PairedStatistics, "Tcp: A\nTcp: 1\nUd", "middle of a line", 3},
		{PairedStatistics, "Tcp: A B\nTcp: 1", "middle of a line", 2},
		{PairedStatistics, "Tcp: " + strings.Repeat("A ", parser.MaxLine) + "\n", "too long", 1},
		{NamedStatistics, "", "empty", 1},
		{NamedStatistics, "Ip6InReceives\t1\nIp6InReceives\n", "InReceives: expected a decimal", 2},
		{NamedStatistics, "Ip6InReceives\t1\nI", "middle of a line", 2},
		{NamedStatistics, "Ip6InReceives\t", "middle of a line", 1},
		{NamedStatistics, "Ip6InReceives" + strings.Repeat(" ", parser.MaxLine) + "1\n", "too long", 1},
	} {
		t.Run(c.reason, func(t *testing.T) {
			_, err := collect(c.decode(strings.NewReader(c.in)))
			var bad *parser.LineError
			if !errors.As(err, &bad) || bad.Line != c.line || !strings.Contains(bad.Reason, c.reason) {
				t.Errorf("%.40q: got %v, want line %d: %s", c.in, err, c.line, c.reason)
			}
		})
	}
	for _, decode := range []func(io.Reader) iter.Seq2[sock.Statistic, error]{PairedStatistics, NamedStatistics} {
		if _, err := collect(decode(iotest.ErrReader(broken))); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		for range decode(strings.NewReader("Ip6InReceives: 1 2\nIp6InReceives: 1 2\n")) {
			break // stopping early must not panic
		}
	}
}

// A number that is taken is one that is there.
func FuzzStatistics(f *testing.F) {
	for _, name := range []string{"snmp", "netstat", "snmp6"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, decode := range []func(io.Reader) iter.Seq2[sock.Statistic, error]{PairedStatistics, NamedStatistics} {
			for s, err := range decode(strings.NewReader(in)) {
				if err == nil && (s.Protocol == "" || s.Name == "" || !strings.Contains(in, s.Name) || !strings.Contains(in, s.Protocol)) {
					t.Errorf("%+v of %q", s, in)
				}
			}
		}
	})
}
