package process_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
)

// saved is a copy of a proc filesystem.
const saved = "../../testdata/proc"

func Example() {
	cache := process.NewCache(saved)
	fmt.Println(cache.Get(100).Program, cache.Get(100).Cgroup)
	fmt.Println(cache.Err())
	// Output:
	// sshd /system.slice/ssh.service
	// <nil>
}

func TestList(t *testing.T) {
	t.Run("a copy", func(t *testing.T) {
		pids, err := process.List(saved)
		slices.Sort(pids)
		if want := []int32{1, 100, 250, 90000}; err != nil || !slices.Equal(pids, want) {
			t.Errorf("got %v, %v, want %v", pids, err, want)
		}
	})
	t.Run("this host", func(t *testing.T) {
		pids, err := process.List(process.DefaultProc)
		if err != nil || !slices.Contains(pids, int32(os.Getpid())) {
			t.Errorf("%d is not among %v, %v", os.Getpid(), pids, err)
		}
	})
	t.Run("none", func(t *testing.T) {
		if _, err := process.List("/nonexistent"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCheckLocal(t *testing.T) {
	if err := process.CheckLocal(process.DefaultProc); err != nil {
		t.Error(err)
	}
	if err := process.CheckLocal(saved); err == nil || !strings.HasPrefix(err.Error(), saved) {
		t.Errorf("got %v", err)
	}
}

func TestGet(t *testing.T) {
	cache := process.NewCache(saved)
	for _, c := range []struct {
		name string
		pid  int32
		want process.Info
		uid  uint32
		ok   bool
	}{
		{"systemd's hierarchy among others", 100, process.Info{Program: "sshd", Exe: "/usr/sbin/sshd", Args: []string{"/usr/sbin/sshd", "-D"}, Cgroup: "/system.slice/ssh.service"}, 1, true},
		{"no arguments and no status", 250, process.Info{Program: "kworker", Args: []string{}, Cgroup: "/"}, 0, false},
		{"argv[0] is no path", 90000, process.Info{Program: "nginx: worker process", Exe: "/usr/sbin/nginx (deleted)", Args: []string{"nginx: worker process"},
			Cgroup: "/system.slice/docker-4b1f0c0deaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.scope"}, 0, true},
		{"ended", 77, process.Info{}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				if got := cache.Get(c.pid); !reflect.DeepEqual(got, c.want) {
					t.Errorf("got %+v\nwant %+v", got, c.want)
				}
				if uid, ok := cache.User(c.pid); uid != c.uid || ok != c.ok {
					t.Errorf("the user is %d, %v; want %d, %v", uid, ok, c.uid, c.ok)
				}
			}
		})
	}
	if err := cache.Err(); err != nil {
		t.Error(err)
	}
}

// A process is read once, though it changes.
func TestOnce(t *testing.T) {
	proc := t.TempDir()
	dir := process.Dir(proc, 7)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cache := process.NewCache(proc)
	for _, name := range []string{" before ", "after"} {
		write("comm", name+"\n")
		write("status", "Uid:\t0\t"+fmt.Sprint(len(name))+"\t0\t0\n")
		uid, ok := cache.User(7)
		if got := cache.Get(7).Program; got != " before " || uid != 8 || !ok {
			t.Errorf("got %q of the user %d", got, uid)
		}
	}
}

// What is there and cannot be read is an error.
func TestErr(t *testing.T) {
	for _, c := range []struct {
		file string
		read func(*process.Cache)
		want string
	}{
		{"cmdline", func(c *process.Cache) { c.Get(7) }, "process 7: "},
		{"comm", func(c *process.Cache) { c.Get(7) }, "process 7: "},
		{"cgroup", func(c *process.Cache) { c.Get(7) }, "process 7: "},
		{"status", func(c *process.Cache) { c.User(7) }, "status is not a regular file"},
	} {
		t.Run(c.file, func(t *testing.T) {
			proc := t.TempDir()
			if err := os.MkdirAll(filepath.Join(process.Dir(proc, 7), c.file), 0o755); err != nil {
				t.Fatal(err)
			}
			cache := process.NewCache(proc)
			c.read(cache)
			if err := cache.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("no proc filesystem", func(t *testing.T) {
		cache := process.NewCache("/nonexistent")
		if got := cache.Get(7); got.Program != "" || cache.Err() == nil {
			t.Errorf("got %+v, %v", got, cache.Err())
		}
	})
}
