package host

import (
	"context"
	"encoding/binary"
	"io"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// UnixFilter says which unix sockets are wanted, and what of them. The zero
// value wants all sockets, and of them what costs nothing.
type UnixFilter struct {
	Namespaces Namespaces
	States     sock.UnixStates // 0 means any
	Path       bool
	Queues     bool
	Peer       bool
	Memory     bool
	// RefCount asks for the reference counts, for which /proc is read besides
	// sock_diag.
	RefCount bool
}

func (f *UnixFilter) wants(s *sock.Unix) bool { return f.States == 0 || f.States.Has(s.State) }

// ownerless are the states of sockets without an inode, which sock_diag does
// not list.
const ownerless sock.UnixStates = 1<<sock.UnixConnecting | 1<<sock.UnixDisconnecting

// wantsOwnerless reports whether a socket without an inode can match.
func (f *UnixFilter) wantsOwnerless() bool { return f.States == 0 || f.States&ownerless != 0 }

var unixLists = []*list{{"unix", sock.UNIX, 0, "unix_diag", source.Failing, noUnix}}

// noUnix asks for unix sockets in no state.
func noUnix(*list) nlconn.Request { return &sockdiag.UnixRequest{} }

// Unix streams the unix sockets of network namespaces. It needs no privilege in
// this process's own. Queues, Peer, UID, Details and Cookie are known from
// sock_diag only, of sockets that have an inode; those that have none come from
// /proc in any case.
func (h *Host) Unix(ctx context.Context, f UnixFilter) iter.Seq2[*sock.Unix, error] {
	r := unixReader{filter: f}
	r.reader = reader[sock.Unix]{
		host: h, uses: h.uses.Query(), diag: r.ask,
		decode: func(file io.Reader, l *list) iter.Seq2[sock.Unix, error] {
			return procnet.Unix(file, nil, func(line *parser.LineError) { r.strange(r.uses.Of(l.name), line) })
		},
		keep: r.keep,
	}
	return r.each(ctx, f.Namespaces, unixLists)
}

// unixReader reads unix sockets from either source.
type unixReader struct {
	reader[sock.Unix]
	filter UnixFilter
	// certain remembers of namespaces whether all lines of their list are sockets.
	certain map[uint32]bool
}

// strange notes a line that is no socket.
func (r *unixReader) strange(use *usage.Usage, line *parser.LineError) {
	use.Lack.Add("names of unix sockets have newlines and imitate lines of /proc/net/unix, so that sockets may be missing", line.Error())
}

// tries is how often sockets are counted that come and go.
const tries = 5

// isCertain reports whether a namespace has as many unix sockets as its list has
// lines in their form, so that none of those is a part of a name. The kernel counts
// those of SOCK_STREAM apart since Linux 5.15.
func (r *unixReader) isCertain(in *netns.Handle) bool {
	certain, ok := r.certain[in.Inode]
	for try := 0; !ok && try < tries; try++ {
		lines, err1 := countUnix(in)
		stream, _, err2 := registered(in, "UNIX-STREAM")
		others, known, err3 := registered(in, "UNIX")
		if err1 != nil || err2 != nil || err3 != nil || !known {
			break
		}
		certain = int64(lines) == stream+others
		ok = certain
	}
	if r.certain == nil {
		r.certain = make(map[uint32]bool)
	}
	r.certain[in.Inode] = certain
	return certain
}

func countUnix(in *netns.Handle) (int, error) {
	file, err := in.Open("unix")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return procnet.CountUnix(file)
}

// keep notes in which namespace a socket is, and reports whether the query may
// want it.
func (r *unixReader) keep(s *sock.Unix, in *netns.Handle) bool {
	s.Namespace = in.Inode
	if !r.filter.wants(s) {
		return false
	}
	s.Uncertain = s.Uncertain && !r.isCertain(in)
	return true
}

// request translates the filter for sock_diag.
func (r *unixReader) request() *sockdiag.UnixRequest {
	f := &r.filter
	request := &sockdiag.UnixRequest{States: sock.AllStates, Show: sockdiag.ShowUID}
	if f.States != 0 {
		request.States = 0
		for _, s := range [...]struct {
			ours   sock.UnixStates
			theirs sock.StateSet
		}{
			{1 << sock.UnixListening, 1 << sock.Listen},
			{1 << sock.UnixConnected, 1 << sock.Established},
			{1 << sock.UnixUnconnected, sock.AllStates &^ (1<<sock.Established | 1<<sock.Listen)},
		} {
			if f.States&s.ours != 0 {
				request.States |= s.theirs
			}
		}
	}
	for _, show := range [...]struct {
		wanted bool
		bit    uint32
	}{{f.Path, sockdiag.ShowPath}, {f.Queues, sockdiag.ShowQueues}, {f.Peer, sockdiag.ShowPeer}, {f.Memory, sockdiag.ShowMemory}} {
		if show.wanted {
			request.Show |= show.bit
		}
	}
	return request
}

// ask streams the sockets of sock_diag, and before them those that only /proc
// lists: a connection that is accepted meanwhile is then rather seen twice than
// not at all.
func (r *unixReader) ask(ctx context.Context, in *netns.Handle, l *list, use *usage.Usage) iter.Seq2[*sock.Unix, error] {
	return func(yield func(*sock.Unix, error) bool) {
		var counts map[uint64]uint32
		if r.filter.RefCount || r.filter.wantsOwnerless() {
			var waiting []sock.Unix
			var err error
			if counts, waiting, err = r.procOnly(ctx, in, l, use); err != nil {
				yield(nil, err)
				return
			}
			for i := range waiting {
				if !yield(&waiting[i], nil) {
					return
				}
			}
		}
		for s, err := range source.Decoded(r.host.diag.Dump(ctx, in, r.request(), use), decodeUnix) {
			if err != nil {
				yield(nil, err)
				return
			}
			if n, ok := counts[s.Inode]; ok {
				s.RefCount = n
				s.KnownUnix |= sock.KnowsRefCount
			}
			if r.keep(s, in) && !yield(s, nil) {
				return
			}
		}
	}
}

func decodeUnix(b []byte, s *sock.Unix) error { return sockdiag.Unix(b, binary.NativeEndian, s) }

// procOnly reads what only /proc shows: the reference counts, by inode, and the
// sockets without an inode that are wanted. Before that sock_diag lists the paths
// with newlines, which imitate lines of the file.
func (r *unixReader) procOnly(ctx context.Context, in *netns.Handle, l *list, use *usage.Usage) (counts map[uint64]uint32, ownerless []sock.Unix, err error) {
	var apart usage.Usage
	defer func() { use.Wait += apart.Wait }()
	paths := make(map[uint64]string)
	request := sockdiag.UnixRequest{States: sock.AllStates, Show: sockdiag.ShowPath}
	for s, err := range source.Decoded(r.host.diag.Dump(ctx, in, &request, &apart), decodeUnix) {
		if err != nil {
			return nil, nil, err
		}
		if strings.Contains(s.Path, "\n") {
			paths[s.Inode] = s.Path
		}
	}
	if r.filter.RefCount {
		counts = make(map[uint64]uint32)
	}
	file := source.File[sock.Unix]{Name: l.name, Missing: l.missing, Decode: func(file io.Reader) iter.Seq2[sock.Unix, error] {
		return procnet.Unix(file, paths, func(line *parser.LineError) { r.strange(use, line) })
	}}
	for s, err := range source.Read(ctx, in, file, &apart) {
		switch {
		case err != nil:
			return nil, nil, err
		case s.Inode == 0:
			if r.keep(&s, in) {
				ownerless = append(ownerless, s)
			}
		case counts != nil:
			counts[s.Inode] = s.RefCount
		}
	}
	return counts, ownerless, nil
}
