package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// holdSockets starts a process that inherits some of the namespace's sockets,
// as a forked worker does, and opens nothing else.
func holdSockets(t *testing.T, ns *netnstest.NS, fds ...int) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	for _, fd := range fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(dup), "socket")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// passSocket sends a socket over SCM_RIGHTS and leaves it on its way: nobody
// has it in a file until it is received.
func passSocket(t *testing.T, fd int) (receive func() int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(pair[0], []byte{1}, unix.UnixRights(fd), nil, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(pair[0])
	return func() int {
		defer unix.Close(pair[1])
		oob := make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := unix.Recvmsg(pair[1], make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			t.Fatal(err)
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fds[0]) })
		return fds[0]
	}
}

// lsofHolders returns inode, pid and file of every IP socket that lsof shows.
func lsofHolders(t *testing.T, ns *netnstest.NS) (holders []string) {
	t.Helper()
	if _, err := exec.LookPath("lsof"); err != nil {
		netnstest.SkipOrFail(t, err.Error())
	}
	out, err := ns.Command(t.Context(), "lsof", "-nP", "-i", "-F", "pfd") // the "device" of a socket is its inode
	if err != nil && !bytes.Contains(out, []byte("\n")) {
		t.Fatal(err)
	}
	var pid, fd string
	for line := range strings.Lines(string(out)) {
		value := strings.TrimSpace(line[1:])
		switch line[0] {
		case 'p':
			pid = value
		case 'f':
			fd = value
		case 'd':
			holders = append(holders, fmt.Sprint(value, " ", pid, " ", fd))
		}
	}
	slices.Sort(holders)
	return holders
}

// Every holder of every socket is the one that lsof shows, and the columns of
// the sockets name the lowest of them.
func TestHoldersAreLsofs(t *testing.T) {
	ns := netnstest.New(t)
	sockets := ns.Populate(t)
	var shared []int
	for i, s := range sockets {
		if i%7 == 0 {
			shared = append(shared, s.FD)
		}
	}
	holdSockets(t, ns, shared...)
	holdSockets(t, ns, shared[:3]...)
	receive := passSocket(t, sockets[0].FD)
	defer receive()

	var ours, theirs []string
	for range maxAttempts {
		theirs = lsofHolders(t, ns)
		ours = nil
		for _, r := range queries(t, ns, "/proc", "SELECT inode, pid, fd FROM socket_processes WHERE family IS NOT NULL")[0] {
			ours = append(ours, r["inode"]+" "+r["pid"]+" "+r["fd"])
		}
		slices.Sort(ours)
		// lsof sees sockets that are bound and no more as well, which have no family here.
		theirs = slices.DeleteFunc(theirs, func(h string) bool {
			return slices.ContainsFunc(sockets, func(s netnstest.Socket) bool {
				return s.BoundOnly() && strings.HasPrefix(h, fmt.Sprint(s.Inode, " "))
			})
		})
		if slices.Equal(ours, theirs) {
			break
		}
	}
	if !slices.Equal(ours, theirs) || len(ours) < len(sockets) {
		t.Errorf("%d holders, lsof shows %d", len(ours), len(theirs))
		for _, h := range theirs {
			if !slices.Contains(ours, h) {
				t.Errorf("only lsof has %s", h)
			}
		}
		for _, h := range ours {
			if !slices.Contains(theirs, h) {
				t.Errorf("only we have %s", h)
			}
		}
	}

	// The lowest holder, however the sockets are asked for.
	lowest := map[string][2]int{}
	for _, h := range ours {
		f := strings.Fields(h)
		pid, _ := strconv.Atoi(f[1])
		fd, _ := strconv.Atoi(f[2])
		if old, ok := lowest[f[0]]; !ok || pid < old[0] || pid == old[0] && fd < old[1] {
			lowest[f[0]] = [2]int{pid, fd}
		}
	}
	self := os.Getpid()
	for _, where := range []string{"1", "state = 'LISTEN'", "local_port = 22", fmt.Sprint("pid = ", self), fmt.Sprint("pid IN (1, ", self, ")")} {
		for _, r := range queries(t, ns, "/proc", "SELECT inode, pid, fd, program FROM tcp_sockets WHERE "+where)[0] {
			want, ok := lowest[r["inode"]]
			if ok && (r["pid"] != strconv.Itoa(want[0]) || r["fd"] != strconv.Itoa(want[1]) || r["program"] == "") || !ok && (r["pid"] != "" || r["fd"] != "" || r["program"] != "") {
				t.Errorf("%s: %v, want %v", where, r, want)
			}
		}
	}
	n := queries(t, ns, "/proc", fmt.Sprint("SELECT count(*) AS n FROM tcp_sockets WHERE pid = ", self), fmt.Sprint("SELECT count(*) AS n FROM tcp_sockets WHERE +pid = ", self))
	if n[0][0]["n"] != n[1][0]["n"] || n[0][0]["n"] == "0" {
		t.Errorf("pid = %d gives %s sockets, +pid = %d %s", self, n[0][0]["n"], self, n[1][0]["n"])
	}
}

// Processes that end while they are looked at, and zombies, are no errors.
func TestHoldersOfTheDying(t *testing.T) {
	ns := netnstest.New(t)
	sockets := ns.Populate(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
			cmd := exec.Command("true")
			if cmd.Start() == nil {
				time.Sleep(time.Millisecond) // a zombie until then
				cmd.Wait()
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		r := queries(t, ns, "/proc", "SELECT count(*) AS n FROM tcp_sockets WHERE pid IS NOT NULL")
		if n, err := strconv.Atoi(r[0][0]["n"]); err != nil || n < len(sockets)/4 {
			t.Fatalf("%s sockets have a holder, %v", r[0][0]["n"], errors.Join(err))
		}
	}
}
