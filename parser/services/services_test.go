package services

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// decode returns all that Decode gives.
func decode(t testing.TB, r io.Reader) (entries []Entry, skipped []*parser.LineError) {
	t.Helper()
	for e, err := range Decode(r, func(e *parser.LineError) { skipped = append(skipped, e) }) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries, skipped
}

func TestDecode(t *testing.T) {
	dns := Entry{Name: "domain", Port: 53, Protocol: "udp", Line: 1}
	dnsWith := func(change func(*Entry)) []Entry {
		e := dns
		change(&e)
		return []Entry{e}
	}
	comment := func(c string) []Entry { return dnsWith(func(e *Entry) { e.Comment = c }) }
	aliases := func(a ...string) []Entry { return dnsWith(func(e *Entry) { e.Aliases = a }) }
	port := func(p uint16) []Entry { return dnsWith(func(e *Entry) { e.Port = p }) }

	for _, c := range []struct {
		name, in string
		want     []Entry
	}{
		{"nothing", "", nil},
		{"blank lines", "\n \t\r\n\v\f\n", nil},
		{"comment lines", "# one\n  # two\n#", nil},
		{"plain", "domain 53/udp\n", []Entry{dns}},
		{"no final newline", "domain 53/udp", []Entry{dns}},
		{"every white space", " \t\v\fdomain\t \f53/udp \v\r\n", []Entry{dns}},
		{"DOS", "domain\t53/udp\tnameserver\t# names\r\n", dnsWith(func(e *Entry) { e.Aliases, e.Comment = []string{"nameserver"}, "names" })},
		{"aliases", "domain 53/udp nameserver  dns\tnames", aliases("nameserver", "dns", "names")},
		{"comment", "domain 53/udp #  Domain Name Server \n", comment("Domain Name Server")},
		{"comment without blank", "domain 53/udp#names\n", comment("names")},
		{"comment cuts an alias", "domain 53/udp dns#names", dnsWith(func(e *Entry) { e.Aliases, e.Comment = []string{"dns"}, "names" })},
		{"comment in a comment", "domain 53/udp # # x #y", comment("# x #y")},
		{"empty comment", "domain 53/udp # \t", []Entry{dns}},
		{"NUL ends the line", "domain 53/udp\x00 dns # names", []Entry{dns}},
		{"NUL in the comment", "domain 53/udp # names\x00 x", comment("names")},
		{"NUL first", "\x00domain 53/udp", nil},
		{"not UTF-8", "domain 53/udp \xff\xfex\x80 # na\xc3mes", dnsWith(func(e *Entry) { e.Aliases, e.Comment = []string{"\xff\xfex\x80"}, "na\xc3mes" })},
		{"UTF-8 white space is none", "domain 53/udp a\u00a0b", aliases("a\u00a0b")},
		{"slashes", "domain 53//udp", []Entry{dns}},
		{"hexadecimal", "domain 0x50/udp", port(80)},
		{"octal", "domain 0120/udp", port(80)},
		{"plus", "domain +80/udp", port(80)},
		{"port 0", "domain 0/udp", port(0)},
		{"highest port", "domain 65535/udp", port(65535)},
		{"leading zeros", "domain 0000000000000000053/udp", port(43)},
		{"protocols in their case", "domain 53/UDP-Lite", dnsWith(func(e *Entry) { e.Protocol = "UDP-Lite" })},
		{"protocol with a slash", "domain 53/udp/x", dnsWith(func(e *Entry) { e.Protocol = "udp/x" })},
		{"64 KiB of aliases", "domain 53/udp" + strings.Repeat(" dns", 30000), aliases(strings.Fields(strings.Repeat("dns ", 30000))...)},
		{"duplicates stay", "domain 53/udp\ndomain 54/udp\n", []Entry{dns, {Name: "domain", Port: 54, Protocol: "udp", Line: 2}}},
		{"a bad line between", "# head\n\nbad\nssh 22/tcp\n", []Entry{{Name: "ssh", Port: 22, Protocol: "tcp", Line: 4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := decode(t, strings.NewReader(c.in))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// excerpt has the habits of the files that distributions ship.
const excerpt = `# Network services, Internet style

tcpmux		1/tcp				# TCP port service multiplexer
discard		9/tcp		sink null
discard		9/udp		sink null
msp		18/tcp				# message send protocol
http		80/tcp		www		# WorldWideWeb HTTP
http            80/sctp                         # HyperText Transfer Protocol
rtmp		1/ddp				# Routing Table Maintenance Protocol
ms-sql-s 1433/tcp
at-nbp		202/udp    #AppleTalk name binding
x11		6000/tcp	x11-0		# X Window System
z3950		210/dccp	wais
#old		99/tcp
`

func TestDecodeExcerpt(t *testing.T) {
	want := []Entry{
		{"tcpmux", 1, "tcp", nil, "TCP port service multiplexer", 3},
		{"discard", 9, "tcp", []string{"sink", "null"}, "", 4},
		{"discard", 9, "udp", []string{"sink", "null"}, "", 5},
		{"msp", 18, "tcp", nil, "message send protocol", 6},
		{"http", 80, "tcp", []string{"www"}, "WorldWideWeb HTTP", 7},
		{"http", 80, "sctp", nil, "HyperText Transfer Protocol", 8},
		{"rtmp", 1, "ddp", nil, "Routing Table Maintenance Protocol", 9},
		{"ms-sql-s", 1433, "tcp", nil, "", 10},
		{"at-nbp", 202, "udp", nil, "AppleTalk name binding", 11},
		{"x11", 6000, "tcp", []string{"x11-0"}, "X Window System", 12},
		{"z3950", 210, "dccp", []string{"wais"}, "", 13},
	}
	got, skipped := decode(t, iotest.OneByteReader(strings.NewReader(excerpt)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if len(skipped) > 0 {
		t.Errorf("skipped %v", skipped)
	}
}

func TestDecodeSkips(t *testing.T) {
	for _, c := range []struct{ line, reason string }{
		{"domain", "name port/protocol"},
		{"domain 53", "name port/protocol"},
		{"domain 53/", "name port/protocol"},
		{"domain 53/ udp", "name port/protocol"},
		{"domain 53 /udp", "name port/protocol"},
		{"domain 53,udp", "name port/protocol"},
		{"domain /udp", "name port/protocol"},
		{"domain 53#/udp", "name port/protocol"},
		{"domain 53\x00/udp", "name port/protocol"},
		{"\ufeffdomain", "name port/protocol"},
		{"domain udp/53", "port from 0"},
		{"domain -1/udp", "port from 0"},
		{"domain +-1/udp", "port from 0"},
		{"domain ++1/udp", "port from 0"},
		{"domain +/udp", "port from 0"},
		{"domain 65536/udp", "port from 0"},
		{"domain 99999999999999999999/udp", "port from 0"},
		{"domain 0x/udp", "port from 0"},
		{"domain 0x+5/udp", "port from 0"},
		{"domain 08/udp", "port from 0"},
		{"domain 0b1/udp", "port from 0"},
		{"domain 5_3/udp", "port from 0"},
		{"domain 53-54/udp", "port from 0"},
		{"domain 53/udp " + strings.Repeat("x", parser.MaxLine), "too long"},
		{"x" + strings.Repeat(" y", 4*parser.MaxLine), "too long"},
	} {
		t.Run(fmt.Sprintf("%.40q", c.line), func(t *testing.T) {
			got, skipped := decode(t, strings.NewReader("\n"+c.line+"\nssh 22/tcp"))
			if len(got) != 1 || got[0].Name != "ssh" || got[0].Line != 3 {
				t.Errorf("got %.100v", got)
			}
			if len(skipped) != 1 || skipped[0].Line != 2 || !strings.Contains(skipped[0].Reason, c.reason) || !strings.HasPrefix(c.line, skipped[0].Text) {
				t.Errorf("skipped %v", skipped)
			}
		})
	}
	// A long comment is no malformed line, and nobody has to listen.
	_, skipped := decode(t, strings.NewReader("#"+strings.Repeat("x", 2*parser.MaxLine)))
	if len(skipped) > 0 {
		t.Errorf("skipped %v", skipped)
	}
	for range Decode(strings.NewReader("bad"), nil) {
		t.Error("an entry from a bad line")
	}
}

func TestDecodeReadError(t *testing.T) {
	broken := errors.New("broken")
	var got []string
	var last error
	for e, err := range Decode(io.MultiReader(strings.NewReader("a 1/tcp\nb 2/tcp"), iotest.ErrReader(broken)), nil) {
		got, last = append(got, e.Name), err
	}
	if !errors.Is(last, broken) || !slices.Equal(got, []string{"a", ""}) {
		t.Errorf("got %q, %v", got, last)
	}
}

// The lines that a look-up can give: the first of a name, of an alias or of a
// port, for its protocol.
func TestFound(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []int
	}{
		{"another port of a name", "http-alt 591/tcp\nhttp-alt 8080/tcp\n", []int{1, 2}},
		{"another name of a port", "ipp 631/tcp\ncups 631/tcp\n", []int{1, 2}},
		{"an alias alone is new", "a 1/tcp\nb 2/tcp\na 2/tcp c\n", []int{1, 2, 3}},
		{"a name that was an alias", "a 1/tcp b\nb 2/tcp\nb 1/tcp\n", []int{1, 2}},
		{"a line again", "a 1/tcp x\na 1/tcp x\n", []int{1}},
		{"a name and a port of two lines", "a 1/tcp\nb 2/tcp\na 2/tcp\n", []int{1, 2}},
		{"protocols are apart, in their case", "a 1/tcp\na 1/udp\na 1/TCP\na 1/udp\n", []int{1, 2, 3}},
		{"port 0", "a 0/tcp\nb 0/tcp\na 0/tcp\n", []int{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines []int
			for e := range Found(Decode(strings.NewReader(c.in), nil)) {
				lines = append(lines, e.Line)
			}
			if diff := cmp.Diff(c.want, lines); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
	t.Run("the reader fails", func(t *testing.T) {
		broken := errors.New("broken")
		var errs []error
		for _, err := range Found(Decode(io.MultiReader(strings.NewReader("a 1/tcp\n"), iotest.ErrReader(broken)), nil)) {
			errs = append(errs, err)
		}
		if len(errs) != 2 || errs[0] != nil || !errors.Is(errs[1], broken) {
			t.Errorf("got %v", errs)
		}
	})
	t.Run("an early end", func(t *testing.T) {
		for range Found(Decode(strings.NewReader("a 1/tcp\nb 2/tcp\n"), nil)) {
			break // must not panic
		}
	})
}

// getent looks keys up in a file that stands in for /etc/services or
// /etc/protocols, and returns the lines it finds, with one blank between words.
func getent(t *testing.T, database, file string, keys []string) map[string]bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), database)
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	// The file is in its place only for the program. Its exit code is 2 if a key has no entry.
	script := `mount --bind "$1" "/etc/$2" && shift && { getent "$@" || [ $? = 2 ]; }`
	out, err := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh", path, database, database}, keys...)...).Output()
	if err != nil {
		missing(t, "getent in a mount namespace: %v", err)
	}
	lines := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		lines[strings.Join(strings.Fields(line), " ")] = true
	}
	return lines
}

// TestFoundAgainstGetent asks the C library for every name and port of files in
// which they repeat.
func TestFoundAgainstGetent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			word := func() string { return string(rune('a' + random.IntN(6))) }
			protocol := func() string { return []string{"tcp", "udp"}[random.IntN(2)] }
			file, keys := "", []string{}
			for range 20 {
				name, port, protocol := word(), strconv.Itoa(1+random.IntN(6)), protocol()
				line := name + " " + port + "/" + protocol
				keys = append(keys, name+"/"+protocol, port+"/"+protocol)
				for range random.IntN(3) {
					alias := word()
					line += " " + alias
					keys = append(keys, alias+"/"+protocol)
				}
				file += line + "\n"
			}
			got := make(map[string]bool)
			for e := range Found(Decode(strings.NewReader(file), nil)) {
				got[entryLine(e)] = true
			}
			if diff := cmp.Diff(getent(t, "services", file, keys), got); diff != "" {
				t.Errorf("of\n%sgetent finds (-), Found gives (+):\n%s", file, diff)
			}
		})
	}
}

// entryLine is an entry as getent prints it, with one blank between words.
func entryLine(e Entry) string {
	return strings.Join(append([]string{e.Name, strconv.Itoa(int(e.Port)) + "/" + e.Protocol}, e.Aliases...), " ")
}

// TestAgainstGetent compares with what the C library itself reads from this
// machine's /etc/services.
func TestAgainstGetent(t *testing.T) {
	out, err := exec.Command("getent", "services").Output()
	if err != nil || len(out) == 0 {
		missing(t, "getent services: %d bytes, %v", len(out), err)
	}
	f, err := os.Open("/etc/services")
	if err != nil {
		missing(t, "%v", err)
	}
	defer f.Close()

	var want []string
	for line := range strings.Lines(string(out)) {
		want = append(want, strings.Join(strings.Fields(line), " "))
	}
	var got []string
	entries, _ := decode(t, f)
	for _, e := range entries {
		got = append(got, entryLine(e))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("getent (-), Decode (+):\n%s", diff)
	}
}

// missing skips a test for want of what it compares with, unless the machine
// is said to have everything.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("SOCKETS_MUST_RUN") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skip(errors.Join(fmt.Errorf(format, args...), errors.ErrUnsupported))
}

