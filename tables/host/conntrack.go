package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/osquery-sockets/osquery-sockets/parser/conntrack"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
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
// destination is translated. It needs CAP_NET_ADMIN, or root where only /proc tells. Where
// the kernel does not keep track of connections there are none.
func (h *Host) NATConnections(ctx context.Context, namespaces Namespaces) iter.Seq2[Connection, error] {
	return func(yield func(Connection, error) bool) {
		inEach(ctx, h, namespaces, yield, func(p *place, yield func(Connection, error) bool) (more bool, err error) {
			var seen recent
			return h.connections(ctx, p, func(c *conntrack.Connection) bool {
				if !c.SourceNAT() && !c.DestinationNAT() || seen.again(c) {
					return true
				}
				return yield(Connection{*c, p.inode}, nil)
			})
		})
	}
}

// connections hands all connections of a namespace to take, from ctnetlink if
// that answers and else from /proc. It reports whether take wants more.
func (h *Host) connections(ctx context.Context, p *place, take func(*conntrack.Connection) bool) (more bool, err error) {
	use := usage.Usage{Source: usage.CTNetlink, Reason: h.whyNotCTNetlink()}
	defer func() { h.uses.Note(conntrackList, use) }()
	var c conntrack.Connection
	if use.Reason == "" {
		more, err := h.dumpFrom(ctx, p, usage.CTNetlink, netlinkNetfilter, &conntrack.Request{}, &use, func(payload []byte) (bool, error) {
			if err := conntrack.Decode(payload, binary.NativeEndian, &c); err != nil {
				return false, err
			}
			return take(&c), nil
		})
		if !errors.Is(err, errRefused) {
			if err != nil {
				err = fmt.Errorf("ctnetlink: %w", err)
			}
			return more, err
		}
		use.Reason = err.Error()
	}
	use.Source = usage.ProcFS
	file, err := h.openIn(p, "nf_conntrack")
	if errors.Is(err, fs.ErrNotExist) {
		if h.tracksConnections() {
			return false, fmt.Errorf("the kernel keeps track of connections, and tells neither by netlink (%s) nor by /proc/net/nf_conntrack", use.Reason)
		}
		use.Source, use.Reason = "", h.whyNoConntrack()
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s; %w", use.Reason, err)
	}
	defer file.Close()
	for next, err := range conntrack.Proc(&timedReader{file, &use.Wait}) {
		c = next
		if use.Sockets++; use.Sockets%256 == 0 && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", file.Name(), err)
		}
		if !take(&c) {
			return false, nil
		}
	}
	return true, nil
}

// recent remembers the connections that were seen last. The kernel hands over
// its table bucket by bucket: when the connection ends at which it stopped for a
// while, it begins the bucket again (ctnetlink_dump_table,
// net/netfilter/nf_conntrack_netlink.c). A bucket holds far fewer than these.
type recent struct {
	seen map[conntrackKey]struct{}
	ring [256]conntrackKey
	next int
}

// conntrackKey tells the connections of a namespace apart.
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

// whyNotCTNetlink returns why ctnetlink must not be asked, or nothing.
func (h *Host) whyNotCTNetlink() string {
	if why := h.whyNotKernel(); why != "" {
		return why
	}
	for _, module := range []string{"nfnetlink", "nf_conntrack_netlink"} {
		if h.wouldLoad(module) {
			return fmt.Sprintf("the kernel would load the module %[1]s: modprobe %[1]s makes this faster", module)
		}
	}
	return ""
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

// conntrackSource tells where the list would come from now. It asks for an empty
// one.
func (h *Host) conntrackSource(ctx context.Context, p *place) (usage.Usage, error) {
	now := usage.Usage{Source: usage.CTNetlink, Reason: h.whyNotCTNetlink()}
	if now.Reason == "" {
		var use usage.Usage
		_, err := h.dumpFrom(ctx, p, usage.CTNetlink, netlinkNetfilter, &conntrack.Request{Family: conntrack.NoFamily}, &use, func([]byte) (bool, error) { return true, nil })
		if err == nil {
			return now, nil
		}
		if !errors.Is(err, errRefused) {
			return now, fmt.Errorf("ctnetlink: %w", err)
		}
		now.Reason = err.Error()
	}
	now.Source = usage.ProcFS
	// Who may not read it still learns that it is there.
	if dir, err := h.netDir(); err == nil {
		if _, err := os.Stat(filepath.Join(dir, "nf_conntrack")); err != nil && !h.tracksConnections() {
			now.Source, now.Reason = "", h.whyNoConntrack()
		}
	}
	return now, nil
}
