package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// bareDump asks the kernel for all TCP sockets and counts the answers: the
// least that a program can do, and so the measure of what ours adds.
func bareDump() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return err
	}
	sockets := 0
	buf := make([]byte, 64<<10)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		request := make([]byte, 72)
		binary.NativeEndian.PutUint32(request, 72)
		binary.NativeEndian.PutUint16(request[4:], 20)
		binary.NativeEndian.PutUint16(request[6:], 0x301)
		request[16], request[17] = family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(request[20:], 1<<13-1)
		if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
	receive:
		for {
			n, err := unix.Read(fd, buf)
			if err != nil {
				return err
			}
			for b := buf[:n]; len(b) >= 16; {
				switch binary.NativeEndian.Uint16(b[4:]) {
				case unix.NLMSG_DONE, unix.NLMSG_ERROR:
					break receive
				}
				sockets++
				b = b[min(int(binary.NativeEndian.Uint32(b)+3)&^3, len(b)):]
			}
		}
	}
	_, err = fmt.Println(sockets)
	return err
}

// readProc reads the kernel's text and throws it away.
func readProc() error {
	buf := make([]byte, 64<<10)
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{f}, buf); err != nil {
			return err
		}
		f.Close()
	}
	return nil
}
