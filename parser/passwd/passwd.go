// Package passwd decodes /etc/passwd, the file that gives users their names,
// passwd(5), as getpwuid(3) of the GNU C library reads it
// (pwd/fgetpwent_r.c, nss/nss_files/files-parse.c).
//
// A line is
//
//	name:password:uid:gid:comment:home:shell
//
// of which what follows the gid may be missing, with its colons.
package passwd

import (
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// User is one line of the file.
type User struct {
	Name string // bytes as the file has them, which need not be UTF-8
	UID  uint32
}

// Decode streams the users in the file's order. Nothing is merged: getpwuid(3)
// returns the first one with a number, and so should a caller who looks for one.
// Lines that begin with + or -, which stand for users of another database, are
// passed by. See [parser.Entries] for skipped and errors.
func Decode(r io.Reader, skipped func(*parser.LineError)) iter.Seq2[User, error] {
	return func(yield func(User, error) bool) {
		for u, err := range parser.Entries(r, skipped, (*User).parse) {
			if err == nil && (strings.HasPrefix(u.Name, "+") || strings.HasPrefix(u.Name, "-")) {
				continue
			}
			if !yield(u, err) {
				return
			}
		}
	}
}

func (u *User) parse(_ int, line string) (reason string) {
	name, rest, _ := strings.Cut(line, ":")
	u.Name = name
	if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") {
		return ""
	}
	_, rest, _ = strings.Cut(rest, ":") // the password
	uid, rest, _ := strings.Cut(rest, ":")
	gid, _, _ := strings.Cut(rest, ":")
	var ok bool
	if u.UID, ok = number(uid); ok {
		_, ok = number(gid)
	}
	if !ok {
		return "expected name:password:uid:gid"
	}
	return ""
}

// number reads one as strtoul(3) with base 10 does. The C library takes also
// negative ones that wrap around to 32 bits, such as -0.
func number(s string) (n uint32, ok bool) {
	for s != "" && parser.IsSpace(s[0]) {
		s = s[1:]
	}
	// ParseUint with an explicit base takes digits only: no sign, no underscore.
	value, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 10, 32)
	return uint32(value), err == nil
}
