// Package regular opens files that end. A pipe, a device or a log in the place of a
// file of /proc or /etc could keep a query for ever.
package regular

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// File is a regular file that is read without waiting.
type File struct {
	file *os.File
	conn syscall.RawConn
}

// Open opens a regular file, or a link to one, for reading. Its errors are those
// of [os.Open], or name the file that is not regular.
func Open(path string) (*File, error) {
	// Without O_NONBLOCK a pipe would be waited for until someone writes.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := &File{file: file}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err == nil {
		f.conn, err = file.SyscallConn()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return f, nil
}

// Read reads as [os.File] does. It fails where that would wait: some regular files,
// such as /proc/kmsg, grow as they are read.
func (f *File) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	// The runtime would wait for what poll(2) announces: not so if this is called
	// once.
	failed := f.conn.Read(func(fd uintptr) bool {
		for n, err = syscall.Read(int(fd), b); err == syscall.EINTR; {
			n, err = syscall.Read(int(fd), b)
		}
		return true
	})
	switch {
	case failed != nil:
		return 0, failed
	case err == syscall.EAGAIN:
		return 0, fmt.Errorf("%s has no end: a read of it waits for more", f.Name())
	case err != nil:
		return 0, &os.PathError{Op: "read", Path: f.Name(), Err: err}
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Name returns the path that the file was opened by.
func (f *File) Name() string { return f.file.Name() }

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// ReadFile returns what is in a regular file, which is an error if it has more than
// max bytes.
func ReadFile(path string, max int64) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s has more than %d bytes", path, max)
	}
	return b, err
}

// OpenDir opens a directory. Its errors are those of [os.Open], or ENOTDIR.
func OpenDir(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}
