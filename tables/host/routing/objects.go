package routing

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// The names of lists in a [usage.Log].
const (
	AddressList  = "addresses"
	NeighborList = "neighbors"
	RuleList     = "rules"
	NextHopList  = "nexthops"
)

// Addresses streams the addresses of network interfaces, in the kernel's order.
//
// This list and those that follow come from rtnetlink alone: no file of /proc has
// them whole. They need no privilege in this process's own namespace.
func (l *Lists) Addresses(ctx context.Context, namespaces netns.Selection) iter.Seq2[network.Address, error] {
	return listed(ctx, l, AddressList, namespaces, question[network.Address]{rtnetlink.AddressRequest{},
		func(m nlconn.Message, a *network.Address, in *netns.Handle) (bool, error) {
			ok, err := rtnetlink.Address(m.Type, m.Payload, binary.NativeEndian, a)
			a.Namespace = in.Inode
			return ok, err
		}})
}

// Neighbors streams the neighbours that ARP and NDP know, and then the addresses
// that this host answers for in the place of others.
func (l *Lists) Neighbors(ctx context.Context, namespaces netns.Selection) iter.Seq2[network.Neighbor, error] {
	decode := func(m nlconn.Message, n *network.Neighbor, in *netns.Handle) (bool, error) {
		ok, err := rtnetlink.Neighbor(m.Type, m.Payload, binary.NativeEndian, n)
		n.Namespace = in.Inode
		return ok, err
	}
	return listed(ctx, l, NeighborList, namespaces, question[network.Neighbor]{&rtnetlink.NeighborRequest{}, decode},
		question[network.Neighbor]{&rtnetlink.NeighborRequest{Proxies: true}, decode})
}

// Rules streams the policy rules of routing, those of IPv4 first, by priority.
func (l *Lists) Rules(ctx context.Context, namespaces netns.Selection) iter.Seq2[network.Rule, error] {
	of := func(family sock.Family) question[network.Rule] {
		return question[network.Rule]{&rtnetlink.RuleRequest{Family: family}, func(m nlconn.Message, r *network.Rule, in *netns.Handle) (bool, error) {
			ok, err := rtnetlink.Rule(m.Type, m.Payload, binary.NativeEndian, family, r)
			r.Namespace = in.Inode
			return ok, err
		}}
	}
	return listed(ctx, l, RuleList, namespaces, of(sock.INET), of(sock.INET6))
}

// NextHops streams the nexthop objects, by number. Linux has them since 5.3.
func (l *Lists) NextHops(ctx context.Context, namespaces netns.Selection) iter.Seq2[network.NextHopObject, error] {
	return listed(ctx, l, NextHopList, namespaces, question[network.NextHopObject]{rtnetlink.NextHopRequest{},
		func(m nlconn.Message, o *network.NextHopObject, in *netns.Handle) (bool, error) {
			ok, err := rtnetlink.NextHop(m.Type, m.Payload, binary.NativeEndian, o)
			o.Namespace = in.Inode
			return ok, err
		}})
}

// question is what is asked of rtnetlink, and how the answer is decoded.
type question[T any] struct {
	request nlconn.Request
	decode  func(m nlconn.Message, v *T, in *netns.Handle) (ok bool, err error)
}

// listed streams what rtnetlink answers to questions, one after the other, in each
// of the selected namespaces.
func listed[T any](ctx context.Context, l *Lists, list string, namespaces netns.Selection, questions ...question[T]) iter.Seq2[T, error] {
	uses := l.Uses.Query()
	return netns.Each(ctx, l.Namespaces, namespaces, func(in *netns.Handle) iter.Seq2[T, error] {
		return source.WithFallback(uses, list, source.By(l.rtnetlinkWay(), func(use *usage.Usage) iter.Seq2[T, error] {
			return source.Concat(questions, func(q question[T]) iter.Seq2[T, error] {
				return func(yield func(T, error) bool) {
					tooLarge := func() {
						use.Lack.Add("the kernel ends its list at an object that does not fit into a message of netlink, so that it and those behind it are missing", fmt.Sprintf("network namespace %d", in.Inode))
					}
					for m, err := range l.list(ctx, in, q.request, use, tooLarge) {
						var v T
						ok := false
						if err == nil {
							ok, err = q.decode(m, &v, in)
						}
						if (ok || err != nil) && !yield(v, err) {
							return
						}
					}
				}
			})
		}))
	})
}
