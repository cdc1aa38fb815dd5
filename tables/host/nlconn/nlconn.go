package nlconn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Protocol is a protocol of netlink, NETLINK_* of include/uapi/linux/netlink.h.
type Protocol int

// The protocols. Every kernel with netlink has Route and Generic: asking loads no
// module, but for a family of Generic by its name.
const (
	Route     Protocol = 0
	SockDiag  Protocol = 4
	Netfilter Protocol = 12
	Generic   Protocol = 16
)

// Enterer runs a function in a network namespace. An error means that the
// namespace cannot be entered and that the function did not run.
type Enterer interface {
	Do(f func()) error
}

// Request is a question to the kernel.
type Request interface {
	// Append appends the request's message.
	Append(b []byte, order binary.ByteOrder, seq uint32) []byte
}

// Exchange sends a request in a network namespace and streams what each receive
// returns. The bytes are valid until the next receive.
type Exchange func(ctx context.Context, in Enterer, call Call) iter.Seq2[[]byte, error]

// Call is what an Exchange sends, and with what it receives.
type Call struct {
	Protocol Protocol
	Request  []byte
	Buffer   int // size of the receive buffer, bytes
}

// Message is a message of an answer.
type Message struct {
	Type    uint16 // of the protocol's own
	Payload []byte
}

var (
	// ErrRefused means that the kernel or a sandbox does not offer this source
	// here; try the next one. Nothing was yielded before it. The error that wraps
	// it names the source and wraps the reason too.
	ErrRefused = errors.New("is refused")
	// ErrInterrupted means that a list is not whole.
	ErrInterrupted = errors.New("the list changed while the kernel made it, so that something may be missing: ask again")
)

// refusals are the errors of a kernel without an answer for a protocol, and of
// sandboxes without netlink.
var refusals = []error{
	syscall.EPERM, syscall.EACCES, syscall.ENOENT, syscall.EOPNOTSUPP, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT,
	syscall.EINVAL, syscall.ENOSYS, syscall.ESOCKTNOSUPPORT, syscall.ECONNREFUSED, errors.ErrUnsupported,
}

// notEntered is the error of an Enterer. It is a refusal.
type notEntered struct{ error }

func (e notEntered) Unwrap() error { return e.error }

func refused(err error) bool {
	var closed notEntered
	return errors.As(err, &closed) || slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) })
}

// cutOff is the error of a message that is larger than the receive buffer. The
// kernel does not send it again.
type cutOff struct{ size, buffer int }

func (e *cutOff) Error() string {
	return fmt.Sprintf("a message of %d bytes was cut off at %d", e.size, e.buffer)
}

const (
	// maxTries is how often an interrupted list is asked for.
	maxTries = 3
	// maxHeld bounds the bytes of a list that are kept until it is whole.
	maxHeld = 8 << 20
	// minBuffer holds what the kernel sends of most lists at once: at most 32 KiB
	// (netlink_recvmsg, net/netlink/af_netlink.c). Only what does not fit into that,
	// such as an interface with many virtual functions, comes in larger messages.
	minBuffer = 64 << 10
	// maxBuffer is as much memory as the kernel takes for one message,
	// KMALLOC_MAX_SIZE.
	maxBuffer = 4 << 20
)

// Conn asks one protocol of netlink. Its methods may be called at the same time.
type Conn struct {
	protocol Protocol
	source   usage.Source
	exchange Exchange
	buffer   atomic.Int64 // bytes; it grows with the largest message
}

// New returns a Conn that asks by exchange, which is [Kernel] outside of tests.
// Refusals name the source.
func New(protocol Protocol, source usage.Source, exchange Exchange) *Conn {
	c := &Conn{protocol: protocol, source: source, exchange: exchange}
	c.buffer.Store(minBuffer)
	return c
}

