package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// fileInode returns the inode number of a file; 0 if there is none.
func fileInode(path string) uint32 {
	var s unix.Stat_t
	if unix.Stat(path, &s) != nil || uint64(s.Ino) > 1<<32-1 {
		return 0
	}
	return uint32(s.Ino)
}

// thread is a thread in another network namespace. It ends when calls is closed.
type thread struct {
	calls chan func()
	done  chan any // what each call panicked with, or nil; closed when the thread ends
}

// do calls f in the thread.
func (t *thread) do(f func()) {
	t.calls <- f
	panicked, ok := <-t.done
	switch {
	case !ok:
		runtime.Goexit() // as f did
	case panicked != nil:
		panic(panicked)
	}
}

// enter starts a thread that enters the namespace.
func (h *Handle) enter() (*thread, error) {
	t := &thread{calls: make(chan func()), done: make(chan any)}
	entered := make(chan error)
	go t.run(h.setns, entered)
	if err := <-entered; err != nil {
		return nil, err
	}
	return t, nil
}

// run enters the namespace, reports that to entered, and then serves calls.
func (t *thread) run(enter func() error, entered chan<- error) {
	// A goroutine that ends without unlocking takes its thread with it.
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The first thread's namespace passes for that of the process, and it does
		// not end. While this goroutine has it another gets another.
		other := make(chan error)
		go t.run(enter, other)
		entered <- <-other
		runtime.UnlockOSThread()
		return
	}
	err := enter()
	entered <- err
	if err != nil {
		return
	}
	defer close(t.done)
	for f := range t.calls {
		t.done <- call(f)
	}
}

// call returns what f panics with.
func call(f func()) (panicked any) {
	defer func() { panicked = recover() }()
	f()
	return nil
}

// setns moves the calling thread into the namespace.
func (h *Handle) setns() error {
	file, err := h.File()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%w: setns: %w", ErrClosed, err)
	}
	return nil
}

// File opens the file that stands for the namespace in system calls. It does not
// enter it.
func (h *Handle) File() (*os.File, error) {
	path := h.file
	if h.Own {
		path = filepath.Join(h.set.ownProcess(), "ns", "net")
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH):
		return nil, fmt.Errorf("%w: %s: %v", errGone, path, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil || uint64(s.Ino) != uint64(h.Inode) {
		unix.Close(fd)
		return nil, fmt.Errorf("%w: %s is no longer it", errGone, path)
	}
	return os.NewFile(uintptr(fd), path), nil
}
