package tables

import (
	"context"
	"iter"
	"math"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type udpRow = row[sock.UDP]

// UDPSockets is the table udp_sockets.
func UDPSockets(h *host.Host) schema.Table {
	inet := newInetColumns[sock.UDP](schema.Pushed, datagramDocs, "")
	return inet.bind(h, schema.TableDef[udpRow]{
		Name: "udp_sockets",
		Doc:  "UDP and UDP-Lite sockets of this network namespace, IPv4 and IPv6: what netstat -auU shows.",
		Examples: []string{
			"SELECT proto, local_address, local_port, local_service, pid, program FROM udp_sockets WHERE listening = 1",
			"SELECT local_port, sum(drops) AS dropped FROM udp_sockets GROUP BY local_port HAVING dropped > 0",
		},
		Columns: append([]schema.AnyColumn[udpRow]{
			inet.proto, inet.recvQ, inet.sendQ,
			inet.localAddress, inet.localPort, inet.remoteAddress, inet.remotePort,
			schema.NotNull("state", "ESTABLISHED if the socket is connected to one peer, else empty, as in netstat.",
				func(r *udpRow) string {
					if r.Socket.State == sock.Close {
						return ""
					}
					return r.Socket.State.String()
				}, words("ESTABLISHED")),
			inet.uid, inet.username, inet.inode, inet.pid, inet.program,
			schema.NotNull("drops", "Datagrams that were dropped at this socket, because its receive queue was full or a checksum was wrong.",
				func(r *udpRow) int64 { return int64(min(r.Socket.Drops, math.MaxInt64)) }, schema.Needs(needMemory)),
			listeningColumn("has a port and takes datagrams from anyone",
				func(r *udpRow) bool {
					return r.Socket.State == sock.Close && r.Socket.Local.Port() != 0 && r.Socket.Remote.Port() == 0
				}),
			inet.localService, inet.remoteService, inet.localScope, inet.remoteScope,
			inet.family, inet.protocol, inet.cookie,
		}, append(inet.hidden, inet.details...)...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.UDP, error] {
		return h.UDP(ctx, inet.filter(q))
	})
}
