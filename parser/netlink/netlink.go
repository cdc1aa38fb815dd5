// Package netlink encodes requests to, and takes apart the answers of, the
// kernel's netlink (netlink(7), include/uapi/linux/netlink.h). It does no I/O:
// package host has the conversation, and the packages of each protocol decode
// what is in the messages.
//
// Numbers are of the host's byte order; the order is an argument so that
// captures of other machines decode too.
package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"syscall"
)

// Flags of a request, NLM_F_*.
const (
	FlagRequest uint16 = 0x1
	FlagDump    uint16 = 0x300 // a list of all, in place of one
)

// HeaderSize is that of struct nlmsghdr.
const HeaderSize = 16

// AttributeHeaderSize is that of struct nlattr, and MaxAttributeSize what its
// length can say, the header included.
const (
	AttributeHeaderSize = 4
	MaxAttributeSize    = 1<<16 - 1
)

const (
	typeError    = 2
	typeDone     = 3
	minType      = 16 // of a protocol's messages
	flagDumpIntr = 0x10
)

// ErrShort is wrapped by the errors of messages that end too early.
var ErrShort = errors.New("the message is too short")

// AppendHeader appends the struct nlmsghdr of a message whose payload, which
// the caller appends, has size bytes.
func AppendHeader(b []byte, order binary.ByteOrder, kind, flags uint16, seq uint32, size int) []byte {
	var h [HeaderSize]byte
	order.PutUint32(h[0:], uint32(HeaderSize+size))
	order.PutUint16(h[4:], kind)
	order.PutUint16(h[6:], flags)
	order.PutUint32(h[8:], seq)
	return append(b, h[:]...)
}

// AppendAttribute appends an attribute and the zeros that align what follows.
func AppendAttribute(b []byte, order binary.ByteOrder, kind uint16, value []byte) []byte {
	var h [AttributeHeaderSize]byte
	order.PutUint16(h[0:], uint16(AttributeHeaderSize+len(value)))
	order.PutUint16(h[2:], kind)
	b = append(b, h[:]...)
	b = append(b, value...)
	return append(b, make([]byte, Align(len(value))-len(value))...)
}

// Message is one message of an answer.
type Message struct {
	Type    uint16 // of the protocol's own messages; meaningless if Done
	Seq     uint32
	Payload []byte
	// Done says that the answer is over; if Errno is not 0 it is not whole.
	Done  bool
	Errno syscall.Errno
	// Interrupted says that the list changed while the kernel made it: it may
	// lack something (NLM_F_DUMP_INTR).
	Interrupted bool
}

// Messages takes what was received at once apart. An error ends the sequence.
func Messages(b []byte, order binary.ByteOrder) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for len(b) > 0 {
			if len(b) < HeaderSize {
				yield(Message{}, fmt.Errorf("netlink: %d bytes left of a header: %w", len(b), ErrShort))
				return
			}
			size := order.Uint32(b)
			if size < HeaderSize || uint64(size) > uint64(len(b)) {
				yield(Message{}, fmt.Errorf("netlink: a message of %d bytes in %d: %w", size, len(b), ErrShort))
				return
			}
			m := Message{
				Type:        order.Uint16(b[4:]),
				Seq:         order.Uint32(b[8:]),
				Payload:     b[HeaderSize:size],
				Interrupted: order.Uint16(b[6:])&flagDumpIntr != 0,
			}
			if m.Type == typeDone || m.Type == typeError {
				m.Done = true
				// A kernel's errno is negative; an acknowledgement's is 0.
				if len(m.Payload) >= 4 {
					m.Errno = syscall.Errno(-int32(order.Uint32(m.Payload)))
				} else if m.Type == typeError {
					yield(m, fmt.Errorf("netlink: an error without a number: %w", ErrShort))
					return
				}
			}
			// Other messages of netlink itself pass by.
			if (m.Done || m.Type >= minType) && !yield(m, nil) {
				return
			}
			b = b[min(Align(int(size)), len(b)):]
		}
	}
}

// Align rounds up to where the next message or attribute begins, NLMSG_ALIGNTO.
func Align(n int) int { return (n + 3) &^ 3 }
