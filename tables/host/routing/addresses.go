package routing

import (
	"context"
	"encoding/binary"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// AddressList is the name of the list of addresses in a [usage.Log].
const AddressList = "addresses"

// Addresses streams the addresses of network interfaces, in the kernel's order, from
// rtnetlink: no file of /proc lists them all. It needs no privilege in this
// process's own namespace.
func (l *Lists) Addresses(ctx context.Context, namespaces netns.Selection) iter.Seq2[network.Address, error] {
	uses := l.Uses.Query()
	return netns.Each(ctx, l.Namespaces, namespaces, func(in *netns.Handle) iter.Seq2[network.Address, error] {
		return source.WithFallback(uses, AddressList, source.By(l.rtnetlinkWay(), func(use *usage.Usage) iter.Seq2[network.Address, error] {
			return func(yield func(network.Address, error) bool) {
				for m, err := range l.Netlink.List(ctx, in, rtnetlink.AddressRequest{}, use) {
					var a network.Address
					ok := false
					if err == nil {
						ok, err = rtnetlink.Address(m.Type, m.Payload, binary.NativeEndian, &a)
					}
					a.Namespace = in.Inode
					if (ok || err != nil) && !yield(a, err) {
						return
					}
				}
			}
		}))
	})
}
