package nlconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// receiveTimeout is how often a wait looks at its context.
	receiveTimeout = 100 * time.Millisecond
	// silence is how long the kernel may say nothing. It makes a list while
	// we read it, and answers at once.
	silence = 10 * time.Second
)

// Kernel is the Exchange with this host's kernel. It receives into one buffer that
// is used again, and needs no privilege but that of entering a namespace.
//
// It is not github.com/mdlayher/netlink because that allocates every message, which
// a list of 100,000 sockets feels.
func Kernel(ctx context.Context, in Enterer, call Call) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var fd int
		var err error
		if entered := in.Do(func() { fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(call.Protocol)) }); entered != nil {
			yield(nil, notEntered{entered})
			return
		}
		if err != nil {
			yield(nil, os.NewSyscallError("socket", err))
			return
		}
		defer unix.Close(fd)
		wait := unix.NsecToTimeval(receiveTimeout.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
			yield(nil, os.NewSyscallError("setsockopt", err))
			return
		}
		if err := unix.Sendto(fd, call.Request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			yield(nil, os.NewSyscallError("sendto", err))
			return
		}
		buf := make([]byte, call.Buffer)
		heard := time.Now()
		for {
			// With MSG_TRUNC the length is that of the message, also when the
			// buffer is too short for it.
			n, from, err := unix.Recvfrom(fd, buf, unix.MSG_TRUNC)
			switch {
			case err == unix.EAGAIN || err == unix.EINTR:
				if err = ctx.Err(); err == nil && time.Since(heard) > silence {
					err = fmt.Errorf("the kernel has not answered for %v: %w", silence, os.ErrDeadlineExceeded)
				}
				if err == nil {
					continue
				}
			case err != nil:
				err = os.NewSyscallError("recvfrom", err)
			case n > len(buf):
				err = &cutOff{n, len(buf)}
			default:
				if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
					continue // not from the kernel
				}
				heard = time.Now()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(buf[:n], nil) {
				return
			}
		}
	}
}

// WouldLoad reports whether the kernel would load a module if we asked for what it
// provides: one that is neither loaded nor built in, as far as this process can see.
func WouldLoad(module string) bool {
	if _, err := os.Stat(filepath.Join("/sys/module", module)); err == nil {
		return false // it is loaded
	}
	if _, err := os.Stat("/proc/modules"); errors.Is(err, os.ErrNotExist) {
		return false // this kernel has no modules
	}
	if off, err := os.ReadFile("/proc/sys/kernel/modules_disabled"); err == nil && bytes.HasPrefix(off, []byte("1")) {
		return false
	}
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return true
	}
	builtin, err := os.ReadFile(filepath.Join("/lib/modules", unix.ByteSliceToString(name.Release[:]), "modules.builtin"))
	return err != nil || !bytes.Contains(builtin, []byte("/"+module+".ko\n"))
}
