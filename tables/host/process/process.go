// Package process knows what a process is: which ones a proc filesystem shows,
// and the program, command line, control group and user of each.
//
//	pids, err := process.List("/proc")
//	cache := process.NewCache("/proc", uses)
//	for _, pid := range pids {
//		fmt.Println(pid, cache.Get(pid).Program)
//	}
//	err = cache.Err()
//
// A process may end at any moment, without root most processes of other users may
// not be looked at, and what a user does with a process can make a file of it
// unreadable. None of this is an error: what cannot be read is empty, and counted.
// [BlameFor] tells such errors from those of this program.
package process

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/cgroup"
	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// DefaultProc is the proc filesystem of this host.
const DefaultProc = "/proc"

// CheckLocal fails unless proc is [DefaultProc]. Netlink and BPF describe this
// host only, so they cannot stand in for another host's proc filesystem or a
// saved copy of one.
func CheckLocal(proc string) error {
	if proc != DefaultProc {
		return fmt.Errorf("%s is read in place of this host's %s", proc, DefaultProc)
	}
	return nil
}

// Dir returns the directory of a process.
func Dir(proc string, pid int32) string { return filepath.Join(proc, strconv.Itoa(int(pid))) }

// List returns the processes that a proc filesystem shows, in no order. Threads
// are not among them.
func List(proc string) ([]int32, error) {
	dir, err := regular.OpenDir(proc)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int32
	for _, name := range names {
		if pid, err := strconv.ParseInt(name, 10, 32); err == nil && pid > 0 {
			pids = append(pids, int32(pid))
		}
	}
	return pids, nil
}

// OtherThreads returns the directories of a process's threads in the order of their
// numbers, without the first thread, whose number is the process's. The error is
// nil if the process has ended.
func OtherThreads(proc string, pid int32) (dirs []string, err error) {
	tasks := filepath.Join(Dir(proc, pid), "task")
	// Most processes have one thread: a look at the links of the directory is
	// cheaper than a look into it. Filesystems of copies may count none.
	if info, err := os.Stat(tasks); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink == 3 {
			return nil, nil
		}
	}
	tids, err := List(tasks)
	if BlameFor(err) == Gone {
		return nil, nil
	}
	slices.Sort(tids)
	for _, tid := range tids {
		if tid != pid {
			dirs = append(dirs, Dir(tasks, tid))
		}
	}
	return dirs, err
}

// FirstThreadEnded reports whether the first thread of a process has ended before
// others: state Z or X of /proc/PID/stat, proc_pid_stat(5). The error is one of
// this program's own.
func FirstThreadEnded(root string, pid int32) (bool, error) {
	text, err := readFile(filepath.Join(Dir(root, pid), "stat"))
	if BlameFor(err) == Ours {
		return false, err
	}
	return err == nil && proc.Ended([]byte(text)), nil
}

// Info describes a process. What cannot be read is empty.
type Info struct {
	// Program is netstat's program name: argv[0], of an absolute path its last
	// part, else the kernel's name of the process (comm).
	Program string
	Exe     string        // path of the executable file
	Args    []string      // command line
	Groups  cgroup.Groups // control groups
}

// Descriptions is the name of what a Cache reads in a [usage.Log].
const Descriptions = "processes"

// Cache reads each process once. It is for one query in one goroutine.
type Cache struct {
	proc  string
	uses  *usage.Log
	use   usage.Usage
	err   error
	infos map[int32]Info
	users map[int32]user
}

// user is the effective user of a process, if it is known.
type user struct {
	uid uint32
	ok  bool
}

// NewCache returns an empty cache of the processes that a proc filesystem shows. It
// notes in uses how many it has read, and what of them cannot be read.
func NewCache(proc string, uses *usage.Log) *Cache {
	c := &Cache{proc: proc, uses: uses, infos: make(map[int32]Info), users: make(map[int32]user)}
	c.use.Source = usage.ProcFS
	_, c.err = os.Stat(proc)
	return c
}

// Get describes a process. The zero Info is that of one which has ended.
func (c *Cache) Get(pid int32) Info {
	info, ok := c.infos[pid]
	if !ok && c.err == nil {
		start := time.Now()
		info = c.read(pid)
		c.infos[pid] = info
		c.use.Sockets++
		c.use.Wait += time.Since(start)
		c.uses.Note(Descriptions, c.use)
	}
	return info
}

func (c *Cache) read(pid int32) (info Info) {
	dir := Dir(c.proc, pid)
	command, err := readFile(filepath.Join(dir, "cmdline"))
	c.note(pid, err)
	if command != "" {
		info.Args = strings.Split(strings.TrimRight(command, "\x00"), "\x00")
	}
	info.Exe, err = os.Readlink(filepath.Join(dir, "exe"))
	c.note(pid, err)
	if len(info.Args) > 0 && info.Args[0] != "" {
		info.Program = info.Args[0]
		if strings.HasPrefix(info.Program, "/") {
			info.Program = filepath.Base(info.Program)
		}
	} else {
		name, err := readFile(filepath.Join(dir, "comm"))
		c.note(pid, err)
		info.Program = strings.TrimSuffix(name, "\n") // blanks at its ends are its own
	}
	file, err := regular.Open(filepath.Join(dir, "cgroup"))
	if err == nil {
		info.Groups, err = cgroup.Decode(file)
		file.Close()
	}
	c.note(pid, err)
	return info
}

// maxFile bounds what is read of a process's command line, which a process may make
// larger than any that a person reads.
const maxFile = 1 << 20

// readFile returns the beginning of a file.
func readFile(path string) (text string, err error) {
	file, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxFile))
	return string(b), err
}

// User returns the number of a process's effective user. It is not ok if the
// process has ended or its status cannot be read.
func (c *Cache) User(pid int32) (uid uint32, ok bool) {
	known, seen := c.users[pid]
	if !seen {
		file, err := regular.Open(filepath.Join(Dir(c.proc, pid), "status"))
		if err == nil {
			known.uid, known.ok, err = proc.EffectiveUser(file)
			file.Close()
		}
		c.note(pid, err)
		c.users[pid] = known
		c.uses.Note(Descriptions, c.use)
	}
	return known.uid, known.ok
}

// note keeps the first error that is ours. It counts what cannot be read of a process
// that has not ended.
func (c *Cache) note(pid int32, err error) {
	switch BlameFor(err) {
	case Theirs:
		c.use.Lack.Add("some processes have a file that cannot be read, so that the columns it fills are empty", fmt.Sprintf("process %d: %v", pid, err))
	case Ours:
		if c.err == nil {
			c.err = fmt.Errorf("process %d: %w", pid, err)
		}
	}
}

// Err returns the first error of reading that is this program's own: see
// [BlameFor]. Check it after [Cache.Get] and [Cache.User]: their last answers may
// be wrong then. The answers are values of columns, which have no errors of their
// own.
func (c *Cache) Err() error { return c.err }
