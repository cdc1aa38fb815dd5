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

// EffectiveUser returns the effective user in /proc/PID/status
// (proc_pid_status(5)), the second of four numbers: the real, effective, saved
// and filesystem user. It is not ok if there is none.
//
//	Uid:	1000	0	0	0
//
// The error is the reader's.
func EffectiveUser(status io.Reader) (uid uint32, ok bool, err error) {
	for line, err := range parser.Lines(status, maxStatusLine) {
		if err != nil {
			return 0, false, err
		}
		if fields := slices.Collect(parser.Fields(string(line.Text))); len(fields) > 2 && fields[0] == "Uid:" {
			number, err := strconv.ParseUint(fields[2], 10, 32)
			if err != nil {
				return 0, false, nil
			}
			return uint32(number), true, nil
		}
	}
	return 0, false, nil
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
