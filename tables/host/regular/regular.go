// Package regular opens files that end. A pipe or a device in the place of a
// file of /proc or /etc could keep a query for ever.
package regular

import (
	"fmt"
	"os"
	"syscall"
)

// Open opens a regular file, or a link to one, for reading. Its errors are those
// of [os.Open], or name the file that is not regular.
func Open(path string) (*os.File, error) {
	// Without O_NONBLOCK a pipe would be waited for until someone writes.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = check(path, info)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Check fails unless path names a regular file or a link to one. It is for files
// that other packages open.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return check(path, info)
}

func check(path string, info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	return nil
}
