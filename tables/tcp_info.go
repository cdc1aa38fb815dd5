package tables

import (
	"context"
	"iter"
	"math"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type connectionRow struct {
	sock.Connection
	names *names
}

// infoColumns are the numbers of struct tcp_info.
var infoColumns = []struct {
	name  string
	field sock.InfoField
	doc   string
}{
	{"rtt_us", sock.InfoRTT, "Smoothed round-trip time, microseconds."},
	{"rttvar_us", sock.InfoRTTVar, "Mean deviation of the round-trip time, microseconds."},
	{"min_rtt_us", sock.InfoMinRTT, "Smallest round-trip time of late, microseconds. NULL before the first."},
	{"rcv_rtt_us", sock.InfoReceiveRTT, "Round-trip time as the receiver estimates it, microseconds; 0 before the first estimate."},
	{"rto_us", sock.InfoRTO, "Retransmission timeout, microseconds."},
	{"ato_us", sock.InfoATO, "Timeout of delayed acknowledgements, microseconds; 0 before data was received."},
	{"cwnd", sock.InfoCwnd, "Congestion window, segments."},
	{"ssthresh", sock.InfoSSThresh, "Slow start threshold, segments. NULL if it was not set yet."},
	{"snd_mss_bytes", sock.InfoSendMSS, "Largest segment that is sent."},
	{"rcv_mss_bytes", sock.InfoReceiveMSS, "Largest segment of late that was received, as delayed acknowledgements take it."},
	{"advmss_bytes", sock.InfoAdvMSS, "Largest segment that we told the peer we take."},
	{"pmtu_bytes", sock.InfoPMTU, "Path MTU."},
	{"pacing_rate_bytes_per_second", sock.InfoPacingRate, "Rate at which packets are sent. NULL if it has no limit."},
	{"max_pacing_rate_bytes_per_second", sock.InfoMaxPacingRate, "Limit of that, SO_MAX_PACING_RATE. NULL if there is none."},
	{"delivery_rate_bytes_per_second", sock.InfoDeliveryRate, "Rate at which data was last delivered to the peer."},
	{"bytes_sent", sock.InfoBytesSent, "Bytes of data sent, retransmissions included."},
	{"bytes_acked", sock.InfoBytesAcked, "Bytes that the peer acknowledged, its FIN or SYN as one included."},
	{"bytes_retrans", sock.InfoBytesRetrans, "Bytes of data sent again."},
	{"bytes_received", sock.InfoBytesReceived, "Bytes received and acknowledged."},
	{"notsent_bytes", sock.InfoNotSentBytes, "Bytes that the program wrote and that were not sent yet."},
	{"segs_out", sock.InfoSegsOut, "Segments sent, retransmissions included."},
	{"segs_in", sock.InfoSegsIn, "Segments received."},
	{"data_segs_out", sock.InfoDataSegsOut, "Segments with data that were sent, retransmissions included."},
	{"data_segs_in", sock.InfoDataSegsIn, "Segments with data that were received."},
	{"delivered", sock.InfoDelivered, "Segments delivered to the peer, as it told, retransmissions included."},
	{"delivered_ce", sock.InfoDeliveredCE, "Of those the ones that met congestion, as ECN told."},
	{"unacked", sock.InfoUnacked, "Segments sent and not acknowledged."},
	{"sacked", sock.InfoSacked, "Of those the ones that the peer has selectively."},
	{"lost", sock.InfoLost, "Of those the ones taken for lost."},
	{"retrans", sock.InfoRetrans, "Of those the ones sent again."},
	{"fackets", sock.InfoFackets, "Forward acknowledged segments; 0 since Linux 4.15."},
	{"retrans_total", sock.InfoTotalRetrans, "Segments sent again since the connection began."},
	{"retransmits", sock.InfoRetransmits, "Times that the segment waiting for its acknowledgement was sent again."},
	{"probes", sock.InfoProbes, "Keepalive or zero window probes sent and not answered."},
	{"backoff", sock.InfoBackoff, "Times that the timeout was doubled."},
	{"reordering", sock.InfoReordering, "By how many segments packets may change places and not be taken for lost."},
	{"reord_seen", sock.InfoReorderingSeen, "Times that packets were seen to have changed places."},
	{"dsack_dups", sock.InfoDSACKDups, "Segments that the peer told it received twice."},
	{"rcv_ooopack", sock.InfoReceiveOutOfOrder, "Segments received out of order."},
	{"snd_wnd_bytes", sock.InfoSendWindow, "The peer's receive window."},
	{"rcv_wnd_bytes", sock.InfoReceiveWindow, "Our receive window, as we told the peer."},
	{"rcv_space_bytes", sock.InfoReceiveSpace, "Bytes that the program reads in a round trip, by which the receive buffer grows."},
	{"rcv_ssthresh_bytes", sock.InfoReceiveSSThresh, "Limit of the window that we tell the peer."},
	{"busy_us", sock.InfoBusyTime, "Microseconds in which there was data to send."},
	{"rwnd_limited_us", sock.InfoRwndLimited, "Of those the ones in which the peer's window was full."},
	{"sndbuf_limited_us", sock.InfoSndbufLimited, "Of those the ones in which the send buffer was full."},
	{"last_data_sent_ms", sock.InfoLastDataSentMillis, "Milliseconds since data was last sent."},
	{"last_data_recv_ms", sock.InfoLastDataRecvMillis, "Milliseconds since data was last received."},
	{"last_ack_recv_ms", sock.InfoLastAckRecvMillis, "Milliseconds since an acknowledgement was last received."},
	{"rehash", sock.InfoRehash, "Times that the flow label was changed to look for another path."},
	{"total_rto", sock.InfoTotalRTO, "Retransmission timeouts since the connection began."},
	{"total_rto_recoveries", sock.InfoTotalRTORecoveries, "Recoveries from timeouts."},
	{"total_rto_time_ms", sock.InfoTotalRTOMillis, "Milliseconds spent in such recoveries."},
	{"received_ce", sock.InfoReceivedCE, "Segments received that met congestion, as accurate ECN counts them."},
	{"delivered_e1_bytes", sock.InfoDeliveredECT1Bytes, "Accurate ECN: bytes delivered with ECT(1)."},
	{"delivered_e0_bytes", sock.InfoDeliveredECT0Bytes, "Accurate ECN: bytes delivered with ECT(0)."},
	{"delivered_ce_bytes", sock.InfoDeliveredCEBytes, "Accurate ECN: bytes delivered with CE."},
	{"received_e1_bytes", sock.InfoReceivedECT1Bytes, "Accurate ECN: bytes received with ECT(1)."},
	{"received_e0_bytes", sock.InfoReceivedECT0Bytes, "Accurate ECN: bytes received with ECT(0)."},
	{"received_ce_bytes", sock.InfoReceivedCEBytes, "Accurate ECN: bytes received with CE."},
	{"accecn_fail_mode", sock.InfoAccECNFailMode, "Accurate ECN: bits of what failed, TCP_ACCECN_*_FAIL_* of the kernel."},
	{"accecn_opt_seen", sock.InfoAccECNOptionSeen, "Accurate ECN: whether its option was seen, TCP_ACCECN_OPT_* of the kernel."},
}

// TCPInfo is the table tcp_info.
func TCPInfo(h *host.Host) schema.Any {
	inet := newInetColumns(func(r *connectionRow) *sock.Inet { return &r.Inet }, func(r *connectionRow) *names { return r.names }, schema.Pushed)
	info := func(r *connectionRow) *sock.TCPInfo { return &r.Info }
	state := schema.Col("state", "TCP state: ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING.",
		func(r *connectionRow) string { return r.State.String() }, schema.Pushed)
	columns := []schema.Column[connectionRow]{
		inet.proto, inet.recvQ, inet.sendQ,
		inet.localAddress, inet.localPort, inet.remoteAddress, inet.remotePort,
		state, inet.inode, inet.pid, inet.program,
		schema.Col("congestion_algorithm", "Congestion control algorithm, such as cubic.",
			func(r *connectionRow) string { return r.Congestion }),
		schema.Col("congestion_state", "State of congestion avoidance: open, disorder, cwr, recovery, loss.",
			func(r *connectionRow) string { return info(r).CongestionState() }),
		schema.Col("options", "Options of the connection, separated by blanks: ts, sack, wscale, ecn, ecnseen, fastopen, usec_ts, tfo_child.",
			func(r *connectionRow) string { return info(r).Options() }),
		schema.Opt("snd_wscale", "Bits by which the peer shifts its windows. NULL if windows are not scaled.",
			func(r *connectionRow) (uint8, bool) { return info(r).SendScale() }),
		schema.Opt("rcv_wscale", "Bits by which we shift ours. NULL if windows are not scaled.",
			func(r *connectionRow) (uint8, bool) { return info(r).ReceiveScale() }),
	}
	for _, c := range infoColumns {
		columns = append(columns, schema.Opt(c.name, c.doc, func(r *connectionRow) (int64, bool) { return info(r).Get(c.field) }))
	}
	bbr := func(name, doc string, get func(*sock.BBR) float64) schema.Column[connectionRow] {
		return schema.Opt(name, doc+" NULL if the algorithm is not bbr.", func(r *connectionRow) (float64, bool) {
			if r.Control.BBR == nil {
				return 0, false
			}
			return get(r.Control.BBR), true
		}, schema.Hidden)
	}
	number := func(name, doc string, get func(*connectionRow) (int64, bool)) schema.Column[connectionRow] {
		return schema.Opt(name, doc, get, schema.Hidden)
	}
	dctcp := func(name, doc string, get func(*sock.DCTCP) uint32) schema.Column[connectionRow] {
		return number(name, doc+" NULL if the algorithm is not dctcp.", func(r *connectionRow) (int64, bool) {
			if r.Control.DCTCP == nil {
				return 0, false
			}
			return int64(get(r.Control.DCTCP)), true
		})
	}
	vegas := func(name, doc string, get func(*sock.Vegas) uint32) schema.Column[connectionRow] {
		return number(name, doc+" NULL if the algorithm is not vegas or one that tells the same.", func(r *connectionRow) (int64, bool) {
			if r.Control.Vegas == nil {
				return 0, false
			}
			return int64(get(r.Control.Vegas)), true
		})
	}
	tls := func(name, doc string, get func(*sock.TLS) string) schema.Column[connectionRow] {
		return schema.Col(name, doc+" Empty without the kernel's TLS.", func(r *connectionRow) string {
			if r.ULP.TLS == nil {
				return ""
			}
			return get(r.ULP.TLS)
		}, schema.Hidden)
	}
	mptcp := func(name, doc string, get func(*sock.Subflow) uint32) schema.Column[connectionRow] {
		return number(name, doc+" NULL if the connection is no part of an MPTCP one.", func(r *connectionRow) (int64, bool) {
			if r.ULP.MPTCP == nil {
				return 0, false
			}
			return int64(get(r.ULP.MPTCP)), true
		})
	}
	flag := func(b bool) uint32 {
		if b {
			return 1
		}
		return 0
	}
	columns = append(columns,
		schema.Opt("app_limited", "1 if the delivery rate was measured while the program had too little to send, else 0.",
			func(r *connectionRow) (bool, bool) { return info(r).AppLimited() }, schema.Hidden),
		schema.Opt("fastopen_fail", "Why a client's fast open failed: 0 it did not, 1 no cookie, 2 data not acknowledged, 3 SYN sent again.",
			func(r *connectionRow) (uint8, bool) { return info(r).FastOpenFail() }, schema.Hidden),
		number("bbr_bandwidth_bytes_per_second", "Bandwidth that BBR estimates. NULL if the algorithm is not bbr.", func(r *connectionRow) (int64, bool) {
			if r.Control.BBR == nil {
				return 0, false
			}
			return int64(r.Control.BBR.Bandwidth), r.Control.BBR.Bandwidth <= math.MaxInt64
		}),
		number("bbr_min_rtt_us", "Smallest round-trip time that BBR knows, microseconds. NULL if the algorithm is not bbr, or before the first.", func(r *connectionRow) (int64, bool) {
			if r.Control.BBR == nil {
				return 0, false
			}
			return int64(r.Control.BBR.MinRTT), r.Control.BBR.MinRTT != math.MaxUint32
		}),
		bbr("bbr_pacing_gain", "Factor of the pacing rate.", func(b *sock.BBR) float64 { return b.PacingGain }),
		bbr("bbr_cwnd_gain", "Factor of the congestion window.", func(b *sock.BBR) float64 { return b.CwndGain }),
		dctcp("dctcp_enabled", "1 if ECN was agreed on, so that DCTCP works, else 0.", func(d *sock.DCTCP) uint32 { return flag(d.Enabled) }),
		dctcp("dctcp_ce_state", "1 if the last packet met congestion, else 0.", func(d *sock.DCTCP) uint32 { return flag(d.CEState) }),
		dctcp("dctcp_alpha", "Share of bytes that met congestion, of 1024.", func(d *sock.DCTCP) uint32 { return d.Alpha }),
		dctcp("dctcp_ab_ecn_bytes", "Bytes acknowledged in this window that met congestion.", func(d *sock.DCTCP) uint32 { return d.ECNBytes }),
		dctcp("dctcp_ab_total_bytes", "Bytes acknowledged in this window.", func(d *sock.DCTCP) uint32 { return d.TotalBytes }),
		vegas("vegas_enabled", "1 if the algorithm works, else 0.", func(v *sock.Vegas) uint32 { return flag(v.Enabled) }),
		vegas("vegas_rtt_count", "Round-trip times measured in this window.", func(v *sock.Vegas) uint32 { return v.RTTCount }),
		vegas("vegas_rtt_us", "Round-trip time, microseconds.", func(v *sock.Vegas) uint32 { return v.RTT }),
		vegas("vegas_min_rtt_us", "Smallest round-trip time, microseconds.", func(v *sock.Vegas) uint32 { return v.MinRTT }),
		schema.Col("ulp", "Protocol in the kernel between the program and TCP: tls, mptcp. Empty if there is none.",
			func(r *connectionRow) string { return r.ULP.Name }, schema.Hidden),
		tls("tls_version", "Version of the kernel's TLS: 1.2, 1.3.", func(t *sock.TLS) string { return t.Version }),
		tls("tls_cipher", "Its cipher, such as aes-gcm-128.", func(t *sock.TLS) string { return t.Cipher }),
		tls("tls_send", "Who encrypts: none, sw (the kernel), hw, hw-record (the network card).", func(t *sock.TLS) string { return t.Send }),
		tls("tls_receive", "Who decrypts: none, sw, hw, hw-record.", func(t *sock.TLS) string { return t.Receive }),
		mptcp("mptcp_local_token", "Our token of the MPTCP connection that this is part of.", func(f *sock.Subflow) uint32 { return f.LocalToken }),
		mptcp("mptcp_remote_token", "The peer's token of it.", func(f *sock.Subflow) uint32 { return f.RemoteToken }),
		mptcp("mptcp_local_id", "Number of our address in it.", func(f *sock.Subflow) uint32 { return uint32(f.LocalID) }),
		mptcp("mptcp_remote_id", "Number of the peer's address in it.", func(f *sock.Subflow) uint32 { return uint32(f.RemoteID) }),
		mptcp("mptcp_flags", "State of it, MPTCP_SUBFLOW_FLAG_* of the kernel.", func(f *sock.Subflow) uint32 { return f.Flags }),
		inet.localService, inet.remoteService, inet.localScope, inet.remoteScope, inet.family, inet.protocol, inet.cookie,
	)
	return schema.Bind(schema.Table[connectionRow]{
		Name: "tcp_info",
		Doc:  "What TCP connections have seen, as ss -i shows: one row for each socket that has or makes one. A number is NULL where this kernel does not tell it, all are where only /proc tells of sockets.",
		Examples: []string{
			"SELECT remote_address, count(*) AS connections, avg(rtt_us) AS rtt_us, sum(retrans_total) AS retransmitted FROM tcp_info GROUP BY remote_address ORDER BY retransmitted DESC",
			"SELECT local_port, remote_address, remote_port, rwnd_limited_us * 100.0 / busy_us AS percent FROM tcp_info WHERE busy_us > 0 AND rwnd_limited_us > 0",
			"SELECT pid, program, sum(bytes_sent) AS sent, sum(bytes_received) AS received FROM tcp_info GROUP BY pid",
		},
		Columns: append(columns, inet.hidden...),
		RowID:   func(r *connectionRow) int64 { return r.ID() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[connectionRow, error] {
			filter := inet.filter(q)
			filter.States = states(state.In(q))
			return withNames(ctx, h, q, inet.pid.In(q), h.Connections(ctx, filter), func(s *sock.Connection) uint64 { return s.Inode }, func(s sock.Connection, n *names) connectionRow { return connectionRow{s, n} })
		},
	})
}
