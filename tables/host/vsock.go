package host

import (
	"context"
	"encoding/binary"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// VsockFilter says which sockets of AF_VSOCK are wanted. The zero value wants
// those of this process's own network namespace.
type VsockFilter struct {
	Namespaces Namespaces
	States     sock.StateSet // 0 means any
}

var vsockLists = []list{
	{"vsock", sock.VSOCK, 0, "vsock_diag", false, func(*list) request { return &sockdiag.VsockRequest{} }},
}

// Vsock streams the sockets of AF_VSOCK of network namespaces. It needs no
// privilege in this process's own. Only sock_diag tells of them: it fails where
// the kernel has the family and sock_diag does not answer.
func (h *Host) Vsock(ctx context.Context, f VsockFilter) iter.Seq2[sock.Vsock, error] {
	request := sockdiag.VsockRequest{States: f.States}
	if request.States == 0 {
		request.States = sock.AllStates
	}
	r := reader[sock.Vsock]{host: h, ask: func(ctx context.Context, p *place, _ *list, use *usage.Usage, yield func(sock.Vsock, error) bool) (more bool, err error) {
		var s sock.Vsock
		return h.dump(ctx, p, &request, use, func(payload []byte) (bool, error) {
			if err := sockdiag.Vsock(payload, binary.NativeEndian, &s); err != nil {
				return false, err
			}
			s.Namespace = p.inode
			return yield(s, nil), nil
		})
	}}
	return func(yield func(sock.Vsock, error) bool) {
		inEach(ctx, h, f.Namespaces, yield, func(p *place, yield func(sock.Vsock, error) bool) (more bool, err error) {
			return r.read(ctx, p, &vsockLists[0], yield)
		})
	}
}
