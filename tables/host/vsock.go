package host

import (
	"context"
	"encoding/binary"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// VsockFilter says which sockets of AF_VSOCK are wanted. The zero value wants
// those of this process's own network namespace.
type VsockFilter struct {
	Namespaces Namespaces
	States     sock.StateSet // 0 means any
}

var vsockLists = []*list{
	{"vsock", sock.VSOCK, 0, "vsock_diag", source.Empty, func(*list) nlconn.Request { return &sockdiag.VsockRequest{} }},
}

// Vsock streams the sockets of AF_VSOCK of network namespaces. It needs no
// privilege in this process's own. Only sock_diag lists them: it fails where
// the kernel has the family and sock_diag does not answer.
func (h *Host) Vsock(ctx context.Context, f VsockFilter) iter.Seq2[*sock.Vsock, error] {
	request := sockdiag.VsockRequest{States: f.States}
	if request.States == 0 {
		request.States = sock.AllStates
	}
	decode := func(b []byte, s *sock.Vsock) error { return sockdiag.Vsock(b, binary.NativeEndian, s) }
	r := reader[sock.Vsock]{
		host: h, uses: h.uses.Query(),
		diag: func(ctx context.Context, in *netns.Handle, _ *list, use *usage.Usage) iter.Seq2[*sock.Vsock, error] {
			return func(yield func(*sock.Vsock, error) bool) {
				for s, err := range source.Decoded(h.diag.Dump(ctx, in, &request, use), decode) {
					if err != nil {
						yield(nil, err)
						return
					}
					s.Namespace = in.Inode
					if !yield(s, nil) {
						return
					}
				}
			}
		},
	}
	return r.each(ctx, f.Namespaces, vsockLists)
}
