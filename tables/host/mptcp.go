package host

import (
	"context"
	"encoding/binary"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
)

var mptcpLists = []*list{
	{"mptcp", sock.INET, sock.ProtoMPTCP, "mptcp_diag", source.Empty, noInet},
	{"mptcp6", sock.INET6, sock.ProtoMPTCP, "mptcp_diag", source.Empty, noInet},
}

// MPTCP streams the Multipath TCP sockets of network namespaces. It needs no
// privilege in this process's own. Only sock_diag lists them: it fails if
// there are some and sock_diag does not answer.
func (h *Host) MPTCP(ctx context.Context, f InetFilter) iter.Seq2[*sock.MPTCP, error] {
	kind := inetKind[sock.MPTCP]{
		lists: mptcpLists,
		inet:  func(s *sock.MPTCP) *sock.Inet { return &s.Inet },
		diag:  func(b []byte, _ *list, s *sock.MPTCP) error { return sockdiag.MPTCP(b, binary.NativeEndian, s) },
	}
	if f.Info {
		kind.attributes = sockdiag.Info
	}
	return readInet(ctx, h, f, kind)
}
