package proc

import (
	"io"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// GroupMount is a mount of control groups.
type GroupMount struct {
	// V1 is whether it is of version 1, with the memory controller; it is of
	// version 2 otherwise.
	V1   bool
	Root string // the group that it shows, with those below
	Path string
}

// GroupMounts streams the mounts of control groups that have the limits of memory,
// in /proc/PID/mountinfo (proc_pid_mountinfo(5), show_mountinfo of
// fs/proc_namespace.c):
//
//	35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
//	25 18 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
//
// Other mounts are skipped. The only error is the reader's own.
func GroupMounts(r io.Reader) iter.Seq2[GroupMount, error] {
	return parser.List[GroupMount]{Parts: true, Line: func(line parser.Line) (m GroupMount, ok bool, err error) {
		before, after, _ := strings.Cut(string(line.Text), " - ")
		where, what := strings.Split(before, " "), strings.Split(after, " ")
		if len(where) < 5 || len(what) < 3 {
			return m, false, nil
		}
		m = GroupMount{V1: what[0] == "cgroup", Root: unescape(where[3]), Path: unescape(where[4])}
		return m, m.V1 && hasController(what[2], "memory") || what[0] == "cgroup2", nil
	}}.Decode(r)
}

// MemoryGroup returns the control group of a process that has the limits of its
// memory, from the text of /proc/PID/cgroup (cgroups(7)): in the hierarchy of
// version 1 with the memory controller, or in that of version 2.
//
//	4:memory:/docker/ID
//	0::/system.slice/sockets.service
func MemoryGroup(text []byte, v1 bool) (path string, ok bool) {
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) == 3 && (v1 && hasController(fields[1], "memory") || !v1 && fields[0] == "0" && fields[1] == "") {
			return fields[2], true
		}
	}
	return "", false
}

// hasController reports whether a list with commas between has a name.
func hasController(list, name string) bool {
	return strings.Contains(","+list+",", ","+name+",")
}
