package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

const rawHeader = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"

// Of each kind the IPv6 list may be missing, as where the kernel has no IPv6. That
// the IPv4 one is missing is noted.
func TestRawLists(t *testing.T) {
	const line = "  53: 00000000:0001 00000000:0000 07 00000000:00001580 00:00000000 00000000     0        0 12364719 2 0000000096d0f6be 6\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		n     int
		want  string // in the error
		lacks []string
	}{
		{"no IPv6", map[string]string{"net/raw": rawHeader + line, "net/icmp": rawHeader + line + line}, 3, "", nil},
		{"no list of ping sockets", map[string]string{"net/raw": rawHeader + line}, 1, "", []string{"icmp: a list of the kernel is missing"}},
		{"no list of raw sockets", map[string]string{"net/icmp": rawHeader + line}, 1, "", []string{"raw: a list of the kernel is missing"}},
		{"neither", map[string]string{"net/tcp": ""}, 0, "", []string{"icmp: a list of the kernel is missing", "raw: a list of the kernel is missing"}},
		{"without the last newline", map[string]string{"net/raw": rawHeader + line, "net/icmp": rawHeader + line[:len(line)-1]}, 2, "", []string{"icmp: a list ends without a newline"}},
		{"cut off", map[string]string{"net/raw": rawHeader + line, "net/icmp": rawHeader + line, "net/icmp6": rawHeader + line[:40]}, 2, "net/icmp6: line 2", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := host.New(host.Options{Proc: write(t, c.files)})
			n, err := drain(h.Raw(t.Context(), host.Namespaces{}))
			if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d sockets, %v; want %d and %q", n, err, c.n, c.want)
			}
			if diff := cmp.Diff(c.lacks, lacks(h)); diff != "" {
				t.Errorf("lacks (-), got (+):\n%s", diff)
			}
		})
	}
}

// lacks are those of a host without their numbers and examples.
func lacks(h *host.Host) (all []string) {
	for _, lack := range h.Lacks() {
		why, _, _ := strings.Cut(lack, ",")
		all = append(all, why)
	}
	return all
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
