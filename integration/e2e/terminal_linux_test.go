package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// A terminal obeys no name of an interface, in any of netstat's lists; the rest of a
// line is netstat's.
func TestNetstatOfHostileInterfaces(t *testing.T) {
	ns := netnstest.New(t)
	const hostile, shown = "v\x1b[31m", `v\x1b[31m`
	for _, args := range []string{
		"tuntap add dev t0 mode tun",
		"link set t0 up",
		"link set t0 allmulticast on",
		"link add " + hostile + " type ifb",
		"link set " + hostile + " up",
		"link set " + hostile + " promisc on",
		"address add 10.9.0.1/24 dev " + hostile,
		"-6 address add fd09::1/64 dev " + hostile + " nodad",
	} {
		output(t, ns, "ip", strings.Fields(args)...)
	}
	for _, mode := range [][]string{{"-ia"}, {"-rn"}, {"-rn", "-6"}, {"-gn"}} {
		t.Run(strings.Join(mode, " "), func(t *testing.T) {
			theirs := func() []string {
				var all []string
				for line := range strings.Lines(output(t, ns, "netstat", mode...)) {
					all = append(all, strings.Join(strings.Fields(strings.ReplaceAll(line, hostile, shown)), " "))
				}
				return all
			}
			agree(t, "netstat", theirs, func() []string {
				var all []string
				out := output(t, ns, program, append([]string{"netstat"}, mode...)...)
				if strings.Contains(out, "\x1b") || !strings.Contains(out, shown) {
					t.Errorf("the terminal gets %q", out)
				}
				for line := range strings.Lines(out) {
					all = append(all, strings.Join(strings.Fields(line), " "))
				}
				return all
			})
		})
	}
}

// SCTP is printed as netstat prints it, which reads the same files in the place of
// the kernel's.
func TestNetstatSCTP(t *testing.T) {
	ns := netnstest.New(t)
	const proc = "../../tables/testdata/proc"
	files, err := filepath.Abs(proc + "/1/net/sctp")
	if err != nil {
		t.Fatal(err)
	}
	const script = `mount -t tmpfs tmpfs /proc && mkdir -p /proc/net/sctp && cp "$0"/* /proc/net/sctp && exec netstat "$@"`
	for _, args := range [][]string{{"-San"}, {"-Sln"}, {"-Sn"}, {"-Sane"}, {"-San4"}, {"-San6"}, {"-Sano"}, {"-Salne"}} {
		t.Run(args[0], func(t *testing.T) {
			theirs := output(t, ns, "unshare", append([]string{"--mount", "sh", "-c", script, files}, args...)...)
			ours := output(t, ns, program, append([]string{"netstat", "--strict", "--proc", proc}, args...)...)
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("netstat (-), got (+):\n%s", diff)
			}
			if args[0] != "-San6" && !strings.Contains(theirs, "sctp") {
				t.Errorf("netstat prints %q", theirs)
			}
		})
	}
}
