package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// netlinkLists is read from /proc: sock_diag loses some of these sockets. It adds
// the fields that /proc lacks, and sockets that are not there.
var netlinkLists = []*list{{name: "netlink", family: sock.NETLINK, missing: source.Failing}}

var netlinkDiag = list{name: "netlink", family: sock.NETLINK, module: "netlink_diag"}

// Netlink streams the netlink sockets of network namespaces. It needs no
// privilege in the program's own.
// Sockets that are in no group and were neither bound nor used are in no list of
// the kernel.
func (h *Host) Netlink(ctx context.Context, namespaces Namespaces) iter.Seq2[*sock.Netlink, error] {
	r := reader[sock.Netlink]{
		host: h, uses: h.uses.Query(),
		decode: func(file io.Reader, _ *list) iter.Seq2[sock.Netlink, error] { return procnet.Netlink(file) },
		keep: func(s *sock.Netlink, in *netns.Handle) bool {
			s.Namespace = in.Inode
			return true
		},
	}
	return netns.Each(ctx, h.netns, namespaces, func(in *netns.Handle) iter.Seq2[*sock.Netlink, error] {
		return func(yield func(*sock.Netlink, error) bool) {
			var all netlinkSockets
			for s, err := range r.read(ctx, in, netlinkLists[0]) {
				if err != nil {
					yield(nil, err)
					return
				}
				all.add(*s)
			}
			if err := h.netlinkDetails(ctx, in, &all); err != nil {
				yield(nil, err)
				return
			}
			for i := range all.list {
				if !yield(&all.list[i], nil) {
					return
				}
			}
		}
	})
}

// netlinkSockets are sockets of one namespace.
type netlinkSockets struct {
	list []sock.Netlink
	at   map[uint64]int // by inode, where it is in the list
	// lacking counts those that sock_diag has not listed.
	lacking int
}

// add adds a socket of /proc, which may repeat one while the kernel's table grows.
func (all *netlinkSockets) add(s sock.Netlink) {
	if _, again := all.at[s.Inode]; again {
		return
	}
	if all.at == nil {
		all.at = make(map[uint64]int)
	}
	all.at[s.Inode] = len(all.list)
	all.list = append(all.list, s)
	all.lacking++
}

// detail adds the fields of sock_diag. Sockets that only it has are in groups without
// being bound; or are new, as that is by which it is asked.
func (all *netlinkSockets) detail(s *sock.Netlink) {
	i, ok := all.at[s.Inode]
	if !ok {
		if !s.Groups.Empty() {
			all.add(*s)
			all.lacking--
		}
		return
	}
	to := &all.list[i]
	if to.Cookie != 0 || to.Protocol != s.Protocol {
		return
	}
	all.lacking--
	to.Groups, to.Cookie = s.Groups, s.Cookie
	to.NoENOBUFS, to.ListenAll = s.NoENOBUFS, s.ListenAll
	to.Known |= s.Known & sock.KnowsNetlinkOptions
}

// netlinkDetails asks sock_diag for the sockets, unless it is not to be had. Those
// that it loses are others if the messages have other sizes.
func (h *Host) netlinkDetails(ctx context.Context, in *netns.Handle, all *netlinkSockets) error {
	if h.diagAvailable(&netlinkDiag) != nil {
		return nil
	}
	decode := func(b []byte, s *sock.Netlink) error { return sockdiag.Netlink(b, binary.NativeEndian, s) }
	const always = sockdiag.NetlinkGroups | sockdiag.NetlinkFlags
	for try, show := range []uint32{always | sockdiag.NetlinkMemory, always} {
		if try > 0 && all.lacking == 0 {
			break
		}
		var use usage.Usage // the list's is that of /proc
		for s, err := range source.Decoded(h.diag.Dump(ctx, in, &sockdiag.NetlinkRequest{Show: show}, &use), decode) {
			if errors.Is(err, nlconn.ErrRefused) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("sock_diag of netlink: %w", err)
			}
			s.Namespace = in.Inode
			all.detail(s)
		}
	}
	return nil
}
