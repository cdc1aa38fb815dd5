package procnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/prometheus/procfs"
)

const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, e := range seq {
		if e != nil {
			err = e
			continue
		}
		all = append(all, v)
	}
	return all, err
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestTCP(t *testing.T) {
	in := header +
		"   0: 0100007F:0016 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0\n" +
		"   1: 0100007F:A001 0200007F:01BB 01 0000000A:00000014 01:00000015 00000002     0        0 4243 2 ffff888012345678 20 4 30 10 -1\n" +
		"12345: 0100007F:A002 0200007F:01BB 06 00000000:00000000 03:00000FA0 00000000     0        0 0 3 0000000000000000\n" +
		"   4: 0100007F:A004 0200007F:01BB 05 00000000:00000000 03:00000001 00000000     0        0 0 3 0000000000000000\n" +
		"   5: 0100007F:0016 0200007F:01BB 03 00000000:00000000 01:00000001 00000000  1000        0 0 1 0000000000000000\n" +
		"   6: 0100007F:A005 0200007F:01BB 05 00000000:00000000 00:00000000 00000000  1000        0 77 1 0000000000000000\n" +
		"   3: 0100007F:A003 0200007F:01BB 01 00000000:00000000 04:00000001 00000000 65534        7 18446744073709551615 2 x 1 2 3 4 5 6 7 8\n"
	got, err := collect(TCP(strings.NewReader(in), sock.INET, binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	inet := func(local, remote string, s sock.State, rx, tx, uid uint32, inode uint64) sock.Inet {
		return sock.Inet{Family: sock.INET, Protocol: sock.ProtoTCP, State: s, Local: ap(local), Remote: ap(remote), RecvQueue: rx, SendQueue: tx, Common: sock.Common{HasUID: true, UID: uid, Inode: inode}}
	}
	ownerless := func(s sock.Inet) sock.Inet {
		s.HasUID = false
		return s
	}
	listener := func(s sock.Inet) sock.Inet {
		s.NoBacklog = true
		return s
	}
	want := []sock.TCP{
		{Inet: listener(inet("127.0.0.1:22", "0.0.0.0:0", sock.Listen, 3, 0, 1000, 4242))},
		{Inet: inet("127.0.0.1:40961", "127.0.0.2:443", sock.Established, 20, 10, 0, 4243), Timer: sock.TimerOn, TimerExpires: 210, Retransmits: 2},
		{Inet: ownerless(inet("127.0.0.1:40962", "127.0.0.2:443", sock.TimeWait, 0, 0, 0, 0)), Timer: sock.TimerTimeWait, TimerExpires: 40000},
		{Inet: ownerless(inet("127.0.0.1:40964", "127.0.0.2:443", sock.FinWait2, 0, 0, 0, 0)), Timer: sock.TimerTimeWait, TimerExpires: 10},
		{Inet: ownerless(inet("127.0.0.1:22", "127.0.0.2:443", sock.SynRecv, 0, 0, 1000, 0)), Timer: sock.TimerOn, TimerExpires: 10},
		{Inet: inet("127.0.0.1:40965", "127.0.0.2:443", sock.FinWait2, 0, 0, 1000, 77)},
		{Inet: inet("127.0.0.1:40963", "127.0.0.2:443", sock.Established, 0, 0, 65534, 1<<64-1), Timer: sock.TimerProbe, TimerExpires: 10, Probes: 7},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

func TestTCP6InBothByteOrders(t *testing.T) {
	line := func(addr string) string {
		return header + "   0: " + addr + ":0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1 p\n"
	}
	for _, c := range []struct {
		order binary.ByteOrder
		addr  string
		want  string
	}{
		{binary.LittleEndian, "0000000000000000FFFF00000100007F", "[::ffff:127.0.0.1]:22"},
		{binary.BigEndian, "00000000000000000000FFFF7F000001", "[::ffff:127.0.0.1]:22"},
		{binary.LittleEndian, "B80D0120000000000000000001000000", "[2001:db8::1]:22"},
		{binary.BigEndian, "20010DB8000000000000000000000001", "[2001:db8::1]:22"},
	} {
		t.Run(c.addr, func(t *testing.T) {
			got, err := collect(TCP(strings.NewReader(line(c.addr)), sock.INET6, c.order))
			if err != nil || len(got) != 1 || got[0].Local != ap(c.want) {
				t.Errorf("got %v, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestUDPDrops(t *testing.T) {
	in := "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n" +
		" 1234: 00000000:0035 00000000:0000 07 00000000:00000100 00:00000000 00000000   101        0 99 2 0000000000000000 17\n"
	got, err := collect(UDP(strings.NewReader(in), sock.INET, sock.ProtoUDP, binary.LittleEndian))
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if s := got[0]; s.Drops != 17 || s.RecvQueue != 256 || s.State != sock.Close || s.Local != ap("0.0.0.0:53") || s.UID != 101 || s.Inode != 99 {
		t.Errorf("got %+v", s)
	}
}

// The udp6 of gVisor, which has no lines, has the header of tcp6.
func TestOtherHeader(t *testing.T) {
	const six = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const drops = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	for name, c := range map[string]struct {
		header string
		decode func(string) ([]string, error)
	}{
		"udp6": {six, decoded(func(r io.Reader) iter.Seq2[sock.UDP, error] {
			return UDP(r, sock.INET6, sock.ProtoUDP, binary.LittleEndian)
		})},
		"raw6": {six, decoded(func(r io.Reader) iter.Seq2[sock.RawIP, error] { return Raw(r, sock.INET6, false, binary.LittleEndian) })},
		"tcp":  {drops, decoded(func(r io.Reader) iter.Seq2[sock.TCP, error] { return TCP(r, sock.INET, binary.LittleEndian) })},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.decode(c.header); len(got) > 0 || err != nil {
				t.Errorf("without lines: %v, %v", got, err)
			}
			if _, err := c.decode(c.header + "   0: x\n"); err == nil || !strings.Contains(err.Error(), "line 2: it is beneath the header of another list") {
				t.Errorf("with a line: %v", err)
			}
		})
	}
}

// A list that is damaged anywhere must end in an error that says where, after
// the sockets before the damage.
func TestDamage(t *testing.T) {
	good := "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1\n"
	for name, c := range map[string]struct {
		in     string
		line   int
		reason string
	}{
		"empty":          {"", 1, "header"},
		"no header":      {good, 1, "header"},
		"a list of UDP":  {strings.Replace(header, "inode", "inode ref pointer drops", 1) + good, 2, "header of another"},
		"another file":   {"Inter-|   Receive\n face |bytes\n", 1, "header"},
		"cut":            {header + good + good[:80], 3, "middle of a line"},
		"cut in inode":   {header + good + strings.TrimSuffix(good, "2 1\n"), 3, "middle of a line"},
		"short line":     {header + good + "   1: 0100007F:0016 00000000:0000 0A 0:0\n", 3, "timer"},
		"empty line":     {header + good + "\n", 3, "slot"},
		"no slot":        {header + strings.Replace(good, "0:", "0", 1), 2, "slot"},
		"bad hex":        {header + strings.Replace(good, "7F", "7G", 1), 2, "address"},
		"v6 in v4":       {header + strings.Replace(good, "0100007F", strings.Repeat("0", 32), 1), 2, "address"},
		"bad port":       {header + strings.Replace(good, ":0016", ":10016", 1), 2, "port"},
		"bad state":      {header + strings.Replace(good, " 0A ", " 10A ", 1), 2, "state"},
		"negative uid":   {header + strings.Replace(good, " 1000 ", " -1 ", 1), 2, "uid"},
		"uid of 64 bits": {header + strings.Replace(good, " 1000 ", " 4294967296 ", 1), 2, "uid"},
		"long inode":     {header + strings.Replace(good, "4242", "18446744073709551616", 1), 2, "inode"},
		"long line":      {header + good + strings.Repeat("x", parser.MaxLine+1) + "\n", 3, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := collect(TCP(strings.NewReader(c.in), sock.INET, binary.LittleEndian))
			var le *parser.LineError
			if !errors.As(err, &le) || le.Line != c.line || !strings.Contains(le.Reason, c.reason) {
				t.Errorf("got %v, want an error at line %d about %s", err, c.line, c.reason)
			}
		})
	}
}

func FuzzTCP(f *testing.F) {
	f.Add([]byte(header+"   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1\n"), false)
	f.Add([]byte(header+"   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 0\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, six bool) {
		family := sock.INET
		if six {
			family = sock.INET6
		}
		got, err := collect(TCP(bytes.NewReader(data), family, binary.LittleEndian))
		checkWhole(t, data, len(got), err)
	})
}

func FuzzUDP(f *testing.F) {
	f.Add([]byte(strings.Replace(header, "inode", "inode ref pointer drops", 1) + " 1234: 00000000:0035 00000000:0000 07 00000000:00000100 00:00000000 00000000   101        0 99 2 0000000000000000 17\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := collect(UDP(bytes.NewReader(data), sock.INET, sock.ProtoUDP, binary.LittleEndian))
		checkWhole(t, data, len(got), err)
	})
}

// lineCount counts lines, also the last one if it has lost its newline.
func lineCount(data string) (n int) {
	for range strings.Lines(data) {
		n++
	}
	return n
}

// checkWhole holds a decoder to its promise: a socket for each line after the
// header, or an error.
func checkWhole(t *testing.T, data []byte, n int, err error) {
	if lines := lineCount(string(data)); err == nil && n != lines-1 {
		t.Errorf("%d sockets of %d lines without an error", n, lines)
	}
}

// bigList is a /proc/net/tcp of n sockets in the kernel's own layout.
func bigList(n int) []byte {
	b := []byte(fmt.Sprintf("%-149s\n", strings.TrimSuffix(header, "\n")))
	for i := range n {
		line := fmt.Sprintf("%4d: 0100007F:%04X 0200007F:%04X 01 00000000:00000000 02:00000FA0 00000000 %5d        0 %d 2 0000000000000000 20 4 30 10 -1", i, i&0xffff, 443, 1000, 100000+i)
		b = fmt.Appendf(b, "%-149s\n", line)
	}
	return b
}

func TestNoAllocationPerSocket(t *testing.T) {
	data := bigList(10000)
	perRun := testing.AllocsPerRun(3, func() {
		for _, err := range TCP(bytes.NewReader(data), sock.INET, binary.LittleEndian) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if perRun > 20 {
		t.Errorf("%.0f allocations for 10,000 sockets", perRun)
	}
}

// The same 100,000 lines for our decoder and for procfs's NetTCP, each from a
// file, since procfs reads nothing else.
func BenchmarkTCP100k(b *testing.B) {
	const n = 100000
	root := b.TempDir()
	path := filepath.Join(root, "net", "tcp")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, bigList(n), 0o644); err != nil {
		b.Fatal(err)
	}
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/socket")
	}
	b.Run("procnet", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			file, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			count := 0
			for _, err := range TCP(file, sock.INET, binary.LittleEndian) {
				if err != nil {
					b.Fatal(err)
				}
				count++
			}
			file.Close()
			if count != n {
				b.Fatal(count)
			}
		}
		report(b)
	})
	b.Run("procfs", func(b *testing.B) {
		fs, err := procfs.NewFS(root)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			//lint:ignore SA1019 it is what people use, and so what to compare with
			all, err := fs.NetTCP()
			if err != nil || len(all) != n {
				b.Fatal(len(all), err)
			}
		}
		report(b)
	})
}
