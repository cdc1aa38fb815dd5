package host

import (
	"context"
	"io"
	"iter"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
)

// legacyLists are those of the families in the order of legacyProtos. Only the
// first network namespace of a host has them.
var legacyLists = []*list{
	{name: "ax25"}, {name: "nr"}, {name: "rose"}, {name: "x25/socket"}, {name: "ipx/socket"}, {name: "atalk/socket"},
	{name: "l2cap"}, {name: "rfcomm"}, {name: "sco"},
}

var legacyProtos = []string{"ax25", "netrom", "rose", "x25", "ipx", "atalk", "l2cap", "rfcomm", "sco"}

// Legacy streams the sockets of old families, and of Bluetooth. It needs no
// privilege in the program's own network namespace. Protos are those that are
// wanted; nil means any.
func (h *Host) Legacy(ctx context.Context, namespaces Namespaces, protos []string) iter.Seq2[*sock.Legacy, error] {
	var some []*list
	for i, list := range legacyLists {
		if protos == nil || slices.Contains(protos, legacyProtos[i]) {
			some = append(some, list)
		}
	}
	r := reader[sock.Legacy]{
		host: h, uses: h.uses.Query(),
		decode: func(file io.Reader, l *list) iter.Seq2[sock.Legacy, error] {
			return procnet.Legacy(file, legacyProtos[slices.Index(legacyLists, l)])
		},
		keep: func(s *sock.Legacy, in *netns.Handle) bool {
			s.Namespace = in.Inode
			return true
		},
	}
	return r.each(ctx, namespaces, some)
}
