//go:build !linux

package holders

import "errors"

// fdReader reads the directory of a process's files.
type fdReader struct{ ended <-chan struct{} }

func (*fdReader) sockets(string, func(inode uint64, fd int32)) (int, error) {
	return 0, errors.ErrUnsupported
}
