package tables

import (
	"context"
	"iter"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type connectionRow = row[sock.Connection]

// connectionColumns are the columns that the tables of connections share.
type connectionColumns struct {
	inetColumns[sock.Connection, *sock.Connection]
	state, congestion *schema.Column[connectionRow, string]
}

func newConnectionColumns() connectionColumns {
	return connectionColumns{
		inetColumns: newInetColumns[sock.Connection](schema.Pushed, tcpDocs, ""),
		state: schema.NotNull("state", "State of the connection: ESTABLISHED, SYN_SENT, SYN_RECV (both ends connected at once), FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING.",
			func(r *connectionRow) string { return r.Socket.State.String() }, schema.Pushed, schema.Shared, words("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT", "LAST_ACK", "CLOSING")),
		congestion: schema.NotNull("congestion_algorithm", "Congestion control algorithm, such as cubic.",
			func(r *connectionRow) string { return r.Socket.Congestion }, schema.Needs(needCongestion), schema.Shared),
	}
}

// connection returns the columns that name a connection and its owner.
func (c *connectionColumns) connection() []schema.AnyColumn[connectionRow] {
	return []schema.AnyColumn[connectionRow]{
		c.proto, c.localAddress, c.localPort, c.remoteAddress, c.remotePort,
		c.state, c.inode, c.pid, c.program,
		c.family, c.protocol, c.cookie, c.netNamespace,
	}
}

// table makes a table of connections ready.
func (c *connectionColumns) table(h *host.Host, t schema.TableDef[connectionRow]) schema.Table {
	return c.bind(h, t, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.Connection, error] {
		filter := c.filter(q)
		filter.States = states(c.state.Values(q))
		filter.Congestion, filter.Control = q.Needs(needCongestion), q.Needs(needControl)
		return h.Connections(ctx, filter)
	})
}

func tcpInfo(r *connectionRow) *sock.TCPInfo { return &r.Socket.Info }

// infoColumn is a number of struct tcp_info.
type infoColumn struct {
	name  string
	field sock.InfoField
	doc   string
}

// numbers declares the columns of them.
func numbers(of []infoColumn, options ...schema.Option) (columns []schema.AnyColumn[connectionRow]) {
	for _, c := range of {
		columns = append(columns, schema.Nullable(c.name, c.doc, func(r *connectionRow) (int64, bool) { return tcpInfo(r).Get(c.field) }, options...))
	}
	return columns
}

