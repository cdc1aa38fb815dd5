package host

import (
	"context"
	"encoding/binary"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
)

// rawLists are read from /proc alone. It lists every raw socket; sock_diag lists
// them on kernels with the module raw_diag only, and never ping sockets. gVisor has
// none of the files.
var rawLists = []*list{
	{name: "raw", family: sock.INET, missing: source.Lacking},
	{name: "raw6", family: sock.INET6},
	{name: "icmp", family: sock.INET, protocol: sock.ProtoICMP, missing: source.Lacking},
	{name: "icmp6", family: sock.INET6, protocol: sock.ProtoICMPv6},
}

// Raw streams the raw and ping sockets. It needs no privilege in the program's
// own network namespace.
func (h *Host) Raw(ctx context.Context, namespaces Namespaces) iter.Seq2[*sock.RawIP, error] {
	r := reader[sock.RawIP]{
		host: h, uses: h.uses.Query(),
		decode: func(file io.Reader, l *list) iter.Seq2[sock.RawIP, error] {
			return procnet.Raw(file, l.family, l.protocol != 0, binary.NativeEndian)
		},
		keep: func(s *sock.RawIP, in *netns.Handle) bool {
			s.Namespace = in.Inode
			return true
		},
	}
	return netns.Each(ctx, h.netns, namespaces, func(in *netns.Handle) iter.Seq2[*sock.RawIP, error] {
		return func(yield func(*sock.RawIP, error) bool) {
			var pings []sock.RawIP
			var failure error
			for s, err := range source.Concat(rawLists, func(l *list) iter.Seq2[*sock.RawIP, error] { return r.read(ctx, in, l) }) {
				switch {
				case err != nil:
					failure = err
				case s.Ping:
					pings = append(pings, *s)
				case !yield(s, nil):
					return
				}
			}
			pings = eachPing(pings)
			for i := range pings {
				if !yield(&pings[i], nil) {
					return
				}
			}
			if failure != nil {
				yield(nil, failure)
			}
		}
	})
}

// eachPing returns each ping socket once. The kernel keeps those of both families
// in one table, and after the first of a hash bucket shows the others in either
// list (ping_get_next, net/ipv4/ping.c), where one of the other family has no
// address.
func eachPing(all []sock.RawIP) (each []sock.RawIP) {
	at := make(map[uint64]int, len(all)) // by inode
	for _, s := range all {
		i, again := at[s.Inode]
		switch {
		case !again || each[i].Family == s.Family:
			at[s.Inode] = len(each)
			each = append(each, s)
		case each[i].Local.Addr().IsUnspecified() && !s.Local.Addr().IsUnspecified():
			each[i] = s
		}
	}
	return each
}
