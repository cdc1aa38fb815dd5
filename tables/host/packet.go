package host

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// packetLists is missing where the kernel, or its module af_packet, is.
var packetLists = []*list{
	// The kernel has no filter for these: with no attributes there is least of them.
	{name: "packet", family: sock.PACKET, module: "packet_diag", probe: func(*list) nlconn.Request { return &sockdiag.PacketRequest{} }},
}

// PacketFilter says what of packet sockets is wanted.
type PacketFilter struct {
	Namespaces Namespaces
	// Memberships asks for Memberships and Promiscuous, Program for the Filter.
	Memberships, Program bool
}

// Packet streams the packet sockets of network namespaces. It needs no privilege
// in this process's own.
func (h *Host) Packet(ctx context.Context, f PacketFilter) iter.Seq2[*sock.Packet, error] {
	decode := func(b []byte, s *sock.Packet) error { return sockdiag.Packet(b, binary.NativeEndian, s) }
	r := reader[sock.Packet]{
		host: h, uses: h.uses.Query(),
		diag: func(ctx context.Context, in *netns.Handle, _ *list, use *usage.Usage) iter.Seq2[*sock.Packet, error] {
			return func(yield func(*sock.Packet, error) bool) {
				// What may make the kernel's list short is asked for first and apart. A
				// socket that it then leaves out stays without.
				apart := make(map[uint32]map[uint64]sock.Packet) // by what was asked for, and by cookie
				for show, wanted := range map[uint32]bool{sockdiag.PacketMemberships: f.Memberships, sockdiag.PacketProgram: f.Program} {
					if !wanted {
						continue
					}
					all := make(map[uint64]sock.Packet)
					var asking usage.Usage
					for s, err := range source.Decoded(h.diag.Dump(ctx, in, &sockdiag.PacketRequest{Show: show}, &asking), decode) {
						if err != nil {
							yield(nil, err)
							return
						}
						all[s.Cookie] = *s
					}
					use.Wait += asking.Wait
					apart[show] = all
				}
				for s, err := range source.Decoded(h.diag.Dump(ctx, in, &sockdiag.PacketRequest{Show: sockdiag.PacketDetails}, use), decode) {
					if always := sock.KnowsPacketInfo | sock.KnowsPacketQueue; err == nil && (s.Known&always != always || !s.HasUID) {
						err = fmt.Errorf("%w: it tells less of packet sockets than /proc, as before Linux 3.10", nlconn.ErrRefused)
					}
					if err != nil {
						yield(nil, err)
						return
					}
					if m, ok := apart[sockdiag.PacketMemberships][s.Cookie]; ok {
						s.Memberships, s.Promiscuous = m.Memberships, m.Promiscuous
						s.Known |= m.Known & sock.KnowsMemberships
					}
					s.Filter = apart[sockdiag.PacketProgram][s.Cookie].Filter
					s.Namespace = in.Inode
					if !yield(s, nil) {
						return
					}
				}
			}
		},
		decode: func(file io.Reader, _ *list) iter.Seq2[sock.Packet, error] { return procnet.Packet(file) },
		keep: func(s *sock.Packet, in *netns.Handle) bool {
			s.Namespace = in.Inode
			return true
		},
	}
	return r.each(ctx, f.Namespaces, packetLists)
}
