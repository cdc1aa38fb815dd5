package host

import (
	"context"
	"io"
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
	Namespaces Namespaces
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
				if paths, err = h.sctpPaths(ctx, p); err != nil {
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
func (h *Host) sctpPaths(ctx context.Context, p *place) (map[sctpPath]*sock.SCTPPath, error) {
	paths := make(map[sctpPath]*sock.SCTPPath)
	_, err := readNet(ctx, h, p, "sctp/remaddr", false, procnet.SCTPPaths, func(path sock.SCTPPath) bool {
		paths[sctpPath{path.Number, path.Remote}] = &path
		return true
	})
	return paths, err
}
