package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Hidden returns what the list of processes lacks as a whole: without root a proc
// filesystem that is mounted with hidepid shows only this user's processes, and a
// directory that something else is mounted on shows none.
func Hidden(proc string) (lack usage.Lack) {
	missing := func(name string) bool {
		_, err := os.Lstat(filepath.Join(proc, name))
		return errors.Is(err, fs.ErrNotExist)
	}
	if proc == DefaultProc && missing("self") {
		return usage.Lack{Why: "no proc filesystem that shows this process is mounted at " + proc + ", so that no process is known"}
	}
	// A copy of a proc filesystem has what was copied.
	if info, err := os.Lstat(filepath.Join(proc, "self")); err == nil && info.Mode()&fs.ModeSymlink != 0 && missing("1") {
		return usage.Lack{Why: "the proc filesystem is mounted with hidepid and hides the processes of other users: run as root or in the group of its option gid"}
	}
	return lack
}

// SeesAll reports whether a proc filesystem shows the processes of the whole host,
// as far as can be known: whether its process 1 is in the first PID namespace, whose
// number is PROC_PID_INIT_INO of include/linux/proc_ns.h.
func SeesAll(proc string) bool {
	link, err := os.Readlink(filepath.Join(Dir(proc, 1), "ns", "pid"))
	return err == nil && link == "pid:[4026531836]"
}
