package source

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Way is one source of a list.
type Way struct {
	Source usage.Source
	// Usable returns why the source must not be asked; nil if it may be.
	Usable func() error
	// Probe fails with nlconn.ErrRefused if the source does not answer. It clears
	// now.Source if the source shows that there is no list.
	Probe func(ctx context.Context, in *netns.Handle, now *usage.Usage) error
}

// failure names the source and the list in an error. Those of /proc name a file.
func (w *Way) failure(list string, err error) error {
	switch w.Source {
	case "", usage.ProcFS:
		return err
	}
	return fmt.Errorf("%s of %s: %w", w.Source, list, err)
}

// Of is a source of a list of values of type T. What Read finds it adds to use,
// in which it may correct the source.
type Of[T any] struct {
	Way
	Read func(use *usage.Usage) iter.Seq2[T, error]
}

// By makes a source of a list.
func By[T any](w Way, read func(use *usage.Usage) iter.Seq2[T, error]) Of[T] { return Of[T]{w, read} }

// WithFallback streams a list from the first of its ways that is usable and not
// refused. It notes which one that was, and why not an earlier one. If none was,
// the last one's reason is the error.
func WithFallback[T any](q *usage.Query, list string, ways ...Of[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		use := q.Of(list)
		use.Reason = ""
		defer q.Note(list)
		for i, w := range ways {
			use.Source = w.Source
			err := w.Usable()
			asked := err == nil
			if asked {
				for v, failed := range w.Read(use) {
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
			}
			if i == len(ways)-1 || asked && !errors.Is(err, nlconn.ErrRefused) {
				var none T
				yield(none, w.failure(list, err))
				return
			}
			use.Reason = err.Error()
		}
	}
}

// Probe returns where a list would come from now.
func Probe(ctx context.Context, in *netns.Handle, list string, ways ...Way) (now usage.Usage, err error) {
	for _, w := range ways {
		now.Source = w.Source
		err := w.Usable()
		if err == nil {
			if err = w.Probe(ctx, in, &now); err == nil {
				return now, nil
			}
			if !errors.Is(err, nlconn.ErrRefused) {
				return now, w.failure(list, err)
			}
		}
		now.Reason = err.Error()
	}
	now.Source = ""
	return now, nil
}

// Always is Usable of a source that always is.
func Always() error { return nil }
