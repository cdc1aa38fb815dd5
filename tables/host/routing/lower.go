package routing

import (
	"context"
	"encoding/binary"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// lowerNamespaces finds the namespaces in which the other ends of interfaces are. A
// namespace has numbers of its own for those that it has to do with; so it is asked
// for that of each, until all are known.
type lowerNamespaces struct {
	lists  *Lists
	inodes []uint32 // of the host's namespaces, the own one first; nil until they are listed
}

// resolve completes the interfaces of a namespace.
func (n *lowerNamespaces) resolve(ctx context.Context, in *netns.Handle, links []network.Link) error {
	wanted := make(map[int32]uint32)
	for i := range links {
		l := &links[i]
		switch {
		case l.LowerElsewhere && l.LowerID >= 0:
			wanted[l.LowerID] = 0
		case !l.LowerElsewhere && l.Lower != 0:
			l.LowerNamespace = in.Inode
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	if n.inodes == nil {
		all, err := n.lists.Namespaces.List(ctx)
		if err != nil {
			return err
		}
		n.inodes = append(n.inodes, n.lists.Namespaces.Own().Inode)
		for _, ns := range all {
			if !ns.Own {
				n.inodes = append(n.inodes, ns.Inode)
			}
		}
	}
	found := 0
	for _, inode := range n.inodes {
		if found == len(wanted) {
			break
		}
		id, err := n.id(ctx, in, inode)
		if process.BlameFor(err) == process.Ours {
			return err
		}
		if known, ok := wanted[id]; err == nil && ok && known == 0 {
			wanted[id] = inode
			found++
		}
	}
	for i := range links {
		if l := &links[i]; l.LowerElsewhere && l.LowerID >= 0 {
			l.LowerNamespace = wanted[l.LowerID]
		}
	}
	return nil
}

// id returns the number that a namespace has for another one; -1 if it has none, or
// if the other one has ended.
func (n *lowerNamespaces) id(ctx context.Context, in *netns.Handle, inode uint32) (int32, error) {
	of := n.lists.Namespaces.Find(inode)
	if of == nil {
		return -1, nil
	}
	file, err := of.File()
	if err != nil {
		return -1, err
	}
	defer file.Close()
	m, err := n.lists.Netlink.Get(ctx, in, &rtnetlink.NamespaceRequest{FD: int(file.Fd())}, &usage.Usage{})
	if err != nil {
		return -1, err
	}
	return rtnetlink.NamespaceID(m.Type, m.Payload, binary.NativeEndian)
}
