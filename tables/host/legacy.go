package host

import (
	"context"
	"io"
	"iter"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// legacyLists are those of the families in the order of legacyProtos. Only the
// first network namespace of a host has them.
var legacyLists = []list{
	{name: "ax25"}, {name: "nr"}, {name: "rose"}, {name: "x25/socket"}, {name: "ipx/socket"}, {name: "atalk/socket"},
	{name: "l2cap"}, {name: "rfcomm"}, {name: "sco"},
}

var legacyProtos = []string{"ax25", "netrom", "rose", "x25", "ipx", "atalk", "l2cap", "rfcomm", "sco"}

// Legacy streams the sockets of old families, and of Bluetooth. It needs no
// privilege in the program's own network namespace. Protos are those that are
// wanted; nil means any.
func (h *Host) Legacy(ctx context.Context, namespaces Namespaces, protos []string) iter.Seq2[sock.Legacy, error] {
	var some []list
	for i, list := range legacyLists {
		if protos == nil || slices.Contains(protos, legacyProtos[i]) {
			some = append(some, list)
		}
	}
	return readFiles(ctx, h, namespaces, some,
		func(file io.Reader, l *list) iter.Seq2[sock.Legacy, error] {
			i := slices.IndexFunc(legacyLists, func(other list) bool { return other.name == l.name })
			return procnet.Legacy(file, legacyProtos[i])
		},
		func(p *place) (func(*sock.Legacy), error) {
			return func(s *sock.Legacy) { s.Namespace = p.inode }, nil
		})
}
