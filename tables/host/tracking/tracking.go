// Package tracking lists the connections that netfilter keeps track of: from
// ctnetlink, or from /proc/net/nf_conntrack where that is refused.
//
//	lists := &tracking.Lists{Proc: "/proc", Namespaces: set, Netlink: netfilter, Uses: uses, Usable: local, WouldLoad: nlconn.WouldLoad}
//	for c, err := range lists.Connections(ctx, netns.Selection{}) {
//		…
//	}
package tracking

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/osquery-sockets/osquery-sockets/parser/conntrack"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Connection is a connection that netfilter keeps track of in a network
// namespace.
type Connection struct {
	conntrack.Connection
	Namespace uint32 // inode number; 0 if it is not known
}

// List is the name of the list of those connections in a [usage.Log].
const List = "conntrack"

// Lists reads the lists of one machine. Its methods may be called at the same
// time.
type Lists struct {
	Proc       string // the proc filesystem, or a copy of one
	Namespaces *netns.Set
	Netlink    *nlconn.Conn // of NETLINK_NETFILTER
	Uses       *usage.Log
	// Usable returns why netlink must not be asked, nil if it may be.
	Usable func() error
	// WouldLoad reports whether the kernel would load a module for an answer.
	WouldLoad func(module string) bool
}

// Connections streams the tracked connections of network namespaces. It needs
// CAP_NET_ADMIN, or root where they come from /proc. Where the kernel does not keep
// track of connections there are none.
func (l *Lists) Connections(ctx context.Context, namespaces netns.Selection) iter.Seq2[Connection, error] {
	uses := l.Uses.Query()
	return netns.Each(ctx, l.Namespaces, namespaces, func(in *netns.Handle) iter.Seq2[Connection, error] {
		return func(yield func(Connection, error) bool) {
			var seen recent
			for c, err := range source.WithFallback(uses, List,
				source.By(l.ctnetlinkWay(), func(use *usage.Usage) iter.Seq2[conntrack.Connection, error] {
					return l.ctnetlink(ctx, in, use)
				}),
				source.By(l.fileWay(), func(use *usage.Usage) iter.Seq2[conntrack.Connection, error] {
					return l.file(ctx, in, use)
				})) {
				if err == nil && seen.again(&c) {
					continue
				}
				if !yield(Connection{c, in.Inode}, err) {
					return
				}
			}
		}
	})
}

// Probe reports where the list would come from if it was read now.
func (l *Lists) Probe(ctx context.Context, in *netns.Handle) (usage.Usage, error) {
	return source.Probe(ctx, in, List, l.ctnetlinkWay(), l.fileWay())
}

// ctnetlinkWay is ctnetlink as the source of the list. It is asked for the
// connections of no family to see whether it answers.
func (l *Lists) ctnetlinkWay() source.Way {
	return source.Way{Source: usage.CTNetlink, Usable: l.ctnetlinkAvailable, Probe: func(ctx context.Context, in *netns.Handle, _ *usage.Usage) (err error) {
		for _, err = range l.Netlink.Dump(ctx, in, &conntrack.Request{Family: conntrack.NoFamily}, &usage.Usage{}) {
		}
		return err
	}}
}

// ctnetlink streams all connections of a namespace from ctnetlink.
func (l *Lists) ctnetlink(ctx context.Context, in *netns.Handle, use *usage.Usage) iter.Seq2[conntrack.Connection, error] {
	decode := func(b []byte, c *conntrack.Connection) error { return conntrack.Decode(b, binary.NativeEndian, c) }
	return func(yield func(conntrack.Connection, error) bool) {
		for c, err := range source.Decoded(l.Netlink.Dump(ctx, in, &conntrack.Request{}, use), decode) {
			if err != nil {
				yield(conntrack.Connection{}, err)
				return
			}
			if !yield(*c, nil) {
				return
			}
		}
	}
}

// fileWay is /proc/net/nf_conntrack as the source of the list. Who may
// not read it still learns that it is there.
func (l *Lists) fileWay() source.Way {
	return source.Way{Source: usage.ProcFS, Usable: source.Always, Probe: func(_ context.Context, in *netns.Handle, now *usage.Usage) error {
		if err := in.Check("nf_conntrack"); err != nil && !l.tracks() {
			now.Source, now.Reason = "", l.whyNone()
		}
		return nil
	}}
}

// file streams all connections of a namespace from its file.
func (l *Lists) file(ctx context.Context, in *netns.Handle, use *usage.Usage) iter.Seq2[conntrack.Connection, error] {
	return func(yield func(conntrack.Connection, error) bool) {
		refused := use.Reason
		opened := false
		for c, err := range source.Read(ctx, in, source.File[conntrack.Connection]{Name: "nf_conntrack", Missing: source.Failing, Decode: func(file io.Reader) iter.Seq2[conntrack.Connection, error] {
			opened = true
			return conntrack.Proc(file)
		}}, use) {
			switch {
			case opened || err == nil:
			case !errors.Is(err, fs.ErrNotExist):
				err = fmt.Errorf("%s; %w", refused, err)
			case l.tracks():
				err = fmt.Errorf("the kernel keeps track of connections, and tells neither by netlink (%s) nor by /proc/net/nf_conntrack", refused)
			default:
				use.Source, use.Reason = "", l.whyNone()
				return
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// recent remembers the connections that were seen last. The kernel lists its table
// bucket by bucket: when the connection ends at which it stopped for a
// while, it begins the bucket again (ctnetlink_dump_table,
// net/netfilter/nf_conntrack_netlink.c). A bucket holds far fewer than these.
type recent struct {
	seen map[conntrackKey]struct{}
	ring [256]conntrackKey
	next int
}

// conntrackKey identifies a connection of a namespace.
type conntrackKey struct {
	protocol sock.Protocol
	original conntrack.Direction
}

// again reports whether the connection was seen.
func (r *recent) again(c *conntrack.Connection) bool {
	key := conntrackKey{c.Protocol, c.Original}
	key.original.Packets, key.original.Bytes = 0, 0 // they go on
	if _, again := r.seen[key]; again {
		return true
	}
	if r.seen == nil {
		r.seen = make(map[conntrackKey]struct{})
	}
	old := &r.ring[r.next%len(r.ring)]
	r.next++
	delete(r.seen, *old)
	*old = key
	r.seen[key] = struct{}{}
	return false
}

// ctnetlinkAvailable returns why ctnetlink must not be asked; nil if it may be.
func (l *Lists) ctnetlinkAvailable() error {
	if err := l.Usable(); err != nil {
		return err
	}
	for _, module := range []string{"nfnetlink", "nf_conntrack_netlink"} {
		if l.WouldLoad(module) {
			return fmt.Errorf("the kernel would load the module %[1]s: modprobe %[1]s makes this faster", module)
		}
	}
	return nil
}

// tracks reports whether there is a table of connections: its sysctls
// are there in every network namespace.
func (l *Lists) tracks() bool {
	_, err := os.Stat(filepath.Join(l.Proc, "sys", "net", "netfilter", "nf_conntrack_count"))
	return err == nil
}

// whyNone returns why there is no list.
func (l *Lists) whyNone() string {
	if l.Proc != process.DefaultProc {
		return l.Proc + " has no list nf_conntrack"
	}
	return "the kernel keeps track of no connections: nf_conntrack is not loaded or not built in"
}
