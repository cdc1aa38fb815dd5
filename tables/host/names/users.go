package names

import (
	"os/user"
	"strconv"
)

// Users looks up the names of users, each once. It is for one query in one
// goroutine, so that the next query sees a changed user. The zero value is ready.
type Users struct {
	seen map[uint32]string
}

// Name returns the name of the user with that number in this machine's user
// database, or "" if it has none.
func (u *Users) Name(uid uint32) string {
	name, ok := u.seen[uid]
	if !ok {
		if found, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
			name = found.Username
		}
		if u.seen == nil {
			u.seen = make(map[uint32]string)
		}
		u.seen[uid] = name
	}
	return name
}
