package host_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// write makes files under a fresh directory and returns it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	line   = "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0\n"
)

// drain returns how many there were and what ended them.
func drain[T any](seq iter.Seq2[T, error]) (n int, err error) {
	for _, e := range seq {
		if e != nil {
			return n, e
		}
		n++
	}
	return n, nil
}

func TestProcRoots(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		n     int
		want  string // in the error
	}{
		{"another host's /proc", map[string]string{"1/net/tcp": header + line, "net/tcp": header}, 1, ""},
		{"saved lists", map[string]string{"net/tcp": header + line, "net/tcp6": header}, 1, ""},
		{"no IPv6", map[string]string{"net/tcp": header + line}, 1, ""},
		{"a file where a directory should be", map[string]string{"1": "", "net/tcp": header}, 0, ""},
		{"no proc", map[string]string{"etc/passwd": ""}, 0, "no proc filesystem"},
		{"only UDP", map[string]string{"net/udp": ""}, 0, "net/tcp: no such file"},
		{"cut off", map[string]string{"net/tcp": header + line + line[:60]}, 1, "net/tcp: line 3"},
		{"empty", map[string]string{"net/tcp": ""}, 0, "net/tcp: line 1"},
		{"damaged", map[string]string{"net/tcp": header + "garbage\n"}, 0, "net/tcp: line 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := drain(host.New(host.Options{Proc: write(t, c.files)}).TCP(t.Context(), host.InetFilter{}))
			if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d sockets, %v; want %d and %q", n, err, c.n, c.want)
			}
		})
	}
	_, err := drain(host.New(host.Options{Proc: "/nonexistent"}).UDP(t.Context(), host.InetFilter{}))
	if err == nil || !strings.Contains(err.Error(), "/nonexistent is no proc filesystem") {
		t.Errorf("a missing root gave %v", err)
	}
	dir := write(t, map[string]string{"net/tcp": header, "net/udp6": header})
	if _, err := drain(host.New(host.Options{Proc: dir}).UDP(t.Context(), host.InetFilter{})); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("a missing list gave %v", err)
	}
}

func TestDirectoryInPlaceOfList(t *testing.T) {
	dir := write(t, map[string]string{"net/tcp/x": ""})
	if _, err := drain(host.New(host.Options{Proc: dir}).TCP(t.Context(), host.InetFilter{})); err == nil || !strings.Contains(err.Error(), "net/tcp") {
		t.Errorf("got %v", err)
	}
}

// A pipe or a device in the place of a file could keep a query for ever.
func TestOnlyRegularFiles(t *testing.T) {
	dir := write(t, map[string]string{"net/tcp6": header})
	for _, path := range []string{filepath.Join(dir, "services"), filepath.Join(dir, "net", "tcp")} {
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h := host.New(host.Options{Proc: dir, Services: filepath.Join(dir, "services")})
	for name, read := range map[string]func() error{
		"a list":         func() error { _, err := drain(h.TCP(t.Context(), host.InetFilter{})); return err },
		"services":       func() error { _, err := drain(h.Services(t.Context())); return err },
		"names of ports": func() error { _, err := h.ServiceNames(t.Context()); return err },
	} {
		t.Run(name, func(t *testing.T) {
			if err := read(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The net of a live proc filesystem is a link to the reader's own: it must not
// pass for that of another host whose process 1 is not to be seen.
func TestProcWithoutProcess1(t *testing.T) {
	dir := write(t, map[string]string{"self/net/tcp": header + line})
	if err := os.Symlink("self/net", filepath.Join(dir, "net")); err != nil {
		t.Fatal(err)
	}
	if n, err := drain(host.New(host.Options{Proc: dir}).TCP(t.Context(), host.InetFilter{})); n > 0 || err == nil || !strings.Contains(err.Error(), "process 1") {
		t.Errorf("%d sockets, %v", n, err)
	}
	// However it is spelled, /proc is this host's.
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/proc", link); err != nil {
		t.Fatal(err)
	}
	for _, proc := range []string{"", "/proc", "/proc/", "//proc", "/proc/.", link} {
		t.Run(proc, func(t *testing.T) {
			sources, err := host.New(host.Options{Proc: proc}).Sources(t.Context())
			if err != nil || strings.Contains(sources[0].Now.Reason, "in place of") {
				t.Errorf("%+v, %v", sources, err)
			}
		})
	}
}

func TestFilter(t *testing.T) {
	established := strings.Replace(line, " 0A ", " 01 ", 1)
	six := "   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 1 1 p\n"
	h := host.New(host.Options{Proc: write(t, map[string]string{"net/tcp": header + line + established, "net/tcp6": header + six})})
	for _, c := range []struct {
		f host.InetFilter
		n int
	}{
		{host.InetFilter{}, 3},
		{host.InetFilter{States: 1 << sock.Listen}, 2},
		{host.InetFilter{States: 1<<sock.Established | 1<<sock.Closing}, 1},
		{host.InetFilter{Families: []sock.Family{sock.INET6}}, 1},
		{host.InetFilter{Families: []sock.Family{}}, 0},
		{host.InetFilter{Families: []sock.Family{sock.INET, sock.INET6}, States: 1 << sock.Listen}, 2},
	} {
		t.Run(fmt.Sprintf("%+v", c.f), func(t *testing.T) {
			if n, err := drain(h.TCP(t.Context(), c.f)); n != c.n || err != nil {
				t.Errorf("%+v: %d sockets, %v; want %d", c.f, n, err, c.n)
			}
		})
	}
}

func TestEndsWithItsContext(t *testing.T) {
	h := host.New(host.Options{
		Proc:     write(t, map[string]string{"net/tcp": header + strings.Repeat(line, 2000)}),
		Services: filepath.Join(write(t, map[string]string{"services": strings.Repeat("a 1/tcp\n", 2000)}), "services"),
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := drain(h.TCP(ctx, host.InetFilter{})); !errors.Is(err, context.Canceled) || n > 300 {
		t.Errorf("TCP: %d sockets, %v", n, err)
	}
	if n, err := drain(h.Services(ctx)); !errors.Is(err, context.Canceled) || n > 300 {
		t.Errorf("services: %d entries, %v", n, err)
	}
}

func TestMalformedLinesAreErrorsWithTheirLine(t *testing.T) {
	dir := write(t, map[string]string{"net/tcp": header + line + "garbage\n"})
	_, err := drain(host.New(host.Options{Proc: dir}).TCP(t.Context(), host.InetFilter{}))
	var bad *parser.LineError
	if !errors.As(err, &bad) || bad.Line != 3 || bad.Text != "garbage" {
		t.Errorf("got %v", err)
	}
}
