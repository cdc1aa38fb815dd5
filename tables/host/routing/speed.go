package routing

import (
	"context"
	"encoding/binary"

	"github.com/osquery-sockets/osquery-sockets/parser/ethtool"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// speeds asks ethtool's netlink for the speeds of interfaces.
type speeds struct {
	lists  *Lists
	looked bool
	family uint16 // 0 if the kernel has none
}

// resolve completes the interfaces of a namespace that are up: a question about
// another may wake its device. Each is asked for by itself, since one whose driver
// fails would end a list.
func (s *speeds) resolve(ctx context.Context, in *netns.Handle, links []network.Link) error {
	if !s.looked {
		s.looked = true
		for m, err := range s.lists.Generic.List(ctx, in, ethtool.FamiliesRequest{}, &usage.Usage{}) {
			var id uint16
			ok := false
			if err == nil {
				id, ok, err = ethtool.Family(m.Type, m.Payload, binary.NativeEndian)
			}
			if process.BlameFor(err) == process.Ours {
				return err
			}
			if ok {
				s.family = id
			}
		}
	}
	for i := range links {
		l := &links[i]
		if s.family == 0 || l.FromProc || l.Flags&network.LinkUp == 0 {
			continue
		}
		m, err := s.lists.Generic.Get(ctx, in, &ethtool.LinkRequest{Family: s.family, Index: l.Index}, &usage.Usage{})
		if err == nil && m.Type == s.family {
			err = ethtool.Link(m.Payload, binary.NativeEndian, l)
		}
		if process.BlameFor(err) == process.Ours {
			return err
		}
	}
	return nil
}
