package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
		netnstest.NotInThisKernel(t, "AF_VSOCK")
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

// The sockets of AF_VSOCK, connected over its loopback, are what ss shows.
func TestVsockAgainstSS(t *testing.T) {
	ns := netnstest.New(t)
	if source := query(t, ns, "SELECT source FROM socket_sources WHERE proto = 'vsock'"); source[0]["source"] == "" {
		netnstest.NotInThisKernel(t, "vsock_diag")
	}
	listen := func(kind int, port uint32) int {
		t.Helper()
		fd, _ := openIn(t, ns, unix.AF_VSOCK, kind, 0, func(fd int) error {
			if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}); err != nil {
				return err
			}
			return unix.Listen(fd, 5)
		})
		return fd
	}
	connect := func(kind int, port uint32, listener int) (client, server int) {
		t.Helper()
		client, _ = openIn(t, ns, unix.AF_VSOCK, kind, 0, func(fd int) error {
			if err := unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_LOCAL, Port: port}); err != unix.EINPROGRESS {
				return err
			}
			return nil
		})
		for range 2000 {
			server, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			if err == nil {
				t.Cleanup(func() { unix.Close(server) })
				return client, server
			}
			if err != unix.EAGAIN {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatal("no connection comes")
		return 0, 0
	}
	var want, got []string // by inode: what system calls say
	describe := func(fds ...int) {
		t.Helper()
		for i, fd := range fds {
			var s unix.Stat_t
			if err := unix.Fstat(fd, &s); err != nil {
				t.Fatal(err)
			}
			shut := 0
			if i == 4 {
				shut = 2 // SEND_SHUTDOWN of net/sock.h
			}
			want = append(want, fmt.Sprintf("%d %d %d", s.Ino, unix.Getpid(), shut))
		}
	}
	stream, packets := listen(unix.SOCK_STREAM, 4242), listen(unix.SOCK_SEQPACKET, 1<<31)
	client1, server1 := connect(unix.SOCK_STREAM, 4242, stream)
	client2, server2 := connect(unix.SOCK_SEQPACKET, 1<<31, packets)
	client3, server3 := connect(unix.SOCK_STREAM, 4242, stream)
	if err := unix.Shutdown(server3, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	describe(stream, packets, client1, server1, server3, client2, server2, client3)

	word := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	var theirs, ours []string
	for _, line := range command(t, ns, "ss", "-H", "--vsock", "-an") {
		f := strings.Fields(line)
		theirs = append(theirs, strings.Join([]string{strings.ReplaceAll(f[0], "???", "v_seq"), f[1], f[4], f[5]}, " "))
	}
	rows := query(t, ns, "SELECT * FROM vsock_sockets")
	for _, r := range rows {
		kind := map[string]string{"STREAM": "v_str", "SEQPACKET": "v_seq", "DGRAM": "v_dgr"}[r["type"]]
		state := map[string]string{"ESTABLISHED": "ESTAB", "LISTEN": "LISTEN", "CLOSING": "CLOSING", "CLOSE": "UNCONN"}[r["state"]]
		ours = append(ours, fmt.Sprintf("%s %s %s:%s %s:%s", kind, state, word(r["local_cid"]), word(r["local_port"]), word(r["remote_cid"]), word(r["remote_port"])))
		got = append(got, strings.Join([]string{r["inode"], r["pid"], r["shutdown"]}, " "))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("processes and what they have shut down: %s", diff)
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	if diff := cmp.Diff(theirs, ours); diff != "" || len(ours) != 8 {
		t.Errorf("%d rows of 8 sockets\n%s", len(ours), diff)
	}
}
