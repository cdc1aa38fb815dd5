package tables

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type mptcpRow = row[sock.MPTCP]

// MPTCPSockets is the table mptcp_sockets.
func MPTCPSockets(h *host.Host) schema.Table { return mptcpTable(h, h.MPTCP) }

// mptcpTable is the table of the sockets that read streams.
func mptcpTable(h *host.Host, read func(context.Context, host.InetFilter) iter.Seq2[*sock.MPTCP, error]) schema.Table {
	inet := newInetColumns[sock.MPTCP](schema.Pushed, tcpDocs, noFile)
	inet.proto = schema.NotNull("proto", "mptcp, or mptcp6 for a socket of the IPv6 family.",
		func(r *mptcpRow) string { return sock.Proto(r.Socket.Family, r.Socket.Protocol) }, schema.Pushed, words("mptcp", "mptcp6"))
	inet.recvQ = schema.NotNull("recv_q", "Bytes received and not yet read by the program, with the kernel's overhead; for a listener the connections that wait to be accepted.",
		func(r *mptcpRow) uint32 { return r.Socket.RecvQueue })
	inet.sendQ = schema.NotNull("send_q", "Bytes that the network layer holds, with the kernel's overhead; for a listener how many connections may wait to be accepted.",
		func(r *mptcpRow) uint32 { return r.Socket.SendQueue })
	state := schema.NotNull("state", "State as netstat names TCP's: ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING. An unknown state is its number.",
		func(r *mptcpRow) string { return r.Socket.State.String() }, schema.Pushed, namesOf(sock.State.String))
	listening := listeningColumn("waits for connections: its state is LISTEN",
		func(r *mptcpRow) bool { return r.Socket.State == sock.Listen }, schema.Hidden, schema.Pushed)
	return inet.bind(h, schema.TableDef[mptcpRow]{
		Name: "mptcp_sockets",
		Doc:  "Multipath TCP sockets of this network namespace, IPv4 and IPv6: what ss -aM shows. A row is a connection as its program sees it, or a listener; the TCP connections that it runs over are in tcp_sockets. Only sock_diag lists them (Linux 5.9): the table fails if there are some and the kernel's module mptcp_diag is missing.",
		Examples: []string{
			"SELECT local_address, local_port, pid, program FROM mptcp_sockets WHERE state = 'LISTEN'",
			"SELECT remote_address, remote_port, subflows, fallback, token FROM mptcp_sockets WHERE state = 'ESTABLISHED'",
		},
		Columns: append(append([]schema.AnyColumn[mptcpRow]{
			inet.proto, inet.recvQ, inet.sendQ,
			inet.localAddress, inet.localPort, inet.remoteAddress, inet.remotePort,
			state,
			inet.uid, inet.username, inet.inode, inet.pid, inet.program,
		}, mptcpColumns()...), append(append([]schema.AnyColumn[mptcpRow]{
			inet.localService, inet.remoteService, inet.localScope, inet.remoteScope,
			inet.family, inet.protocol, listening, inet.cookie,
		}, inet.hidden...), inet.details...)...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.MPTCP, error] {
		filter := inet.filter(q)
		filter.States = states(state.Values(q))
		if onlyListening(listening, q) {
			filter.States = 1 << sock.Listen
		}
		filter.Info = true
		return read(ctx, filter)
	})
}

// mptcpColumns are the columns of struct mptcp_info.
func mptcpColumns() (columns []schema.AnyColumn[mptcpRow]) {
	first := mptcpInfo(sock.KnowsMPTCP, "NULL for a listener.")
	columns = append(columns,
		schema.Nullable("token", "Token of the connection, by which the kernel finds it and subflows join it: eight hexadecimal digits. Empty for a listener.",
			func(r *mptcpRow) (string, bool) {
				return fmt.Sprintf("%08x", r.Socket.Info.Token), r.Socket.Info.Known&sock.KnowsMPTCP != 0
			}),
		first("subflows", "TCP connections beside the first.", func(i *sock.MPTCPInfo) int64 { return int64(i.Subflows) }),
		first("add_addr_signal", "Addresses signalled to the peer.", func(i *sock.MPTCPInfo) int64 { return int64(i.AddressesSignalled) }),
		first("add_addr_accepted", "Addresses that the peer signalled and the kernel accepted.", func(i *sock.MPTCPInfo) int64 { return int64(i.AddressesAccepted) }),
		first("fallback", "1 if the connection fell back to plain TCP, such as with a peer without MPTCP; else 0.", func(i *sock.MPTCPInfo) int64 { return bit(i.Fallback) }),
		first("remote_key", "1 if the peer's key was received, else 0.", func(i *sock.MPTCPInfo) int64 { return bit(i.RemoteKey) }, schema.Hidden),
		first("subflows_max", "Limit of subflows. This and the other limits are 0 if a program manages the paths.", func(i *sock.MPTCPInfo) int64 { return int64(i.MaxSubflows) }, schema.Hidden),
		first("add_addr_signal_max", "Limit of add_addr_signal.", func(i *sock.MPTCPInfo) int64 { return int64(i.MaxAddressesSignalled) }, schema.Hidden),
		first("add_addr_accepted_max", "Limit of add_addr_accepted.", func(i *sock.MPTCPInfo) int64 { return int64(i.MaxAddressesAccepted) }, schema.Hidden),
	)
	for _, c := range []struct {
		name, doc string
		get       func(*sock.MPTCPInfo) uint64
	}{
		{"write_seq", "Sequence number of the next byte that the program sends", func(i *sock.MPTCPInfo) uint64 { return i.WriteSeq }},
		{"snd_una", "Sequence number of the first byte that the peer has not acknowledged", func(i *sock.MPTCPInfo) uint64 { return i.SentUnacked }},
		{"rcv_nxt", "Sequence number of the next byte that the peer is expected to send", func(i *sock.MPTCPInfo) uint64 { return i.Next }},
	} {
		columns = append(columns, schema.Nullable(c.name, c.doc+", 64 bits as hexadecimal digits without leading zeros, as ss shows it. Empty for a listener.",
			func(r *mptcpRow) (string, bool) {
				return fmt.Sprintf("%x", c.get(&r.Socket.Info)), r.Socket.Info.Known&sock.KnowsMPTCP != 0
			}, schema.Hidden))
	}
	local := mptcpInfo(sock.KnowsMPTCPLocal, "NULL for a listener, and before Linux 5.14.")
	bytes := mptcpInfo(sock.KnowsMPTCPBytes, "NULL for a listener, and before Linux 6.5.")
	total := mptcpInfo(sock.KnowsMPTCPTotal, "NULL for a listener, and before Linux 6.8.")
	last := mptcpInfo(sock.KnowsMPTCPLast, "NULL for a listener, and before Linux 6.10.")
	return append(columns,
		local("local_addr_used", "Local addresses in use beside the first.", func(i *sock.MPTCPInfo) int64 { return int64(i.LocalAddresses) }, schema.Hidden),
		local("local_addr_max", "Limit of local_addr_used.", func(i *sock.MPTCPInfo) int64 { return int64(i.MaxLocalAddresses) }, schema.Hidden),
		local("csum_enabled", "1 if data carry a checksum of MPTCP, else 0.", func(i *sock.MPTCPInfo) int64 { return bit(i.Checksum) }, schema.Hidden),
		bytes("retransmits", "Times in a row that the peer did not acknowledge data in time.", func(i *sock.MPTCPInfo) int64 { return int64(i.Retransmits) }, schema.Hidden),
		bytes("bytes_retrans", "Bytes sent again.", func(i *sock.MPTCPInfo) int64 { return signed(i.BytesRetransmitted) }, schema.Hidden),
		bytes("bytes_sent", "Bytes sent, retransmissions not included.", func(i *sock.MPTCPInfo) int64 { return signed(i.BytesSent) }, schema.Hidden),
		bytes("bytes_received", "Bytes received.", func(i *sock.MPTCPInfo) int64 { return signed(i.BytesReceived) }, schema.Hidden),
		bytes("bytes_acked", "Bytes sent that the peer has acknowledged.", func(i *sock.MPTCPInfo) int64 { return signed(i.BytesAcked) }, schema.Hidden),
		total("subflows_total", "TCP connections, the first included.", func(i *sock.MPTCPInfo) int64 { return int64(i.TotalSubflows) }, schema.Hidden),
		last("last_data_sent_ms", "Milliseconds since data were sent.", func(i *sock.MPTCPInfo) int64 { return int64(i.LastDataSent) }, schema.Hidden),
		last("last_data_recv_ms", "Milliseconds since data were received.", func(i *sock.MPTCPInfo) int64 { return int64(i.LastDataReceived) }, schema.Hidden),
		last("last_ack_recv_ms", "Milliseconds since an acknowledgement was received.", func(i *sock.MPTCPInfo) int64 { return int64(i.LastAckReceived) }, schema.Hidden),
	)
}

// mptcpInfo declares columns of numbers that are absent unless the kernel reported
// their group of fields.
func mptcpInfo(group sock.MPTCPKnown, absent string) func(name, doc string, get func(*sock.MPTCPInfo) int64, options ...schema.Option) schema.AnyColumn[mptcpRow] {
	return func(name, doc string, get func(*sock.MPTCPInfo) int64, options ...schema.Option) schema.AnyColumn[mptcpRow] {
		return schema.Nullable(name, doc+" "+absent,
			func(r *mptcpRow) (int64, bool) { return get(&r.Socket.Info), r.Socket.Info.Known&group != 0 },
			options...)
	}
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// signed is for counters that never come near the limit.
func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
