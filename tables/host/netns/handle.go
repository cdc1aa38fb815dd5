package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// Handle refers to a network namespace. It is for one goroutine at a time, which
// closes it.
type Handle struct {
	Inode uint32 // 0 if it is not known
	Own   bool   // see [Namespace.Own]

	set *Set
	// dir is the directory of a process in it, or of a thread; empty if there is
	// none.
	dir string
	// file is the path to open for setns; empty if there is none.
	file string
	// closed is why it could not be entered when that was last tried.
	closed error
	thread *thread // that has entered it; nil before Do
}

// Do calls f in the namespace: in this thread if it is the own one, else in a
// thread that has entered it, which takes CAP_SYS_ADMIN. What f opens stays in that
// namespace. The error is that of entering and wraps [ErrClosed]; f did not run
// then, and entering is not tried again. A panic of f is the caller's. F must not
// call Do.
func (h *Handle) Do(f func()) error {
	if h.Own {
		f()
		return nil
	}
	if h.closed == nil && h.thread == nil {
		h.thread, h.closed = h.enter()
	}
	if h.closed != nil {
		return h.closed
	}
	h.thread.do(f)
	return nil
}

// Only selects the handle's namespace. Those who read by that selection share the
// handle and leave it open, so that the namespace is entered once.
func (h *Handle) Only() Selection { return Selection{only: h} }

// Close ends the thread that has entered the namespace.
func (h *Handle) Close() {
	if h.thread != nil {
		close(h.thread.calls)
		h.thread = nil
	}
}

// Open opens a file of /proc/net, such as tcp, as the namespace shows it. The
// error is fs.ErrNotExist only if the namespace has no such file.
func (h *Handle) Open(name string) (file *regular.File, err error) {
	err = h.InProc(func(dir string) (err error) {
		file, err = open(filepath.Join(dir, "net"), name)
		return err
	})
	if err != nil && file != nil {
		file.Close()
	}
	return file, err
}

// open opens a list of a directory, whose own absence is another error than that
// of the list.
func open(dir, name string) (*regular.File, error) {
	file, err := regular.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := os.Stat(dir); missing != nil {
			return nil, fmt.Errorf("no lists of sockets: %v", missing)
		}
	}
	return file, err
}

// Check fails unless the namespace has a file of /proc/net. It does not need the
// right to read it.
func (h *Handle) Check(name string) error {
	return h.InProc(func(dir string) error {
		_, err := os.Stat(filepath.Join(dir, "net", name))
		return err
	})
}

// InProc calls f with the directory in proc of a process, or of a thread, that is
// in the namespace: the files of its net are those of the namespace.
func (h *Handle) InProc(f func(dir string) error) (err error) {
	if h.Own {
		dir, err := h.set.ownDir()
		if err != nil {
			return err
		}
		return f(dir)
	}
	entered := ErrClosed
	if h.file != "" {
		entered = h.Do(func() { err = f(h.set.ownProcess()) })
	}
	if entered == nil {
		return err
	}
	if h.dir == "" && h.file == "" {
		return errGone
	}
	if h.dir == "" {
		return entered
	}
	err = f(h.dir)
	inode, failed := inodeOf(h.dir)
	if process.BlameFor(failed) == process.Ours {
		return failed
	}
	if inode != h.Inode {
		return fmt.Errorf("%w: process %s has left it or ended", errGone, filepath.Base(h.dir))
	}
	return err
}
