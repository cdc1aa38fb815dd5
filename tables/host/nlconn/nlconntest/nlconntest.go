// Package nlconntest is a kernel for tests of what asks by netlink: a function, a
// request in and messages out.
//
//	var requests [][]byte
//	kernel := nlconntest.Answers(&requests, nlconntest.Answer{Received: [][]byte{nlconntest.End(syscall.EPERM)}})
//	conn := nlconn.New(nlconn.SockDiag, usage.SockDiag, kernel.Exchange)
package nlconntest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"syscall"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
)

// Kernel answers a request: it returns what each receive gives, and the error of
// the one after the last, if any. It is called from one goroutine at a time.
type Kernel func(request []byte) (received [][]byte, err error)

// Exchange is the Exchange with this kernel. It enters no namespace.
func (k Kernel) Exchange(_ context.Context, _ nlconn.Enterer, call nlconn.Call) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		received, err := k(call.Request)
		for _, b := range received {
			if !yield(b, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// Answer is what a Kernel returns.
type Answer struct {
	Received [][]byte
	Err      error
}

// Answers returns a kernel that answers the first request with the first answer,
// and so on; the last answer it gives again and again. It appends the requests to
// requests.
func Answers(requests *[][]byte, answers ...Answer) Kernel {
	return func(request []byte) ([][]byte, error) {
		*requests = append(*requests, request)
		a := answers[min(len(*requests), len(answers))-1]
		return a.Received, a.Err
	}
}

// Own is the program's own network namespace.
type Own struct{}

// Do calls f.
func (Own) Do(f func()) error {
	f()
	return nil
}

// Numbers of struct nlmsghdr, include/uapi/linux/netlink.h.
const (
	typeDone        = 3
	flagInterrupted = 0x10
)

// End returns the message that ends a list, with an error number if it is not 0.
func End(errno syscall.Errno) []byte { return end(errno, 0) }

// Interrupted returns the message that ends a list which is not whole
// (NLM_F_DUMP_INTR).
func Interrupted() []byte { return end(0, flagInterrupted) }

func end(errno syscall.Errno, flags uint16) []byte {
	order := binary.NativeEndian
	b := netlink.AppendHeader(nil, order, typeDone, flags, 1, 4)
	return order.AppendUint32(b, uint32(-int32(errno)))
}

// Capture returns the messages of a file of captured answers, without their ends
// and as if they answered the first request. It fails with
// [errors.ErrUnsupported] on a big-endian machine: the captures are of others.
func Capture(file string) (messages [][]byte, err error) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		return nil, fmt.Errorf("%s is of a little-endian machine: %w", file, errors.ErrUnsupported)
	}
	b, err := os.ReadFile(file)
	for err == nil && len(b) > 0 {
		size := int(binary.LittleEndian.Uint32(b))
		m := b[:size:size]
		binary.LittleEndian.PutUint32(m[8:], 1)
		if binary.LittleEndian.Uint16(m[4:]) != typeDone {
			messages = append(messages, m)
		}
		b = b[min(netlink.Align(size), len(b)):]
	}
	return messages, err
}
