package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type unixRow = row[sock.Unix]

// UnixSockets is the table unix_sockets.
func UnixSockets(h *host.Host) schema.Table {
	const pending = "NULL for a connection that waits to be accepted."
	owner := newOwnerColumns[sock.Unix]("NULL from /proc, before Linux 5.3, and for a connection that waits to be accepted.")
	details := func(r *unixRow) *sock.Details { return &r.Socket.Details }
	queue := func(get func(*unixRow) uint32) func(*unixRow) (uint32, bool) {
		return func(r *unixRow) (uint32, bool) { return get(r), r.Socket.KnownUnix&sock.KnowsQueues != 0 }
	}
	needPeerProcess := schema.Needs(needUnixPeer | needHolders | needPeerHolders)
	state := schema.NotNull("state", "State as netstat names it: LISTENING, CONNECTED, CONNECTING (waits to be accepted; in the client's namespace), DISCONNECTING, FREE; empty for a socket that is not connected. An unknown state is its number.",
		func(r *unixRow) string { return r.Socket.State.String() }, schema.Pushed, namesOf(sock.UnixState.String))
	return owner.bind(h, schema.TableDef[unixRow]{
		Name: "unix_sockets",
		Doc:  "Sockets of unix(7) of this network namespace, in every state: what netstat -ax shows.",
		Examples: []string{
			"SELECT type, path, pid, program FROM unix_sockets WHERE state = 'LISTENING'",
			"SELECT path, recv_q AS waiting, send_q AS backlog FROM unix_sockets WHERE listening = 1 AND recv_q > 0",
			"SELECT program, peer_program, count(*) AS connections FROM unix_sockets WHERE state = 'CONNECTED' GROUP BY program, peer_program",
		},
		Columns: append([]schema.AnyColumn[unixRow]{
			schema.NotNull("proto", "Protocol as netstat names it: unix.",
				func(*unixRow) string { return "unix" }),
			schema.Nullable("ref_count", "References to the kernel's socket: netstat's RefCnt. Only /proc has it, which is read first; NULL for a socket that was made after that.",
				func(r *unixRow) (uint32, bool) { return r.Socket.RefCount, r.Socket.KnownUnix&sock.KnowsRefCount != 0 }, schema.Needs(needRefCount)),
			schema.NotNull("flags", "Flags as netstat writes them between [ and ], with blanks between: ACC (accepts connections), W (waits for data), N (no space for data). Linux sets only ACC. Empty if there are none.",
				func(r *unixRow) string { return r.Socket.FlagNames() }),
			schema.NotNull("type", "Type as netstat names it: STREAM, DGRAM, SEQPACKET. An unknown type is its number.",
				func(r *unixRow) string { return r.Socket.Type.String() }, namesOf(sock.Type.String)),
			state,
			owner.inode, owner.pid, owner.program,
			schema.NotNull("path", `What the socket is bound to: a path as the program gave it, with its blanks, or @ and an abstract name. As the kernel does in /proc, NUL bytes of an abstract name are shown as @ too, so that an abstract name a and a file @a read alike. Empty if it is not bound. From /proc, a path that imitates a whole line of /proc/net/unix reads as another socket: see uncertain.`,
				func(r *unixRow) string { return r.Socket.Path }, schema.Needs(needUnixPath)),
			schema.Nullable("recv_q", "Bytes received and not yet read by the program, for a DGRAM socket the bytes of the next datagram; for a listener the connections that wait to be accepted. NULL from /proc. "+pending,
				queue(func(r *unixRow) uint32 { return r.Socket.RecvQueue }), schema.Needs(needUnixQueues)),
			schema.Nullable("send_q", "Bytes sent and not yet read by the peer, with the kernel's overhead; for a listener how many connections may wait to be accepted. NULL from /proc. "+pending,
				queue(func(r *unixRow) uint32 { return r.Socket.SendQueue }), schema.Needs(needUnixQueues)),
			listeningColumn("waits for connections",
				func(r *unixRow) bool { return r.Socket.State == sock.UnixListening }),
			schema.NotNull("uncertain", "1 if the row may be part of the name of another socket, with newlines and text like a line of /proc/net/unix: the list then has more lines than the kernel has sockets, or the kernel's number is unknown. Else 0, and always 0 from sock_diag.",
				func(r *unixRow) bool { return r.Socket.Uncertain }, schema.Hidden),
			schema.Nullable("peer_inode", "Inode of the socket at the other end. NULL if there is none, if it is not yet accepted or is closed, and from /proc.",
				func(r *unixRow) (int64, bool) { return int64(r.Socket.Peer), r.Socket.Peer != 0 }, schema.Needs(needUnixPeer)),
			schema.Nullable("peer_pid", "Process that has that socket open; if several have, the one with the lowest number. NULL if there is none, or if this program may not see it: without root it sees only this user's processes.",
				func(r *unixRow) (int32, bool) { h, ok := r.lookups.holder(r.Socket.Peer); return h.PID, ok }, needPeerProcess),
			schema.NotNull("peer_program", "Name of that process, as in program. Empty if there is no such process.",
				func(r *unixRow) string { return r.lookups.process(r.Socket.Peer).Program() }, needPeerProcess),
			owner.uid, owner.username,
			schema.NotNull("family", "Address family as a number: 1.",
				func(*unixRow) uint8 { return uint8(sock.UNIX) }, schema.Hidden),
			owner.cookieColumn(pending),
			schema.Nullable("shutdown", shutdownDoc,
				known(details, sock.KnowsShutdown, func(d *sock.Details) uint8 { return d.Shutdown }), schema.Hidden, schema.Shared, schema.Note(pending)),
		}, append(owner.hidden, memoryColumns(details)...)...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.Unix, error] {
		filter := host.UnixFilter{
			Namespaces: namespaces(owner.netNamespace, q), States: unixStates(state.Values(q)),
			Path: q.Needs(needUnixPath), Queues: q.Needs(needUnixQueues), Peer: q.Needs(needUnixPeer),
			Memory: q.Needs(needMemory), RefCount: q.Needs(needRefCount),
		}
		return h.Unix(ctx, filter)
	})
}

// unixStates translates the states that a query names; an unknown name widens to
// any.
func unixStates(in []string) (all sock.UnixStates) {
	for _, name := range in {
		s, ok := sock.ParseUnixState(name)
		if !ok {
			return 0
		}
		all |= 1 << s
	}
	return all
}
