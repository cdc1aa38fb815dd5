package tables

import (
	"context"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type legacyRow = row[sock.Legacy]

// LegacySockets is the table legacy_sockets.
func LegacySockets(h *host.Host) schema.Table {
	owner := newOwnerColumns[sock.Legacy]("NULL for ax25, netrom, rose and x25, whose lists do not have it.")
	proto := schema.NotNull("proto", "ax25, netrom, rose, x25, ipx, atalk; for Bluetooth l2cap, rfcomm, sco.",
		func(r *legacyRow) string { return r.Socket.Proto }, schema.Pushed, words("ax25", "netrom", "rose", "x25", "ipx", "atalk", "l2cap", "rfcomm", "sco"))
	return owner.bind(h, schema.TableDef[legacyRow]{
		Name: "legacy_sockets",
		Doc:  "Sockets of Bluetooth and of the kernel's old families, for which netstat has options (--ax25, --netrom, --rose, --x25, --ipx). Only the first network namespace of a host has any. X.25 and IPX were not tried on a live kernel.",
		Examples: []string{
			"SELECT proto, count(*) AS sockets FROM legacy_sockets GROUP BY proto",
			"SELECT proto, username, pid, program FROM legacy_sockets WHERE proto IN ('l2cap', 'rfcomm', 'sco')",
		},
		Columns: append([]schema.AnyColumn[legacyRow]{
			proto,
			schema.Nullable("recv_q", "Bytes received and not yet read by the program, with the kernel's overhead. NULL for an AX.25 connection without a socket.",
				func(r *legacyRow) (uint32, bool) { return r.Socket.RecvQueue, r.Socket.Queues }),
			schema.Nullable("send_q", "Bytes that wait to be sent or acknowledged, with the kernel's overhead. NULL as for recv_q.",
				func(r *legacyRow) (uint32, bool) { return r.Socket.SendQueue, r.Socket.Queues }),
			schema.NotNull("local_address", "Local address as the kernel spells it; * for any. Empty for Bluetooth, whose addresses most kernels do not list.",
				func(r *legacyRow) string { return r.Socket.Local }),
			schema.NotNull("remote_address", "Peer's address as the kernel spells it; * or Not_Connected if there is none. Empty for Bluetooth.",
				func(r *legacyRow) string { return r.Socket.Remote }, schema.Synonym("foreign_address")),
			schema.NotNull("state", "State as netstat names it; for ipx and atalk a state of TCP, empty if they are not connected. A state without a name is its number. Empty for Bluetooth.",
				func(r *legacyRow) string { return r.Socket.State }),
			owner.uid, owner.username, owner.inode, owner.pid, owner.program,
			schema.NotNull("interface", "Network interface. Empty if there is none, and for ipx, atalk and Bluetooth.",
				func(r *legacyRow) string { return r.Socket.Device }, schema.Synonym("device")),
			schema.NotNull("local_call", "Call sign besides the local address: the user of netrom, the station of rose.",
				func(r *legacyRow) string { return r.Socket.LocalCall }),
			schema.NotNull("remote_call", "Call sign of a rose peer, beside its address.",
				func(r *legacyRow) string { return r.Socket.RemoteCall }),
			schema.NotNull("digipeaters", "Stations by which ax25 reaches the peer, with commas between. An asterisk marks a station that has repeated.",
				func(r *legacyRow) string { return r.Socket.Digipeaters }),
			listeningColumn("waits for connections: its state is LISTENING or LISTEN; the kernel does not list that of Bluetooth",
				func(r *legacyRow) bool { return strings.HasPrefix(r.Socket.State, "LISTEN") }, schema.Hidden),
		}, owner.hidden...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.Legacy, error] {
		protos := proto.Values(q)
		for i := range protos {
			protos[i] = strings.ToLower(protos[i])
		}
		return h.Legacy(ctx, namespaces(owner.netNamespace, q), protos)
	})
}
