package host

import (
	"context"
	"io"
	"iter"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

var sctpLists = []*list{
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
func (h *Host) SCTP(ctx context.Context, f SCTPFilter) iter.Seq2[*sock.SCTP, error] {
	uses := h.uses.Query()
	return netns.Each(ctx, h.netns, f.Namespaces, func(in *netns.Handle) iter.Seq2[*sock.SCTP, error] {
		var paths map[sctpPath]*sock.SCTPPath
		if f.Paths {
			var err error
			if paths, err = sctpPaths(ctx, in, &uses.Of(sctpLists[1].name).Lack); err != nil {
				return source.Failed[*sock.SCTP](err)
			}
		}
		r := reader[sock.SCTP]{
			host: h, uses: uses,
			decode: func(file io.Reader, l *list) iter.Seq2[sock.SCTP, error] {
				if l == sctpLists[0] {
					return procnet.SCTPEndpoints(file)
				}
				return procnet.SCTPAssociations(file)
			},
			keep: func(s *sock.SCTP, in *netns.Handle) bool {
				s.Namespace = in.Inode
				if s.IsAssociation {
					s.Path = paths[sctpPath{s.Number, s.Remote.Addr()}]
				}
				return true
			},
		}
		return source.Concat(sctpLists, func(l *list) iter.Seq2[*sock.SCTP, error] { return r.read(ctx, in, l) })
	})
}

// sctpPath identifies a path by its association and the peer's address.
type sctpPath struct {
	association int32
	remote      netip.Addr
}

// sctpPaths returns the paths of a namespace, none if there is no SCTP. It adds to
// lack what could not be read.
func sctpPaths(ctx context.Context, in *netns.Handle, lack *usage.Lack) (map[sctpPath]*sock.SCTPPath, error) {
	paths := make(map[sctpPath]*sock.SCTPPath)
	var apart usage.Usage
	defer func() { lack.AddAll(apart.Lack) }()
	for path, err := range source.Read(ctx, in, source.File[sock.SCTPPath]{Name: "sctp/remaddr", Decode: procnet.SCTPPaths}, &apart) {
		if err != nil {
			return nil, err
		}
		paths[sctpPath{path.Number, path.Remote}] = &path
	}
	return paths, nil
}
