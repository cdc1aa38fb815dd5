package osquery

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownPeer returns the process at the other end of a unix socket, and fails unless it
// is root's or our own user's (SO_PEERCRED, unix(7)). A user that our user namespace
// does not have is neither; a process that our PID namespace does not have is 0.
func ownPeer(c net.Conn) (pid int32, err error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("%T is no socket", c)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, os.NewSyscallError("getsockopt", asked)
	}
	if peer.Uid != 0 && peer.Uid != uint32(os.Geteuid()) {
		return 0, fmt.Errorf("the process %d at the other end belongs to user %d: only root and this user are trusted", peer.Pid, peer.Uid)
	}
	return peer.Pid, nil
}
