package tables

import (
	"context"
	"iter"
	"math"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type packetRow = row[sock.Packet]

// PacketSockets is the table packet_sockets.
func PacketSockets(h *host.Host) schema.Table {
	owner := newOwnerColumns[sock.Packet]("")
	return owner.bind(h, schema.TableDef[packetRow]{
		Name: "packet_sockets",
		Doc:  "Packet sockets of this network namespace, through which programs such as tcpdump, DHCP clients and LLDP daemons receive and send frames on an interface: what ss -0 shows.",
		Examples: []string{
			"SELECT protocol_name, interface, promiscuous, username, pid, program, cmdline FROM packet_sockets WHERE running = 1",
			"SELECT interface, count(*) AS sniffers, sum(drops) AS dropped FROM packet_sockets WHERE protocol_name = 'ALL' GROUP BY interface",
		},
		Columns: append([]schema.AnyColumn[packetRow]{
			schema.NotNull("type", "RAW, or DGRAM if the socket gets and sends without the header of the link layer; PACKET for an obsolete kind. An unknown type is its number.",
				func(r *packetRow) string { return r.Socket.Type.String() }, namesOf(sock.Type.String)),
			schema.NotNull("protocol", "EtherType of the frames that the socket gets; 3 is every frame, 0 none. Others below 1536 are the kernel's own numbers.",
				func(r *packetRow) uint16 { return uint16(r.Socket.Protocol) }),
			schema.NotNull("protocol_name", "Name of that protocol: ALL, IP, ARP, IPV6, 802.1Q, LLDP, EAPOL, PAUSE and others, as ETH_P_* of linux/if_ether.h. Empty if it has none.",
				func(r *packetRow) string { return r.Socket.Protocol.String() }),
			schema.NotNull("interface", "Network interface that the socket is bound to; its number if its name is unknown. Empty if the socket gets frames from any, or if its interface has been removed: see interface_index.",
				func(r *packetRow) string {
					if r.Socket.Interface <= 0 {
						return ""
					}
					return r.lookups.interfaces.Name(r.Socket.Namespace, uint32(r.Socket.Interface))
				}, schema.Needs(needInterfaces)),
			schema.NotNull("recv_q", "Kernel memory of the frames that wait to be read, in bytes and with its overhead; without those in a ring.",
				func(r *packetRow) uint32 { return r.Socket.RecvQueue }),
			schema.NotNull("running", "1 if the socket gets frames. 0 if its protocol is 0, if its interface is down or has been removed.",
				func(r *packetRow) bool { return r.Socket.Running }),
			owner.uid, owner.username, owner.inode, owner.pid, owner.program,
			schema.Nullable("drops", "Frames that were dropped at this socket, because its queue or its ring was full. NULL from /proc, and before Linux 4.11.",
				func(r *packetRow) (uint32, bool) {
					return r.Socket.Memory.Drops, r.Socket.Known&sock.KnowsPacketMemory != 0
				}),
			schema.Nullable("promiscuous", "Network interfaces that the socket keeps in promiscuous mode, in which they take frames for others too. NULL from /proc, and if the kernel could not send so long a list.",
				func(r *packetRow) (uint32, bool) {
					return r.Socket.Promiscuous, r.Socket.Known&sock.KnowsMemberships != 0
				}, schema.Needs(needMembers)),
			schema.Nullable("memberships", "Number of the socket's requests to interfaces (PACKET_ADD_MEMBERSHIP), each for promiscuous mode, all multicasts, or an address. NULL as for promiscuous.",
				func(r *packetRow) (uint32, bool) {
					return r.Socket.Memberships, r.Socket.Known&sock.KnowsMemberships != 0
				}, schema.Needs(needMembers)),
			schema.Nullable("filtered", "1 if a BPF program chooses the frames, such as for tcpdump with an expression; else 0. NULL as for drops.",
				func(r *packetRow) (bool, bool) {
					return r.Socket.Memory.Options > 0, r.Socket.Known&sock.KnowsPacketMemory != 0
				}),
			schema.Nullable("rx_ring_bytes", "Size of the ring by which the program gets frames without a system call for each. NULL if there is none, and from /proc.",
				packetRing(sock.KnowsRxRing, func(r *packetRow) int64 { return int64(min(r.Socket.RxRing.Bytes, math.MaxInt64)) })),
			schema.Nullable("tx_ring_bytes", "Size of the ring by which the program sends frames. NULL as for rx_ring_bytes.",
				packetRing(sock.KnowsTxRing, func(r *packetRow) int64 { return int64(min(r.Socket.TxRing.Bytes, math.MaxInt64)) })),
			schema.Nullable("fanout_id", "Number of the fanout group: each of its sockets gets a part of the frames. NULL if there is none, and from /proc.",
				func(r *packetRow) (uint16, bool) { return r.Socket.FanoutID, r.Socket.Known&sock.KnowsFanout != 0 }),
			schema.Nullable("fanout_type", "How that group chooses the socket that gets a frame: hash, lb (in turn), cpu, rollover, rnd, qm (by the interface's queue), cbpf, ebpf. Empty as for fanout_id.",
				func(r *packetRow) (string, bool) {
					return r.Socket.FanoutType.String(), r.Socket.Known&sock.KnowsFanout != 0
				}),

			listeningColumn("gets frames: running is 1",
				func(r *packetRow) bool { return r.Socket.Running }, schema.Hidden),
			schema.Nullable("interface_index", "Number of the interface that the socket is bound to; 0 if it gets from any. NULL if the interface has been removed.",
				func(r *packetRow) (int32, bool) { return r.Socket.Interface, r.Socket.Interface != sock.NoInterface }, schema.Hidden),
			schema.Nullable("rx_ring_frames", "Frames that the receiving ring has room for, an estimate for version 3. NULL as for rx_ring_bytes.",
				packetRing(sock.KnowsRxRing, func(r *packetRow) uint32 { return r.Socket.RxRing.Frames }), schema.Hidden),
			schema.Nullable("tx_ring_frames", "Frames that the sending ring has room for. NULL as for rx_ring_bytes.",
				packetRing(sock.KnowsTxRing, func(r *packetRow) uint32 { return r.Socket.TxRing.Frames }), schema.Hidden),
			schema.Nullable("version", "Version of the rings' format: 1, 2, 3 for TPACKET_V1 to TPACKET_V3. NULL from /proc.",
				packetInfo(func(r *packetRow) uint32 { return r.Socket.Version }), schema.Hidden),
			schema.NotNull("filter", "Classic BPF program that chooses the frames, as ss -b writes its instructions: code, jt, jf and k, with commas between. Empty if there is none, if it is an eBPF program, without CAP_NET_ADMIN, if the kernel could not send so long a list, and from /proc.",
				func(r *packetRow) string { return r.Socket.Filter }, schema.Hidden, schema.Needs(needFilter)),
			schema.Nullable("reserve", "Room before each frame in the ring, in bytes (PACKET_RESERVE). NULL as for version.",
				packetInfo(func(r *packetRow) uint32 { return r.Socket.Reserve }), schema.Hidden),
			schema.Nullable("copy_threshold", "Length in bytes above which a frame is queued as well as put in the ring (PACKET_COPY_THRESH); 0 is never. NULL as for version.",
				packetInfo(func(r *packetRow) uint32 { return r.Socket.CopyThreshold }), schema.Hidden),
			schema.Nullable("auxdata", "1 if frames come with metadata (PACKET_AUXDATA), else 0. NULL as for version.",
				packetInfo(func(r *packetRow) bool { return r.Socket.AuxData }), schema.Hidden),
			schema.Nullable("origdev", "1 if the interface reported with a frame is the one that received it, not the bond or bridge above it (PACKET_ORIGDEV), else 0. NULL as for version.",
				packetInfo(func(r *packetRow) bool { return r.Socket.OrigDev }), schema.Hidden),
			schema.Nullable("vnet_hdr", "1 if frames have the header of virtio-net (PACKET_VNET_HDR), else 0. NULL as for version.",
				packetInfo(func(r *packetRow) bool { return r.Socket.VnetHeader }), schema.Hidden),
			schema.Nullable("loss", "1 if the kernel skips malformed frames of the sending ring (PACKET_LOSS), 0 if they stop it. NULL as for version.",
				packetInfo(func(r *packetRow) bool { return r.Socket.Loss }), schema.Hidden),
			schema.Nullable("receive_buffer_bytes", "Limit of recv_q, SO_RCVBUF. NULL as for drops.",
				func(r *packetRow) (uint32, bool) {
					return r.Socket.Memory.ReceiveBuffer, r.Socket.Known&sock.KnowsPacketMemory != 0
				}, schema.Hidden),
			owner.cookieColumn(""),
		}, owner.hidden...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.Packet, error] {
		f := host.PacketFilter{Namespaces: namespaces(owner.netNamespace, q), Memberships: q.Needs(needMembers), Program: q.Needs(needFilter)}
		return h.Packet(ctx, f)
	})
}

// packetRing is an accessor that is absent unless the socket has the ring.
func packetRing[V schema.Value](ring sock.PacketKnown, get func(*packetRow) V) func(*packetRow) (V, bool) {
	return func(r *packetRow) (V, bool) { return get(r), r.Socket.Known&ring != 0 }
}

// packetInfo is an accessor that is absent if /proc is the source.
func packetInfo[V schema.Value](get func(*packetRow) V) func(*packetRow) (V, bool) {
	return packetRing(sock.KnowsPacketInfo, get)
}
