package osquery_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// as calls f in a thread of another user, which ends with it.
func as(t *testing.T, user int, f func() error) {
	t.Helper()
	if os.Geteuid() != 0 && os.Getenv("SOCKETS_MUST_RUN") != "1" {
		t.Skip(fmt.Errorf("only root becomes another user: %w", errors.ErrUnsupported))
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		// The system call, unlike the function of its name, is for this thread alone.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(user), uintptr(user), uintptr(user)); errno != 0 {
			result <- errno
			return
		}
		result <- f()
	}()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

// Whatever the mode of a socket file is, only root and the own user are at its
// other end.
func TestPeersOfOtherUsers(t *testing.T) {
	t.Run("who calls", func(t *testing.T) {
		m := osquerytest.New(t)
		socket := m.ExtensionSocket(4001)
		serve(t, m, constant("a"))
		m.WaitFor("test")
		if err := errors.Join(os.Chmod(socket, 0o666), os.Chmod(filepath.Dir(socket), 0o755)); err != nil {
			t.Fatal(err)
		}
		var c net.Conn
		as(t, 4242, func() (err error) { c, err = net.Dial("unix", socket); return err })
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the connection is not ended: %d bytes, %v", n, err)
		}
		if rows, err := m.Generate(t.Context(), "a", "{}"); err != nil || len(rows) != 1 {
			t.Errorf("osquery: %v, %v", rows, err)
		}
	})
	t.Run("who is called", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "osquery")
		if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			t.Fatal(err)
		}
		var l net.Listener
		as(t, 4242, func() (err error) { l, err = net.Listen("unix", path); return err })
		defer l.Close()
		if err := os.Chown(path, 0, 0); err != nil { // as if it was exchanged after the look at it
			t.Fatal(err)
		}
		err := sockets.Serve(t.Context(), sockets.Options{Socket: path, Name: "test", Timeout: 5 * time.Second}, constant("a"))
		if err == nil || !strings.Contains(err.Error(), "belongs to user 4242") {
			t.Errorf("got %v", err)
		}
	})
}
