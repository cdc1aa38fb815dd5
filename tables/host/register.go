package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/register"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// What bounds a register.
const (
	maxRegister      = 4 << 20 // bytes of a file
	maxRegisterFiles = 1000    // of its directory
)

// RegisterFile is a file of the register of approved listeners.
type RegisterFile struct {
	Path    string
	SHA256  string // in hexadecimal digits
	Entries []register.Entry
}

// Register reads the register of approved listeners: its file, and then the files *.yaml
// of its directory, sorted by name. It has no files if the default ones are missing. A
// file that is malformed, or that others than root can change, is an error: a part of a
// register approves nothing.
func (h *Host) Register(ctx context.Context) ([]RegisterFile, error) {
	path := cmp.Or(h.register, DefaultRegister)
	var files []RegisterFile
	read := func(path string) error {
		f, err := h.registerFile(path)
		if err != nil {
			return fmt.Errorf("register of approved listeners: %w", err)
		}
		files = append(files, f)
		return nil
	}
	directory := strings.TrimSuffix(path, ".yaml") + ".d"
	names, err := h.registerNames(directory)
	if err != nil {
		return nil, fmt.Errorf("register of approved listeners: %w", err)
	}
	// The file may be missing if the directory has some, unless a flag names it.
	if _, err := os.Lstat(path); h.register != "" || !errors.Is(err, fs.ErrNotExist) {
		if err := read(path); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := read(filepath.Join(directory, name)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (h *Host) registerTrust() regular.Trust {
	return regular.Trust{Owner: h.registerOwner, Sticky: true}
}

// trusted is [regular.Trusted] of a path that may be relative.
func trusted(path string, trust regular.Trust) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return regular.Trusted(path, trust)
}

// registerNames returns the names of the files of the register's directory.
func (h *Host) registerNames(directory string) ([]string, error) {
	if _, err := os.Lstat(directory); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	trust := h.registerTrust()
	trust.Directory = true
	resolved, err := trusted(directory, trust)
	if err != nil {
		return nil, err
	}
	dir, err := regular.OpenDir(resolved)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasSuffix(name, ".yaml") || strings.HasPrefix(name, ".")
	})
	if len(names) > maxRegisterFiles {
		return nil, fmt.Errorf("%s has %d files, and may have %d", directory, len(names), maxRegisterFiles)
	}
	slices.Sort(names)
	return names, nil
}

func (h *Host) registerFile(path string) (f RegisterFile, err error) {
	f.Path = path
	resolved, err := trusted(path, h.registerTrust())
	if err != nil {
		return f, err
	}
	b, err := regular.ReadFile(resolved, maxRegister)
	if err != nil {
		return f, err
	}
	if f.Entries, err = register.Parse(b); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(b)
	f.SHA256 = hex.EncodeToString(sum[:])
	return f, nil
}
