// Package proc decodes files of /proc that belong to a process or to the whole
// host. Lists of a network namespace are in package procnet.
package proc

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// NamespaceNumber returns the inode of a network namespace from the target of
// the link /proc/PID/ns/net (namespaces(7)), such as net:[4026531840]. It
// returns 0 if s is not such a target.
func NamespaceNumber(s string) uint32 { return NamespaceOf("net", s) }

// NamespaceOf is NamespaceNumber of a namespace of any kind, such as pid.
func NamespaceOf(kind, s string) uint32 {
	digits, ok := strings.CutPrefix(s, kind+":[")
	digits, ok2 := strings.CutSuffix(digits, "]")
	inode, err := strconv.ParseUint(digits, 10, 32)
	if !ok || !ok2 || err != nil {
		return 0
	}
	return uint32(inode)
}

// NamespaceMount is a file at which a network namespace is mounted.
type NamespaceMount struct {
	Inode uint32 // of the namespace
	File  string // its path: bytes, which need not be UTF-8
}

// NamespaceMounts streams the mounts of network namespaces in
// /proc/PID/mountinfo (proc_pid_mountinfo(5), show_mountinfo of
// fs/proc_namespace.c):
//
//	36 35 0:4 net:[4026532177] /run/netns/blue rw shared:20 - nsfs nsfs rw
//
// Other mounts are skipped. The only error is the reader's own.
func NamespaceMounts(r io.Reader) iter.Seq2[NamespaceMount, error] {
	return parser.List[NamespaceMount]{Parts: true, Line: func(line parser.Line) (m NamespaceMount, ok bool, err error) {
		fields := strings.SplitN(string(line.Text), " ", 6) // any other blank is a path's
		if len(fields) < 5 {
			return m, false, nil
		}
		m = NamespaceMount{NamespaceNumber(fields[3]), unescape(fields[4])}
		return m, m.Inode != 0, nil
	}}.Decode(r)
}

// unescape undoes the octal escapes of blanks and backslashes in mountinfo,
// such as \040 (mangle_path, fs/seq_file.c).
func unescape(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+4 > len(s) {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
			b.WriteByte(byte(c))
		} else {
			b.WriteString(s[i : i+4])
		}
		s = s[i+4:]
	}
}

// MemoryLimits are the three numbers of net.ipv4.tcp_mem or udp_mem, in pages
// (tcp(7), udp(7)).
type MemoryLimits struct {
	Low, Pressure, High int64
}

// ParseMemoryLimits decodes /proc/sys/net/ipv4/tcp_mem or udp_mem
// (Documentation/networking/ip-sysctl.rst):
//
//	94626	126170	189252
func ParseMemoryLimits(text []byte) (l MemoryLimits, err error) {
	fields := slices.Collect(parser.Fields(bytes.TrimSuffix(text, []byte("\n"))))
	for i, to := range []*int64{&l.Low, &l.Pressure, &l.High} {
		if len(fields) > i {
			*to, err = strconv.ParseInt(string(fields[i]), 10, 64)
		}
		if len(fields) <= i || err != nil {
			return MemoryLimits{}, fmt.Errorf("expected three numbers of pages: %q", text[:min(len(text), 80)])
		}
	}
	return l, nil
}

// PeakMemory returns the most memory that a process has had, in bytes: VmHWM of
// /proc/PID/status (proc_pid_status(5)). It is false of a kernel's thread, which
// has none.
//
//	VmHWM:	    5028 kB
func PeakMemory(status []byte) (bytes int64, ok bool) {
	_, after, _ := strings.Cut(string(status), "\nVmHWM:")
	line, _, _ := strings.Cut(after, "\n")
	for number := range parser.Fields(line) {
		kilobytes, err := strconv.ParseUint(number, 10, 53) // so that bytes do not overflow
		if err != nil {
			return 0, false
		}
		return int64(kilobytes) << 10, true
	}
	return 0, false
}

// Uptime returns how long the host runs, in whole seconds, from /proc/uptime
// (proc_uptime(5)):
//
//	52593.27 103204.11
func Uptime(text []byte) (seconds int64, ok bool) {
	whole, _, _ := strings.Cut(string(text), ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	return seconds, err == nil && seconds >= 0
}
