package e2e

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// A connection that its program has closed belongs to nobody. Linux before 6.17
// says that root owns it, by sock_diag and by /proc.
func TestOrphanHasNoUser(t *testing.T) {
	ns := netnstest.New(t)
	listener, _ := listenIn(t, ns)
	defer unix.Close(listener)
	local, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	client := -1
	err = ns.Do(func() (err error) {
		if client, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(unix.Connect(client, local), unix.SetNonblock(client, true), unix.Fchown(client, 1234, -1))
	})
	if err != nil {
		t.Fatal(err)
	}
	server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	// It has more to send than the other end reads, which stays so.
	for {
		if _, err := unix.Write(client, make([]byte, 1<<16)); err == unix.EAGAIN {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for name, proc := range map[string]string{"sock_diag": "/proc", "procfs": onlyProc} {
		if r := queries(t, ns, proc, "SELECT uid FROM tcp_sockets WHERE uid = 1234"); len(r[0]) != 1 {
			t.Fatalf("%s: %v", name, r)
		}
	}
	if err := unix.Close(client); err != nil {
		t.Fatal(err)
	}
	for name, proc := range map[string]string{"sock_diag": "/proc", "procfs": onlyProc} {
		t.Run(name, func(t *testing.T) {
			rows := queries(t, ns, proc, "SELECT state, inode, uid, username FROM tcp_sockets WHERE state = 'FIN_WAIT1'")[0]
			if len(rows) != 1 || rows[0]["uid"] != "" || rows[0]["username"] != "" {
				t.Errorf("%v", rows)
			}
		})
	}
}
