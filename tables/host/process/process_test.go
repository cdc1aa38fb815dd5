package process_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser/cgroup"
	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// saved is a copy of a proc filesystem.
const saved = "../../testdata/proc"

func Example() {
	cache := process.NewCache(saved, usage.NewLog(hclog.NewNullLogger()))
	fmt.Println(cache.Get(100).Program(), cache.Get(100).Unit())
	fmt.Println(cache.Err())
	// Output:
	// sshd ssh.service
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

// described is what the copy tells of a process.
type described struct {
	Program, Comm, Exe, CWD, Root string
	Args                          []string
	Groups                        cgroup.Groups
	Status                        proc.Status
	Stat                          proc.Stat
	HasStat                       bool
	Started                       int64
	Parents                       []int32
}

func describe(p *process.Process) (d described) {
	d = described{Program: p.Program(), Comm: p.Comm(), Exe: p.Exe(), CWD: p.CWD(), Root: p.Root(), Args: p.Args(), Groups: p.Groups(), Status: p.Status()}
	d.Stat, d.HasStat = p.Stat()
	d.Started, _ = p.Started()
	for _, parent := range p.Parents() {
		d.Parents = append(d.Parents, parent.PID())
	}
	return d
}

func TestGet(t *testing.T) {
	cache := process.NewCache(saved, usage.NewLog(hclog.NewNullLogger()))
	const docker = "/system.slice/docker-4b1f0c0deaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.scope"
	for _, c := range []struct {
		name string
		pid  int32
		want described
	}{
		{"systemd's hierarchy among others", 100, described{Program: "sshd", Comm: "sshd", Exe: "/usr/sbin/sshd", CWD: "/", Root: "/", Args: []string{"/usr/sbin/sshd", "-D"},
			Groups: cgroup.Groups{Path: "/system.slice/ssh.service", Unit: "/system.slice/ssh.service"}, Status: proc.Status{UID: 1000, EUID: 1, GID: 1000, EGID: 1, HasUsers: true, HasGroups: true, HasEffective: true},
			Stat: proc.Stat{Parent: 1, Threads: 1, Started: 78123}, HasStat: true, Started: 1700000781, Parents: []int32{1}}},
		{"no arguments and no status", 250, described{Program: "kworker", Comm: "kworker", Groups: cgroup.Groups{Path: "/"}}},
		{"argv[0] is no path", 90000, described{Program: "nginx: worker process", Comm: "nginx", Exe: "/usr/sbin/nginx (deleted)", CWD: "/srv/www (deleted)", Root: "/srv", Args: []string{"nginx: worker process"},
			Groups: cgroup.Groups{Path: docker, Container: docker, Unit: docker}, Status: proc.Status{UID: 1000, GID: 1000, HasUsers: true, HasGroups: true, Effective: 0x3000, HasEffective: true},
			Stat: proc.Stat{Parent: 100, Threads: 3, Started: 178199}, HasStat: true, Started: 1700001781, Parents: []int32{100, 1}}},
		{"ended", 77, described{}},
		{"none", 0, described{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				if diff := cmp.Diff(c.want, describe(cache.Get(c.pid)), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("want (-), got (+):\n%s", diff)
				}
			}
			if deleted, ok := cache.Get(c.pid).ExeDeleted(); deleted || ok {
				t.Errorf("the file of a copy's link is looked at: %v, %v", deleted, ok)
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
	cache := process.NewCache(proc, usage.NewLog(hclog.NewNullLogger()))
	for _, name := range []string{" before ", "after"} {
		write("comm", name+"\n")
		write("status", "Uid:\t0\t"+fmt.Sprint(len(name))+"\t0\t0\n")
		status := cache.Get(7).Status()
		if got := cache.Get(7).Program(); got != " before " || status.EUID != 8 {
			t.Errorf("got %q of the user %d", got, status.EUID)
		}
	}
}

// A container is found in whichever hierarchy names it.
func TestHierarchies(t *testing.T) {
	container := "/docker/" + strings.Repeat("0123456789abcdef", 4)
	for name, groups := range map[string]string{
		"version 1 alone":           "4:memory:" + container + "\n",
		"an empty version 2":        "4:memory:" + container + "\n0::/\n",
		"OpenRC":                    "4:memory:" + container + "\n1:name=openrc:/docker\n",
		"version 2 beneath systemd": "1:name=systemd:/\n0::" + container + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			if err := os.Mkdir(process.Dir(proc, 7), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(process.Dir(proc, 7), "cgroup"), []byte(groups), 0o644); err != nil {
				t.Fatal(err)
			}
			got := process.NewCache(proc, usage.NewLog(hclog.NewNullLogger())).Get(7).Groups()
			if diff := cmp.Diff(cgroup.Groups{Path: container, Container: container}, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// What one file of a process cannot tell is absent and counted, and hides nothing of
// the others.
func TestUnreadable(t *testing.T) {
	const why = "some processes have a file that cannot be read, so that the columns it fills are empty"
	for _, c := range []struct {
		file string
		read func(*process.Cache)
	}{
		{"cmdline", func(c *process.Cache) { c.Get(7).Program() }},
		{"comm", func(c *process.Cache) { c.Get(7).Program() }},
		{"cgroup", func(c *process.Cache) { c.Get(7).Unit() }},
		{"exe", func(c *process.Cache) { c.Get(7).Exe() }},
		{"cwd", func(c *process.Cache) { c.Get(7).CWD() }},
		{"root", func(c *process.Cache) { c.Get(7).Root() }},
		{"status", func(c *process.Cache) { c.Get(7).Status() }},
		{"stat", func(c *process.Cache) { c.Get(7).Parents() }},
	} {
		test := func(t *testing.T, put func(path string) error) {
			proc := t.TempDir()
			if err := errors.Join(os.Mkdir(process.Dir(proc, 7), 0o755), put(filepath.Join(process.Dir(proc, 7), c.file))); err != nil {
				t.Fatal(err)
			}
			uses := usage.NewLog(hclog.NewNullLogger())
			cache := process.NewCache(proc, uses)
			c.read(cache)
			use, _ := uses.Last(process.Descriptions)
			if use.Lack.Why != why || use.Lack.Number != 1 || !strings.HasPrefix(use.Lack.Example, "process 7: ") {
				t.Errorf("noted is %+v", use)
			}
			if err := cache.Err(); err != nil {
				t.Error(err)
			}
		}
		t.Run(c.file+" is a directory", func(t *testing.T) {
			test(t, func(path string) error { return os.Mkdir(path, 0o755) })
		})
		t.Run(c.file+" is a pipe", func(t *testing.T) {
			test(t, func(path string) error { return syscall.Mkfifo(path, 0o644) }) // must not be waited for
		})
	}
}

// Whose an error is, wherever it is wrapped.
func TestBlameFor(t *testing.T) {
	for _, c := range []struct {
		err  error
		want process.Blame
	}{
		{nil, process.Nobody},
		{syscall.ENOENT, process.Gone},
		{syscall.ESRCH, process.Gone},
		{syscall.EACCES, process.Theirs},
		{syscall.EPERM, process.Theirs},
		{syscall.ENAMETOOLONG, process.Theirs},
		{syscall.ELOOP, process.Theirs},
		{syscall.EINVAL, process.Theirs},
		{syscall.ENOTDIR, process.Theirs},
		{errors.New("not a regular file"), process.Theirs},
		{syscall.EMFILE, process.Ours},
		{syscall.ENFILE, process.Ours},
		{syscall.ENOMEM, process.Ours},
		{syscall.ENOBUFS, process.Ours},
		{syscall.EIO, process.Ours},
		{context.Canceled, process.Ours},
		{context.DeadlineExceeded, process.Ours},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			err := c.err
			if err != nil {
				err = fmt.Errorf("a namespace: %w", &fs.PathError{Op: "open", Path: "/proc/7/fd", Err: err})
			}
			if got := process.BlameFor(err); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// The threads come in the order of their numbers, not of their names.
func TestOtherThreads(t *testing.T) {
	proc := t.TempDir()
	for _, tid := range []int32{999, 1203, 1000, 10000} {
		if err := os.MkdirAll(process.Dir(filepath.Join(process.Dir(proc, 999), "task"), tid), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	got, err := process.OtherThreads(proc, 999)
	var want []string
	for _, tid := range []string{"1000", "1203", "10000"} {
		want = append(want, filepath.Join(proc, "999", "task", tid))
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, want (-), got (+):\n%s", err, diff)
	}
	if got, err := process.OtherThreads(proc, 5); got != nil || err != nil {
		t.Errorf("of an ended process: %v, %v", got, err)
	}
}

func TestHidden(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		self  bool
		want  string
	}{
		{"a copy", []string{"1"}, false, ""},
		{"a part of a copy", []string{"7"}, false, ""},
		{"whole", []string{"1", "7"}, true, ""},
		{"hidepid", []string{"7"}, true, "the proc filesystem is mounted with hidepid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proc := t.TempDir()
			for _, name := range c.files {
				if err := os.Mkdir(filepath.Join(proc, name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if c.self {
				if err := os.Symlink("7", filepath.Join(proc, "self")); err != nil {
					t.Fatal(err)
				}
			}
			got := process.Hidden(proc).Why
			if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := process.Hidden(process.DefaultProc); got != (usage.Lack{}) && os.Geteuid() == 0 {
		t.Errorf("of this host: %v", got)
	}
}

// An error of this program fails what reads.
func TestErr(t *testing.T) {
	t.Run("no proc filesystem", func(t *testing.T) {
		cache := process.NewCache("/nonexistent", usage.NewLog(hclog.NewNullLogger()))
		if got := cache.Get(7).Program(); got != "" || cache.Err() == nil {
			t.Errorf("got %q, %v", got, cache.Err())
		}
	})
}
