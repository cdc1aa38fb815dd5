package host

import (
	"context"
	"encoding/binary"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// rawLists are read from /proc alone. It tells of each raw socket, where sock_diag
// does on kernels with the module raw_diag only, and it never does of ping
// sockets.
var rawLists = []list{
	{name: "raw", family: sock.INET, must: true},
	{name: "raw6", family: sock.INET6},
	{name: "icmp", family: sock.INET, protocol: sock.ProtoICMP, must: true},
	{name: "icmp6", family: sock.INET6, protocol: sock.ProtoICMPv6},
}

// Raw streams the raw and ping sockets of the network namespaces with these inode
// numbers, as text; nil means this process's own. It needs no privilege there.
func (h *Host) Raw(ctx context.Context, namespaces []string) iter.Seq2[sock.RawIP, error] {
	return readFiles(ctx, h, namespaces, rawLists,
		func(file io.Reader, l *list) iter.Seq2[sock.RawIP, error] {
			return procnet.Raw(file, l.family, l.protocol != 0, binary.NativeEndian)
		},
		func(p *place) (func(*sock.RawIP), error) {
			return func(s *sock.RawIP) { s.Namespace = p.inode }, nil
		})
}
