package sock

import (
	"strconv"
	"strings"
)

// UNIX is the family of the sockets of unix(7).
const UNIX Family = 1

// Unix is one socket of the family [UNIX].
type Unix struct {
	Type  Type
	State UnixState
	// Flags are SO_ACCEPTCON, SO_WAITDATA and SO_NOSPACE of
	// include/uapi/linux/net.h. The kernel sets only the first.
	Flags uint32
	// Path is what the socket is bound to, as bytes: a path as the program gave
	// it, or @ and an abstract name, in which NUL bytes are @ too. It is empty of
	// a socket that is not bound, and where it was not asked for. So the kernel
	// writes it in /proc/net/unix, netstat and ss too: an abstract name a cannot
	// be told from a file @a, nor its NUL bytes from @.
	Path string
	// Common has no Inode of a connection that waits to be accepted, which is in
	// the namespace of the client.
	Common
	// Key tells sockets without inode and cookie apart.
	Key uint64
	// Uncertain says that the line of /proc which is the socket may be a part of
	// another socket's name.
	Uncertain bool
	// Known names those of the fields below that have a value.
	KnownUnix KnownUnix
	RefCount  uint32 // references to the kernel's structure
	// RecvQueue is, of a listener, the connections that wait to be accepted; of a
	// socket that sends datagrams the bytes of the next one; else the bytes to be
	// read. SendQueue is, of a listener, how many may wait; else the bytes of
	// kernel memory that its peer has not yet read.
	RecvQueue, SendQueue uint32
	// Peer is the inode of the other end. It is 0 if there is none, or none with
	// an inode.
	Peer uint64
	// Details has Shutdown and Memory.
	Details
}

// KnownUnix is a set of fields of [Unix].
type KnownUnix uint8

// The fields.
const (
	KnowsRefCount KnownUnix = 1 << iota
	KnowsQueues
)

// UnixState is a state as netstat tells it.
type UnixState uint8

// The states, SS_* of include/uapi/linux/net.h, and one of our own.
const (
	UnixFree UnixState = iota
	UnixUnconnected
	// UnixConnecting is the end of a connection that waits to be accepted.
	UnixConnecting
	UnixConnected
	UnixDisconnecting
	// UnixListening is for the kernel an unconnected socket with the flag
	// [AcceptsConnections].
	UnixListening
)

var unixStates = [...]string{"FREE", "", "CONNECTING", "CONNECTED", "DISCONNECTING", "LISTENING"}

// String returns netstat's name of the state, which is empty for an unconnected
// socket; an unknown one is its number.
func (s UnixState) String() string {
	if int(s) < len(unixStates) {
		return unixStates[s]
	}
	return strconv.Itoa(int(s))
}

// ParseUnixState is the inverse of [UnixState.String]; letter case does not
// matter. It is false for a name that it does not know.
func ParseUnixState(name string) (UnixState, bool) {
	for s, n := range unixStates {
		if strings.EqualFold(n, name) {
			return UnixState(s), true
		}
	}
	return 0, false
}

// UnixStates is a set of states, bit 1<<state.
type UnixStates uint8

// AllUnixStates holds every state a kernel may name.
const AllUnixStates UnixStates = 1<<8 - 1

// Has reports whether s is in the set. A state beyond the set's width is in
// every set.
func (set UnixStates) Has(s UnixState) bool { return s > 7 || set&(1<<s) != 0 }

// Flags of a socket, include/uapi/linux/net.h.
const (
	AcceptsConnections uint32 = 1 << 16 // __SO_ACCEPTCON
	WaitsForData       uint32 = 1 << 17 // SO_WAITDATA
	HasNoSpace         uint32 = 1 << 18 // SO_NOSPACE
)

// FlagNames returns what netstat writes between [ and ]: ACC, W and N, with
// blanks between.
func (s *Unix) FlagNames() string {
	var names []string
	for _, f := range [...]struct {
		flag uint32
		name string
	}{{AcceptsConnections, "ACC"}, {WaitsForData, "W"}, {HasNoSpace, "N"}} {
		if s.Flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, " ")
}

// ID returns a 63-bit identity of the socket: a hash of namespace and cookie, else of
// namespace, inode and Key.
func (s *Unix) ID() int64 {
	h := s.id(UNIX)
	if s.Cookie != 0 {
		return h.ID()
	}
	h = h.Add(s.Key)
	if s.Uncertain { // it may imitate another
		h = h.Add(uint64(s.Type)).Add(uint64(s.State)).Text(s.Path)
	}
	return h.ID()
}

// AppendInodes appends the inodes of both ends: a row names the processes of the
// peer too.
func (s *Unix) AppendInodes(to []uint64) []uint64 { return append(to, s.Inode, s.Peer) }
