package host

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
)

// Records streams the records of files of /proc/net, one file after the other, in
// each of the selected network namespaces: a table of such files needs no more. It
// needs no privilege in the program's own namespace.
func Records[T any](ctx context.Context, h *Host, namespaces Namespaces, files ...source.File[T]) iter.Seq2[source.Record[T], error] {
	return source.Records(ctx, h.uses.Query(), h.netns, namespaces, files...)
}
