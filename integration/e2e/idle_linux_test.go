package e2e

import (
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// changing are the tables whose visible columns count: what they count goes on
// while a host is idle. vsock_sockets fails where vsock_diag is missing.
var changing = []string{"protocol_statistics", "interface_statistics", "socket_sources", "socket_summary", "vsock_sockets"}

// A scheduled SELECT * of an idle host logs nothing: nothing that changes by
// itself is visible.
func TestIdleHostDoesNotChange(t *testing.T) {
	ns := netnstest.New(t)
	var conn net.Conn
	if err := ns.Do(func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		conn, err = (&net.Dialer{KeepAlive: 30 * time.Second}).Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		other, err := l.Accept()
		if err == nil {
			t.Cleanup(func() { other.Close() })
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			t.Cleanup(func() { unix.Close(fd) })
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	other := netnstest.New(t)
	stay(t, other, nil)
	only := map[string]string{ // others on this machine may not be idle
		"socket_processes":   fmt.Sprint(" WHERE pid = ", os.Getpid()),
		"network_namespaces": " WHERE inode = '" + inodeOf(t, other) + "'",
		"listening_services": " WHERE net_namespace = '" + inodeOf(t, ns) + "'",
	}
	for _, table := range tables.All(host.New(host.Options{})) {
		name := table.Spec().Name
		if slices.Contains(changing, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			statement := "SELECT * FROM " + name + only[name]
			before := output(t, ns, program, "query", "--json", statement)
			time.Sleep(50 * time.Millisecond)
			if after := output(t, ns, program, "query", "--json", statement); after != before {
				t.Errorf("first\n%s\nthen\n%s", before, after)
			}
		})
	}
	row := query(t, ns, "SELECT timer, timer_expires_ms > 0 AS expires FROM tcp_sockets WHERE state = 'ESTABLISHED' AND local_port = "+fmt.Sprint(conn.LocalAddr().(*net.TCPAddr).Port))
	if len(row) != 1 || row[0]["timer"] != "keepalive" || row[0]["expires"] != "1" {
		t.Errorf("no timer runs: %v", row)
	}
}
