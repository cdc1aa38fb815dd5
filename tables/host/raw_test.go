package host_test

import (
	"fmt"
	"slices"
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
		n, err := drain(host.New(host.Options{Proc: write(t, c.files)}).Raw(t.Context(), host.Namespaces{}))
		if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d sockets, %v; want %d and %q", c.name, n, err, c.n, c.want)
		}
	}
}

// A ping socket that the kernel shows in both lists is one, of the family in which
// it has an address.
func TestPingSocketsInBothLists(t *testing.T) {
	const v6 = "  777: 00000000000000000000000000000000:0309 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 42 2 0000000000000000 0\n"
	dir := write(t, map[string]string{
		"net/raw": rawHeader,
		"net/icmp": rawHeader +
			"  777: 0100007F:0309 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 42 2 0000000000000000 0\n" +
			"  778: 00000000:030A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 43 2 0000000000000000 0\n",
		"net/icmp6": rawHeader + v6 + strings.ReplaceAll(strings.Replace(v6, " 42 ", " 43 ", 1), "00000000000000000000000000000000:0309", "00000000000000000000000001000000:030A"),
	})
	var got []string
	for s, err := range host.New(host.Options{Proc: dir}).Raw(t.Context(), host.Namespaces{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(s.Inode, s.Family, s.Local.Addr()))
	}
	if want := []string{"42 2 127.0.0.1", "43 10 ::1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
