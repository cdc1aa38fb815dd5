package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// running is what runs on the host.
type running struct {
	osqueryd int              // a process of it, 0 if none
	copies   map[string][]int // processes of this extension, by osquery's socket
}

// processes looks for osqueryd and for copies of the extension.
func (e *examination) processes() running {
	r := running{copies: make(map[string][]int)}
	entries, err := os.ReadDir(e.Proc)
	if err != nil {
		e.add("processes", Broken, "the proc filesystem cannot be read: "+err.Error(), "mount it: mount -t proc proc /proc")
		return r
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(e.Proc, entry.Name(), "cmdline"))
		if err != nil || len(b) == 0 {
			continue // it has ended, or is the kernel's
		}
		words := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
		switch filepath.Base(words[0]) {
		case "osqueryd":
			if r.osqueryd == 0 || pid < r.osqueryd {
				r.osqueryd = pid
			}
		case extensionName, "osquery-sockets":
			if slices.Contains(words, "doctor") {
				continue
			}
			for i, word := range words {
				socket, ok := strings.CutPrefix(word, "--socket=")
				if word == "--socket" && i+1 < len(words) {
					socket, ok = words[i+1], true
				}
				if ok {
					r.copies[socket] = append(r.copies[socket], pid)
				}
			}
		}
	}
	return r
}

// copies reports when more than one copy of the extension serves the same osquery.
func (e *examination) copies(copies map[string][]int) {
	for _, socket := range slices.Sorted(maps.Keys(copies)) {
		pids := copies[socket]
		slices.Sort(pids)
		if len(pids) == 1 {
			e.add("copies", OK, fmt.Sprintf("process %d serves %s", pids[0], socket), "")
			continue
		}
		e.add("copies", Broken, fmt.Sprintf("the processes %s all serve %s: osquery refuses a second extension of one name", strings.Trim(fmt.Sprint(pids), "[]"), socket),
			"end all but one, or give them different --table-prefix")
	}
}

// capabilities are those that something depends on.
var capabilities = []struct {
	number     int
	name, lost string
}{
	{12, "CAP_NET_ADMIN", "tracked_connections fails, and marks and MD5 peers of sockets are unknown"},
	{19, "CAP_SYS_PTRACE", "other users' sockets have no pid and no program"},
	{21, "CAP_SYS_ADMIN", "network namespaces without a process of this user are not read"},
}

// privileges returns the capabilities and users of this process, from /proc.
func (e *examination) privileges() proc.Status {
	b, err := os.ReadFile(filepath.Join(e.Proc, "self", "status"))
	if err != nil { // of a saved copy
		return proc.Status{}
	}
	status, err := proc.DecodeStatus(bytes.NewReader(b))
	if err != nil || !status.HasEffective {
		return status
	}
	lacks := 0
	for _, c := range capabilities {
		if status.Effective>>c.number&1 == 0 {
			lacks++
			e.add("privileges", Warning, "without "+c.name+" "+c.lost, "run it as root, as osqueryd does")
		}
	}
	if lacks == 0 {
		e.add("privileges", OK, "this process has all capabilities that the tables need", "")
	}
	return status
}

// hidden looks whether /proc hides the processes of others.
func (e *examination) hidden(status proc.Status) {
	const ptrace = 19
	b, err := os.ReadFile(filepath.Join(e.Proc, "self", "mountinfo"))
	if err != nil || status.Effective>>ptrace&1 == 1 {
		return
	}
	for line := range strings.Lines(string(b)) {
		// proc_pid_mountinfo(5): the mount point is the fifth field, the options of
		// the file system are the last.
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[4] != filepath.Clean(e.Proc) {
			continue
		}
		for option := range strings.SplitSeq(fields[len(fields)-1], ",") {
			if value, ok := strings.CutPrefix(option, "hidepid="); ok && value != "0" && value != "off" {
				e.add("processes", Warning, e.Proc+" is mounted with "+option+": the processes of other users are hidden", "run it as root")
			}
		}
	}
}

// initPIDNamespace is the number of the host's own PID namespace
// (PROC_PID_INIT_INO, include/linux/proc_ns.h).
const initPIDNamespace = "pid:[4026531836]"

// container looks whether the processes are the host's.
func (e *examination) container() {
	link, err := os.Readlink(filepath.Join(e.Proc, "1", "ns", "pid"))
	if errors.Is(err, fs.ErrPermission) {
		link, err = os.Readlink(filepath.Join(e.Proc, "self", "ns", "pid"))
	}
	switch {
	case err != nil: // a saved copy
	case link == initPIDNamespace:
		e.add("container", OK, e.Proc+" has the host's processes", "")
	default:
		e.add("container", Warning, e.Proc+" has the processes of a container, and not the host's", "mount the host's /proc and give it by --proc, in the host's PID namespace (docker run --pid=host -v /proc:/host/proc:ro)")
	}
}

// lists are those that need a module of the kernel, and what is lost without it.
var lists = map[string]struct{ module, lost string }{
	"tcp":    {"tcp_diag", "tcp_info, tcp_congestion and tcp_ulp have no numbers, and large lists take longer"},
	"udp":    {"udp_diag", "cookies, marks and the memory of UDP sockets are unknown"},
	"unix":   {"unix_diag", "the peers and queues of unix sockets are unknown"},
	"packet": {"af_packet_diag", "the filters of packet sockets are unknown"},
	"mptcp":  {"mptcp_diag", "mptcp_sockets fails"},
	"vsock":  {"vsock_diag", "vsock_sockets fails"},
}

// kernel looks at the kernel's release and at what it lists.
func (e *examination) kernel(ctx context.Context) {
	release, err := os.ReadFile(filepath.Join(e.Proc, "sys", "kernel", "osrelease"))
	name := "the kernel"
	if err == nil {
		name = "Linux " + strings.TrimSpace(string(release))
	}
	var c collected
	err = e.DB.Run(ctx, "SELECT proto, reason FROM socket_sources WHERE proto IN ('tcp', 'udp', 'unix', 'packet', 'mptcp', 'vsock') AND reason <> ''",
		func() (sqlite.Result, error) { return &c, nil })
	if err != nil {
		e.add("kernel", Broken, "the tables cannot be read: "+err.Error(), "see the error")
		return
	}
	protocols, _ := os.ReadFile(filepath.Join(e.Proc, "net", "protocols"))
	lacks := 0
	for _, row := range c.rows {
		list, reason := row[0], row[1]
		if list == "vsock" && !bytes.Contains(protocols, []byte("AF_VSOCK")) || list == "mptcp" && !bytes.Contains(protocols, []byte("MPTCP")) {
			continue // the kernel has no such sockets
		}
		lacks++
		l := lists[list]
		e.add("kernel", Warning, fmt.Sprintf("%s: %s; %s", list, reason, l.lost), "load the module: sudo modprobe "+l.module)
	}
	if lacks == 0 {
		e.add("kernel", OK, name+" lists all sockets by sock_diag", "")
	}
}

// collected is a result in memory.
type collected struct {
	rows [][]string
	rowfmt.Texts
}

func (c *collected) Columns([]string) error { return nil }

func (c *collected) Row(cells []schema.Cell) error {
	var row []string
	for _, text := range c.Of(cells) {
		row = append(row, string(text))
	}
	c.rows = append(c.rows, row)
	return nil
}

func (c *collected) Close() error { return nil }
