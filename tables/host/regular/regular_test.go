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
