package host

import (
	"context"
	"encoding/binary"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
)

// groupFiles are the files of multicast groups. Those of IP are missing where
// the kernel was built without their protocol. gVisor has none.
var groupFiles = []source.File[network.Group]{
	{Name: procnet.IGMP, Decode: groups(procnet.IGMP)},
	{Name: procnet.IGMP6, Decode: groups(procnet.IGMP6)},
	{Name: procnet.DevMcast, Missing: source.Lacking, Decode: groups(procnet.DevMcast)},
}

func groups(name string) func(io.Reader) iter.Seq2[network.Group, error] {
	return func(file io.Reader) iter.Seq2[network.Group, error] {
		return procnet.Groups(file, name, binary.NativeEndian)
	}
}

// Groups streams the multicast groups that the interfaces of network namespaces
// are members of, those of one list, [network.Group.Proto], after the other. It
// needs no privilege in this process's own.
func (h *Host) Groups(ctx context.Context, namespaces Namespaces) iter.Seq2[network.Group, error] {
	return func(yield func(network.Group, error) bool) {
		for g, err := range Records(ctx, h, namespaces, groupFiles...) {
			g.Value.Namespace = g.Namespace
			if !yield(g.Value, err) {
				return
			}
		}
	}
}
