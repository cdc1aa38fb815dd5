package osquery_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/gen/osquery"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// The socket on which calls are taken is our user's alone, whatever the umask.
func TestSocketIsPrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	m := osquerytest.New(t)
	socket := m.ExtensionSocket(4001)
	serve(t, m, constant("a"))
	m.WaitFor("test")
	info, err := os.Lstat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if want := os.ModeSocket | 0o600; info.Mode() != want {
		t.Errorf("the socket's mode is %v, want %v", info.Mode(), want)
	}
}

// What is in the socket's place and no abandoned socket of ours stays there, and
// the extension fails.
func TestForeignFileInSocketsPlace(t *testing.T) {
	for name, create := range map[string]func(path string) error{
		"a regular file":   func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"a FIFO":           func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a symbolic link":  func(path string) error { return os.Symlink("nowhere", path) },
		"a link to a file": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a directory":      func(path string) error { return os.Mkdir(path, 0o700) },
		"a socket of another user": func(path string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return errors.Join(l.Close(), os.Chown(path, 4242, 4242))
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := osquerytest.New(t)
			socket := m.ExtensionSocket(4001)
			err := create(socket)
			if errors.Is(err, os.ErrPermission) && os.Getenv("SOCKETS_MUST_RUN") != "1" {
				t.Skip(errors.Join(err, errors.ErrUnsupported)) // only root gives files away
			}
			if err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(socket)
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, m, constant("a"))
			if err := s.wait(t); err == nil || !strings.Contains(err.Error(), filepath.Base(socket)) {
				t.Errorf("got %v", err)
			}
			after, err := os.Lstat(socket)
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("%v became %v, %v", before, after, err)
			}
		})
	}
}

// call is the begin of a message of Thrift's binary protocol that calls "call"
// with a request of entries entries, of which only the first one's key begins: it
// claims to have size bytes.
func call(entries, size uint32) []byte {
	text := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	b := text([]byte{0x80, 1, 0, 1}, "call")
	b = append(b, 0, 0, 0, 1)                     // sequence number
	b = text(append(b, 11, 0, 1), "table")        // registry
	b = text(append(b, 11, 0, 2), "a")            // item
	b = append(b, 13, 0, 3, 11, 11)               // request: a map of texts
	b = binary.BigEndian.AppendUint32(b, entries) // its size
	return binary.BigEndian.AppendUint32(b, size)
}

// A client that claims, or sends, more than is held of its kind is disconnected,
// and another one is answered meanwhile.
func TestGreedyClients(t *testing.T) {
	m := osquerytest.New(t)
	socket := m.ExtensionSocket(4001)
	serve(t, m, constant("a"))
	m.WaitFor("test")
	answered := func(t *testing.T) {
		t.Helper()
		if rows, err := m.Generate(t.Context(), "a", "{}"); err != nil || len(rows) != 1 {
			t.Errorf("meanwhile: %v, %v", rows, err)
		}
	}
	connect := func(t *testing.T) net.Conn {
		t.Helper()
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
	t.Run("a map of two million entries", func(t *testing.T) {
		c := connect(t)
		if _, err := c.Write(call(2_000_000, 1)); err != nil {
			t.Fatal(err)
		}
		answered(t)
		if answer, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(string(answer), "2000000 entries") {
			t.Errorf("got %q, %v", answer, err)
		}
	})
	t.Run("unfinished requests", func(t *testing.T) {
		const size = 15 << 20
		part := make([]byte, 1<<20)
		refused := 0
		for range 8 {
			c := connect(t)
			if _, err := c.Write(call(2, size)); err != nil {
				t.Fatal(err)
			}
			for range 14 {
				if _, err := c.Write(part); err != nil {
					refused++
					break
				}
			}
			answered(t)
		}
		// Of 112 MiB 64 are taken.
		if refused < 3 || refused > 5 {
			t.Errorf("%d of 8 requests were refused", refused)
		}
	})
	t.Run("answered requests", func(t *testing.T) {
		for range 6 { // together more than is held
			c, err := m.Dial(t.Context(), 4001)
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.Call(t.Context(), "table", "a", osquery.ExtensionPluginRequest{"action": "generate", "context": strings.Repeat(" ", 15<<20)})
			if err != nil || r.Status.Code != 0 {
				t.Errorf("%v, %v", r, err)
			}
			c.Close()
		}
	})
	t.Run("connections", func(t *testing.T) {
		var last net.Conn
		for range 300 {
			last = connect(t)
		}
		if _, err := last.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the last connection: %v", err)
		}
	})
}

// An answer holds its turn until it is written: clients that do not read cannot
// make the extension hold many answers.
func TestTurnLastsUntilAnswerIsWritten(t *testing.T) {
	m := osquerytest.New(t)
	socket := m.ExtensionSocket(4001)
	answered := make(chan struct{}, 3)
	large := &plugin{"a", func(context.Context) osquery.ExtensionResponse {
		answered <- struct{}{}
		return ok(map[string]string{"x": strings.Repeat("x", 8<<20)}) // more than a socket holds
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- sockets.Serve(ctx, sockets.Options{Socket: m.Socket(), Name: "test", MaxCalls: 1}, large)
	}()
	defer func() {
		cancel()
		<-ended
	}()
	m.WaitFor("test")
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// An empty request, its end, and that of the arguments.
	request := append(call(0, 0)[:len(call(0, 0))-4], 0)
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	<-answered
	second := make(chan error, 1)
	go func() {
		rows, err := m.Generate(t.Context(), "a", "{}")
		if err == nil && len(rows) != 1 {
			err = fmt.Errorf("%d rows", len(rows))
		}
		second <- err
	}()
	select {
	case <-answered:
		t.Error("a second answer is made while the first is not written")
	case <-time.After(300 * time.Millisecond):
	}
	if _, err := io.CopyN(io.Discard, c, 8<<20); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Errorf("the second call: %v", err)
	}
}

// What others chose does not make a line of the log as long as they like.
func TestLogIsBounded(t *testing.T) {
	m := osquerytest.New(t)
	var log strings.Builder
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- sockets.Serve(ctx, sockets.Options{
			Socket: m.Socket(), Name: "test", Log: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn}),
		}, constant("a"))
	}()
	m.WaitFor("test")
	c, err := m.Dial(t.Context(), 4001)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	long := strings.Repeat("\n", 4<<20)
	if _, err := c.Call(t.Context(), "table", long, osquery.ExtensionPluginRequest{"action": long}); err != nil {
		t.Error(err)
	}
	cancel()
	<-ended
	if n := log.Len(); n == 0 || n > 16<<10 {
		t.Errorf("%d bytes are logged", n)
	}
}
