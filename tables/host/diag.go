package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"syscall"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
)

// exchange sends one netlink request and streams the answer; tests put a fake
// kernel in its place. The bytes are valid until the next are asked for.
type exchange func(ctx context.Context, request []byte) iter.Seq2[[]byte, error]

// errInterrupted says that a list is not whole.
var errInterrupted = errors.New("sockets changed places while the kernel listed them, so that some may be missing: ask again")

// errRefused is wrapped by the errors of a kernel, or a sandbox, that does not
// answer this kind of question at all. /proc may.
var errRefused = errors.New("sock_diag is refused")

// refusals are the errors of a kernel without sock_diag for a protocol, and of
// sandboxes without netlink.
var refusals = []error{
	syscall.EPERM, syscall.EACCES, syscall.ENOENT, syscall.EOPNOTSUPP, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT,
	syscall.EINVAL, syscall.ENOSYS, syscall.ESOCKTNOSUPPORT, syscall.ECONNREFUSED, errors.ErrUnsupported,
}

// maxTries is how often a list that was interrupted before its first socket is
// asked for.
const maxTries = 3

// dump asks for a list and hands its sockets to take, which reports whether it
// wants more. It reports that too, and what went wrong.
func (h *Host) dump(ctx context.Context, r sockdiag.Request, use *Usage, take func(payload []byte) (bool, error)) (more bool, err error) {
	for try := 1; ; try++ {
		c := conversation{host: h, use: use, take: take}
		more, err := c.run(ctx, r)
		switch {
		case err == nil && more && c.interrupted:
			if c.taken > 0 || try == maxTries {
				return false, errInterrupted
			}
		case errors.Is(err, syscall.EINVAL) && c.taken == 0 && r.Filter != nil:
			r.Filter = nil // an operation that this kernel does not know
		case err != nil && c.taken == 0 && isAny(err, refusals):
			return false, fmt.Errorf("%w: %w", errRefused, err)
		default:
			return more, err
		}
	}
}

// lookUp asks for one connection, which need not be there.
func (h *Host) lookUp(ctx context.Context, r sockdiag.Request, use *Usage, take func(payload []byte) (bool, error)) (more bool, err error) {
	c := conversation{host: h, use: use, take: take}
	more, err = c.run(ctx, r)
	if errors.Is(err, syscall.ENOENT) {
		return true, nil
	}
	return more, err
}

// conversation is one request and its answer.
type conversation struct {
	host *Host
	use  *Usage
	take func(payload []byte) (bool, error)

	taken       int  // sockets that were handed to take
	interrupted bool // the list is not whole
}

func (c *conversation) run(ctx context.Context, r sockdiag.Request) (more bool, err error) {
	const seq = 1
	order := binary.NativeEndian
	asked := time.Now()
	for received, err := range c.host.exchange(ctx, r.Append(nil, order, seq)) {
		c.use.Wait += time.Since(asked)
		if err != nil {
			return false, err
		}
		for m, err := range sockdiag.Messages(received, order) {
			switch {
			case err != nil:
				return false, err
			case m.Seq != seq:
				continue
			case m.Errno != 0:
				return false, m.Errno
			}
			if m.Interrupted {
				c.interrupted, c.use.Interrupted = true, true
			}
			if m.Done {
				return true, nil
			}
			c.taken++
			c.use.Sockets++
			if more, err := c.take(m.Payload); err != nil || !more {
				return false, err
			}
			if r.Exact() {
				return true, nil
			}
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		asked = time.Now()
	}
	return false, errors.New("the kernel's answer has no end")
}

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
