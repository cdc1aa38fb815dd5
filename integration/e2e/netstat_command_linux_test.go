package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
)

// running masks what a running timer shows, how long it runs still, and in
// SYN_RECV the number of tries: netstat counts those that were due. orphan masks
// the owner of a connection that its program has closed, which netstat shows since
// Linux 6.17 and calls root before.
var (
	running = regexp.MustCompile(`(on|keepalive|timewait|probe) \(\d+\.\d\d/`)
	tries   = regexp.MustCompile(`(SYN_RECV .* on )\(…/\d+/`)
	orphan  = regexp.MustCompile(`(FIN_WAIT1|LAST_ACK|CLOSING) +\S+ +0 `)
)

// masked returns what a program prints in the namespace, but for what changes by
// itself.
func masked(t *testing.T, ns *netnstest.NS, name string, args ...string) string {
	t.Helper()
	out := strings.Join(command(t, ns, name, args...), "\n")
	out = orphan.ReplaceAllString(out, "$1 … 0 ")
	return tries.ReplaceAllString(running.ReplaceAllString(out, "$1 (…/"), "$1(…/…/")
}

// sameAsNetstat compares our output with netstat's, byte for byte. What changes
// by itself meanwhile is compared again.
func sameAsNetstat(t *testing.T, ns *netnstest.NS, options ...string) {
	t.Helper()
	var before, ours string
	for range maxAttempts {
		before = masked(t, ns, "netstat", options...)
		ours = masked(t, ns, program, append([]string{"netstat", "--strict"}, options...)...)
		if ours == before || ours == masked(t, ns, "netstat", options...) {
			return
		}
	}
	theirs, mine := strings.Split(before, "\n"), strings.Split(ours, "\n")
	for i := range max(len(theirs), len(mine)) {
		var a, b string
		if i < len(theirs) {
			a = theirs[i]
		}
		if i < len(mine) {
			b = mine[i]
		}
		if a != b {
			t.Errorf("netstat %v, line %d:\nnetstat %q\nours    %q", options, i+1, a, b)
			return
		}
	}
}

// The command netstat --strict prints what netstat does.
func TestNetstatCommand(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	rawSockets(t, ns)
	for _, options := range []string{
		"-atn", "-ltn", "-tuln", "-aun", "-atune", "-atuno", "-tulpn", "-tn", "-un", "-tunp", "-4atn", "-6atn", "-A inet6 -atn", "--tcp --all --numeric",
		"-atnW", "-atunepoW", "-aUn", "-lU4n", "-ant --numeric-hosts", "-at --numeric-hosts", "-ate --numeric-hosts --numeric-ports", "-at4 --numeric-ports",
		"-awn", "-wn", "-lwn", "-aw --numeric-hosts", "-axn", "-x", "-lx", "-axp", "-an", "-ln", "-n", "-anp", "-lanp6",
	} {
		sameAsNetstat(t, ns, strings.Fields(options)...)
	}
}

// Of unix sockets too, whatever their names, but that those come first which wait
// to be accepted.
func TestNetstatCommandOfUnixSockets(t *testing.T) {
	u := newUnixSockets(t)
	for _, options := range []string{"-axn", "-x", "-lx", "-axp", "-lxp", "-A unix -a", "-anp"} {
		args := strings.Fields(options)
		theirs := strings.Split(masked(t, u.ns, "netstat", args...), "\n")
		ours := strings.Split(masked(t, u.ns, program, append([]string{"netstat", "--strict"}, args...)...), "\n")
		for i := range ours {
			ours[i] = text.Unescape(ours[i])
		}
		sameLines(t, "netstat "+options, ours, theirs)
	}
}

// Of routes, interfaces and groups.
func TestNetstatCommandOfTheNetwork(t *testing.T) {
	ns := netnstest.New(t)
	network(t, ns)
	for _, options := range []string{"-rn", "-ren", "-reen", "-rn6", "-ren6", "-rn46", "-i", "-ai", "-ian", "-gn"} {
		sameAsNetstat(t, ns, strings.Fields(options)...)
	}
}
