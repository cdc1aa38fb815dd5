package names

import (
	"os"

	"golang.org/x/sys/unix"
)

// anySocket makes a socket of a family that every kernel has.
func anySocket() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil // which is closed with its last reference
}

// interfaceName returns the name of an interface in the socket's network namespace.
func interfaceName(socket *os.File, index uint32) (name string, err error) {
	request, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	request.SetUint32(index)
	connection, err := socket.SyscallConn()
	if err != nil {
		return "", err
	}
	if failed := connection.Control(func(fd uintptr) { err = unix.IoctlIfreq(int(fd), unix.SIOCGIFNAME, request) }); failed != nil {
		return "", failed
	}
	return request.Name(), os.NewSyscallError("ioctl", err)
}
