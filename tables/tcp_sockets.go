package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type tcpRow = row[sock.TCP]

// TCPSockets is the table tcp_sockets.
func TCPSockets(h *host.Host) schema.Table {
	inet := newInetColumns[sock.TCP](schema.Pushed, tcpDocs, noFile)
	state := schema.NotNull("state", "TCP state as netstat names it: ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING. An unknown state is its number. BOUND is the state of sockets with bound_only = 1.",
		func(r *tcpRow) string { return r.Socket.State.String() }, schema.Pushed, namesOf(sock.State.String))
	bound := schema.NotNull("bound_only", "1 if the socket is bound to a port and neither listens nor connects, else 0. A statement that uses this column sees these sockets too, as ss -B does; one that does not leaves them out, as netstat does. Only sock_diag lists them, since Linux 6.8.",
		func(r *tcpRow) bool { return r.Socket.State == sock.Bound }, schema.Hidden, schema.Scope)
	listening := listeningColumn("waits for connections: its state is LISTEN",
		func(r *tcpRow) bool { return r.Socket.State == sock.Listen }, schema.Hidden, schema.Pushed)
	return inet.bind(h, schema.TableDef[tcpRow]{
		Name: "tcp_sockets",
		Doc:  "TCP sockets of this network namespace, IPv4 and IPv6, in every state: what netstat -at shows.",
		Examples: []string{
			"SELECT proto, local_address, local_port, local_service, pid, program FROM tcp_sockets WHERE state = 'LISTEN'",
			"SELECT state, count(*) AS sockets FROM tcp_sockets GROUP BY state ORDER BY sockets DESC",
			"SELECT local_port, local_address FROM tcp_sockets WHERE state = 'LISTEN' AND local_scope NOT IN ('loopback', 'link_local')",
		},
		Columns: append([]schema.AnyColumn[tcpRow]{
			inet.proto, inet.recvQ, inet.sendQ,
			inet.localAddress, inet.localPort, inet.remoteAddress, inet.remotePort,
			state,
			inet.uid, inet.username, inet.inode, inet.pid, inet.program,
			schema.NotNull("timer", "Running timer, as in netstat -o: off, on (retransmission), keepalive, timewait, probe (zero window), or delack (delayed acknowledgement) on newer kernels.",
				func(r *tcpRow) string { return r.Socket.Timer.String() }, namesOf(sock.Timer.String)),
			schema.Nullable("timer_expires_ms", "Milliseconds until that timer fires. NULL if none runs.",
				func(r *tcpRow) (uint32, bool) { return r.Socket.TimerExpires, r.Socket.Timer != sock.TimerOff }, schema.Hidden),
			schema.NotNull("retransmits", "Times that the segment waiting for its acknowledgement was sent again. In SYN_RECV from /proc, the times that this was due.",
				func(r *tcpRow) uint32 { return r.Socket.Retransmits }, schema.Needs(needAttempts)),
			schema.NotNull("probes", "Keepalive or zero window probes sent and not answered.",
				func(r *tcpRow) uint32 { return r.Socket.Probes }, schema.Needs(needAttempts)),
			inet.localService, inet.remoteService, inet.localScope, inet.remoteScope,
			inet.family, inet.protocol, listening, inet.cookie, bound,
			schema.NotNull("md5_peers", "Peers with which the socket has a key for the TCP MD5 signature option of RFC 2385, such as routers of BGP: address/prefix length, with commas between. Empty if there are none, without CAP_NET_ADMIN, and from /proc.",
				func(r *tcpRow) string { return r.Socket.MD5Peers }, schema.Hidden, schema.Needs(needAttempts)),
			schema.NotNull("congestion_algorithm", "Congestion control algorithm, such as cubic. Empty if unknown, such as in TIME_WAIT and from /proc.",
				func(r *tcpRow) string { return r.Socket.Congestion }, schema.Hidden, schema.Needs(needCongestion)),
		}, append(inet.hidden, inet.details...)...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.TCP, error] {
		filter := inet.filter(q)
		filter.States = states(state.Values(q))
		if onlyListening(listening, q) {
			filter.States = 1 << sock.Listen
		}
		filter.Bound = bound.Uses(q)
		filter.Congestion = q.Needs(needCongestion)
		return h.TCP(ctx, filter)
	})
}
