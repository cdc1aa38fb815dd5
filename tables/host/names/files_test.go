package names_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/names"
)

func newFiles(o names.Options) *names.Files {
	o.Log = hclog.NewNullLogger()
	return names.NewFiles(o)
}

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

// write1 makes one file and returns its path.
func write1(t testing.TB, content string) string {
	t.Helper()
	return filepath.Join(write(t, map[string]string{"file": content}), "file")
}

// count returns how many there were and what ended them.
func count[T any](seq iter.Seq2[T, error]) (n int, err error) {
	for _, e := range seq {
		if e != nil {
			return n, e
		}
		n++
	}
	return n, nil
}

func TestServicesFile(t *testing.T) {
	dir := write(t, map[string]string{
		"malformed": "ok 1/tcp\nbad\nok 2/udp",
		"long":      "ok 1/tcp " + strings.Repeat("alias ", 64<<10/6) + "\nok 2/tcp # " + strings.Repeat("x", 64<<10) + "\nok 3/tcp",
		"million":   strings.Repeat("ok 1/tcp\n", 1_000_000),
		"empty":     "",
	})
	for name, want := range map[string]int{"malformed": 2, "long": 3, "million": 1_000_000, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			files := newFiles(names.Options{Services: filepath.Join(dir, name)})
			if n, err := count(files.Services(t.Context())); n != want || err != nil {
				t.Errorf("%d entries, %v; want %d", n, err, want)
			}
		})
	}
	if _, err := count(newFiles(names.Options{Services: write1(t, "\x7fELF\n\x01\x02\n")}).Services(t.Context())); err == nil || !strings.Contains(err.Error(), "none of its 2 lines") {
		t.Errorf("a file that is no list of services gave %v", err)
	}
	for _, name := range []string{filepath.Join(dir, "missing"), dir} {
		t.Run(name, func(t *testing.T) {
			files := newFiles(names.Options{Services: name})
			if _, err := count(files.Services(t.Context())); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
			// Names of ports were asked for by name of the file: no silence.
			if _, err := files.ServiceNames(t.Context()); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("names: got %v", err)
			}
		})
	}
}

func TestServiceNames(t *testing.T) {
	path := filepath.Join(write(t, map[string]string{"services": "zero 0/tcp\nssh 22/tcp\nsecond 22/tcp\ndns 53/udp\n"}), "services")
	files := newFiles(names.Options{Services: path})
	check := func(want string) {
		t.Helper()
		known, err := files.ServiceNames(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%q %q %q %q", known.Name(0, sock.ProtoTCP), known.Name(22, sock.ProtoTCP), known.Name(22, sock.ProtoUDP), known.Name(53, sock.ProtoUDP))
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check(`"" "ssh" "" "dns"`)
	// A file that changes is read again, also within the clock's resolution
	// and with its size as before.
	if err := os.WriteFile(path, []byte("zero 0/tcp\nSSH 22/tcp\nsecond 22/tcp\nDNS 53/udp\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	check(`"" "SSH" "" "DNS"`)
	// One that was left alone for long is not.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	check(`"" "SSH" "" "DNS"`)
	if n := testing.AllocsPerRun(10, func() { files.ServiceNames(context.Background()) }); n > 10 {
		t.Errorf("%v allocations for names that are known", n)
	}
}

func TestProtocolNames(t *testing.T) {
	path := write1(t, "ip 0\nhopopt 0\ntcp 6\nmptcp 262\nbad\n")
	files := newFiles(names.Options{Protocols: path})
	known, err := files.ProtocolNames(t.Context())
	if got := fmt.Sprintf("%q %q %q", known.Name(0), known.Name(6), known.Name(255)); err != nil || got != `"ip" "tcp" ""` || known[262] != "mptcp" {
		t.Errorf("got %s, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("ip 0\nTCP 6\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if known, err := files.ProtocolNames(t.Context()); err != nil || known.Name(6) != "TCP" {
		t.Errorf("after a change got %v, %v", known, err)
	}
	for text, want := range map[string]string{"missing": "no such file", "none": "is no list of protocols"} {
		t.Run(text, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "protocols")
			if text != "missing" {
				path = write1(t, text)
			}
			files := newFiles(names.Options{Protocols: path})
			if _, err := files.ProtocolNames(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestUsernames(t *testing.T) {
	const file = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0:::\nann:x:1000:1000\nbad:x:1001\n"
	path := write1(t, file)
	files := newFiles(names.Options{Passwd: path})
	check := func(want names.Users) {
		t.Helper()
		got, err := files.Usernames(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, want (-), got (+):\n%s", err, diff)
		}
	}
	check(names.Users{0: "root", 1000: "ann"})
	t.Run("a file that changes", func(t *testing.T) {
		if err := os.WriteFile(path, []byte(file+"bob:x:1001:1001\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		check(names.Users{0: "root", 1000: "ann", 1001: "bob"})
	})
	t.Run("the environment names nobody", func(t *testing.T) {
		t.Setenv("USER", "me")
		t.Setenv("HOME", t.TempDir())
		got, err := newFiles(names.Options{Passwd: write1(t, "")}).Usernames(t.Context())
		if name := got.Name(uint32(os.Getuid())); name != "" || err != nil {
			t.Errorf("got %q, %v", name, err)
		}
	})
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"missing":     {filepath.Join(t.TempDir(), "passwd"), "the list of users cannot be read"},
		"no users":    {write1(t, "\x7fELF\n"), "is no list of users"},
		"a pipe":      {pipe, "is not a regular file"},
		"a directory": {t.TempDir(), "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newFiles(names.Options{Passwd: c.path}).Usernames(t.Context())
			if got != nil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
