package regular

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Trust says who may have the power to change a file.
type Trust struct {
	// Owner may own the file and what is on the way to it; root always may.
	Owner uint32
	// Sticky allows directories that others may write to, if they cannot remove or
	// replace in them what is not theirs, as in /tmp.
	Sticky bool
	// Directory asks for a directory in the place of a regular file.
	Directory bool
}

// maxLinks bounds the symbolic links on the way to a file, as the kernel does.
const maxLinks = 40

// Trusted returns the path of a regular file without the symbolic links in it, or that
// of a directory. It fails unless the file, each link and each directory on the way, those that links
// lead through too, can only be changed by root and the trusted owner. The path must be
// absolute.
func Trusted(path string, trust Trust) (string, error) {
	at, rest := "/", path
	info, err := os.Lstat(at)
	for links := 0; ; {
		if err != nil {
			return "", err
		}
		if err := trust.check(at, info); err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			if links++; links > maxLinks {
				return "", fmt.Errorf("%s: %w", at, syscall.ELOOP)
			}
			target, err := os.Readlink(at)
			if err != nil {
				return "", err
			}
			rest = target + "/" + rest
			at = filepath.Dir(at)
			if filepath.IsAbs(target) {
				at = "/"
			}
		}
		if rest = strings.TrimLeft(rest, "/"); rest == "" {
			break
		}
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		at = filepath.Join(at, name) // has no links but the last, so that .. is right
		info, err = os.Lstat(at)
	}
	switch {
	case trust.Directory && !info.IsDir():
		return "", fmt.Errorf("%s is a %s, not a directory", at, kind(info.Mode()))
	case !trust.Directory && !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is a %s, not a regular file", at, kind(info.Mode()))
	}
	return at, nil
}

// check fails if anyone else owns the file, or may write to it.
func (t Trust) check(path string, info fs.FileInfo) error {
	what := kind(info.Mode())
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 && owner != t.Owner {
		also := ""
		if t.Owner != 0 {
			also = fmt.Sprintf(" or to user %d, who runs this program", t.Owner)
		}
		return fmt.Errorf("the %s %s belongs to user %d, and must belong to root%s", what, path, owner, also)
	}
	mode := info.Mode()
	if t.Sticky && mode.IsDir() && mode&fs.ModeSticky != 0 {
		return nil
	}
	if mode&fs.ModeSymlink == 0 && mode.Perm()&0o022 != 0 {
		return fmt.Errorf("the %s %s has mode %04o, and only its owner may have write permission", what, path, mode.Perm())
	}
	return nil
}

// kind names the type of a file.
func kind(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symbolic link"
	case fs.ModeNamedPipe:
		return "FIFO"
	case fs.ModeSocket:
		return "socket"
	}
	return "device"
}
