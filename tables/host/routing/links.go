package routing

import (
	"context"
	"encoding/binary"
	"iter"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// LinkFilter says which interfaces are wanted.
type LinkFilter struct {
	Namespaces netns.Selection
	// Sources are the sources that the query names; nil means the best.
	Sources []string
	// Lower asks for the LowerNamespace of interfaces.
	Lower bool
	// Speed asks for the Speed and Duplex of interfaces.
	Speed bool
}

// Links streams the network interfaces of each namespace in netstat's order,
// [network.CompareNames], from rtnetlink or, where that is refused, from
// /proc/net/dev. It needs no privilege in this process's own namespace.
func (l *Lists) Links(ctx context.Context, f LinkFilter) iter.Seq2[network.Link, error] {
	uses := l.Uses.Query()
	lower := lowerNamespaces{lists: l}
	speed := speeds{lists: l}
	resolve := func(in *netns.Handle, links []network.Link) (err error) {
		if f.Lower {
			err = lower.resolve(ctx, in, links)
		}
		if err == nil && f.Speed {
			err = speed.resolve(ctx, in, links)
		}
		return err
	}
	return netns.Each(ctx, l.Namespaces, f.Namespaces, func(in *netns.Handle) iter.Seq2[network.Link, error] {
		return rtnetlinkOrProc(uses, "dev", f.Sources,
			source.By(l.rtnetlinkWay(), func(use *usage.Usage) iter.Seq2[network.Link, error] {
				if both, _ := wantsProc(f.Sources); both {
					return sortedLinks(in, l.rtnetlinkLinks(ctx, in, use), resolve) // all lines follow
				}
				return sortedLinks(in, l.wholeLinks(ctx, in, use), resolve)
			}),
			source.By(fileWay, func(use *usage.Usage) iter.Seq2[network.Link, error] {
				return sortedLinks(in, source.Read(ctx, in, linkFile, use), resolve)
			}))
	})
}

// linkFile has a line for each interface.
var linkFile = source.File[network.Link]{Name: "dev", Missing: source.Failing, Decode: procnet.Links}

// linksLeftOut is why interfaces are missing.
const linksLeftOut = "the kernel left interfaces out of its list, since one of them does not fit into a message of netlink: they are shown as /proc/net/dev has them"

// wholeLinks streams the interfaces that rtnetlink lists, and those that the kernel
// leaves out as /proc has them: it ends the list at one that does not fit into a
// message, as if it were whole (rtnl_dump_ifinfo, net/core/rtnetlink.c).
func (l *Lists) wholeLinks(ctx context.Context, in *netns.Handle, use *usage.Usage) iter.Seq2[network.Link, error] {
	return func(yield func(network.Link, error) bool) {
		listed := make(map[string]bool)
		list := func(use *usage.Usage, visit func(network.Link) bool) error {
			for link, err := range l.rtnetlinkLinks(ctx, in, use) {
				if err != nil {
					return err
				}
				listed[link.Name] = true
				if !visit(link) {
					return nil
				}
			}
			return nil
		}
		fail := func(err error) { yield(network.Link{}, err) }
		more := true
		if err := list(use, func(link network.Link) bool { more = yield(link, nil); return more }); err != nil || !more {
			if err != nil {
				fail(err)
			}
			return
		}
		var missing []network.Link
		for link, err := range source.Read(ctx, in, linkFile, &usage.Usage{}) {
			if err != nil {
				fail(err)
				return
			}
			if !listed[link.Name] {
				missing = append(missing, link)
			}
		}
		if len(missing) == 0 {
			return
		}
		// One may have been made, or renamed, meanwhile.
		clear(listed)
		if err := list(&usage.Usage{}, func(network.Link) bool { return true }); err != nil {
			fail(err)
			return
		}
		for _, link := range missing {
			if listed[link.Name] {
				continue
			}
			use.Lack.Add(linksLeftOut, link.Name)
			if !yield(link, nil) {
				return
			}
		}
	}
}

// rtnetlinkLinks streams the interfaces that rtnetlink lists.
func (l *Lists) rtnetlinkLinks(ctx context.Context, in *netns.Handle, use *usage.Usage) iter.Seq2[network.Link, error] {
	return func(yield func(network.Link, error) bool) {
		for m, err := range l.list(ctx, in, rtnetlink.LinkRequest{}, use, found) {
			var link network.Link
			ok := false
			if err == nil {
				ok, err = rtnetlink.Link(m.Type, m.Payload, binary.NativeEndian, &link)
			}
			if (ok || err != nil) && !yield(link, err) {
				return
			}
		}
	}
}

// sortedLinks sorts the interfaces of a namespace, names those that others
// belong to, and lets resolve complete them.
func sortedLinks(in *netns.Handle, links iter.Seq2[network.Link, error], resolve func(*netns.Handle, []network.Link) error) iter.Seq2[network.Link, error] {
	return func(yield func(network.Link, error) bool) {
		var all []network.Link
		names := make(map[uint32]string)
		for l, err := range links {
			if err != nil {
				yield(network.Link{}, err)
				return
			}
			all, names[l.Index] = append(all, l), l.Name
		}
		if err := resolve(in, all); err != nil {
			yield(network.Link{}, err)
			return
		}
		slices.SortFunc(all, func(a, b network.Link) int { return network.CompareNames(a.Name, b.Name) })
		for _, l := range all {
			l.Namespace = in.Inode
			if l.Master != 0 {
				l.MasterName = names[l.Master]
			}
			if !yield(l, nil) {
				return
			}
		}
	}
}
