package memlimit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The smallest limit of the groups that a process is in, of both versions, as far
// as they are mounted.
func TestDefault(t *testing.T) {
	const (
		v2     = "25 18 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		v1     = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
		cpu    = "36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
		hybrid = "37 31 0:34 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	)
	files := func(pairs ...string) map[string]string {
		all := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			all["sys/fs/cgroup/"+pairs[i]] = pairs[i+1] + "\n"
		}
		return all
	}
	for _, c := range []struct {
		name, mounts, groups string
		files                map[string]string
		preset, want         int64
		file                 string // named by the error, in /sys/fs/cgroup
	}{
		{"own group", v2, "0::/a/b\n", files("a/b/memory.max", "1000000000"), 0, 800000000, "a/b/memory.max"},
		{"parent", v2, "0::/a/b\n", files("a/b/memory.max", "max", "a/memory.max", "1000000000"), 0, 800000000, "a/memory.max"},
		{"parent's is less", v2, "0::/a/b\n", files("a/b/memory.max", "2000000000", "a/memory.max", "1000000000"), 0, 800000000, "a/memory.max"},
		{"own is less", v2, "0::/a/b\n", files("a/b/memory.max", "1000000000", "a/memory.max", "2000000000"), 0, 800000000, "a/b/memory.max"},
		{"none", v2, "0::/a/b\n", files("a/b/memory.max", "max", "a/memory.max", "max"), 0, 0, ""},
		{"another's", v2, "0::/a/b\n", files("a/c/memory.max", "1000000000"), 0, 0, ""},
		{"namespace of a container", v2, "0::/\n", files("memory.max", "1000000000"), 0, 800000000, "memory.max"},
		{"beside that namespace", v2, "0::/../x\n", files("memory.max", "1000000000", "x/memory.max", "7"), 0, 800000000, "memory.max"},
		{"part of the tree", strings.Replace(v2, " / ", " /a ", 1), "0::/a/b\n", files("b/memory.max", "1000000000"), 0, 800000000, "b/memory.max"},
		{"another part of the tree", strings.Replace(v2, " / ", " /x ", 1), "0::/a/b\n", files("memory.max", "1000000000"), 0, 800000000, "memory.max"},
		{"a part that is called alike", strings.Replace(v2, " / ", " /a ", 1), "0::/ab\n", files("b/memory.max", "7", "memory.max", "1000000000"), 0, 800000000, "memory.max"},
		{"version 1", cpu + v1, "4:memory:/a/b\n1:cpu:/x\n0::/\n", files("memory/a/b/memory.limit_in_bytes", "1000000000", "memory/memory.limit_in_bytes", "9223372036854771712"), 0, 800000000, "memory/a/b/memory.limit_in_bytes"},
		{"version 1 without", v1, "4:memory:/a\n", files("memory/a/memory.limit_in_bytes", "9223372036854771712"), 0, 0, ""},
		{"hybrid", hybrid + v1, "4:memory:/a\n0::/b\n", files("memory/a/memory.limit_in_bytes", "1000000000", "unified/b/cgroup.procs", "1"), 0, 800000000, "memory/a/memory.limit_in_bytes"},
		{"preset is less", v2, "0::/a\n", files("a/memory.max", "1000000000"), 256 << 20, 256 << 20, ""},
		{"preset is more", v2, "0::/a\n", files("a/memory.max", "100000000"), 256 << 20, 80000000, "a/memory.max"},
		{"no control groups", "", "", nil, 256 << 20, 256 << 20, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			all := map[string]string{"proc/self/mountinfo": c.mounts, "proc/self/cgroup": c.groups}
			for path, text := range c.files {
				all[path] = text
			}
			for path, text := range all {
				path = filepath.Join(root, path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			l := Default(root, c.preset)
			if l.Bytes() != c.want {
				t.Errorf("got %d, want %d", l.Bytes(), c.want)
			}
			if c.file != "" && !strings.Contains(l.Exceeded().Error(), "80 % of /sys/fs/cgroup/"+c.file+":") {
				t.Errorf("got %q", l.Exceeded())
			}
		})
	}
}

// A query is given up when the program takes more than the limit, and only then.
func TestGuard(t *testing.T) {
	for _, c := range []struct {
		name  string
		taken int64
		err   error
		want  bool
	}{
		{"less", 100, nil, false},
		{"more", 101, nil, true},
		{"unknown", 0, os.ErrNotExist, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &Limit{bytes: 100, taken: func() (int64, error) { return c.taken, c.err }}
				ctx, end := l.Guard(t.Context())
				time.Sleep(time.Minute)
				exceeded := errors.As(context.Cause(ctx), new(Exceeded))
				if exceeded != c.want || (ctx.Err() != nil) != c.want {
					t.Errorf("%v, %v", ctx.Err(), context.Cause(ctx))
				}
				end()
			})
		})
	}
	t.Run("after its end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			looks := 0
			l := &Limit{bytes: 100, taken: func() (int64, error) { looks++; return 0, nil }}
			_, end := l.Guard(t.Context())
			end()
			time.Sleep(time.Minute)
			if looks > 0 {
				t.Errorf("%d looks", looks)
			}
		})
	})
	t.Run("no limit", func(t *testing.T) {
		for _, l := range []*Limit{nil, {}} {
			ctx, end := l.Guard(t.Context())
			if end(); ctx != t.Context() || l.Bytes() != 0 {
				t.Errorf("%v: a guard", l)
			}
		}
	})
}

// What is taken is what the kernel counts for this process.
func TestTaken(t *testing.T) {
	before, err := taken()
	if errors.Is(err, os.ErrNotExist) {
		t.Skip(errors.Join(err, errors.ErrUnsupported))
	}
	// The race detector keeps shadows of Go's own memory.
	held, err := syscall.Mmap(-1, 0, 64<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(held)
	for i := range held {
		held[i] = 1
	}
	after, err := taken()
	if err != nil || after-before < 60<<20 || after-before > 80<<20 || before <= 0 {
		t.Errorf("%d, with %d bytes more %d, %v", before, len(held), after, err)
	}
}

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		text, again string // "" is refused
		want        Size
	}{
		{"0", "0", 0}, {"32MiB", "32MiB", 32 << 20}, {"32768KiB", "32MiB", 32 << 20}, {"40000KiB", "39MiB", 40000 << 10},
		{"2048MiB", "2GiB", 2 << 30}, {"3GiB", "3GiB", 3 << 30}, {"1025MiB", "1025MiB", 1025 << 20}, {"1TiB", "1TiB", 1 << 40},
		{"", "", 0}, {"256", "", 0}, {"31MiB", "", 0}, {"0MiB", "", 0}, {"2TiB", "", 0}, {"1025GiB", "", 0}, {"-64MiB", "", 0}, {"1.5GiB", "", 0},
		{"256MB", "", 0}, {"256mib", "", 0}, {"256 MiB", "", 0}, {"MiB", "", 0}, {"0x40MiB", "", 0}, {"4294967297MiB", "", 0}, {"99999999999999999999GiB", "", 0},
	} {
		t.Run(c.text, func(t *testing.T) {
			got, err := ParseSize(c.text)
			if c.again == "" {
				if err == nil || !strings.Contains(err.Error(), "from 32MiB to 1TiB") {
					t.Errorf("got %d, %v", got, err)
				}
				return
			}
			if diff := cmp.Diff([]any{c.want, c.again}, []any{got, got.String()}); err != nil || diff != "" {
				t.Errorf("%v, want (-), got (+):\n%s", err, diff)
			}
		})
	}
}
