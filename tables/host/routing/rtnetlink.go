package routing

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"syscall"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// wantsProc reports whether the query selects procfs rows, and whether it selects
// only those. Sources are those that it names; nil means the best.
func wantsProc(sources []string) (proc, only bool) {
	is := func(s usage.Source) func(string) bool {
		return func(name string) bool { return strings.EqualFold(name, string(s)) }
	}
	proc = slices.ContainsFunc(sources, is(usage.ProcFS))
	return proc, proc && !slices.ContainsFunc(sources, is(usage.RTNetlink))
}

// rtnetlinkWay is rtnetlink as a source. Every kernel with netlink has it.
func (l *Lists) rtnetlinkWay() source.Way {
	return source.Way{Source: usage.RTNetlink, Usable: l.Usable}
}

// list streams the messages of a list of rtnetlink, up to an object that does not fit
// into a message if the kernel says that it ends the list at one, which not every
// kernel does of every list; then it calls tooLarge.
func (l *Lists) list(ctx context.Context, in *netns.Handle, request nlconn.Request, use *usage.Usage, tooLarge func()) iter.Seq2[nlconn.Message, error] {
	return func(yield func(nlconn.Message, error) bool) {
		for m, err := range l.Netlink.List(ctx, in, request, use) {
			if errors.Is(err, syscall.EMSGSIZE) {
				tooLarge()
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// found is for a list whose missing objects are found by other means.
func found() {}

// fileWay is a file that nothing else stands for.
var fileWay = source.Way{Source: usage.ProcFS, Usable: source.Always}

// rtnetlinkOrProc streams a list of rtnetlink or, where that is refused, of the
// file in /proc/net by which the list is called; that of the file too if the
// query selects both sources.
func rtnetlinkOrProc[T any](q *usage.Query, list string, sources []string, rtnetlink, proc source.Of[T]) iter.Seq2[T, error] {
	both, only := wantsProc(sources)
	if only {
		return source.WithFallback(q, list, proc)
	}
	best := source.WithFallback(q, list, rtnetlink, proc)
	if !both {
		return best
	}
	return func(yield func(T, error) bool) {
		for v, err := range best {
			if !yield(v, err) || err != nil {
				return
			}
		}
		if q.Of(list).Source == usage.RTNetlink {
			proc.Read(&usage.Usage{})(yield)
		}
	}
}
