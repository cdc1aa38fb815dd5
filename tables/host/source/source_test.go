package source

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// kind is a source for tests: it streams n values and then its error.
type kind struct {
	source usage.Source
	closed error // of Usable
	n      int
	err    error
}

func (k kind) way() Way {
	return Way{
		Source: k.source,
		Usable: func() error { return k.closed },
		Probe:  func(context.Context, *netns.Handle, *usage.Usage) error { return k.err },
	}
}

func (k kind) of() Of[int] {
	return By(k.way(), func(use *usage.Usage) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range k.n {
				use.Sockets++
				if !yield(i, nil) {
					return
				}
			}
			if k.err != nil {
				yield(0, k.err)
			}
		}
	})
}

func TestWithFallback(t *testing.T) {
	refused := fmt.Errorf("sock_diag %w: EPERM", nlconn.ErrRefused)
	closed, broken := errors.New("closed"), errors.New("broken")
	proc := kind{source: usage.ProcFS, n: 2}
	for _, c := range []struct {
		name   string
		kinds  []kind
		n      int
		source usage.Source
		reason string
		fails  string
	}{
		{"the first", []kind{{source: usage.SockDiag, n: 3}, proc}, 3, usage.SockDiag, "", ""},
		{"the first, empty", []kind{{source: usage.SockDiag}, proc}, 0, usage.SockDiag, "", ""},
		{"not usable", []kind{{source: usage.SockDiag, closed: closed, n: 3}, proc}, 2, usage.ProcFS, "closed", ""},
		{"refused", []kind{{source: usage.SockDiag, err: refused}, proc}, 2, usage.ProcFS, "sock_diag is refused: EPERM", ""},
		{"broken", []kind{{source: usage.SockDiag, n: 1, err: broken}, proc}, 1, usage.SockDiag, "", "sock_diag of list: broken"},
		{"both broken", []kind{{source: usage.SockDiag, err: refused}, {source: usage.ProcFS, err: broken}}, 0, usage.ProcFS, refused.Error(), "broken"},
		{"none", []kind{{source: usage.SockDiag, closed: closed}, {source: usage.RTNetlink, err: refused}}, 0, usage.RTNetlink, "closed", "rtnetlink of list: sock_diag is refused"},
		{"none is usable", []kind{{source: usage.SockDiag, closed: closed}}, 0, usage.SockDiag, "", "sock_diag of list: closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := usage.NewLog(hclog.NewNullLogger())
			var ways []Of[int]
			for _, k := range c.kinds {
				ways = append(ways, k.of())
			}
			n := 0
			var err error
			for _, e := range WithFallback(log.Query(), "list", ways...) {
				if err = e; err == nil {
					n++
				}
			}
			use, _ := log.Last("list")
			if n != c.n || use.Source != c.source || use.Reason != c.reason || use.Sockets != int64(c.n) {
				t.Errorf("%d values, %+v", n, use)
			}
			if (err == nil) != (c.fails == "") || err != nil && !strings.HasPrefix(err.Error(), c.fails) {
				t.Errorf("%v, want %q", err, c.fails)
			}
		})
	}
	t.Run("an early end", func(t *testing.T) {
		log := usage.NewLog(hclog.NewNullLogger())
		for range WithFallback(log.Query(), "list", kind{source: usage.SockDiag, n: 9}.of(), proc.of()) {
			break
		}
		if use, ok := log.Last("list"); !ok || use.Source != usage.SockDiag || use.Sockets != 1 {
			t.Errorf("%+v", use)
		}
	})
}

// A probe decides as a query does, without reading.
func TestProbe(t *testing.T) {
	refused := fmt.Errorf("sock_diag %w", nlconn.ErrRefused)
	proc := kind{source: usage.ProcFS}
	for _, c := range []struct {
		name  string
		kinds []kind
		want  usage.Usage
		fails string
	}{
		{"the first", []kind{{source: usage.SockDiag}, proc}, usage.Usage{Source: usage.SockDiag}, ""},
		{"not usable", []kind{{source: usage.SockDiag, closed: errors.New("closed")}, proc}, usage.Usage{Source: usage.ProcFS, Reason: "closed"}, ""},
		{"refused", []kind{{source: usage.SockDiag, err: refused}, proc}, usage.Usage{Source: usage.ProcFS, Reason: "sock_diag is refused"}, ""},
		{"none", []kind{{source: usage.SockDiag, err: refused}}, usage.Usage{Reason: "sock_diag is refused"}, ""},
		{"broken", []kind{{source: usage.SockDiag, err: errors.New("broken")}, proc}, usage.Usage{Source: usage.SockDiag}, "sock_diag of list: broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ways []Way
			for _, k := range c.kinds {
				ways = append(ways, k.way())
			}
			now, err := Probe(t.Context(), nil, "list", ways...)
			if now != c.want || (err == nil) != (c.fails == "") || err != nil && err.Error() != c.fails {
				t.Errorf("%+v, %v; want %+v, %q", now, err, c.want, c.fails)
			}
		})
	}
}
