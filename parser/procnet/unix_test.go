package procnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

const unixHeader = "Num       RefCount Protocol Flags    Type St Inode Path\n"

var (
	netstatUnix = regexp.MustCompile(`^unix  (\d+) +\[ ([A-Z ]*)\] +(\S+) +([A-Z]*) +(\d+) +(.*)$`)
	ssUnix      = regexp.MustCompile(`(?ms)^u_\w+ +\S+ +\d+ +\d+ +(.*?) (\d+) \* \d+ +skmem`)
)

// The capture is of a namespace with sockets of every kind. Beside it is what
// netstat prints of the same file, of a path its first word; the whole path is
// what ss prints of the same sockets, which it has from netlink.
func TestUnixAgainstNetstatAndSS(t *testing.T) {
	file, err1 := os.Open("testdata/unix")
	netstat, err2 := os.ReadFile("testdata/unix.netstat")
	ss, err3 := os.ReadFile("../sockdiag/testdata/unix.ss")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	paths := map[string]string{"0": "/run/golden/listen"} // those that wait are not in ss
	for _, m := range ssUnix.FindAllStringSubmatch(string(ss), -1) {
		paths[m[2]] = m[1]
		if m[1] == "*" {
			paths[m[2]] = ""
		}
	}
	got, err := collect(Unix(file, nil, never(t)))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(netstat)) {
		if m := netstatUnix.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			path, ok := paths[m[5]]
			if first := append(strings.Fields(path), "")[0]; !ok || first != m[6] {
				t.Fatalf("ss shows %q of the inode %s, netstat %q", path, m[5], m[6])
			}
			want = append(want, fmt.Sprintf("%s [%s] %s %s %s %q", m[1], strings.TrimSpace(m[2]), m[3], m[4], m[5], path))
		}
	}
	if len(got) != len(want) || len(paths) != len(want)-1 {
		t.Fatalf("%d sockets, netstat shows %d, ss %d and 2 that wait", len(got), len(want), len(paths)-1)
	}
	ids := map[int64]bool{}
	for i, s := range got {
		line := fmt.Sprintf("%d [%s] %s %s %d %q", s.RefCount, s.FlagNames(), s.Type, s.State, s.Inode, s.Path)
		if line != want[i] || s.KnownUnix != sock.KnowsRefCount {
			t.Errorf("got  %s\nwant %s", line, want[i])
		}
		ids[s.ID()] = true
	}
	if len(ids) != len(got) {
		t.Errorf("%d sockets have %d identities", len(got), len(ids))
	}
}

// unixLineOf is a line as unix_seq_show prints it.
func unixLineOf(address, inode uint64, rest string) string {
	return fmt.Sprintf("%016x: %08X %08X %08X %04X %02X %5d%s\n", address, 2, 0, 0, 1, 1, inode, rest)
}

func TestUnixPaths(t *testing.T) {
	const none = "\x00" // no path
	long := strings.Repeat("p", maxUnixPath)
	for name, paths := range map[string][]string{
		"none":                  {none, none},
		"blanks":                {" ", "a b", " a  b "},
		"newlines":              {"a\nb", "\n", "\na", "a\n", "a\n\n\nb", none, "a\n "},
		"more than one read":    {long, long[:50] + "\n" + long[:57], none},
		"almost a line":         {"a\n0000000000000001: 00000002 00000000 00000000 0001 01     x", "a\n0000000000000001: 00000002 00000000 00000000 0001 1 1"},
		"the header":            {"a\n" + strings.TrimSuffix(unixHeader, "\n")},
		"bytes, also of no use": {"a\xff\r\t\x01\\n"},
	} {
		t.Run(name, func(t *testing.T) {
			in := unixHeader
			for i, p := range paths {
				if p == none {
					in += unixLineOf(uint64(i+1), uint64(i+1), "")
				} else {
					in += unixLineOf(uint64(i+1), uint64(i+1), " "+p)
				}
			}
			got, err := collect(Unix(strings.NewReader(in), nil, never(t)))
			if err != nil || len(got) != len(paths) {
				t.Errorf("got %d sockets, %v", len(got), err)
				return
			}
			for i, p := range paths {
				if want := strings.TrimPrefix(p, none); got[i].Path != want || got[i].Inode != uint64(i+1) {
					t.Errorf("got %q of the inode %d, want %q", got[i].Path, got[i].Inode, want)
				}
			}
		})
	}
}

// never fails the test where a line is no socket.
func never(t testing.TB) func(*parser.LineError) {
	return func(err *parser.LineError) {
		t.Helper()
		t.Error(err)
	}
}

