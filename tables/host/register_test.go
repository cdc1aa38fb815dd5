package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const anEntry = "listeners:\n  - {protocol: tcp, port: 22, exposure: private, why: w, approver: a}\n"

// A register that others can change, or that is malformed, is an error.
func TestRegister(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to another user")
	}
	for _, c := range []struct {
		name   string
		change func(dir string) error
		files  int
		want   string // in the error
	}{
		{"a file and a directory", func(string) error { return nil }, 3, ""},
		{"without the directory", func(dir string) error { return os.RemoveAll(dir + "/approved.d") }, 1, ""},
		{"named and missing", func(dir string) error { return os.Remove(dir + "/approved.yaml") }, 0, "no such file"},
		{"another's", func(dir string) error { return os.Chown(dir+"/approved.yaml", 1234, 0) }, 0, "approved.yaml belongs to user 1234, and must belong to root"},
		{"another's, of the directory", func(dir string) error { return os.Chown(dir+"/approved.d/b.yaml", 1234, 0) }, 0, "b.yaml belongs to user 1234"},
		{"the group may write", func(dir string) error { return os.Chmod(dir+"/approved.yaml", 0o664) }, 0, "mode 0664, and only its owner may have write permission"},
		{"others may write", func(dir string) error { return os.Chmod(dir+"/approved.d/a.yaml", 0o646) }, 0, "mode 0646"},
		{"the directory is another's", func(dir string) error { return os.Chown(dir+"/approved.d", 1234, 0) }, 0, "belongs to user 1234"},
		{"the directory is open", func(dir string) error { return os.Chmod(dir+"/approved.d", 0o777) }, 0, "mode 0777"},
		{"a link to another's", func(dir string) error {
			return errors.Join(os.WriteFile(dir+"/x", []byte(anEntry), 0o644), os.Chown(dir+"/x", 1234, 0), os.Remove(dir+"/approved.yaml"), os.Symlink("x", dir+"/approved.yaml"))
		}, 0, "belongs to user 1234"},
		{"a directory", func(dir string) error {
			return errors.Join(os.Remove(dir+"/approved.yaml"), os.Mkdir(dir+"/approved.yaml", 0o755))
		}, 0, "is a directory, not a regular file"},
		{"malformed", func(dir string) error {
			return os.WriteFile(dir+"/approved.d/b.yaml", []byte("listeners:\n  - {protocol: tcp, prot: 22}\n"), 0o644)
		}, 0, `approved.d/b.yaml: line 2: unknown key`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			err := errors.Join(os.Mkdir(dir+"/approved.d", 0o755), os.WriteFile(dir+"/approved.yaml", []byte(anEntry), 0o644),
				os.WriteFile(dir+"/approved.d/a.yaml", []byte(anEntry), 0o644), os.WriteFile(dir+"/approved.d/b.yaml", nil, 0o644),
				os.WriteFile(dir+"/approved.d/README", []byte("not YAML: ["), 0o666), c.change(dir))
			if err != nil {
				t.Fatal(err)
			}
			h := New(Options{Register: filepath.Join(dir, "approved.yaml")})
			files, err := h.Register(t.Context())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if len(files) != c.files {
				t.Errorf("%d files, want %d", len(files), c.files)
			}
		})
	}
}
