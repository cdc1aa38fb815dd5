package register

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const whole = `# what may listen
listeners:
  - protocol: tcp
    port: 22
    address: 10.0.0.0/8
    exposure: private
    program: sshd
    exe: /usr/sbin/sshd
    user: root
    systemd_unit: ssh*.service
    why: administration
    approver: j.doe
    ticket: CHG-1
    expires: 2027-06-30
  - {protocol: udp, port: 8000-8010, address: "::", image: "docker.io/library/nginx:*", container: "web-?", why: w, approver: a}
  - {protocol: raw, exposure: public, program: "ospfd", why: w, approver: a}
`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(whole))
	want := []Entry{
		{Line: 3, Protocol: "tcp", Low: 22, High: 22, HasPorts: true, Address: netip.MustParsePrefix("10.0.0.0/8"), Exposure: "private", Program: "sshd", Exe: "/usr/sbin/sshd",
			User: "root", Unit: "ssh*.service", Why: "administration", Approver: "j.doe", Ticket: "CHG-1", Expires: "2027-06-30"},
		{Line: 15, Protocol: "udp", Low: 8000, High: 8010, HasPorts: true, Address: netip.MustParsePrefix("::/128"), Image: "docker.io/library/nginx:*", Container: "web-?", Why: "w", Approver: "a"},
		{Line: 16, Protocol: "raw", Exposure: "public", Program: "ospfd", Why: "w", Approver: "a"},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" || err != nil {
		t.Errorf("%v, want (-), got (+):\n%s", err, diff)
	}
	for _, empty := range []string{"", "# nothing\n", "listeners:\n", "listeners: []\n", "---\n"} {
		if got, err := Parse([]byte(empty)); len(got) != 0 || err != nil {
			t.Errorf("%q: %v, %v", empty, got, err)
		}
	}
}

