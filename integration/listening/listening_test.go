package listening_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/listening"
	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
)

func print(t *testing.T, o listening.Options) (lines []string) {
	t.Helper()
	var out bytes.Buffer
	if err := listening.Print(t.Context(), sqltest.Fixtures(t), &out, o); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestPrint(t *testing.T) {
	lines := print(t, listening.Options{})
	var headings []string
	for _, l := range lines {
		if l != "" && !strings.HasPrefix(l, " ") {
			headings = append(headings, l[:strings.IndexAny(l, ":")])
		}
	}
	want := []string{"exposure unknown", "public", "private", "link", "host only", "not complete"}
	if diff := cmp.Diff(want, headings); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	for _, fields := range []string{
		"tcp 10.1.2.3:631 ipp sshd[100] and 1 more root ssh.service",
		"tcp [fe80::1]:65535 last (unknown) root",
		"sctp [::1]:80 http sshd[100] root ssh.service",
		"raw 0.0.0.0 (unknown) root",
		"udp 224.0.0.251:5353 mdns (unknown) root",
	} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(strings.Join(strings.Fields(l), " "), fields) }) {
			t.Errorf("no line has %q", fields)
		}
	}
	all := print(t, listening.Options{All: true})
	if client := func(l string) bool { return strings.Contains(l, "client: ") }; slices.ContainsFunc(lines, client) || !slices.ContainsFunc(all, client) {
		t.Error("clients are shown to those who ask for all, and to no others")
	}
	if strings.Contains(strings.Join(lines, ""), "\x1b") {
		t.Error("there are colours that nobody asked for")
	}
	colored := print(t, listening.Options{Colors: true})
	if !strings.HasPrefix(colored[0], "\x1b[1;31m"+lines[0]) || colored[1] != lines[1] {
		t.Errorf("the first lines are %q", colored[:2])
	}
}

// The columns of all groups are below one another.
func TestAlignment(t *testing.T) {
	at := -1
	for _, l := range print(t, listening.Options{}) {
		if i := strings.Index(l, "(unknown)"); i >= 0 && strings.HasPrefix(l, " ") {
			if at >= 0 && i != at {
				t.Fatalf("%q is not at %d", l, at)
			}
			at = i
		}
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ address, port, device, want string }{
		{"0.0.0.0", "22", "", "0.0.0.0:22"},
		{"::", "22", "", "[::]:22"},
		{"fe80::1", "22", "eth0", "[fe80::1]%eth0:22"},
		{"127.0.0.1", "", "", "127.0.0.1"},
		{"", "1024", "", ":1024"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if got := listening.Address(c.address, c.port, c.device); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}
