package host

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// list is a list of sockets that the kernel keeps: a file of /proc/net, unless only
// sock_diag lists them (see registration), and the family and protocol of
// sock_diag.
type list struct {
	name     string // of the file
	family   sock.Family
	protocol sock.Protocol
	module   string // that answers for it in sock_diag; "" if none does
	missing  source.Missing
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
func (h *Host) diagWay(l *list) source.Way {
	return source.Way{
		Source: usage.SockDiag,
		Usable: func() error { return h.diagAvailable(l) },
		Probe: func(ctx context.Context, in *netns.Handle, _ *usage.Usage) (err error) {
			for _, err = range h.diag.Dump(ctx, in, l.probe(l), &usage.Usage{}) {
			}
			return err
		},
	}
}

// procWay is the file of a list as its source. Where a list has no file none is.
func (h *Host) procWay(l *list) source.Way {
	w := source.Way{Source: usage.ProcFS, Usable: source.Always}
	name, _ := l.registration()
	if name != "" {
		w.Source = ""
	}
	w.Probe = func(_ context.Context, in *netns.Handle, now *usage.Usage) error {
		if errors.Is(in.Check(l.name), fs.ErrNotExist) && name == "" {
			now.Source, now.Reason = "", noList(l.name)
		}
		return nil
	}
	return w
}

// noList is the reason why a list has no source.
func noList(name string) string { return "there is no /proc/net/" + name }

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

// each streams the sockets of lists in each of the selected namespaces. Each is valid
// until the next: they go through several functions, and a socket is large.
func (r *reader[T]) each(ctx context.Context, namespaces Namespaces, lists []*list) iter.Seq2[*T, error] {
	return netns.Each(ctx, r.host.netns, namespaces, func(in *netns.Handle) iter.Seq2[*T, error] {
		return source.Concat(lists, func(l *list) iter.Seq2[*T, error] { return r.read(ctx, in, l) })
	})
}

// read streams the sockets of one list in one namespace, as each does.
func (r *reader[T]) read(ctx context.Context, in *netns.Handle, l *list) iter.Seq2[*T, error] {
	return source.WithFallback(r.uses, l.name,
		source.By(r.host.diagWay(l), func(use *usage.Usage) iter.Seq2[*T, error] { return r.diag(ctx, in, l, use) }),
		source.By(r.host.procWay(l), func(use *usage.Usage) iter.Seq2[*T, error] { return r.proc(ctx, in, l, use) }))
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
		file := source.File[T]{Name: l.name, Missing: l.missing, Decode: func(file io.Reader) iter.Seq2[T, error] { return r.decode(file, l) }}
		for next, err := range source.Read(ctx, in, file, use) {
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
