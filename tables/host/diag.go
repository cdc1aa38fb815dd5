package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"syscall"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// exchange sends one request to a protocol of netlink in a network namespace and
// streams the answer; tests put a fake kernel in its place. The bytes are valid
// until the next are asked for.
type exchange func(ctx context.Context, p *place, protocol int, request []byte) iter.Seq2[[]byte, error]

// request is a question to netlink.
type request interface {
	// Append appends the request's message.
	Append(b []byte, order binary.ByteOrder, seq uint32) []byte
}

// errInterrupted says that a list is not whole.
var errInterrupted = errors.New("sockets changed places while the kernel listed them, so that some may be missing: ask again")

// errRefused, behind the name of a source, is wrapped by the errors of a kernel,
// or a sandbox, that does not answer this kind of question at all. /proc may.
var errRefused = errors.New("is refused")

// refusals are the errors of a kernel without sock_diag for a protocol, of
// sandboxes without netlink, and of a namespace that only /proc can show.
var refusals = []error{
	errClosed,
	syscall.EPERM, syscall.EACCES, syscall.ENOENT, syscall.EOPNOTSUPP, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT,
	syscall.EINVAL, syscall.ENOSYS, syscall.ESOCKTNOSUPPORT, syscall.ECONNREFUSED, errors.ErrUnsupported,
}

// maxTries is how often a list that was interrupted before its first socket is
// asked for.
const maxTries = 3

// dump asks sock_diag for a list and hands its messages to take, which reports
// whether it wants more. It reports that too, and what went wrong.
func (h *Host) dump(ctx context.Context, p *place, r request, use *usage.Usage, take func(payload []byte) (bool, error)) (more bool, err error) {
	return h.dumpFrom(ctx, p, usage.SockDiag, netlinkSockDiag, r, use, take)
}

// dumpFrom is dump from another source than sock_diag, by its protocol of netlink.
func (h *Host) dumpFrom(ctx context.Context, p *place, source usage.Source, protocol int, r request, use *usage.Usage, take func(payload []byte) (bool, error)) (more bool, err error) {
	for try := 1; ; try++ {
		c := conversation{host: h, place: p, protocol: protocol, use: use, take: take}
		more, err := c.run(ctx, r)
		switch {
		case err == nil && more && c.interrupted:
			if c.taken > 0 || try == maxTries {
				return false, errInterrupted
			}
		case err != nil && c.taken == 0 && isAny(err, refusals):
			return false, fmt.Errorf("%s %w: %w", source, errRefused, err)
		default:
			return more, err
		}
	}
}

// conversation is one request and its answer.
type conversation struct {
	host     *Host
	place    *place
	protocol int  // of netlink
	single   bool // the answer is one message without an end
	use      *usage.Usage
	take     func(payload []byte) (bool, error)

	kind        uint16 // of the message that take is called with
	taken       int    // messages that were handed to take
	interrupted bool   // the list is not whole
}

func (c *conversation) run(ctx context.Context, r request) (more bool, err error) {
	const seq = 1
	order := binary.NativeEndian
	asked := time.Now()
	for received, err := range c.host.exchange(ctx, c.place, c.protocol, r.Append(nil, order, seq)) {
		c.use.Wait += time.Since(asked)
		if err != nil {
			return false, err
		}
		for m, err := range netlink.Messages(received, order) {
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
			c.kind = m.Type
			c.taken++
			c.use.Sockets++
			if more, err := c.take(m.Payload); err != nil || !more {
				return false, err
			}
			if c.single {
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
