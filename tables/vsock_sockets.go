package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type vsockRow = row[sock.Vsock]

// VsockSockets is the table vsock_sockets.
func VsockSockets(h *host.Host) schema.Table { return vsockTable(h, h.Vsock) }

// vsockTable is the table of the sockets that read streams.
func vsockTable(h *host.Host, read func(context.Context, host.VsockFilter) iter.Seq2[*sock.Vsock, error]) schema.Table {
	owner := newOwnerColumns[sock.Vsock]("")
	number := func(name, doc string, get func(*vsockRow) uint32) *schema.Column[vsockRow, uint32] {
		return schema.Nullable(name, doc, func(r *vsockRow) (uint32, bool) { return get(r), get(r) != sock.AnyVsock })
	}
	state := schema.NotNull("state", "State as netstat names TCP's: CLOSE if it is not connected, SYN_SENT, ESTABLISHED, CLOSING, LISTEN. An unknown state is its number.",
		func(r *vsockRow) string { return r.Socket.State.String() }, schema.Pushed, namesOf(sock.State.String))
	listening := listeningColumn("waits for connections: its state is LISTEN",
		func(r *vsockRow) bool { return r.Socket.State == sock.Listen }, schema.Hidden, schema.Pushed)
	return owner.bind(h, schema.TableDef[vsockRow]{
		Name: "vsock_sockets",
		Doc:  "Sockets of this network namespace between virtual machines and their host, vsock(7): what ss --vsock -a shows. The kernel reports no user who owns them, only processes. Only sock_diag lists them (Linux 4.15): the table fails if the kernel has the family and its module vsock_diag is missing.",
		Examples: []string{
			"SELECT type, local_cid, local_port, pid, program FROM vsock_sockets WHERE state = 'LISTEN'",
			"SELECT remote_cid, count(*) AS connections FROM vsock_sockets WHERE state = 'ESTABLISHED' GROUP BY remote_cid",
		},
		Columns: append([]schema.AnyColumn[vsockRow]{
			schema.NotNull("type", "STREAM, SEQPACKET or DGRAM. An unknown type is its number.",
				func(r *vsockRow) string { return r.Socket.Type.String() }, namesOf(sock.Type.String)),
			number("local_cid", "Context identifier of the local machine: 1 for the loopback, 2 for the host. NULL for any.", func(r *vsockRow) uint32 { return r.Socket.LocalCID }),
			number("local_port", "Local port, 32 bits. NULL if it has none.", func(r *vsockRow) uint32 { return r.Socket.LocalPort }),
			number("remote_cid", "Context identifier of the peer's machine: 1 for the loopback, 2 for the host. NULL if there is no peer.", func(r *vsockRow) uint32 { return r.Socket.RemoteCID }),
			number("remote_port", "Peer's port, 32 bits. NULL if there is no peer.", func(r *vsockRow) uint32 { return r.Socket.RemotePort }),
			state,
			schema.NotNull("shutdown", shutdownDoc,
				func(r *vsockRow) uint8 { return r.Socket.Shutdown }, schema.Shared),
			owner.inode, owner.pid, owner.program,
			listening, owner.cookieColumn(""),
		}, owner.hidden...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.Vsock, error] {
		filter := host.VsockFilter{Namespaces: namespaces(owner.netNamespace, q), States: states(state.Values(q))}
		if onlyListening(listening, q) {
			filter.States = 1 << sock.Listen
		}
		return read(ctx, filter)
	})
}
