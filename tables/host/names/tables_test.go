package names_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/tables/host/names"
)

// The administrator's files come before the distribution's, and what cannot be read
// names nothing.
func TestTableNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  names.Tables
	}{
		{"none", nil, names.Tables{}},
		{"first directory", map[string]string{"etc/rt_tables": "7 ours\n", "usr/rt_tables": "7 theirs\n8 eight\n"}, names.Tables{7: "ours"}},
		{"second directory", map[string]string{"usr/rt_tables": "7 theirs\n254 most\n"}, names.Tables{7: "theirs", 254: "most"}},
		{"drop-ins", map[string]string{
			"usr/rt_tables": "7 a\n8 b\n", "etc/rt_tables.d/x.conf": "7 c\n", "usr/rt_tables.d/x.conf": "8 d\n",
			"usr/rt_tables.d/y.conf": "0x9 e\n", "etc/rt_tables.d/README": "8 f\n", "etc/rt_tables.d/.z.conf": "8 g\n",
		}, names.Tables{7: "c", 8: "b", 9: "e"}},
		{"malformed", map[string]string{"etc/rt_tables": "\x7fELF\n7 a\n"}, names.Tables{7: "a"}},
		{"a directory", map[string]string{"etc/rt_tables/x": "7 a\n", "etc/rt_tables.d/y.conf": "8 b\n"}, names.Tables{8: "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := write(t, c.files)
			files := newFiles(names.Options{IPRoute: []string{filepath.Join(root, "etc"), filepath.Join(root, "usr")}})
			got, err := files.TableNames(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
	known := names.Tables{0: "unspec", 7: "ours", 255: "mine"}
	for table, want := range map[uint32]string{7: "ours", 255: "mine", 254: "main", 253: "default", 252: "", 0: ""} {
		if got := known.Name(table); got != want {
			t.Errorf("%d: got %q, want %q", table, got, want)
		}
	}
}

// A pipe is not waited for.
func TestTableNamesOfPipe(t *testing.T) {
	root := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(root, "rt_tables"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "rt_tables.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := newFiles(names.Options{IPRoute: []string{root}}).TableNames(t.Context())
	if err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}