// Dump asks for a list and streams its messages, whose payloads are valid until
// the next message. It adds the messages and the time spent to use.
//
// A list that was interrupted before its first message is asked for again; one
// that was interrupted later ends with ErrInterrupted. If nothing came and the
// kernel refuses, the only error is ErrRefused.
func (c *Conn) Dump(ctx context.Context, in Enterer, r Request, use *usage.Usage) iter.Seq2[Message, error] {
	const seq = 1
	return func(yield func(Message, error) bool) {
		order := binary.NativeEndian
		for try := 1; ; try++ {
			yielded, interrupted := 0, false
			failure := errors.New("the kernel's answer has no end")
			call := Call{c.protocol, r.Append(nil, order, seq), int(c.buffer.Load())}
			asked := time.Now()
		receive:
			for received, err := range c.exchange(ctx, in, call) {
				use.Wait += time.Since(asked)
				if err != nil {
					failure = err
					break
				}
				for m, err := range netlink.Messages(received, order) {
					switch {
					case err != nil:
						failure = err
						break receive
					case m.Seq != seq:
						continue
					case m.Errno != 0:
						failure = m.Errno
						break receive
					}
					if m.Interrupted {
						interrupted, use.Interrupted = true, true
					}
					if m.Done {
						failure = nil
						break receive
					}
					yielded++
					use.Sockets++
					if !yield(Message{m.Type, m.Payload}, nil) {
						return
					}
				}
				if err := ctx.Err(); err != nil {
					failure = err
					break
				}
				asked = time.Now()
			}
			switch {
			case failure == nil && !interrupted:
				return
			case failure == nil && yielded == 0 && try < maxTries:
				continue
			case failure == nil:
				failure = ErrInterrupted
			case c.grow(failure) && yielded == 0:
				continue
			case yielded == 0 && refused(failure):
				failure = fmt.Errorf("%s %w: %w", c.source, ErrRefused, failure)
			}
			yield(Message{}, failure)
			return
		}
	}
}

// grow makes room for a message that was cut off, for the next request. It
// reports whether that may help.
func (c *Conn) grow(err error) bool {
	var cut *cutOff
	if !errors.As(err, &cut) || cut.buffer >= maxBuffer || cut.size > maxBuffer {
		return false
	}
	for size := int64(min(max(cut.size, 2*cut.buffer), maxBuffer)); ; {
		old := c.buffer.Load()
		if old >= size || c.buffer.CompareAndSwap(old, size) {
			return true
		}
	}
}

// List is Dump for a list that must be whole: of at most 8 MiB, it yields nothing
// until the list is, and asks for an interrupted one again. A longer one it
// streams like Dump. The payloads of a list that fits stay valid. Of a list that the
// kernel ends at an object that does not fit into a message, what is before it comes
// before the error, syscall.EMSGSIZE.
func (c *Conn) List(ctx context.Context, in Enterer, r Request, use *usage.Usage) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		before := use.Sockets
		for try := 1; ; try++ {
			var held []Message
			var failure error
			size := 0
			for m, err := range c.Dump(ctx, in, r, use) {
				if err != nil {
					failure = err
					break
				}
				if size > maxHeld {
					if !yield(m, nil) {
						return
					}
					continue
				}
				m.Payload = bytes.Clone(m.Payload)
				held = append(held, m)
				if size += len(m.Payload); size > maxHeld {
					if !yieldAll(held, yield) {
						return
					}
					held = nil
				}
			}
			// Without a message Dump has asked again itself.
			if len(held) > 0 && (errors.Is(failure, ErrInterrupted) && try < maxTries || c.grow(failure)) {
				use.Sockets = before
				continue
			}
			if (failure == nil || errors.Is(failure, syscall.EMSGSIZE)) && !yieldAll(held, yield) {
				return
			}
			if failure != nil {
				yield(Message{}, failure)
			}
			return
		}
	}
}

func yieldAll(messages []Message, yield func(Message, error) bool) (more bool) {
	for _, m := range messages {
		if !yield(m, nil) {
			return false
		}
	}
	return true
}

// Get asks for one thing and returns the answer's first message, whose payload
// stays valid.
func (c *Conn) Get(ctx context.Context, in Enterer, r Request, use *usage.Usage) (Message, error) {
	for m, err := range c.Dump(ctx, in, r, use) {
		return m, err
	}
	return Message{}, errors.New("the kernel's answer is empty")
}
