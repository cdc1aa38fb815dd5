package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// list is a list of sockets that the kernel keeps: a file of /proc/net, unless only
// sock_diag lists them (see registration), and the family and protocol of
// sock_diag. One that must be there is on every kernel with its family. The others
// are missing where the kernel was built or started without them, and so has no
// such sockets.
type list struct {
	name     string // of the file
	family   sock.Family
	protocol sock.Protocol
	module   string // that answers for it in sock_diag; "" if none does
	required bool
	// probe makes the request for an empty list, which shows whether sock_diag
	// answers.
	probe func(*list) nlconn.Request
}

// allLists returns every list of sockets in the order of socket_sources.
func allLists() (all []*list) {
	for _, lists := range [][]*list{tcpLists, udpLists, rawLists, unixLists, packetLists, netlinkLists, mptcpLists, vsockLists, sctpLists, legacyLists} {
		all = append(all, lists...)
	}
	return all
}

// diagWay is sock_diag as the source of a list.
func (h *Host) diagWay(l *list) way {
	return way{
		source: usage.SockDiag,
		usable: func() error { return h.diagAvailable(l) },
		probe: func(ctx context.Context, in *netns.Handle, _ *usage.Usage) (err error) {
			for _, err = range h.diag.Dump(ctx, in, l.probe(l), &usage.Usage{}) {
			}
			return err
		},
	}
}

// procWay is the file of a list as its source. Where a list has no file none is.
func (h *Host) procWay(l *list) way {
	w := way{source: usage.ProcFS, usable: available}
	name, _ := l.registration()
	if name != "" {
		w.source = ""
	}
	w.probe = func(_ context.Context, in *netns.Handle, now *usage.Usage) error {
		if errors.Is(in.Check(l.name), fs.ErrNotExist) {
			now.Source = "" // and so there is no such socket
		}
		return nil
	}
	return w
}

// available is usable of a source that always is.
func available() error { return nil }

// reader reads sockets of type T in one query, from sock_diag or, where that is
// not available, from /proc/net.
type reader[T any] struct {
	host *Host
	uses *usage.Query
	// diag asks sock_diag for a list; it is not called for those without a module.
	diag func(ctx context.Context, in *netns.Handle, l *list, use *usage.Usage) iter.Seq2[*T, error]
	// decode decodes the list's file; nil if it has none.
	decode func(io.Reader, *list) iter.Seq2[T, error]
	// keep notes in which namespace a socket of /proc is, and reports whether the
	// query may want it.
	keep func(s *T, in *netns.Handle) bool
}

// each streams the sockets of lists in each of the selected namespaces.
func (r *reader[T]) each(ctx context.Context, namespaces Namespaces, lists []*list) iter.Seq2[T, error] {
	return values(netns.Each(ctx, r.host.netns, namespaces, func(in *netns.Handle) iter.Seq2[*T, error] {
		return concat(lists, func(l *list) iter.Seq2[*T, error] { return r.read(ctx, in, l) })
	}))
}

// read streams the sockets of one list in one namespace. Each is valid until the
// next: they go through several functions, and a socket is large.
func (r *reader[T]) read(ctx context.Context, in *netns.Handle, l *list) iter.Seq2[*T, error] {
	return withFallback(r.uses, l.name,
		wayOf[*T]{r.host.diagWay(l), func(use *usage.Usage) iter.Seq2[*T, error] { return r.diag(ctx, in, l, use) }},
		wayOf[*T]{r.host.procWay(l), func(use *usage.Usage) iter.Seq2[*T, error] { return r.proc(ctx, in, l, use) }})
}

// proc streams the sockets of a list's file.
func (r *reader[T]) proc(ctx context.Context, in *netns.Handle, l *list, use *usage.Usage) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		if name, _ := l.registration(); name != "" {
			if err := unlisted(in, l, use.Reason); err != nil {
				yield(nil, err)
			}
			return
		}
		var s T
		file := netFile[T]{l.name, l.required, func(file io.Reader) iter.Seq2[T, error] { return r.decode(file, l) }}
		for next, err := range readNet(ctx, in, file, use) {
			if err != nil {
				yield(nil, err)
				return
			}
			if s = next; r.keep(&s, in) && !yield(&s, nil) {
				return
			}
		}
	}
}

// netFile is a file of /proc/net. One that is not required is empty where it is
// missing.
type netFile[T any] struct {
	name     string
	required bool
	decode   func(io.Reader) iter.Seq2[T, error]
}

// readNet decodes a file of /proc/net and adds what it takes to use. It looks at
// the context between values.
func readNet[T any](ctx context.Context, in *netns.Handle, f netFile[T], use *usage.Usage) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		file, err := in.Open(f.name)
		if errors.Is(err, fs.ErrNotExist) {
			if !f.required {
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
		for v, err := range f.decode(&timedReader{file, &use.Wait}) {
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
	}
}

// timedReader adds up the time that is spent in Read.
type timedReader struct {
	io.Reader
	wait *time.Duration
}

func (r *timedReader) Read(b []byte) (int, error) {
	start := time.Now()
	n, err := r.Reader.Read(b)
	*r.wait += time.Since(start)
	return n, err
}

// decoded streams what is in the messages of sock_diag. The values are valid until
// the next.
func decoded[T any](messages iter.Seq2[nlconn.Message, error], decode func(payload []byte, v *T) error) iter.Seq2[*T, error] {
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

// values streams copies of what pointers stream.
func values[T any](pointers iter.Seq2[*T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for v, err := range pointers {
			if err != nil {
				yield(none, err)
				return
			}
			if !yield(*v, nil) {
				return
			}
		}
	}
}
