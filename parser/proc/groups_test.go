package proc

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func groupMounts(r io.Reader) (all []GroupMount, err error) {
	for m, err := range GroupMounts(r) {
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

func TestGroupMounts(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []GroupMount
	}{
		{"version 2", "25 18 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n", []GroupMount{{false, "/", "/sys/fs/cgroup"}}},
		{"version 1", "35 31 0:32 /docker/1 /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n", []GroupMount{{true, "/docker/1", "/sys/fs/cgroup/memory"}}},
		{"with another controller", "35 31 0:32 / /a\\040b rw master:1 propagate_from:2 - cgroup none rw,memory,cpu\n", []GroupMount{{true, "/", "/a b"}}},
		{"another controller", "35 31 0:32 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n", nil},
		{"a name like it", "35 31 0:32 / /m rw,relatime - cgroup cgroup rw,name=memory\n", nil},
		{"another filesystem", "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n", nil},
		{"a short line", "35 31 0:32 / - cgroup2 cgroup2\n", nil},
		{"nothing", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := groupMounts(strings.NewReader(c.in))
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v, want (-), got (+):\n%s", err, diff)
			}
		})
	}
}

func TestMemoryGroup(t *testing.T) {
	const hybrid = "9:name=systemd:/a\n4:cpu,memory:/docker/1:2\n0::/user.slice\n"
	for _, c := range []struct {
		name, in string
		v1       bool
		want     string
		ok       bool
	}{
		{"version 1", hybrid, true, "/docker/1:2", true},
		{"version 2", hybrid, false, "/user.slice", true},
		{"no version 1", "0::/\n", true, "", false},
		{"no version 2", "4:memory:/\n", false, "", false},
		{"short", "4:memory\n0:\n", true, "", false},
		{"nothing", "", false, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := MemoryGroup([]byte(c.in), c.v1); got != c.want || ok != c.ok {
				t.Errorf("got %q, %v, want %q, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func FuzzGroupMounts(f *testing.F) {
	f.Add("25 18 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
	f.Add("35 31 0:32 / /a\\040b rw - cgroup cgroup rw,memory")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := groupMounts(strings.NewReader(in))
		if err != nil || len(got) > strings.Count(in, " - cgroup") {
			t.Errorf("%d mounts, %v", len(got), err)
		}
		for _, m := range got {
			if len(m.Root)+len(m.Path) > len(in) {
				t.Errorf("%+v", m)
			}
		}
	})
}

func FuzzMemoryGroup(f *testing.F) {
	f.Add([]byte("4:memory:/docker/1\n0::/user.slice\n"), true)
	f.Add([]byte("0::/a\nb"), false)
	f.Fuzz(func(t *testing.T, in []byte, v1 bool) {
		path, ok := MemoryGroup(in, v1)
		if !ok && path != "" || !strings.Contains(string(in), ":"+path) && ok {
			t.Errorf("%q, %v", path, ok)
		}
	})
}
