package host_test

import (
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

const rawHeader = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"

// Of each kind the IPv6 list may be missing, as where the kernel has no IPv6; the
// IPv4 one may not.
func TestRawLists(t *testing.T) {
	const line = "  53: 00000000:0001 00000000:0000 07 00000000:00001580 00:00000000 00000000     0        0 12364719 2 0000000096d0f6be 6\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		n     int
		want  string // in the error
	}{
		{"no IPv6", map[string]string{"net/raw": rawHeader + line, "net/icmp": rawHeader + line + line}, 3, ""},
		{"no list of ping sockets", map[string]string{"net/raw": rawHeader + line}, 1, "no such file"},
		{"no list of raw sockets", map[string]string{"net/icmp": rawHeader + line}, 0, "no such file"},
		{"cut off", map[string]string{"net/raw": rawHeader + line, "net/icmp": rawHeader + line, "net/icmp6": rawHeader + line[:40]}, 2, "net/icmp6: line 2"},
	} {
		n, err := drain(host.New(host.Options{Proc: write(t, c.files)}).Raw(t.Context(), nil))
		if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d sockets, %v; want %d and %q", c.name, n, err, c.n, c.want)
		}
	}
}