// infoColumns are the numbers of struct tcp_info that tcp_info shows.
var infoColumns = []infoColumn{
	{"rtt_us", sock.InfoRTT, "Smoothed round-trip time, microseconds."},
	{"rttvar_us", sock.InfoRTTVar, "Mean deviation of the round-trip time, microseconds."},
	{"min_rtt_us", sock.InfoMinRTT, "Smallest recent round-trip time, microseconds. NULL before the first."},
	{"rcv_rtt_us", sock.InfoReceiveRTT, "Round-trip time as the receiver estimates it, microseconds; 0 before the first estimate."},
	{"rto_us", sock.InfoRTO, "Retransmission timeout, microseconds."},
	{"cwnd", sock.InfoCwnd, "Congestion window, segments."},
	{"ssthresh", sock.InfoSSThresh, "Slow start threshold, segments. NULL before it is set."},
	{"snd_mss_bytes", sock.InfoSendMSS, "Largest segment that is sent."},
	{"rcv_mss_bytes", sock.InfoReceiveMSS, "Largest segment received recently; the kernel delays acknowledgements by it."},
	{"pmtu_bytes", sock.InfoPMTU, "Path MTU."},
	{"pacing_rate_bytes_per_second", sock.InfoPacingRate, "Rate at which packets are sent. NULL if it has no limit."},
	{"delivery_rate_bytes_per_second", sock.InfoDeliveryRate, "Rate at which data was last delivered to the peer."},
	{"bytes_sent", sock.InfoBytesSent, "Bytes of data sent, retransmissions included."},
	{"bytes_acked", sock.InfoBytesAcked, "Bytes that the peer acknowledged, its FIN or SYN as one included."},
	{"bytes_retrans", sock.InfoBytesRetrans, "Bytes of data sent again."},
	{"bytes_received", sock.InfoBytesReceived, "Bytes received and acknowledged."},
	{"notsent_bytes", sock.InfoNotSentBytes, "Bytes that the program wrote and that are not yet sent."},
	{"segs_out", sock.InfoSegsOut, "Segments sent, retransmissions included."},
	{"segs_in", sock.InfoSegsIn, "Segments received."},
	{"data_segs_out", sock.InfoDataSegsOut, "Segments with data that were sent, retransmissions included."},
	{"data_segs_in", sock.InfoDataSegsIn, "Segments with data that were received."},
	{"delivered", sock.InfoDelivered, "Segments delivered to the peer, as it reported, retransmissions included."},
	{"unacked", sock.InfoUnacked, "Segments sent and not acknowledged."},
	{"lost", sock.InfoLost, "Unacknowledged segments that count as lost."},
	{"retrans", sock.InfoRetrans, "Unacknowledged segments that were sent again."},
	{"retrans_total", sock.InfoTotalRetrans, "Segments sent again over the whole connection."},
	{"retransmits", sock.InfoRetransmits, "Times that the segment waiting for its acknowledgement was sent again."},
	{"probes", sock.InfoProbes, "Keepalive or zero window probes sent and not answered."},
	{"snd_wnd_bytes", sock.InfoSendWindow, "The peer's receive window."},
	{"rcv_wnd_bytes", sock.InfoReceiveWindow, "This host's receive window, as announced to the peer."},
	{"rcv_space_bytes", sock.InfoReceiveSpace, "Bytes that the program reads in a round trip, by which the receive buffer grows."},
	{"busy_us", sock.InfoBusyTime, "Microseconds in which there was data to send."},
	{"rwnd_limited_us", sock.InfoRwndLimited, "Microseconds of busy_us in which the peer's window was full."},
	{"sndbuf_limited_us", sock.InfoSndbufLimited, "Microseconds of busy_us in which the send buffer was full."},
}

// idleColumns change while nothing happens.
var idleColumns = []infoColumn{
	{"last_data_sent_ms", sock.InfoLastDataSentMillis, "Milliseconds since data was last sent."},
	{"last_data_recv_ms", sock.InfoLastDataRecvMillis, "Milliseconds since data was last received."},
	{"last_ack_recv_ms", sock.InfoLastAckRecvMillis, "Milliseconds since an acknowledgement was last received."},
}

// TCPInfo is the table tcp_info.
func TCPInfo(h *host.Host) schema.Table {
	c := newConnectionColumns()
	columns := slices.Concat(c.connection(), []schema.AnyColumn[connectionRow]{
		c.congestion,
		schema.NotNull("options", "Options of the connection, separated by blanks: ts, sack, wscale, ecn, ecnseen, fastopen, usec_ts, tfo_child.",
			func(r *connectionRow) string { return tcpInfo(r).Options() }),
	}, numbers(infoColumns), numbers(idleColumns, schema.Hidden), []schema.AnyColumn[connectionRow]{
		c.localService, c.remoteService, c.localScope, c.remoteScope, c.containerID, c.systemdUnit,
	})
	return c.table(h, schema.TableDef[connectionRow]{
		Name: "tcp_info",
		Doc:  "Round-trip times, rates, windows and counts of TCP connections, as ss -i shows: one row for each socket that has or makes a connection. tcp_congestion and tcp_ulp show the rest. A number is NULL where the kernel does not report it, and from /proc.",
		Examples: []string{
			"SELECT remote_address, count(*) AS connections, avg(rtt_us) AS rtt_us, sum(retrans_total) AS retransmitted FROM tcp_info GROUP BY remote_address ORDER BY retransmitted DESC",
			"SELECT local_port, remote_address, remote_port, rwnd_limited_us * 100.0 / busy_us AS percent FROM tcp_info WHERE busy_us > 0 AND rwnd_limited_us > 0",
			"SELECT pid, program, sum(bytes_sent) AS sent, sum(bytes_received) AS received FROM tcp_info GROUP BY pid",
		},
		Columns: columns,
	})
}
