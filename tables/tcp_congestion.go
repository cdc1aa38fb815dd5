package tables

import (
	"math"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// congestionColumns are the numbers of struct tcp_info that tcp_congestion shows.
var congestionColumns = []infoColumn{
	{"ato_us", sock.InfoATO, "Timeout of delayed acknowledgements, microseconds; 0 before data was received."},
	{"advmss_bytes", sock.InfoAdvMSS, "Largest segment that this host announced to the peer."},
	{"max_pacing_rate_bytes_per_second", sock.InfoMaxPacingRate, "Limit of the pacing rate, SO_MAX_PACING_RATE. NULL if there is none."},
	{"delivered_ce", sock.InfoDeliveredCE, "Delivered segments that met congestion, as ECN reported."},
	{"sacked", sock.InfoSacked, "Unacknowledged segments that the peer has acknowledged selectively."},
	{"fackets", sock.InfoFackets, "Forward acknowledged segments; 0 since Linux 4.15."},
	{"backoff", sock.InfoBackoff, "Times that the timeout was doubled."},
	{"reordering", sock.InfoReordering, "Segments by which packets may be out of order before they count as lost."},
	{"reord_seen", sock.InfoReorderingSeen, "Times that reordering was seen."},
	{"dsack_dups", sock.InfoDSACKDups, "Segments that the peer reported as received twice."},
	{"rcv_ooopack", sock.InfoReceiveOutOfOrder, "Segments received out of order."},
	{"rcv_ssthresh_bytes", sock.InfoReceiveSSThresh, "Limit of the window that this host announces."},
	{"rehash", sock.InfoRehash, "Times that the flow label was changed to find another path."},
	{"total_rto", sock.InfoTotalRTO, "Retransmission timeouts of the whole connection."},
	{"total_rto_recoveries", sock.InfoTotalRTORecoveries, "Recoveries from timeouts."},
	{"total_rto_time_ms", sock.InfoTotalRTOMillis, "Milliseconds spent in such recoveries."},
	{"received_ce", sock.InfoReceivedCE, "Segments received that met congestion, as accurate ECN counts them."},
	{"delivered_e1_bytes", sock.InfoDeliveredECT1Bytes, "Accurate ECN: bytes delivered with ECT(1)."},
	{"delivered_e0_bytes", sock.InfoDeliveredECT0Bytes, "Accurate ECN: bytes delivered with ECT(0)."},
	{"delivered_ce_bytes", sock.InfoDeliveredCEBytes, "Accurate ECN: bytes delivered with CE."},
	{"received_e1_bytes", sock.InfoReceivedECT1Bytes, "Accurate ECN: bytes received with ECT(1)."},
	{"received_e0_bytes", sock.InfoReceivedECT0Bytes, "Accurate ECN: bytes received with ECT(0)."},
	{"received_ce_bytes", sock.InfoReceivedCEBytes, "Accurate ECN: bytes received with CE."},
	{"accecn_fail_mode", sock.InfoAccECNFailMode, "Accurate ECN: bits of the failures, TCP_ACCECN_*_FAIL_* of the kernel."},
	{"accecn_opt_seen", sock.InfoAccECNOptionSeen, "Accurate ECN: whether its option was seen, TCP_ACCECN_OPT_* of the kernel."},
}

// TCPCongestion is the table tcp_congestion.
func TCPCongestion(h *host.Host) schema.Table {
	c := newConnectionColumns()
	control := schema.Needs(needControl)
	bbr := func(name, doc string, get func(*sock.BBR) float64) schema.AnyColumn[connectionRow] {
		return schema.Nullable(name, doc+" NULL if the algorithm is not bbr.", func(r *connectionRow) (float64, bool) {
			if r.Socket.Control.BBR == nil {
				return 0, false
			}
			return get(r.Socket.Control.BBR), true
		}, control)
	}
	number := func(name, doc string, get func(*connectionRow) (int64, bool)) schema.AnyColumn[connectionRow] {
		return schema.Nullable(name, doc, get, control)
	}
	dctcp := func(name, doc string, get func(*sock.DCTCP) uint32) schema.AnyColumn[connectionRow] {
		return number(name, doc+" NULL if the algorithm is not dctcp.", func(r *connectionRow) (int64, bool) {
			if r.Socket.Control.DCTCP == nil {
				return 0, false
			}
			return int64(get(r.Socket.Control.DCTCP)), true
		})
	}
	vegas := func(name, doc string, get func(*sock.Vegas) uint32) schema.AnyColumn[connectionRow] {
		return number(name, doc+" NULL if the algorithm is neither vegas nor one that reports the same.", func(r *connectionRow) (int64, bool) {
			if r.Socket.Control.Vegas == nil {
				return 0, false
			}
			return int64(get(r.Socket.Control.Vegas)), true
		})
	}
	flag := func(b bool) uint32 {
		if b {
			return 1
		}
		return 0
	}
	columns := slices.Concat(c.connection(), []schema.AnyColumn[connectionRow]{
		c.congestion,
		schema.NotNull("congestion_state", "State of congestion avoidance: open, disorder, cwr, recovery, loss.",
			func(r *connectionRow) string { return tcpInfo(r).CongestionState() }, words("open", "disorder", "cwr", "recovery", "loss")),
		schema.Nullable("snd_wscale", "Bits by which the peer shifts its windows. NULL if windows are not scaled.",
			func(r *connectionRow) (uint8, bool) { return tcpInfo(r).SendScale() }),
		schema.Nullable("rcv_wscale", "Bits by which this host shifts its windows. NULL if windows are not scaled.",
			func(r *connectionRow) (uint8, bool) { return tcpInfo(r).ReceiveScale() }),
	}, numbers(congestionColumns), []schema.AnyColumn[connectionRow]{
		schema.Nullable("app_limited", "1 if the delivery rate was measured while the program had too little to send, else 0.",
			func(r *connectionRow) (bool, bool) { return tcpInfo(r).AppLimited() }),
		schema.Nullable("fastopen_fail", "Why a client's fast open failed: 0 it did not, 1 no cookie, 2 data not acknowledged, 3 SYN sent again.",
			func(r *connectionRow) (uint8, bool) { return tcpInfo(r).FastOpenFail() }),
		number("bbr_bandwidth_bytes_per_second", "Bandwidth that BBR estimates. NULL if the algorithm is not bbr.", func(r *connectionRow) (int64, bool) {
			if r.Socket.Control.BBR == nil {
				return 0, false
			}
			return int64(r.Socket.Control.BBR.Bandwidth), r.Socket.Control.BBR.Bandwidth <= math.MaxInt64
		}),
		number("bbr_min_rtt_us", "Smallest round-trip time that BBR knows, microseconds. NULL if the algorithm is not bbr, or before the first.", func(r *connectionRow) (int64, bool) {
			if r.Socket.Control.BBR == nil {
				return 0, false
			}
			return int64(r.Socket.Control.BBR.MinRTT), r.Socket.Control.BBR.MinRTT != math.MaxUint32
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
	})
	return c.table(h, schema.TableDef[connectionRow]{
		Name: "tcp_congestion",
		Doc:  "Loss recovery, ECN and the congestion control algorithm's own state of TCP connections, as ss -i shows: one row for each row of tcp_info, with its cookie. A number is NULL where the kernel does not report it, and from /proc.",
		Examples: []string{
			"SELECT local_port, remote_address, remote_port, congestion_state, total_rto, dsack_dups, rcv_ooopack FROM tcp_congestion WHERE congestion_state <> 'open'",
			"SELECT congestion_algorithm, count(*) AS connections, sum(reord_seen) AS reordered FROM tcp_congestion GROUP BY 1",
		},
		Columns: columns,
	})
}
