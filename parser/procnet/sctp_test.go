package procnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

const (
	epsHeader    = " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n"
	assocsHeader = " ASSOC     SOCK   STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS"
	counters     = " HBINT INS OUTS MAXRT T1X T2X RTXC"
	// assoc is a line that a running kernel wrote, but for an address.
	assoc = "ffff98a3286d5800 ffff98a284374000 2   1   3  0       2        0        0       0 1870580 8888  40384  127.0.0.1 192.0.2.45 <-> *127.0.0.1 192.0.2.45 "
	seven = "\t    7500    10    11    12    1    2        3"
	tail  = seven + "        1        0   212992   212992"
)

func TestSCTPEndpoints(t *testing.T) {
	got, err := collect(SCTPEndpoints(strings.NewReader(epsHeader +
		"ffff98a3a73a4300 ffff98a2843779c0 2   10  22   8888      0 1870579 0.0.0.0 \n" +
		"(____ptrval____) (____ptrval____) 0   10  22   9  4294967294     7 192.0.2.1 2001:0db8:0000:0000:0000:0000:0000:0001 \n" +
		"0 0 0 7 1 5 0 0 \n")))
	if err != nil {
		t.Fatal(err)
	}
	inet := func(local, remote string, family sock.Family, state sock.State, uid uint32, inode uint64) sock.Inet {
		return sock.Inet{Family: family, Protocol: sock.ProtoSCTP, State: state, Local: ap(local), Remote: ap(remote), Common: sock.Common{HasUID: inode != 0, UID: uid, Inode: inode}}
	}
	none := inet("0.0.0.0:0", "0.0.0.0:0", 0, sock.Close, 0, 0)
	none.Local, none.Remote = netip.AddrPortFrom(netip.Addr{}, 5), netip.AddrPort{}
	addrs := func(all ...string) (list []netip.Addr) {
		for _, a := range all {
			list = append(list, netip.MustParseAddr(a))
		}
		return list
	}
	want := []sock.SCTP{
		{Inet: inet("0.0.0.0:8888", "0.0.0.0:0", sock.INET, sock.Listen, 0, 1870579), Type: sock.Stream, LocalAddrs: addrs("0.0.0.0")},
		{Inet: inet("192.0.2.1:9", "0.0.0.0:0", sock.INET, sock.Listen, 4294967294, 7), Type: sock.SeqPacket, LocalAddrs: addrs("192.0.2.1", "2001:db8::1")},
		{Inet: none, Type: sock.SeqPacket},
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// The list has grown twice; a kernel's own header says what is in its lines.
func TestSCTPAssociations(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.45")}
	want := sock.SCTP{
		Inet: sock.Inet{Family: sock.INET, Protocol: sock.ProtoSCTP, State: sock.Established, Local: ap("127.0.0.1:8888"), Remote: ap("127.0.0.1:40384"), Common: sock.Common{HasUID: true, Inode: 1870580}},
		Type: sock.Stream, LocalAddrs: addrs, RemoteAddrs: addrs, IsAssociation: true, Number: 2, Association: 3,
	}
	counted := want
	counted.Counters, counted.Heartbeat, counted.InStreams, counted.OutStreams = true, 7500, 10, 11
	counted.MaxRetransmits, counted.InitRetransmits, counted.ShutdownRetransmits, counted.Retransmits = 12, 1, 2, 3
	for name, c := range map[string]struct {
		file string
		want sock.SCTP
	}{
		"no counters":    {assocsHeader + "\n" + assoc + "\n", want},
		"seven counters": {assocsHeader + counters + "\n" + assoc + seven + "\n", counted},
		"later columns":  {assocsHeader + counters + " wmema wmemq sndbuf rcvbuf later\n" + assoc + tail + " 9\n", counted},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := collect(SCTPAssociations(strings.NewReader(c.file)))
			if err != nil || len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", c.want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestSCTPPaths(t *testing.T) {
	header := "ADDR ASSOC_ID HB_ACT RTO MAX_PATH_RTX REM_ADDR_RTX START STATE\n"
	got, err := collect(SCTPPaths(strings.NewReader(header + "127.0.0.1  3 1 250 5 0 0 2\n2001:0db8:0000:0000:0000:0000:0000:0001  4 0 75000 5 0 0\n")))
	want := []sock.SCTPPath{
		{Number: 3, Remote: netip.MustParseAddr("127.0.0.1"), HeartbeatActive: true, RTO: 250},
		{Number: 4, Remote: netip.MustParseAddr("2001:db8::1"), RTO: 75000},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, file := range []string{"", epsHeader, header + "127.0.0.1  3 1\n", header + "127.0.0.1  3 2 250 5 0 0 2\n", header + "  3 1 250\n", header + "127.0.0.1  3 1 250", header + "\n"} {
		t.Run(file, func(t *testing.T) {
			if got, err := collect(SCTPPaths(strings.NewReader(file))); err == nil {
				t.Errorf("%q gives %+v", file, got)
			}
		})
	}
}

func TestSCTPMalformed(t *testing.T) {
	full := assocsHeader + counters + "\n"
	for _, c := range []struct{ eps, assocs, reason string }{
		{eps: "", reason: "even its header is missing"},
		{eps: full, reason: "another list"},
		{eps: epsHeader + "0 0 2 10 22 8888 0 1 0.0.0.0", reason: "in the middle of a line"},
		{eps: epsHeader + "0 0 2 10 22 65536 0 1 0.0.0.0\n", reason: "LPORT: the number is too large"},
		{eps: epsHeader + "0 0 3 10 22 1 0 1 0.0.0.0\n", reason: "STY: expected 0, 1 or 2"},
		{eps: epsHeader + "0 0 2 10 22 1 0\n", reason: "INODE: expected a decimal number"},
		{eps: epsHeader + "0 0 2 10 22 1 0 1 0.0.0\n", reason: "expected an IP address"},
		{eps: epsHeader + "0 0 2 10 22 1 0 1 fe80::1%lo\n", reason: "expected an IP address"},
		{eps: epsHeader + "\n", reason: "STY: expected a decimal number"},
		{assocs: epsHeader, reason: "another list"},
		{assocs: full + assoc + "\n", reason: "expected a tabulator"},
		{assocs: full + assoc + "\t7500 1 2 3\n", reason: "T1X: expected a decimal number"},
		{assocs: full + strings.Replace(assoc, "<->", "", 1) + tail + "\n", reason: "expected <->"},
		{assocs: full + strings.Replace(assoc, " 2  ", " -2 ", 1) + tail + "\n", reason: "STY: expected a decimal number"},
		{assocs: full + assoc + strings.Repeat("1 ", parser.MaxLine/2) + tail + "\n", reason: "too long"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var err error
			if c.assocs == "" {
				_, err = collect(SCTPEndpoints(strings.NewReader(c.eps)))
			} else {
				_, err = collect(SCTPAssociations(strings.NewReader(c.assocs)))
			}
			var line *parser.LineError
			if !errors.As(err, &line) || !strings.Contains(line.Reason, c.reason) {
				t.Errorf("%.80q: %v, want %q", c.eps+c.assocs, err, c.reason)
			}
		})
	}
}

// The files were made by hand from the formats in net/sctp/proc.c, for want of a
// kernel with SCTP. Package tables compares them with what netstat -S made of them.
func FuzzSCTP(f *testing.F) {
	for _, name := range []string{"eps", "assocs", "remaddr"} {
		b, err := os.ReadFile("../../tables/testdata/proc/1/net/sctp/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, file string) {
		lines := lineCount(file)
		for _, read := range []func() ([]sock.SCTP, error){
			func() ([]sock.SCTP, error) { return collect(SCTPEndpoints(strings.NewReader(file))) },
			func() ([]sock.SCTP, error) { return collect(SCTPAssociations(strings.NewReader(file))) },
		} {
			got, err := read()
			if err == nil && len(got) != lines-1 {
				t.Errorf("%d rows of %d lines", len(got), lines)
			}
			for p, err := range SCTPPaths(strings.NewReader(file)) {
				if err == nil && !p.Remote.IsValid() {
					t.Errorf("%+v", p)
				}
			}
			for _, s := range got {
				if s.ID() < 0 || len(s.LocalAddrs) > 0 != s.Local.IsValid() || s.IsAssociation && len(s.RemoteAddrs) > 0 != s.Remote.IsValid() {
					t.Errorf("%+v", s)
				}
			}
		}
	})
}
