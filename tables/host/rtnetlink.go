package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// netlinkRoute is NETLINK_ROUTE of include/uapi/linux/netlink.h. Every kernel
// with netlink has it: asking loads no module.
const netlinkRoute = 0

// maxHeld bounds the messages that are kept until their list is whole.
const maxHeld = 8 << 20

// errChanged says that a list of routes or interfaces is not whole.
var errChanged = errors.New("the list changed while the kernel made it, so that something may be missing: ask again")

// errNoRTNetlink is wrapped by the errors of a kernel, or a sandbox, that does
// not answer questions for routes and interfaces. /proc may.
var errNoRTNetlink = errors.New("rtnetlink is refused")

// message is one of a list, with its type.
type message struct {
	kind    uint16
	payload []byte
}

// collect asks rtnetlink for a list and hands its messages to take, which reports
// whether it wants more. It reports that too, and what went wrong. A list of at
// most maxHeld bytes is handed over when it is whole, and asked for again if the
// kernel was interrupted; of a longer one that is an error.
func (h *Host) collect(ctx context.Context, p *place, r request, take func(message) (bool, error)) (more bool, err error) {
	for try := 1; ; try++ {
		var held []message
		size, handed := 0, false
		hand := func() (bool, error) {
			handed = true
			for _, m := range held {
				if more, err := take(m); err != nil || !more {
					return false, err
				}
			}
			held = nil
			return true, nil
		}
		c := conversation{host: h, place: p, protocol: netlinkRoute, use: &usage.Usage{}}
		c.take = func(payload []byte) (bool, error) {
			m := message{c.kind, payload}
			if handed {
				return take(m)
			}
			m.payload = append([]byte(nil), payload...)
			held = append(held, m)
			if size += len(payload); size > maxHeld {
				return hand()
			}
			return true, nil
		}
		more, err := c.run(ctx, r)
		switch {
		case err != nil && c.taken == 0 && isAny(err, refusals):
			return false, fmt.Errorf("%w: %w", errNoRTNetlink, err)
		case err != nil || !more:
			return more, err
		case c.interrupted && (handed || try == maxTries):
			return false, errChanged
		case !c.interrupted:
			return hand()
		}
	}
}

// wantsProc reports whether a query that names these sources wants to know what
// /proc shows, and whether that is all.
func wantsProc(sources []string) (proc, only bool) {
	is := func(s usage.Source) func(string) bool {
		return func(name string) bool { return strings.EqualFold(name, string(s)) }
	}
	proc = slices.ContainsFunc(sources, is(usage.ProcFS))
	return proc, proc && !slices.ContainsFunc(sources, is(usage.RTNetlink))
}

// either reads by netlink or, if that is refused, by proc; by proc too if the
// sources that the query names have it. The list is called what its file in
// /proc/net is.
func (h *Host) either(list string, sources []string, netlink, proc func() (more bool, err error)) (more bool, err error) {
	both, only := wantsProc(sources)
	use := usage.Usage{Source: usage.ProcFS}
	if !only {
		use.Reason = h.whyNotKernel()
	}
	if !only && use.Reason == "" {
		more, err := netlink()
		if !errors.Is(err, errNoRTNetlink) {
			h.uses.Note(list, usage.Usage{Source: usage.RTNetlink})
			if err != nil {
				return more, fmt.Errorf("rtnetlink of %s: %w", list, err)
			}
			if more && both {
				return proc()
			}
			return more, nil
		}
		use.Reason = err.Error()
	}
	h.uses.Note(list, use)
	return proc()
}
