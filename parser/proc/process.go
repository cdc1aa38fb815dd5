package proc

import (
	"bytes"
	"io"
	"slices"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// maxStatusLine bounds a line of /proc/PID/status that is looked at; that of the
// groups may be longer.
const maxStatusLine = 4 << 10

// Status is what /proc/PID/status tells of a process's privileges.
type Status struct {
	UID, EUID uint32 // real and effective user
	GID, EGID uint32 // real and effective group
	// HasUsers and HasGroups say whether they are known.
	HasUsers, HasGroups bool
	// Effective is the effective set of capabilities, a bit for each number of
	// include/uapi/linux/capability.h.
	Effective    uint64
	HasEffective bool
}

// DecodeStatus reads /proc/PID/status (proc_pid_status(5)). Of four users, and of
// four groups, the first is the real and the second the effective one:
//
//	Uid:	1000	0	0	0
//	Gid:	1000	1000	1000	1000
//	CapEff:	0000000000003000
//
// What is missing or malformed is not known. The error is the reader's.
func DecodeStatus(status io.Reader) (s Status, err error) {
	for line, err := range parser.Lines(status, maxStatusLine) {
		if err != nil {
			return Status{}, err
		}
		name, rest, _ := bytes.Cut(line.Text, []byte(":"))
		fields := slices.Collect(parser.Fields(string(rest)))
		switch string(name) {
		case "Uid":
			s.UID, s.EUID, s.HasUsers = twoNumbers(fields)
		case "Gid":
			s.GID, s.EGID, s.HasGroups = twoNumbers(fields)
		case "CapEff":
			if len(fields) == 1 {
				s.Effective, err = strconv.ParseUint(fields[0], 16, 64)
				s.HasEffective = err == nil
			}
			return s, nil // nothing that is read comes behind it
		}
	}
	return s, nil
}

func twoNumbers(fields []string) (first, second uint32, ok bool) {
	if len(fields) < 2 {
		return 0, 0, false
	}
	a, err1 := strconv.ParseUint(fields[0], 10, 32)
	b, err2 := strconv.ParseUint(fields[1], 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, false
	}
	return uint32(a), uint32(b), true
}

// Stat is what /proc/PID/stat tells of a process.
type Stat struct {
	Parent  int32  // 0 if it has none that the reader's PID namespace shows
	Threads int32  // its number of threads
	Started uint64 // clock ticks between the start of the host and its own
}

// ParseStat decodes /proc/PID/stat (proc_pid_stat(5)): the fields 4, 20 and 22. The
// name before them may have parentheses and blanks. It is not ok if one of them is
// missing or malformed.
//
//	1203 (a) R) S 1 1203 1203 0 -1 4194560 … 20 0 4 0 78123 …
func ParseStat(text []byte) (s Stat, ok bool) {
	const parent, threads, started = 1, 17, 19 // counted from the state
	fields := slices.Collect(parser.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])))
	if len(fields) <= started {
		return Stat{}, false
	}
	p, err1 := strconv.ParseInt(fields[parent], 10, 32)
	n, err2 := strconv.ParseInt(fields[threads], 10, 32)
	at, err3 := strconv.ParseUint(fields[started], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || p < 0 || n < 0 {
		return Stat{}, false
	}
	return Stat{Parent: int32(p), Threads: int32(n), Started: at}, true
}

// BootTime returns when the host started, in seconds since 1970, from /proc/stat
// (proc_stat(5)):
//
//	btime 1769420000
func BootTime(stat []byte) (seconds int64, ok bool) {
	for line := range bytes.Lines(stat) {
		if digits, found := bytes.CutPrefix(line, []byte("btime ")); found {
			seconds, err := strconv.ParseInt(string(bytes.TrimSuffix(digits, []byte("\n"))), 10, 64)
			return seconds, err == nil && seconds >= 0
		}
	}
	return 0, false
}

// SocketInode returns the inode in the target of a link of /proc/PID/fd, such as
// socket:[4242]. It is not ok if the file is no socket.
func SocketInode(link []byte) (inode uint64, ok bool) {
	digits, ok := bytes.CutPrefix(link, []byte("socket:["))
	if digits, ok2 := bytes.CutSuffix(digits, []byte("]")); ok && ok2 && len(digits) > 0 {
		for _, c := range digits {
			if c < '0' || c > '9' || inode > (1<<63)/10 {
				return 0, false
			}
			inode = inode*10 + uint64(c-'0')
		}
		return inode, true
	}
	return 0, false
}

// Ended reports whether a thread has ended, by the state in its
// /proc/PID/stat (proc_pid_stat(5)). The name before the state may have
// parentheses and blanks:
//
//	1203 (a) R) Z 1 1203 1203 0 -1 …
func Ended(stat []byte) bool {
	_, state, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return ok && len(state) > 0 && (state[0] == 'Z' || state[0] == 'X')
}
