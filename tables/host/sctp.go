package host

import (
	"context"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

var sctpLists = []list{
	{name: "sctp/eps", protocol: sock.ProtoSCTP},
	{name: "sctp/assocs", protocol: sock.ProtoSCTP},
}

// SCTP streams the endpoints of SCTP and then its associations, of the network
// namespaces with these inode numbers, as text; nil means this process's own. It
// needs no privilege there.
func (h *Host) SCTP(ctx context.Context, namespaces []string) iter.Seq2[sock.SCTP, error] {
	return readFiles(ctx, h, namespaces, sctpLists,
		func(file io.Reader, l *list) iter.Seq2[sock.SCTP, error] {
			if l == &sctpLists[0] {
				return procnet.SCTPEndpoints(file)
			}
			return procnet.SCTPAssociations(file)
		},
		func(s *sock.SCTP, namespace uint32) { s.Namespace = namespace })
}

// readFiles streams the sockets of lists that only /proc/net has, one after the
// other.
func readFiles[T any](ctx context.Context, h *Host, namespaces []string, lists []list, proc func(io.Reader, *list) iter.Seq2[T, error], mark func(*T, uint32)) iter.Seq2[T, error] {
	r := reader[T]{host: h, proc: proc, wants: func(*T) bool { return true }, mark: mark}
	return func(yield func(T, error) bool) {
		inEach(ctx, h, namespaces, yield, func(p *place, yield func(T, error) bool) (more bool, err error) {
			more = true
			for i := 0; i < len(lists) && more && err == nil; i++ {
				more, err = r.read(ctx, p, &lists[i], yield)
			}
			return more, err
		})
	}
}
