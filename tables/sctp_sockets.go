package tables

import (
	"context"
	"iter"
	"math"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type sctpRow = row[sock.SCTP]

// SCTPSockets is the table sctp_sockets.
func SCTPSockets(h *host.Host) schema.Table {
	inet := newInetColumns[sock.SCTP](unpushed, tcpDocs, noFile)
	queue := func(name, doc string, get func(*sctpRow) uint32) *schema.Column[sctpRow, uint32] {
		return schema.Nullable(name, doc+" NULL for an endpoint.", func(r *sctpRow) (uint32, bool) { return get(r), r.Socket.IsAssociation })
	}
	state := schema.NotNull("state", "State of the socket as netstat names it: CLOSE, LISTEN, SYN_SENT, ESTABLISHED, CLOSE_WAIT. A socket with several associations is LISTEN or CLOSE in their rows too. An unknown state is its number.",
		func(r *sctpRow) string { return r.Socket.State.String() }, namesOf(sock.State.String))
	return inet.bind(h, schema.TableDef[sctpRow]{
		Name: "sctp_sockets",
		Doc:  "SCTP endpoints and associations of this network namespace, one row each, from /proc/net/sctp: what netstat -aS shows.",
		Examples: []string{
			"SELECT local_addresses, local_port, pid, program FROM sctp_sockets WHERE association_id IS NULL AND state = 'LISTEN'",
			"SELECT local_address, local_port, remote_addresses, remote_port, association_state FROM sctp_sockets WHERE association_id IS NOT NULL",
		},
		Columns: append([]schema.AnyColumn[sctpRow]{
			schema.NotNull("proto", "sctp.", func(*sctpRow) string { return "sctp" }),
			queue("recv_q", "Bytes received and not yet read by the program, with the kernel's overhead.", func(r *sctpRow) uint32 { return r.Socket.RecvQueue }),
			queue("send_q", "Bytes sent and not yet acknowledged by the peer, with the kernel's overhead.", func(r *sctpRow) uint32 { return r.Socket.SendQueue }),
			schema.NotNull("local_address", "Local IP address that an association uses, the first one of an endpoint: 0.0.0.0 or :: for any. Empty if there is none.",
				func(r *sctpRow) netip.Addr { return r.Socket.Local.Addr() }, schema.Pushed),
			inet.localPort,
			schema.NotNull("remote_address", "Peer's primary IP address; 0.0.0.0 or :: for an endpoint.",
				func(r *sctpRow) netip.Addr { return r.Socket.Remote.Addr() }, schema.Pushed, schema.Synonym("foreign_address")),
			inet.remotePort,
			state,
			inet.uid, inet.username, inet.inode, inet.pid, inet.program,
			schema.NotNull("local_addresses", "All local IP addresses with commas between.",
				func(r *sctpRow) string { return addresses(r.Socket.LocalAddrs) }),
			schema.NotNull("remote_addresses", "All IP addresses of the peer with commas between. Empty for an endpoint.",
				func(r *sctpRow) string { return addresses(r.Socket.RemoteAddrs) }),
			schema.Nullable("association_id", "The kernel's number of the association. NULL for an endpoint.",
				func(r *sctpRow) (int32, bool) { return r.Socket.Number, r.Socket.IsAssociation }),
			schema.Nullable("association_state", "State of the association: CLOSED, COOKIE_WAIT, COOKIE_ECHOED, ESTABLISHED, SHUTDOWN_PENDING, SHUTDOWN_SENT, SHUTDOWN_RECEIVED, SHUTDOWN_ACK_SENT. An unknown state is its number. Empty for an endpoint.",
				func(r *sctpRow) (string, bool) { return r.Socket.Association.String(), r.Socket.IsAssociation }, namesOf(sock.AssociationState.String)),
			schema.NotNull("type", "STREAM for a socket with at most one association, SEQPACKET for one with any number.",
				func(r *sctpRow) string { return r.Socket.Type.String() }, namesOf(sock.Type.String)),
			listeningColumn("is an endpoint that waits for associations: its state is LISTEN",
				func(r *sctpRow) bool { return !r.Socket.IsAssociation && r.Socket.State == sock.Listen }, schema.Hidden),
			sctpCounter("retransmitted_chunks", "Data chunks that were sent again.", func(r *sctpRow) uint32 { return r.Socket.Retransmits }),
			sctpCounter("init_retransmits", "Times that a chunk that opens the association was sent again.", func(r *sctpRow) uint32 { return r.Socket.InitRetransmits }, schema.Hidden),
			sctpCounter("shutdown_retransmits", "Times that a chunk that ends the association was sent again.", func(r *sctpRow) uint32 { return r.Socket.ShutdownRetransmits }, schema.Hidden),
			sctpCounter("max_retransmits", "Chunks sent again in a row after which the association fails.", func(r *sctpRow) uint32 { return r.Socket.MaxRetransmits }, schema.Hidden),
			sctpCounter("in_streams", "Streams from the peer.", func(r *sctpRow) uint32 { return r.Socket.InStreams }, schema.Hidden),
			sctpCounter("out_streams", "Streams to the peer.", func(r *sctpRow) uint32 { return r.Socket.OutStreams }, schema.Hidden),
			schema.Nullable("heartbeat_interval_ticks", "Time between two heartbeats in ticks of the kernel's clock. The kernel does not report CONFIG_HZ, the ticks of a second: mostly 250 or 1000. NULL as for retransmitted_chunks.",
				func(r *sctpRow) (int64, bool) {
					return int64(r.Socket.Heartbeat), r.Socket.Counters && r.Socket.Heartbeat <= math.MaxInt64
				}, schema.Hidden),
			schema.Nullable("rto_ticks", "Retransmission timeout of the peer's primary address, in such ticks. NULL for an endpoint.",
				func(r *sctpRow) (int64, bool) {
					if r.Socket.Path == nil || r.Socket.Path.RTO > math.MaxInt64 {
						return 0, false
					}
					return int64(r.Socket.Path.RTO), true
				}, schema.Hidden, schema.Needs(needSCTPPaths)),
			schema.Nullable("heartbeat_active", "1 if the heartbeat timer of the peer's primary address runs, else 0. NULL for an endpoint.",
				func(r *sctpRow) (bool, bool) {
					return r.Socket.Path != nil && r.Socket.Path.HeartbeatActive, r.Socket.Path != nil
				}, schema.Hidden, schema.Needs(needSCTPPaths)),
			inet.localService, inet.remoteService, inet.localScope, inet.remoteScope,
		}, inet.hidden...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.SCTP, error] {
		return h.SCTP(ctx, host.SCTPFilter{Namespaces: namespaces(inet.netNamespace, q), Paths: q.Needs(needSCTPPaths)})
	})
}

func sctpCounter(name, doc string, get func(*sctpRow) uint32, options ...schema.Option) schema.AnyColumn[sctpRow] {
	return schema.Nullable(name, doc+" NULL for an endpoint, and if the kernel does not list it.",
		func(r *sctpRow) (uint32, bool) { return get(r), r.Socket.Counters }, options...)
}

// addresses lists them with commas between, spelled as columns spell one.
func addresses(all []netip.Addr) string {
	var b []byte
	for i, a := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = sock.AppendAddr(b, a)
	}
	return string(b)
}
