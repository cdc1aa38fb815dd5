package memlimit

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
)

// unlimited is from where on a number of cgroup v1 means no limit: it is the
// largest number of bytes in whole pages (PAGE_COUNTER_MAX,
// include/linux/page_counter.h).
const unlimited = 1 << 62

// ofGroups returns the smallest memory limit of this process's control group and
// of those above it, as far as they are mounted, and the file that has it. The
// limit is 0 where there is none. The files are read below root.
func ofGroups(root string) (limit int64, file string) {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0, ""
	}
	f, err := os.Open(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return 0, ""
	}
	defer f.Close()
	for m, err := range proc.GroupMounts(f) {
		if err != nil {
			break
		}
		group, ok := proc.MemoryGroup(groups, m.V1)
		if !ok {
			continue
		}
		name := "memory.max"
		if m.V1 {
			name = "memory.limit_in_bytes"
		}
		// A group that the mount does not show is above its root or in another
		// branch (/..), as in a container: then that root is the nearest.
		below, shown := strings.CutPrefix(group+"/", strings.TrimSuffix(m.Root, "/")+"/")
		if !shown || group == "/.." || strings.HasPrefix(group, "/../") {
			below = ""
		}
		for dir := path.Join("/", below); ; dir = path.Dir(dir) {
			at := path.Join(m.Path, dir, name)
			if n := limitOf(filepath.Join(root, at)); n > 0 && (limit == 0 || n < limit) {
				limit, file = n, at
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit, file
}

// limitOf reads memory.max of cgroup v2 or memory.limit_in_bytes of v1, in bytes;
// 0 is no limit.
func limitOf(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0 // such as that of the first group
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(string(text), "\n"), 10, 64)
	if err != nil || n >= unlimited { // "max" is no number
		return 0
	}
	return n
}

// taken returns the memory of this process in bytes, less that of files, which the
// kernel can take back: resident less shared of /proc/self/statm (proc_pid_statm(5)).
func taken() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 3 {
		return 0, errors.New("/proc/self/statm has too few fields")
	}
	resident, err1 := strconv.ParseInt(fields[1], 10, 64)
	shared, err2 := strconv.ParseInt(fields[2], 10, 64)
	return (resident - shared) * int64(os.Getpagesize()), errors.Join(err1, err2)
}
