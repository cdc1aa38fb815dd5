// Package regular opens files that end. A pipe or a device in the place of a
// file of /proc or /etc could keep a query for ever.
package regular

import (
	"fmt"
	"os"
)

// Open opens a regular file for reading. Its errors are those of [Check] and
// [os.Open].
func Open(path string) (*os.File, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// Check fails unless path names a regular file or a link to one.
func Check(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	return err
}
