package host_test

import (
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

const (
	protocols = "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n"
	rest      = "       0   no       0   yes  kernel      y  y  y  n  y  y  y  y  y  y  y  y  n  n  y  y  y  n\n"
)

// Sockets of which only sock_diag tells are none if the kernel counts none, and
// an error if it may have some.
func TestUnlisted(t *testing.T) {
	for name, c := range map[string]struct {
		protocols string
		fails     string
	}{
		"not registered":   {protocols + "TCP       2304      1" + rest, ""},
		"none":             {protocols + "MPTCPv6   2064      0" + rest + "MPTCP     1936      0" + rest, ""},
		"some":             {protocols + "MPTCPv6   2064      0" + rest + "MPTCP     1936      3" + rest, "there are 3 mptcp sockets, which only sock_diag lists: "},
		"some of IPv6":     {protocols + "MPTCPv6   2064     12" + rest + "MPTCP     1936      0" + rest, "there are 12 mptcp6 sockets"},
		"cut off":          {protocols + "MPTCPv6   2064      0", "line 2: the file ends in the middle of a line"},
		"another file":     {header, "line 1: expected the header of another list"},
		"no number":        {protocols + "MPTCP     1936      ?" + rest, "line 2: sockets: expected a decimal number"},
		"empty":            {"", "even its header is missing"},
		"short line":       {protocols + "MPTCP 1936\n", "line 2: sockets: expected a decimal number"},
		"no such file (-)": {"-", "only sock_diag lists mptcp sockets"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"net/tcp": header, "net/protocols": c.protocols}
			if c.protocols == "-" {
				delete(files, "net/protocols")
			}
			h := host.New(host.Options{Proc: write(t, files)})
			n, err := drain(h.MPTCP(t.Context(), host.InetFilter{}))
			if n != 0 || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%d sockets, %v; want %q", n, err, c.fails)
			}
			sources, err := h.Sources(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sources {
				if strings.HasPrefix(s.Proto, "mptcp") && (s.Now.Source != "" || s.Now.Reason == "") {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}