// Each error names the line and the word.
func TestParseErrors(t *testing.T) {
	const head = "listeners:\n  - "
	for _, c := range []struct{ file, want string }{
		{"listener:\n", `line 1: unknown key, a register has listeners: "listener"`},
		{"- protocol: tcp\n", `line 1: a register begins with listeners:`},
		{"x", `line 1: a register begins with listeners:: "x"`},
		{"listeners: 5\n", `line 1: listeners is a list, each entry begins with -: "5"`},
		{"listeners:\nlisteners:\n", `line 2: the key is there twice: "listeners"`},
		{"listeners: []\n---\nlisteners: []\n", `a register is one document`},
		{"listeners:\n\t- protocol: tcp\n", `line 2: this is no YAML`},
		{head + "tcp\n", `line 2: an entry has keys, such as protocol: "tcp"`},
		{head + "protocol: tcp\n    prot: 22\n", `line 3: unknown key, an entry has protocol, port`},
		{head + "protocol: tcp\n    protocol: tcp\n", `line 3: the key is there twice in an entry: "protocol"`},
		{head + "protocol: http\n", `line 2: protocol is tcp, udp, udplite, sctp, vsock, raw or icmp: "http"`},
		{head + "port: 22-\n", `line 2: port is a number such as 22, or a range such as 8000-8010: "22-"`},
		{head + "port: 30-20\n", `"30-20"`},
		{head + "port: [22, 23]\n", `line 2: the key has one value, no list and no alias: "port"`},
		{head + "address: localhost\n", `"localhost"`},
		{head + "address: 10.0.0.1/8\n", `line 2: address is an IP address, or a prefix such as 10.0.0.0/8 whose other bits are 0: "10.0.0.1/8"`},
		{head + "address: fe80::1%eth0\n", `"fe80::1%eth0"`},
		{head + "exposure: any\n", `line 2: exposure is host_only, link, private, public: "any"`},
		{head + "expires: 30.6.2027\n", `line 2: expires is a day such as 2027-06-30: "30.6.2027"`},
		{head + "expires: 2027-02-30\n", `"2027-02-30"`},
		{head + "protocol: tcp\n    why:\n", `line 3: the key has no value: write one, or remove the line: "why"`},
		{head + "protocol: tcp\n    why: ' '\n", `line 3: the key has no value`},
		{head + "{why: w, approver: a}\n", `line 2: the entry lacks protocol`},
		{head + "{protocol: tcp, port: 1, exposure: link, approver: a}\n", `line 2: the entry lacks why`},
		{head + "{protocol: tcp, port: 1, exposure: link, why: w}\n", `line 2: the entry lacks approver`},
		{head + "{protocol: tcp, port: 1, why: w, approver: a}\n", `line 2: the entry lacks address or exposure`},
		{head + "{protocol: tcp, exposure: link, user: root, why: w, approver: a}\n", `line 2: the entry lacks port, or what may listen`},
		{head + "{protocol: raw, port: 1, exposure: link, why: w, approver: a}\n", `line 2: raw has no ports: "1"`},
		{head + "{protocol: tcp, port: 65536, exposure: link, why: w, approver: a}\n", `line 2: a port is at most 65535: "65536"`},
		{"a: &x [1]\nlisteners: *x\n", `line 1: unknown key`},
		{"listeners: &x\n  - *x\n", `line 2`},
	} {
		t.Run(c.file, func(t *testing.T) {
			if _, err := Parse([]byte(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	entries, err := Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	sshd := Listener{Protocol: "tcp", Port: 22, Address: netip.MustParseAddr("10.1.2.3"), Exposure: "private", Program: "sshd", Exe: "/usr/sbin/sshd", User: "root", Unit: "ssh@1.service"}
	for _, c := range []struct {
		name   string
		today  string
		change func(*Listener)
		line   int // of the nearest entry, 0 for none
		want   string
	}{
		{"approved", "2027-06-30", func(l *Listener) {}, 3, ""},
		{"narrower", "2027-06-30", func(l *Listener) { l.Exposure = "host_only" }, 3, ""},
		{"expired", "2027-07-01", func(l *Listener) {}, 3, "the approval ended on 2027-06-30"},
		{"another port", "2027-01-01", func(l *Listener) { l.Port = 2222 }, 3, "port is 2222, approved is 22"},
		{"another address", "2027-01-01", func(l *Listener) { l.Address = netip.MustParseAddr("0.0.0.0") }, 3, "address is 0.0.0.0, approved is 10.0.0.0/8"},
		{"wider", "2027-01-01", func(l *Listener) { l.Exposure = "public" }, 3, "exposure is public, approved is private"},
		{"exposure unknown", "2027-01-01", func(l *Listener) { l.Exposure = "any" }, 3, "exposure is any, approved is private"},
		{"another program", "2027-01-01", func(l *Listener) { l.Program = "nc" }, 3, "program is nc, approved is sshd"},
		{"program unknown", "2027-01-01", func(l *Listener) { l.Program, l.Unit = "", "" }, 3, "program is unknown, approved is sshd; systemd_unit is unknown, approved is ssh*.service"},
		{"another user", "2027-01-01", func(l *Listener) { l.User = "nobody" }, 3, "user is nobody, approved is root"},
		{"another exe", "2027-01-01", func(l *Listener) { l.Exe = "/tmp/sshd" }, 3, "exe is /tmp/sshd, approved is /usr/sbin/sshd"},
		{"nothing near", "2027-01-01", func(l *Listener) { *l = Listener{Protocol: "tcp", Port: 5432, Program: "postgres"} }, 0, ""},
		{"a container", "2027-01-01", func(l *Listener) {
			*l = Listener{Protocol: "udp", Port: 8005, Address: netip.IPv6Unspecified(), Exposure: "public", Image: "docker.io/library/nginx:1.27", Container: "web-1"}
		}, 15, ""},
		{"another image", "2027-01-01", func(l *Listener) {
			*l = Listener{Protocol: "udp", Port: 8010, Address: netip.IPv6Unspecified(), Image: "evil/nginx:1", Container: "web-1"}
		}, 15, "image is evil/nginx:1, approved is docker.io/library/nginx:*"},
		{"raw", "2027-01-01", func(l *Listener) { *l = Listener{Protocol: "raw", Exposure: "any", Program: "ospfd"} }, 16, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := sshd
			c.change(&l)
			nearest, differences := Nearest(entries, &l, c.today)
			line := 0
			if nearest != nil {
				line = nearest.Line
			}
			if got := strings.Join(differences, "; "); got != c.want || line != c.line {
				t.Errorf("line %d: %s, want line %d: %s", line, got, c.line, c.want)
			}
		})
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "ab", false}, {"a*", "a", true}, {"*", "", true}, {"?", "", false}, {"a?", "a", false},
		{"*a*b", "xaabb", true}, {"*a*b", "xaabbc", false}, {"a*", "ba", false}, {"docker.io/*:1", "docker.io/x/y:1", true}, {"a**", "abc", true},
	} {
		if got := Glob(c.pattern, c.text); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("listeners:\n  - {protocol: tcp, port: 1-2, address: \"::/0\", why: w, approver: a}\n"))
	f.Add([]byte("a: &x [*x]\n---\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		entries, err := Parse(file)
		if err != nil && len(entries) > 0 {
			t.Errorf("entries with %v", err)
		}
		for _, e := range entries {
			if e.Line < 1 || e.Protocol == "" || e.Why == "" || e.Approver == "" || e.Low > e.High {
				t.Errorf("%+v", e)
			}
			if e.Expired("0000-00-00") || e.Expires != "" && !e.Expired(e.Expires+"x") {
				t.Errorf("expires %s", e.Expires)
			}
			Nearest(entries, &Listener{Protocol: e.Protocol, Port: e.Low, Program: e.Program}, "2027-01-01")
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("*a?b*", "xaab")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if Glob(pattern, text) && !strings.ContainsAny(pattern, "*?") && pattern != text {
			t.Errorf("%q matches %q", pattern, text)
		}
	})
}
