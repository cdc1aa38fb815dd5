package host

import (
	"context"
	"encoding/binary"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
)

// groupLists are the files of multicast groups. Those of IP are missing where
// the kernel was built without their protocol.
var groupLists = []struct {
	name string
	must bool
}{{procnet.IGMP, false}, {procnet.IGMP6, false}, {procnet.DevMcast, true}}

// Groups streams the multicast groups that the interfaces of network namespaces
// are members of, those of one list, [network.Group.Proto], after the other. It
// needs no privilege in this process's own.
func (h *Host) Groups(ctx context.Context, namespaces Namespaces) iter.Seq2[network.Group, error] {
	return func(yield func(network.Group, error) bool) {
		inEach(ctx, h, namespaces, yield, func(p *place, yield func(network.Group, error) bool) (more bool, err error) {
			more = true
			for i := 0; i < len(groupLists) && more && err == nil; i++ {
				l := &groupLists[i]
				more, err = readNet(ctx, h, p, l.name, l.must,
					func(file io.Reader) iter.Seq2[network.Group, error] {
						return procnet.Groups(file, l.name, binary.NativeEndian)
					},
					func(g network.Group) bool {
						g.Namespace = p.inode
						return yield(g, nil)
					})
			}
			return more, err
		})
	}
}
