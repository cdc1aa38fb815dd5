package tables

import (
	"context"
	"iter"
	"math"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type rawRow = row[sock.RawIP]

// RawSockets is the table raw_sockets.
func RawSockets(h *host.Host) schema.Table {
	inet := newInetColumns[sock.RawIP](unpushed, datagramDocs, "")
	return inet.bind(h, schema.TableDef[rawRow]{
		Name: "raw_sockets",
		Doc:  "Raw sockets of this network namespace, which get a copy of each packet of an IP protocol and send what they like: what netstat -aw shows; and ping sockets, which netstat does not show. Both come from /proc.",
		Examples: []string{
			"SELECT proto, ip_protocol, ip_protocol_name, local_address, username, pid, program FROM raw_sockets WHERE proto LIKE 'raw%'",
			"SELECT proto, icmp_identifier, remote_address, pid, program FROM raw_sockets WHERE proto LIKE 'icmp%'",
		},
		Columns: append([]schema.AnyColumn[rawRow]{
			schema.NotNull("proto", "The kernel's list of such sockets: raw, raw6, which are netstat's words; icmp, icmp6 for ping sockets.",
				func(r *rawRow) string { return r.Socket.Proto() }, words("raw", "raw6", "icmp", "icmp6")),
			inet.recvQ, inet.sendQ,
			inet.localAddress, inet.remoteAddress,
			schema.NotNull("ip_protocol", "IP protocol of the packets as a number, such as 1 for ICMP, 58 for ICMPv6; netstat shows it in place of a port. A raw socket with 255 sends any and gets none.",
				func(r *rawRow) uint16 { return r.Socket.IPProtocol }, schema.Synonym("protocol")),
			schema.NotNull("ip_protocol_name", "Name of that protocol in the protocols file (/etc/protocols). Empty if it has none.",
				func(r *rawRow) string { return r.lookups.protocols.Name(r.Socket.IPProtocol) }, schema.Needs(needProtocols)),
			schema.Nullable("icmp_identifier", "Identifier in the ICMP echo requests that a ping socket sends, by which it gets the replies; 0 before the first one. NULL for raw sockets.",
				func(r *rawRow) (uint16, bool) { return r.Socket.Identifier, r.Socket.Ping }),
			schema.NotNull("state", "ESTABLISHED if the socket is connected to one peer, else empty. netstat shows the kernel's numbers for that, 1 and 7.",
				func(r *rawRow) string {
					if r.Socket.State == sock.Close {
						return ""
					}
					return r.Socket.State.String()
				}, words("ESTABLISHED")),
			inet.uid, inet.username, inet.inode, inet.pid, inet.program,
			schema.NotNull("drops", "Packets that were dropped at this socket, because its receive queue was full or a check failed.",
				func(r *rawRow) int64 { return int64(min(r.Socket.Drops, math.MaxInt64)) }),
			listeningColumn("gets each packet of its IP protocol, from anyone: it is not connected, no ping socket, and its protocol is not 255",
				func(r *rawRow) bool {
					return !r.Socket.Ping && r.Socket.IPProtocol != sock.ProtoRaw && r.Socket.Remote.Addr().IsUnspecified()
				}, schema.Hidden),
			inet.localScope, inet.remoteScope, inet.family,
		}, inet.hidden...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.RawIP, error] {
		return h.Raw(ctx, namespaces(inet.netNamespace, q))
	})
}
