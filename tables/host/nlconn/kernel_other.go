//go:build !linux

package nlconn

import (
	"context"
	"errors"
	"iter"
)

// Kernel fails with [errors.ErrUnsupported]: only Linux has netlink.
func Kernel(context.Context, Enterer, Call) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(nil, errors.ErrUnsupported) }
}

// WouldLoad reports false: only Linux has these modules.
func WouldLoad(string) bool { return false }
