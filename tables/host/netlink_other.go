//go:build !linux

package host

import (
	"context"
	"errors"
	"iter"
)

func sockDiag(context.Context, []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(nil, errors.ErrUnsupported) }
}

func wouldLoad(string) bool { return false }
