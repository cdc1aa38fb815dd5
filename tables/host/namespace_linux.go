package host

import (
	"errors"
	"fmt"
	"io/fs"
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

// do runs f in the namespace: in this thread if it is our own, else in one that
// enters it, which needs CAP_SYS_ADMIN, and ends afterwards. What f opens stays
// in that namespace. The error is that of entering, and wraps errClosed; it is
// not tried again.
func (p *place) do(f func()) error {
	if p.own {
		f()
		return nil
	}
	if p.closed == nil {
		p.closed = p.inThread(f)
	}
	return p.closed
}

func (p *place) inThread(f func()) error {
	done := make(chan error, 1)
	var panicked any
	go func() {
		// A panic is the asker's, whose query it ends and nothing else.
		defer func() {
			if panicked = recover(); panicked != nil {
				close(done)
			}
		}()
		// A goroutine that ends without unlocking takes its thread with it.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread's namespace passes for that of the process, and it
			// does not end. While this goroutine has it another gets another.
			done <- p.inThread(f)
			runtime.UnlockOSThread()
			return
		}
		err := p.enter()
		if err == nil {
			f()
		}
		done <- err
	}()
	err, ok := <-done
	if !ok {
		panic(panicked)
	}
	return err
}

// enter moves the calling thread into the namespace.
func (p *place) enter() error {
	fd, err := unix.Open(p.file, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH):
		return fmt.Errorf("%w: %w: %s: %v", errClosed, errGone, p.file, err)
	case err != nil:
		return fmt.Errorf("%w: %s: %v", errClosed, p.file, err)
	}
	defer unix.Close(fd)
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil || uint64(s.Ino) != uint64(p.inode) {
		return fmt.Errorf("%w: %w: %s is no longer it", errClosed, errGone, p.file)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("%w: setns: %v", errClosed, err)
	}
	return nil
}
