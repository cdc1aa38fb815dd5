// Package process knows what a process is: which ones a proc filesystem shows,
// and the program, command line, control group, user and parent of each.
//
//	pids, err := process.List("/proc")
//	cache := process.NewCache("/proc", uses)
//	for _, pid := range pids {
//		fmt.Println(pid, cache.Get(pid).Program())
//	}
//	err = cache.Err()
//
// Each method of a [Process] reads one file of it, when it is first called.
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
	"syscall"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
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

// maxFile bounds what is read of a file: a process may make its command line larger
// than any that a person reads.
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
