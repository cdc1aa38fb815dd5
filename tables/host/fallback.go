package host

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// way is one source of a list.
type way struct {
	source usage.Source
	// usable returns why the source must not be asked; nil if it may be.
	usable func() error
	// probe fails with nlconn.ErrRefused if the source does not answer. It clears
	// now.Source if the source shows that there is no list.
	probe func(ctx context.Context, in *netns.Handle, now *usage.Usage) error
}

// errRefused is short for nlconn.ErrRefused.
var errRefused = nlconn.ErrRefused

// failure names the source and the list in an error. Those of /proc name a file.
func (w *way) failure(list string, err error) error {
	switch w.source {
	case "", usage.ProcFS:
		return err
	}
	return fmt.Errorf("%s of %s: %w", w.source, list, err)
}

// wayOf is a source of a list of values of type T. What read finds it adds to use,
// in which it may correct the source.
type wayOf[T any] struct {
	way
	read func(use *usage.Usage) iter.Seq2[T, error]
}

// withFallback streams a list from the first of its ways that is usable and not
// refused, and notes which one that was, and why not an earlier one.
func withFallback[T any](q *usage.Query, list string, ways ...wayOf[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		use := q.Of(list)
		use.Reason = ""
		defer q.Note(list)
		for _, w := range ways {
			use.Source = w.source
			err := w.usable()
			if err == nil {
				for v, failed := range w.read(use) {
					if failed != nil {
						err = failed
						break
					}
					if !yield(v, nil) {
						return
					}
				}
				if err == nil {
					return
				}
				if !errors.Is(err, errRefused) {
					var none T
					yield(none, w.failure(list, err))
					return
				}
			}
			use.Reason = err.Error()
		}
	}
}

// probe returns where a list would come from now.
func probe(ctx context.Context, in *netns.Handle, list string, ways ...way) (now usage.Usage, err error) {
	for _, w := range ways {
		now.Source = w.source
		err := w.usable()
		if err == nil {
			if err = w.probe(ctx, in, &now); err == nil {
				return now, nil
			}
			if !errors.Is(err, errRefused) {
				return now, w.failure(list, err)
			}
		}
		now.Reason = err.Error()
	}
	now.Source = ""
	return now, nil
}

// concat streams what read finds for each element, up to the first error.
func concat[E, T any](elements []E, read func(E) iter.Seq2[T, error]) iter.Seq2[T, error] {
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

// failed is a sequence of one error.
func failed[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		yield(none, err)
	}
}
