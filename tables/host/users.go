package host

import (
	"os/user"
	"strconv"
)

// Usernames looks up the names of users, each once. It is for one query in
// one goroutine, so that the next query sees a changed user.
type Usernames struct {
	seen map[uint32]string
}

// Usernames returns an empty memory of names.
func (h *Host) Usernames() *Usernames { return &Usernames{seen: make(map[uint32]string)} }

// Name returns the name of the user with that number in this machine's user
// database, or "" if it has none.
func (u *Usernames) Name(uid uint32) string {
	name, ok := u.seen[uid]
	if !ok {
		if found, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
			name = found.Username
		}
		u.seen[uid] = name
	}
	return name
}
