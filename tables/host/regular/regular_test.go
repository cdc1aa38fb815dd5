package regular

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(path("file"), []byte("text"), 0o644), os.Symlink("file", path("link")), syscall.Mkfifo(path("pipe"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "link"} {
		t.Run(name, func(t *testing.T) {
			file, err := Open(path(name))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if text, err := io.ReadAll(file); err != nil || string(text) != "text" {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
	for _, name := range []string{path("pipe"), dir, os.DevNull} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			if _, err := Open(name); err == nil || !strings.Contains(err.Error(), name+" is not a regular file") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		if _, err := Open(path("missing")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

// A log is a regular file that grows as it is read: the end of what is there is no
// end of it, and to wait for more would keep a query for ever.
func TestGrowingFile(t *testing.T) {
	file, err := Open("/proc/kmsg")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("SOCKETS_MUST_RUN") == "1" {
			t.Fatal(err)
		}
		t.Skip(errors.Join(err, errors.ErrUnsupported))
	} else if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{file}); err == nil || err.Error() != "/proc/kmsg has no end: a read of it waits for more" {
		t.Errorf("got %v", err)
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		max        int64
		want       string // in the error
	}{
		{"whole", path, 5, ""},
		{"just whole", path, 4, ""},
		{"too large", path, 3, path + " has more than 3 bytes"},
		{"a directory", dir, 4, dir + " is not a regular file"},
		{"missing", path + "0", 4, path + "0: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := ReadFile(c.path, c.max)
			if c.want == "" && (string(b) != "text" || err != nil) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %q, %v, want %q", b, err, c.want)
			}
		})
	}
}

func TestOpenDir(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("a directory", func(t *testing.T) {
		opened, err := OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		if names, err := opened.Readdirnames(-1); err != nil || len(names) != 1 {
			t.Errorf("got %q, %v", names, err)
		}
	})
	t.Run("a pipe", func(t *testing.T) {
		if _, err := OpenDir(pipe); !errors.Is(err, syscall.ENOTDIR) { // must not be waited for
			t.Errorf("got %v", err)
		}
	})
}