// render writes an entry as a line of the file.
func render(e Entry) string {
	s := e.Name + "\t" + strconv.Itoa(int(e.Port)) + "/" + e.Protocol
	for _, a := range e.Aliases {
		s += " " + a
	}
	return s + " # " + e.Comment + "\n"
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(excerpt))
	f.Add([]byte("a 0x1/b c#d\r\n\xff 1/\xfe \xfd # \xc3"))
	f.Add([]byte("a 1//b\x00c\n65536 65536/tcp\n\n # x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, skipped := decode(t, strings.NewReader(string(data)))
		last := 0
		for _, e := range entries {
			if e.Line <= last {
				t.Fatalf("line %d after line %d", e.Line, last)
			}
			last = e.Line
			for _, w := range append([]string{e.Name, e.Protocol}, e.Aliases...) {
				if w == "" || strings.ContainsAny(w, " \t\n\v\f\r#\x00") {
					t.Fatalf("%q is not a word", w)
				}
			}
			if strings.ContainsAny(e.Comment, "\n\x00") || trim(e.Comment) != e.Comment {
				t.Fatalf("%q is not a comment", e.Comment)
			}
			again, bad := decode(t, strings.NewReader(render(e)))
			e.Line = 1
			if diff := cmp.Diff([]Entry{e}, again); diff != "" || len(bad) > 0 {
				t.Fatalf("skipped %v, written (-) and read again (+):\n%s", bad, diff)
			}
		}
		if lines := strings.Count(string(data), "\n") + 1; len(entries)+len(skipped) > lines {
			t.Fatalf("%d entries and %d skipped of %d lines", len(entries), len(skipped), lines)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	const lines = 14
	text := strings.Repeat(excerpt, 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range Decode(strings.NewReader(text), nil) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(lines*1000), "ns/line")
}
