//go:build !linux

package host

import (
	"context"
	"errors"
	"iter"
)

const (
	netlinkSockDiag  = 4  // NETLINK_SOCK_DIAG
	netlinkNetfilter = 12 // NETLINK_NETFILTER
)

func converse(context.Context, *place, int, []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(nil, errors.ErrUnsupported) }
}

func wouldLoad(string) bool { return false }

func fileInode(string) uint32 { return 0 }

func (p *place) do(f func()) error {
	if p.own {
		f()
		return nil
	}
	return errClosed
}
