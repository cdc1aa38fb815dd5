package holders

import (
	"cmp"
	"encoding/binary"
	"io/fs"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
)

// Layout of struct linux_dirent64, getdents64(2).
const (
	direntLength = 16 // uint16
	direntName   = 19
)

// direntSize is the buffer for the names of a directory, and linkSize that for
// a link such as socket:[4294967295].
const (
	direntSize = 8 << 10
	linkSize   = 32
)

// fdReader reads the directory of a process's files, with buffers that are
// used again and no allocation for a link.
type fdReader struct {
	ended <-chan struct{} // when it is closed the reader gives up
	names [direntSize]byte
	link  [linkSize]byte
}

// sockets calls visit for each socket among the files of a directory such as
// /proc/PID/fd, and counts the files that it looked at. A link that cannot be read
// is passed over; unread is the error of the first such link.
func (r *fdReader) sockets(path string, visit func(inode uint64, fd int32)) (files int, unread, err error) {
	dir, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for err == unix.EINTR {
		dir, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return 0, nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(dir)
	for {
		select {
		case <-r.ended:
			return files, unread, nil
		default:
		}
		n, err := unix.Getdents(dir, r.names[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return files, unread, &fs.PathError{Op: "getdents64", Path: path, Err: err}
		}
		if n == 0 {
			return files, unread, nil
		}
		for b := r.names[:n]; len(b) > direntName; {
			size := int(binary.NativeEndian.Uint16(b[direntLength:]))
			if size <= direntName || size > len(b) {
				return files, unread, unix.EIO
			}
			name := b[direntName:size]
			b = b[size:]
			fd, ok := number(name)
			if !ok {
				continue // . and ..
			}
			files++
			length, errno := r.readLink(dir, name)
			if errno == unix.ENAMETOOLONG {
				continue // a link to a socket is short
			}
			if errno != 0 {
				err := &fs.PathError{Op: "readlinkat", Path: path + "/" + strconv.FormatUint(fd, 10), Err: errno}
				switch process.BlameFor(errno) {
				case process.Ours:
					return files, unread, err
				case process.Theirs:
					if errno == unix.EACCES && files == 1 {
						// proc_fd_access_allowed, fs/proc/base.c, judges the
						// process: its other links are denied too.
						return files, err, nil
					}
					unread = cmp.Or(unread, error(err))
				}
				continue
			}
			if inode, ok := proc.SocketInode(r.link[:length]); ok {
				visit(inode, int32(fd))
			}
		}
	}
}

// readLink reads a link in a directory, by its name with a NUL byte at the end.
func (r *fdReader) readLink(dir int, name []byte) (length uintptr, errno unix.Errno) {
	for {
		length, _, errno = unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&name[0])),
			uintptr(unsafe.Pointer(&r.link)), linkSize, 0, 0)
		if errno != unix.EINTR {
			return length, errno
		}
	}
}

// number reads a decimal number that ends with a NUL byte.
func number(name []byte) (n uint64, ok bool) {
	for i, c := range name {
		if c == 0 {
			return n, i > 0
		}
		if c < '0' || c > '9' || n > 1<<32 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return 0, false
}

// orderOfFiles compares the files of two threads by kcmp(2), whose order has no
// meaning: 0 says that they share them. Where the kernel does not say they differ.
func orderOfFiles(a, b string) int {
	const kcmpFiles = 2 // KCMP_FILES
	first, err1 := strconv.Atoi(a)
	second, err2 := strconv.Atoi(b)
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(first), uintptr(second), kcmpFiles, 0, 0, 0)
	switch {
	case err1 != nil, err2 != nil, errno != 0, order == 1:
		return -1
	case order == 0:
		return 0
	}
	return 1
}
