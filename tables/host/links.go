package host

import (
	"context"
	"encoding/binary"
	"iter"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
)

// LinkFilter says which interfaces are wanted.
type LinkFilter struct {
	Namespaces Namespaces
	// Sources are the sources that the query names; nil means the best.
	Sources []string
}

// Links streams the network interfaces of each namespace in netstat's order,
// [network.CompareNames], from rtnetlink or, where that is refused, from
// /proc/net/dev. It needs no privilege in this process's own namespace.
func (h *Host) Links(ctx context.Context, f LinkFilter) iter.Seq2[network.Link, error] {
	return func(yield func(network.Link, error) bool) {
		inEach(ctx, h, f.Namespaces, yield, func(p *place, yield func(network.Link, error) bool) (more bool, err error) {
			hand := func(all []network.Link) bool {
				slices.SortFunc(all, func(a, b network.Link) int { return network.CompareNames(a.Name, b.Name) })
				for _, l := range all {
					l.Namespace = p.inode
					if !yield(l, nil) {
						return false
					}
				}
				return true
			}
			return h.either("dev", f.Sources,
				func() (more bool, err error) {
					var all []network.Link
					names := make(map[uint32]string)
					more, err = h.collect(ctx, p, rtnetlink.LinkRequest{}, func(m message) (bool, error) {
						var l network.Link
						ok, err := rtnetlink.Link(m.kind, m.payload, binary.NativeEndian, &l)
						if ok {
							all, names[l.Index] = append(all, l), l.Name
						}
						return err == nil, err
					})
					if err != nil || !more {
						return more, err
					}
					for i := range all {
						all[i].MasterName = names[all[i].Master]
					}
					return hand(all), nil
				},
				func() (more bool, err error) {
					all, err := h.netDev(ctx, p)
					return err == nil && hand(all), err
				})
		})
	}
}

// netDev reads /proc/net/dev.
func (h *Host) netDev(ctx context.Context, p *place) (all []network.Link, err error) {
	_, err = readNet(ctx, h, p, "dev", true, procnet.Links, func(l network.Link) bool {
		all = append(all, l)
		return true
	})
	return all, err
}
