package osquery

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownPeer fails unless the process at the other end of a unix socket is root's or
// our own user's (SO_PEERCRED, unix(7)). A user that our user namespace does not
// have is neither.
func ownPeer(c net.Conn) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T is no socket", c)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return err
	}
	if asked != nil {
		return os.NewSyscallError("getsockopt", asked)
	}
	if peer.Uid != 0 && peer.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("the process %d at the other end belongs to user %d: only root and this user are trusted", peer.Pid, peer.Uid)
	}
	return nil
}
