package process

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// isProcFS reports whether a directory is in a proc filesystem.
func isProcFS(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && s.Type == unix.PROC_SUPER_MAGIC
}

// linksOf returns the number of links of a file. What the kernel knows of it is
// enough: the server of a network or FUSE filesystem, which may never answer, is not
// asked.
func linksOf(path string) (uint32, error) {
	var s unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_NLINK, &s)
	for err == unix.EINTR {
		err = unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_NLINK, &s)
	}
	if err == nil && s.Mask&unix.STATX_NLINK == 0 {
		err = unix.EOPNOTSUPP
	}
	if err != nil {
		return 0, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	return s.Nlink, nil
}
