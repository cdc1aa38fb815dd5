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
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// packetLists is missing where the kernel, or its module af_packet, is.
var packetLists = []list{
	// The kernel has no filter for these: with no attributes there is least of them.
	{name: "packet", family: sock.PACKET, module: "packet_diag", nothing: func(*list) request { return &sockdiag.PacketRequest{} }},
}

// PacketFilter says what of packet sockets is wanted.
type PacketFilter struct {
	Namespaces Namespaces
	// Memberships asks for Memberships and Promiscuous.
	Memberships bool
}

// Packet streams the packet sockets of network namespaces. It needs no privilege
// in this process's own.
func (h *Host) Packet(ctx context.Context, f PacketFilter) iter.Seq2[sock.Packet, error] {
	ask := func(ctx context.Context, p *place, _ *list, use *usage.Usage, yield func(sock.Packet, error) bool) (more bool, err error) {
		// What may make the kernel's list short is asked for first and apart. A
		// socket that it then leaves out stays without.
		members := make(map[uint64]sock.Packet) // by cookie
		var s sock.Packet
		if f.Memberships {
			var apart usage.Usage
			_, err := h.dump(ctx, p, &sockdiag.PacketRequest{Show: sockdiag.PacketMemberships}, &apart, func(payload []byte) (bool, error) {
				err := sockdiag.Packet(payload, binary.NativeEndian, &s)
				members[s.Cookie] = s
				return true, err
			})
			use.Wait += apart.Wait
			if err != nil {
				return false, err
			}
		}
		return h.dump(ctx, p, &sockdiag.PacketRequest{Show: sockdiag.PacketDetails}, use, func(payload []byte) (bool, error) {
			if err := sockdiag.Packet(payload, binary.NativeEndian, &s); err != nil {
				return false, err
			}
			if always := sock.KnowsPacketInfo | sock.KnowsPacketUID | sock.KnowsPacketQueue; s.Known&always != always {
				return false, fmt.Errorf("%w: it tells less of packet sockets than /proc, as before Linux 3.10", errRefused)
			}
			if m, ok := members[s.Cookie]; ok {
				s.Memberships, s.Promiscuous = m.Memberships, m.Promiscuous
				s.Known |= m.Known & sock.KnowsMemberships
			}
			s.Namespace = p.inode
			return yield(s, nil), nil
		})
	}
	r := reader[sock.Packet]{
		host: h, ask: ask,
		proc:  func(file io.Reader, _ *list) iter.Seq2[sock.Packet, error] { return procnet.Packet(file) },
		wants: func(*sock.Packet) bool { return true },
		mark:  func(s *sock.Packet, namespace uint32) { s.Namespace = namespace },
	}
	return func(yield func(sock.Packet, error) bool) {
		inEach(ctx, h, f.Namespaces, yield, func(p *place, yield func(sock.Packet, error) bool) (bool, error) {
			return r.read(ctx, p, &packetLists[0], yield)
		})
	}
}
