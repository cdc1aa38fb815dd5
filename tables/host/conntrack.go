package host

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
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Connection is a connection that netfilter keeps track of in a network
// namespace.
type Connection struct {
	conntrack.Connection
	Namespace uint32 // inode number; 0 if it is not known
}

// conntrackList is the name of the list of those connections.
const conntrackList = "conntrack"

// NATConnections streams the connections of network namespaces whose source or
// destination is translated. It needs CAP_NET_ADMIN, or root where they come from
// /proc. Where the kernel does not keep track of connections there are none.
func (h *Host) NATConnections(ctx context.Context, namespaces Namespaces) iter.Seq2[Connection, error] {
	uses := h.uses.Query()
	return netns.Each(ctx, h.netns, namespaces, func(in *netns.Handle) iter.Seq2[Connection, error] {
		return func(yield func(Connection, error) bool) {
			var seen recent
			for c, err := range source.WithFallback(uses, conntrackList,
				source.By(h.ctnetlinkWay(), func(use *usage.Usage) iter.Seq2[conntrack.Connection, error] {
					return h.ctnetlink(ctx, in, use)
				}),
				source.By(h.conntrackFileWay(), func(use *usage.Usage) iter.Seq2[conntrack.Connection, error] {
					return h.conntrackFile(ctx, in, use)
				})) {
				if err == nil && (!c.SourceNAT() && !c.DestinationNAT() || seen.again(&c)) {
					continue
				}
				if !yield(Connection{c, in.Inode}, err) {
					return
				}
			}
		}
	})
}

// ctnetlinkWay is ctnetlink as the source of the list. It is asked for the
// connections of no family to see whether it answers.
func (h *Host) ctnetlinkWay() source.Way {
	return source.Way{Source: usage.CTNetlink, Usable: h.ctnetlinkAvailable, Probe: func(ctx context.Context, in *netns.Handle, _ *usage.Usage) (err error) {
		for _, err = range h.netfilter.Dump(ctx, in, &conntrack.Request{Family: conntrack.NoFamily}, &usage.Usage{}) {
		}
		return err
	}}
}

// ctnetlink streams all connections of a namespace from ctnetlink.
func (h *Host) ctnetlink(ctx context.Context, in *netns.Handle, use *usage.Usage) iter.Seq2[conntrack.Connection, error] {
	decode := func(b []byte, c *conntrack.Connection) error { return conntrack.Decode(b, binary.NativeEndian, c) }
	return func(yield func(conntrack.Connection, error) bool) {
		for c, err := range source.Decoded(h.netfilter.Dump(ctx, in, &conntrack.Request{}, use), decode) {
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

// conntrackFileWay is /proc/net/nf_conntrack as the source of the list. Who may
// not read it still learns that it is there.
func (h *Host) conntrackFileWay() source.Way {
	return source.Way{Source: usage.ProcFS, Usable: source.Always, Probe: func(_ context.Context, in *netns.Handle, now *usage.Usage) error {
		if err := in.Check("nf_conntrack"); err != nil && !h.tracksConnections() {
			now.Source, now.Reason = "", h.whyNoConntrack()
		}
		return nil
	}}
}

// conntrackFile streams all connections of a namespace from its file.
func (h *Host) conntrackFile(ctx context.Context, in *netns.Handle, use *usage.Usage) iter.Seq2[conntrack.Connection, error] {
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
			case h.tracksConnections():
				err = fmt.Errorf("the kernel keeps track of connections, and tells neither by netlink (%s) nor by /proc/net/nf_conntrack", refused)
			default:
				use.Source, use.Reason = "", h.whyNoConntrack()
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
func (h *Host) ctnetlinkAvailable() error {
	if err := h.local(); err != nil {
		return err
	}
	for _, module := range []string{"nfnetlink", "nf_conntrack_netlink"} {
		if h.wouldLoad(module) {
			return fmt.Errorf("the kernel would load the module %[1]s: modprobe %[1]s makes this faster", module)
		}
	}
	return nil
}

// tracksConnections reports whether there is a table of connections: its sysctls
// are there in every network namespace.
func (h *Host) tracksConnections() bool {
	_, err := os.Stat(filepath.Join(h.proc, "sys", "net", "netfilter", "nf_conntrack_count"))
	return err == nil
}

// whyNoConntrack returns why there is no list.
func (h *Host) whyNoConntrack() string {
	if h.proc != DefaultProc {
		return h.proc + " has no list nf_conntrack"
	}
	return "the kernel keeps track of no connections: nf_conntrack is not loaded or not built in"
}
