package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// socket is a pointer to a socket of the type S, such as *sock.TCP.
type socket[S any] interface {
	*S
	Base() *sock.Common
	ID() int64
}

// row is a row of a table of sockets: the socket, and what its columns look up.
type row[S any] struct {
	Socket  *S       // valid until the next row
	lookups *lookups // nil unless the query needs some
}

// common returns what sockets of every type have.
func common[S any, P socket[S]](r *row[S]) *sock.Common { return P(r.Socket).Base() }

// bind makes a table of sockets ready: read streams the sockets that a query
// selects, and joinOwners completes the rows.
func (c *ownerColumns[S, P]) bind(h *host.Host, t schema.TableDef[row[S]], read func(context.Context, schema.Query) iter.Seq2[*S, error]) schema.Table {
	t.RowID = func(r *row[S]) int64 { return P(r.Socket).ID() }
	t.Rows = func(ctx context.Context, q schema.Query) iter.Seq2[row[S], error] {
		sockets := read(ctx, q)
		return func(yield func(row[S], error) bool) {
			for s, err := range sockets {
				if !yield(row[S]{Socket: s}, err) {
					return
				}
			}
		}
	}
	t.Joined = needLookups
	t.Join = func(ctx context.Context, q schema.Query, rows iter.Seq2[row[S], error]) iter.Seq2[row[S], error] {
		pids := c.pid.Values(q)
		if q.Needs(needPeerHolders) {
			pids = nil // other processes hold the other ends
		}
		return joinOwners[S, P](ctx, h, q, pids, rows)
	}
	return schema.Bind(t)
}
