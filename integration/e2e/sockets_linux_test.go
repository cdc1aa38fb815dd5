package e2e

import (
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// Every open socket has one row that says what system calls on its descriptor
// say. Unlike netstat they know mapped addresses and drops.
func TestSameAsSystemCalls(t *testing.T) {
	ns := netnstest.New(t)
	sockets := ns.Populate(t)
	rows := map[string][]tableRow{}
	for _, sql := range []string{"SELECT * FROM tcp_sockets", "SELECT * FROM udp_sockets"} {
		for _, r := range query(t, ns, sql) {
			rows[r["inode"]] = append(rows[r["inode"]], r)
		}
	}
	for _, s := range sockets {
		found := rows[strconv.FormatUint(s.Inode, 10)]
		if s.BoundOnly() {
			continue // only some of the kernel's interfaces show it
		}
		if len(found) != 1 {
			t.Errorf("%s: %d rows for %+v", s.Name, len(found), s)
			continue
		}
		want := tableRow{
			"proto":          s.Proto,
			"state":          s.State,
			"local_address":  s.Local.Addr().String(),
			"local_port":     strconv.Itoa(int(s.Local.Port())),
			"remote_address": s.Remote.Addr().String(),
			"remote_port":    strconv.Itoa(int(s.Remote.Port())),
			"uid":            strconv.FormatUint(uint64(s.UID), 10),
		}
		if !strings.HasPrefix(s.Proto, "tcp") {
			want["drops"] = strconv.FormatUint(uint64(s.Drops), 10)
		}
		for name, value := range want {
			if got, ok := found[0][name]; !ok || got != value {
				t.Errorf("%s: %s is %q, want %q", s.Name, name, got, value)
			}
		}
	}
}
