package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
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

// ownerless are the states of sockets without an inode, of which sock_diag does
// not tell.
const ownerless sock.UnixStates = 1<<sock.UnixConnecting | 1<<sock.UnixDisconnecting

// wantsOwnerless reports whether a socket without an inode can match.
func (f *UnixFilter) wantsOwnerless() bool { return f.States == 0 || f.States&ownerless != 0 }

var unixLists = []list{{"unix", sock.UNIX, 0, "unix_diag", true, noUnix}}

// noUnix asks for unix sockets in no state.
func noUnix(*list) request { return &sockdiag.UnixRequest{} }

// Unix streams the unix sockets of network namespaces. It needs no privilege in
// this process's own. Queues, Peer, UID, Details and Cookie are known from
// sock_diag only, of sockets that have an inode; those that have none come from
// /proc in any case.
func (h *Host) Unix(ctx context.Context, f UnixFilter) iter.Seq2[sock.Unix, error] {
	r := unixReader{filter: f}
	r.reader = reader[sock.Unix]{
		host: h, ask: r.askDiag,
		proc:  func(file io.Reader, _ *list) iter.Seq2[sock.Unix, error] { return procnet.Unix(file, nil) },
		wants: f.wants,
		mark:  func(s *sock.Unix, namespace uint32) { s.Namespace = namespace },
	}
	return func(yield func(sock.Unix, error) bool) {
		inEach(ctx, h, f.Namespaces, yield, func(p *place, yield func(sock.Unix, error) bool) (more bool, err error) {
			return r.read(ctx, p, &unixLists[0], yield)
		})
	}
}

// unixReader reads unix sockets from either source.
type unixReader struct {
	reader[sock.Unix]
	filter UnixFilter
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

// askDiag hands over what sock_diag tells, and before it what only /proc does: a
// connection that is accepted meanwhile is then rather seen twice than not at
// all.
func (r *unixReader) askDiag(ctx context.Context, p *place, list *list, use *usage.Usage, yield func(sock.Unix, error) bool) (more bool, err error) {
	var counts map[uint64]uint32
	if r.filter.RefCount || r.filter.wantsOwnerless() {
		var waiting []sock.Unix
		if counts, waiting, err = r.procOnly(ctx, p, list, use); err != nil {
			return false, err
		}
		for _, s := range waiting {
			if !yield(s, nil) {
				return false, nil
			}
		}
	}
	var s sock.Unix
	return r.host.dump(ctx, p, r.request(), use, func(payload []byte) (bool, error) {
		if err := sockdiag.Unix(payload, binary.NativeEndian, &s); err != nil {
			return false, err
		}
		s.Namespace = p.inode
		if n, ok := counts[s.Inode]; ok {
			s.RefCount = n
			s.KnownUnix |= sock.KnowsRefCount
		}
		return !r.filter.wants(&s) || yield(s, nil), nil
	})
}

// procOnly reads what only /proc tells: the reference counts, by inode, and the
// sockets without an inode that are wanted. Sock_diag is asked for the paths with
// newlines first, by which the list can be told from what such a path imitates.
func (r *unixReader) procOnly(ctx context.Context, p *place, list *list, use *usage.Usage) (counts map[uint64]uint32, ownerless []sock.Unix, err error) {
	var names usage.Usage
	paths := make(map[uint64]string)
	var s sock.Unix
	_, err = r.host.dump(ctx, p, &sockdiag.UnixRequest{States: sock.AllStates, Show: sockdiag.ShowPath}, &names, func(payload []byte) (bool, error) {
		err := sockdiag.Unix(payload, binary.NativeEndian, &s)
		if strings.Contains(s.Path, "\n") {
			paths[s.Inode] = s.Path
		}
		return true, err
	})
	use.Wait += names.Wait
	if err != nil {
		return nil, nil, err
	}
	file, err := r.host.openIn(p, list.name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if r.filter.RefCount {
		counts = make(map[uint64]uint32)
	}
	n := 0
	for s, err := range procnet.Unix(&timedReader{file, &use.Wait}, paths) {
		if n++; n%256 == 0 && err == nil {
			err = ctx.Err()
		}
		var bad *parser.LineError
		switch {
		case errors.As(err, &bad) && !r.filter.wantsOwnerless():
			// No row is at stake.
			r.host.log.Warn("the reference counts of unix sockets are not known", "file", file.Name(), "error", err)
			return nil, nil, nil
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", file.Name(), err)
		case s.Inode == 0 && r.filter.wants(&s):
			s.Namespace = p.inode
			ownerless = append(ownerless, s)
		case s.Inode != 0 && counts != nil:
			counts[s.Inode] = s.RefCount
		}
	}
	return counts, ownerless, nil
}
