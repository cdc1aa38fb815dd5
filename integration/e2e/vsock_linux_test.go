package e2e

import (
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// A kernel that has sockets of AF_VSOCK and does not list them, as ss does not
// either, must not pass for one without.
func TestVsock(t *testing.T) {
	ns := netnstest.New(t)
	fd := -1
	err := ns.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: 4242})
	})
	if fd >= 0 {
		defer unix.Close(fd)
	}
	if err == unix.EAFNOSUPPORT {
		if rows := query(t, ns, "SELECT * FROM vsock_sockets"); len(rows) > 0 {
			t.Errorf("without the family: %v", rows)
		}
		netnstest.SkipOrFail(t, "this kernel has no AF_VSOCK")
	}
	if err != nil {
		t.Fatal(err)
	}
	if source := query(t, ns, "SELECT source FROM socket_sources WHERE proto = 'vsock'"); source[0]["source"] == "" {
		_, err := ns.Command(t.Context(), program, "query", "SELECT * FROM vsock_sockets")
		if err == nil || !strings.Contains(err.Error(), "there may be vsock sockets, which only sock_diag lists") {
			t.Errorf("without sock_diag: %v", err)
		}
		return
	}
	rows := query(t, ns, "SELECT * FROM vsock_sockets WHERE pid = "+strconv.Itoa(unix.Getpid()))
	if len(rows) != 1 || rows[0]["local_port"] != "4242" || rows[0]["local_cid"] != "" || rows[0]["type"] != "STREAM" || rows[0]["remote_port"] != "" {
		t.Errorf("%v", rows)
	}
}
