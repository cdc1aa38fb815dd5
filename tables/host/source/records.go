package source

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Record is what a line of a file of /proc/net says of a network namespace.
type Record[T any] struct {
	Value     T
	Namespace uint32 // inode number; 0 if it is not known
}

// Records streams the records of files of /proc/net, one file after the other, in
// each of the selected network namespaces. It notes in uses how each was read.
func Records[T any](ctx context.Context, uses *usage.Query, set *netns.Set, selection netns.Selection, files ...File[T]) iter.Seq2[Record[T], error] {
	return netns.Each(ctx, set, selection, func(in *netns.Handle) iter.Seq2[Record[T], error] {
		return func(yield func(Record[T], error) bool) {
			for v, err := range Concat(files, func(f File[T]) iter.Seq2[T, error] {
				return WithFallback(uses, f.Name, By(Way{Source: usage.ProcFS, Usable: Always}, func(use *usage.Usage) iter.Seq2[T, error] {
					return Read(ctx, in, f, use)
				}))
			}) {
				if !yield(Record[T]{v, in.Inode}, err) {
					return
				}
			}
		}
	})
}
