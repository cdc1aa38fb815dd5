package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// File is a file of /proc/net.
type File[T any] struct {
	Name    string
	Missing Missing
	Decode  func(io.Reader) iter.Seq2[T, error]
}

// Missing says what it means that there is no such file.
type Missing int

// The meanings.
const (
	// Empty: the kernel was built or started without what the file lists.
	Empty Missing = iota
	// Lacking: every Linux has the file, other kernels have not, and a copy of
	// proc may be a part of one. The list is empty and that is noted.
	Lacking
	// Failing: every kernel has the file.
	Failing
)

// Read decodes a file of /proc/net and adds what it takes to use. It looks at
// the context between values.
func Read[T any](ctx context.Context, in *netns.Handle, f File[T], use *usage.Usage) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		file, err := in.Open(f.Name)
		if errors.Is(err, fs.ErrNotExist) {
			switch f.Missing {
			case Empty:
				return
			case Lacking:
				use.Lack.Add("a list of the kernel is missing, so that nothing is known of what it would have", err.Error())
				return
			}
			err = fmt.Errorf("%w: is the proc filesystem mounted, or copied, there?", err)
		}
		if err != nil {
			yield(none, err)
			return
		}
		defer file.Close()
		n := 0
		reader := &timedReader{Reader: file, wait: &use.Wait, last: '\n'}
		for v, err := range f.Decode(reader) {
			use.Sockets++
			if n++; n%256 == 0 && err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(none, fmt.Errorf("%s: %w", file.Name(), err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
		if reader.last != '\n' {
			use.Lack.Add("a list ends without a newline, so that its last line may be cut off", file.Name())
		}
	}
}

// timedReader adds up the time that is spent in Read, and keeps the last byte.
type timedReader struct {
	io.Reader
	wait *time.Duration
	last byte
}

func (r *timedReader) Read(b []byte) (int, error) {
	start := time.Now()
	n, err := r.Reader.Read(b)
	*r.wait += time.Since(start)
	if n > 0 {
		r.last = b[n-1]
	}
	return n, err
}

// Decoded streams what is in the messages of sock_diag. The values are valid until
// the next.
func Decoded[T any](messages iter.Seq2[nlconn.Message, error], decode func(payload []byte, v *T) error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		var v T
		for m, err := range messages {
			if err == nil {
				err = decode(m.Payload, &v)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&v, nil) {
				return
			}
		}
	}
}

// Concat streams what read finds for each element, up to the first error.
func Concat[E, T any](elements []E, read func(E) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, e := range elements {
			for v, err := range read(e) {
				if !yield(v, err) || err != nil {
					return
				}
			}
		}
	}
}

// Failed is a sequence of one error.
func Failed[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		yield(none, err)
	}
}