// With what netlink told, paths that imitate lines are no sockets; that of one
// without an inode is its listener's. What does not agree with it is uncertain.
func TestUnixImitation(t *testing.T) {
	fake := strings.TrimSuffix(unixLineOf(9, 99, " /x"), "\n")
	path := "a\n" + fake + "\n\nb"
	list := unixHeader + unixLineOf(1, 7, " "+path) + unixLineOf(2, 0, " "+path) + unixLineOf(3, 8, " a") + unixLineOf(4, 0, " a") + unixLineOf(5, 10, "")
	got, err := collect(Unix(strings.NewReader(list), map[uint64]string{7: path}, never(t)))
	var shown []string
	for _, s := range got {
		shown = append(shown, fmt.Sprintf("%d %q", s.Inode, s.Path))
	}
	if want := []string{fmt.Sprintf("7 %q", path), fmt.Sprintf("0 %q", path), `8 "a"`, `0 "a"`, `10 ""`}; err != nil || fmt.Sprint(shown) != fmt.Sprint(want) {
		t.Errorf("got %v, %v, want %v", shown, err, want)
	}
	for name, c := range map[string]struct {
		list  string
		known map[uint64]string
	}{
		"another path":             {unixLineOf(1, 7, " "+path), map[uint64]string{7: "b\nc"}},
		"less of it":               {unixLineOf(1, 7, " a"), map[uint64]string{7: path}},
		"more of it":               {unixLineOf(1, 7, " "+path+"\nc"), map[uint64]string{7: path}},
		"no path":                  {unixLineOf(1, 7, ""), map[uint64]string{7: path}},
		"less of a listener's":     {unixLineOf(1, 0, " a\n"+fake) + unixLineOf(2, 8, ""), map[uint64]string{7: path}},
		"not that of a listener's": {unixLineOf(1, 0, " a\n"+fake+"\n\nc"), map[uint64]string{7: path}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := collect(Unix(strings.NewReader(unixHeader+c.list), c.known, func(*parser.LineError) {}))
			if err != nil || !slices.ContainsFunc(got, func(s sock.Unix) bool { return s.Uncertain }) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// Addresses may be hidden, by kptr_restrict or before there is randomness.
func TestUnixAddresses(t *testing.T) {
	for name, address := range map[string]string{"hashed": "", "hidden": "0000000000000000", "early": "(____ptrval____)", "32 bits": "00000000"} {
		t.Run(name, func(t *testing.T) {
			in := unixHeader
			for i := range 3 {
				line := unixLineOf(uint64(i+1), 0, " /listener")
				if address != "" {
					line = address + line[16:]
				}
				in += line
			}
			got, err := collect(Unix(strings.NewReader(in), nil, never(t)))
			if err != nil || len(got) != 3 || got[0].ID() == got[1].ID() || got[1].ID() == got[2].ID() {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestUnixTwice(t *testing.T) {
	a, b := unixLineOf(1, 7, " /a"), unixLineOf(2, 8, "")
	again := strings.Replace(a, "00000002", "00000003", 1) // referred to once more
	got, err := collect(Unix(strings.NewReader(unixHeader+a+b+again+b), nil, never(t)))
	if err != nil || len(got) != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What is no list of unix sockets, or not a whole one, ends in an error that says
// where.
func TestUnixDamage(t *testing.T) {
	good := unixLineOf(1, 7, " /a")
	bare := unixLineOf(2, 8, "")
	for name, c := range map[string]struct {
		in     string
		line   int
		reason string
	}{
		"empty":               {"", 1, "header"},
		"no header":           {good, 1, "header"},
		"another list":        {header, 1, "header"},
		"cut":                 {unixHeader + good + bare[:40], 3, "middle of a line"},
		"cut behind the kind": {unixHeader + bare + good[:len(good)-len("    7 /a\n")], 3, "middle of a line"},
		"a long path":         {unixHeader + unixLineOf(3, 9, " "+strings.Repeat("p", 109)), 2, "too long"},
		"a protocol":          {unixHeader + strings.Replace(bare, " 00000000 ", " 00000006 ", 1), 2, "Protocol"},
		"a wide type":         {unixHeader + strings.Replace(bare, " 0001 ", " 0101 ", 1), 2, "Type"},
		"a state of our own":  {unixHeader + strings.Replace(bare, " 01 ", " 05 ", 1), 2, "St"},
		"a long inode":        {unixHeader + strings.Replace(bare, "    8", "99999999999999999999", 1), 2, "Inode"},
		"a long line":         {unixHeader + good + strings.Repeat("x", parser.MaxLine+1) + "\n", 3, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := collect(Unix(strings.NewReader(c.in), nil, never(t)))
			var le *parser.LineError
			if !errors.As(err, &le) || le.Line != c.line || !strings.Contains(le.Reason, c.reason) {
				t.Errorf("got %v, want an error at line %d about %s", err, c.line, c.reason)
			}
		})
	}
}

// A name ends no list, whatever lines it imitates: a line that is no socket is told,
// and a socket that may be none is uncertain.
func TestUnixForgery(t *testing.T) {
	short, bare := unixLineOf(1, 7, " /a"), unixLineOf(2, 8, "")
	full := unixLineOf(3, 9, " "+strings.Repeat("p", 100))
	for _, c := range []struct {
		name, list string
		sockets    string // inodes, with ? behind those that are uncertain
		strange    string
	}{
		{"no socket", "garbage\n" + bare, "8", "line 2: expected a socket"},
		{"more of no path", short + bare + "garbage\n" + full, "7 8? 9", "line 4: expected a socket"},
		{"more than a path can have", full + "garbage!\n" + bare, "9 8", "line 3: expected a socket"},
		{"a socket behind a name", short + bare, "7 8?", ""},
		{"a socket behind a long name", full + bare, "9 8", ""},
		{"a socket behind one without a name", bare + short, "8 7", ""},
		{"an imitated socket", short + strings.Replace(bare, "    8", "    7", 1), "7 7?", ""},
		{"an imitated state", bare + short + strings.Replace(bare, " 01 ", " 03 ", 1), "8 7 8?", ""},
		{"an imitated protocol", short + strings.Replace(bare, " 00000000 ", " 00000006 ", 1) + full, "7 9", "line 3: Protocol"},
	} {
		t.Run(c.name, func(t *testing.T) {
			strange := ""
			got, err := collect(Unix(strings.NewReader(unixHeader+c.list), nil, func(line *parser.LineError) { strange += line.Error() }))
			var sockets []string
			ids := map[int64]bool{}
			for _, s := range got {
				inode := strconv.FormatUint(s.Inode, 10)
				if s.Uncertain {
					inode += "?"
				}
				sockets = append(sockets, inode)
				ids[s.ID()] = true
			}
			if shown := strings.Join(sockets, " "); err != nil || shown != c.sockets || len(ids) != len(got) {
				t.Errorf("%v: %s with %d identities, want %s", err, shown, len(ids), c.sockets)
			}
			if (strange != "") != (c.strange != "") || !strings.HasPrefix(strange, c.strange) {
				t.Errorf("told %q, want %q", strange, c.strange)
			}
		})
	}
}

func TestCountUnix(t *testing.T) {
	list := unixHeader + unixLineOf(1, 7, " /a\nb\n"+strings.TrimSuffix(unixLineOf(9, 99, " /x"), "\n")) + unixLineOf(2, 8, "")
	if n, err := CountUnix(strings.NewReader(list)); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// FuzzUnix prints sockets as the kernel does, and damages the list.
func FuzzUnix(f *testing.F) {
	for _, paths := range []string{"", "/a\x00\x00/b c\n\x00", "\n\n\n", "x\n0000000000000001: 00000002 00000000 00000000 0001 01     7"} {
		f.Add([]byte(paths), []byte{}, 0)
	}
	f.Add([]byte("/a"), []byte("\n"), 100)
	f.Fuzz(func(t *testing.T, paths, damage []byte, at int) {
		in := []byte(unixHeader)
		var want []string
		imitates := false
		known := map[uint64]string{}
		for i, p := range bytes.Split(paths, []byte{0}) {
			p = p[:min(len(p), maxUnixPath)]
			rest := ""
			if len(p) > 0 {
				rest = " " + string(p)
			}
			for line := range bytes.SplitSeq(p, []byte("\n")) {
				imitates = imitates || isUnixLine(line)
			}
			in = append(in, unixLineOf(uint64(i+1), uint64(i+1), rest)...)
			want = append(want, string(p))
			if bytes.Contains(p, []byte("\n")) {
				known[uint64(i+1)] = string(p)
			}
		}
		for _, known := range []map[uint64]string{known, nil} {
			if imitates && known == nil {
				break // nothing tells
			}
			got, err := collect(Unix(bytes.NewReader(in), known, never(t)))
			if err != nil || len(got) != len(want) {
				t.Fatalf("%d of %d sockets: %v in %q", len(got), len(want), err, in)
			}
			for i, s := range got {
				if s.Path != want[i] || s.Inode != uint64(i+1) || s.State != sock.UnixUnconnected || s.Type != sock.Stream {
					t.Fatalf("got %+v, want %q", s, want[i])
				}
			}
		}
		at = min(max(at, 0), len(in))
		in = append(append(in[:at:at], damage...), in[at:]...)
		got, err := collect(Unix(bytes.NewReader(in), nil, func(*parser.LineError) {}))
		if lines := lineCount(string(in)); len(got) > lines-1 && lines > 0 {
			t.Fatalf("%d sockets of %d lines", len(got), lines)
		}
		if n, err := CountUnix(bytes.NewReader(in)); err == nil && len(got) > n {
			t.Fatalf("%d sockets of %d", len(got), n)
		}
		inodes := map[uint64]bool{}
		for _, s := range got {
			if s.Inode != 0 && inodes[s.Inode] && !s.Uncertain || len(s.Path) > maxUnixPath {
				t.Fatalf("%+v, %v", got, err)
			}
			inodes[s.Inode] = true
		}
	})
}

func BenchmarkUnix(b *testing.B) {
	in := []byte(unixHeader)
	const n = 10000
	for i := range n {
		path := ""
		if i%4 == 0 {
			path = " /run/service/socket" + strconv.Itoa(i)
		}
		in = append(in, unixLineOf(uint64(i+1), uint64(i+1), path)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range Unix(bytes.NewReader(in), nil, func(*parser.LineError) {}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/socket")
}
