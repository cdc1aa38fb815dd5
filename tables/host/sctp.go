package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

var sctpLists = []list{
	{name: "sctp/eps", protocol: sock.ProtoSCTP},
	{name: "sctp/assocs", protocol: sock.ProtoSCTP},
}

// SCTPFilter says what of SCTP is wanted. The zero value wants what this
// process's own network namespace has, without the paths.
type SCTPFilter struct {
	// Namespaces are the inode numbers of the network namespaces, as text; nil
	// means this process's own.
	Namespaces []string
	// Paths asks for the Path of associations.
	Paths bool
}

// SCTP streams the endpoints of SCTP and then its associations, of network
// namespaces. It needs no privilege in this process's own.
func (h *Host) SCTP(ctx context.Context, f SCTPFilter) iter.Seq2[sock.SCTP, error] {
	return readFiles(ctx, h, f.Namespaces, sctpLists,
		func(file io.Reader, l *list) iter.Seq2[sock.SCTP, error] {
			if l == &sctpLists[0] {
				return procnet.SCTPEndpoints(file)
			}
			return procnet.SCTPAssociations(file)
		},
		func(p *place) (mark func(*sock.SCTP), err error) {
			var paths map[sctpPath]*sock.SCTPPath
			if f.Paths {
				if paths, err = h.sctpPaths(p); err != nil {
					return nil, err
				}
			}
			return func(s *sock.SCTP) {
				s.Namespace = p.inode
				if s.IsAssociation {
					s.Path = paths[sctpPath{s.Number, s.Remote.Addr()}]
				}
			}, nil
		})
}

// sctpPath identifies a path by its association and the peer's address.
type sctpPath struct {
	association int32
	remote      netip.Addr
}

// sctpPaths returns the paths of a namespace, none if there is no SCTP.
func (h *Host) sctpPaths(p *place) (map[sctpPath]*sock.SCTPPath, error) {
	file, err := h.openIn(p, "sctp/remaddr")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	paths := make(map[sctpPath]*sock.SCTPPath)
	for path, err := range procnet.SCTPPaths(file) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		paths[sctpPath{path.Number, path.Remote}] = &path
	}
	return paths, nil
}

// readFiles streams the sockets of lists that only /proc/net has, one after the
// other. For each namespace prepare returns what a socket of it is marked by.
func readFiles[T any](ctx context.Context, h *Host, namespaces []string, lists []list, proc func(io.Reader, *list) iter.Seq2[T, error], prepare func(*place) (mark func(*T), err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r := reader[T]{host: h, proc: proc, wants: func(*T) bool { return true }}
		inEach(ctx, h, namespaces, yield, func(p *place, yield func(T, error) bool) (more bool, err error) {
			mark, err := prepare(p)
			r.mark = func(s *T, _ uint32) { mark(s) }
			more = true
			for i := 0; i < len(lists) && more && err == nil; i++ {
				more, err = r.read(ctx, p, &lists[i], yield)
			}
			return more, err
		})
	}
}
