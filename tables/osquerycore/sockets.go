package osquerycore

import (
	"context"
	"iter"
	"math"
	"net/netip"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/holders"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// socketRow is a socket of one process, or of none.
type socketRow struct {
	id            int64 // of the socket
	common        sock.Common
	family        int32
	protocol      int32
	local, remote netip.AddrPort
	path          string
	state         string
	pid           int32 // -1 if no process is known
	fd            int64
}

const (
	noPID    = -1
	rawProto = 255 // IPPROTO_RAW, which osquery shows of every raw socket
)

// protocols are those that osquery lists.
var protocols = []sock.Protocol{sock.ProtoTCP, sock.ProtoUDP, sock.ProtoUDPLite}

func inetRow(s *sock.Inet, id int64) socketRow {
	return socketRow{id: id, common: s.Common, family: int32(s.Family), protocol: int32(s.Protocol), local: s.Local, remote: s.Remote}
}

// stateWord is osquery's name of a TCP state.
func stateWord(s sock.State) string {
	switch {
	case s == sock.Close:
		return "CLOSED"
	case s == 0 || s > sock.Closing:
		return "UNKNOWN"
	}
	return s.String()
}

// sockets streams the sockets of the whole host that osquery lists, without processes.
func (m *machine) sockets(ctx context.Context) iter.Seq2[socketRow, error] {
	all := host.Namespaces{All: true}
	return func(yield func(socketRow, error) bool) {
		for s, err := range m.TCP(ctx, host.InetFilter{Namespaces: all, Protocols: protocols}) {
			var r socketRow
			if err == nil {
				r = inetRow(&s.Inet, s.ID())
				r.state = stateWord(s.State)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		for s, err := range m.UDP(ctx, host.InetFilter{Namespaces: all, Protocols: protocols}) {
			var r socketRow
			if err == nil {
				r = inetRow(&s.Inet, s.ID())
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		for s, err := range m.Raw(ctx, all) {
			var r socketRow
			if err == nil {
				if s.Ping && s.Family != sock.INET {
					continue // osquery has no list of these
				}
				// In the place of a port the kernel's list has the protocol, or the
				// identifier of a ping socket.
				r = inetRow(&s.Inet, s.ID())
				port := s.IPProtocol
				if r.protocol = rawProto; s.Ping {
					r.protocol, port = int32(sock.ProtoICMP), s.Identifier
				}
				r.local = netip.AddrPortFrom(s.Local.Addr(), port)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		for s, err := range m.Unix(ctx, host.UnixFilter{Namespaces: all, Path: true}) {
			var r socketRow
			if err == nil {
				r = socketRow{id: s.ID(), common: s.Common, family: int32(sock.UNIX), path: s.Path}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		for s, err := range m.Packet(ctx, host.PacketFilter{Namespaces: all}) {
			var r socketRow
			if err == nil {
				r = socketRow{id: s.ID(), common: s.Common, family: int32(sock.PACKET), protocol: int32(s.Protocol)}
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// held streams the sockets with the processes that have them open: a row for each
// process, by its lowest descriptor. With pids those of these processes alone.
func (m *machine) held(ctx context.Context, pids []int32) iter.Seq2[socketRow, error] {
	return func(yield func(socketRow, error) bool) {
		if slices.Contains(pids, noPID) {
			pids = nil
		}
		of := make(map[uint64][]holders.Holder)
		all, err := m.Holders(ctx, holders.Filter{PIDs: pids})
		if err != nil {
			yield(socketRow{}, err)
			return
		}
		for _, h := range all { // sorted by inode, process and file
			if known := of[h.Inode]; len(known) == 0 || known[len(known)-1].PID != h.PID {
				of[h.Inode] = append(known, h)
			}
		}
		for r, err := range m.sockets(ctx) {
			if err != nil {
				yield(r, err)
				return
			}
			known := of[r.common.Inode]
			if r.common.Inode == 0 {
				known = nil
			}
			for _, h := range known {
				r.pid, r.fd = h.PID, int64(h.FD)
				if !yield(r, nil) {
					return
				}
			}
			if len(known) == 0 && pids == nil {
				if r.pid, r.fd = noPID, noPID; !yield(r, nil) {
					return
				}
			}
		}
	}
}

// socketID is the identity of a row.
func socketID(r *socketRow) int64 {
	return sock.Hash(0).Add(uint64(r.common.Namespace)).Add(uint64(r.id)).Add(uint64(uint32(r.pid))).ID()
}

func heldPID() *schema.Column[socketRow, int32] {
	return schema.NotNull("pid", "Process that has the socket open; -1 if none is known.", func(r *socketRow) int32 { return r.pid }, schema.Pushed)
}

func inode(r *socketRow) int64 { return int64(min(r.common.Inode, math.MaxInt64)) }

func namespace(r *socketRow) string { return digits(uint64(r.common.Namespace)) }

const heldDoc = " A socket that several processes have open has a row for each; osquery shows one of them. osquery lists the sockets of the namespace of processes that it may not look at a second time, with net_namespace 0, and almost none where a list of /proc/net is larger than 50 MB."

func processOpenSockets(m *machine) schema.Table {
	pid := heldPID()
	return schema.Bind(schema.TableDef[socketRow]{
		Name: "process_open_sockets",
		Doc:  "osquery's table of the sockets of the whole host: TCP, UDP, UDP-Lite, raw, ping, unix and packet." + heldDoc,
		Examples: []string{
			"SELECT pid, remote_address, remote_port, state FROM process_open_sockets WHERE family IN (2, 10) AND remote_port != 0",
		},
		Columns: []schema.AnyColumn[socketRow]{
			pid,
			schema.NotNull("fd", "Lowest file descriptor of the process for the socket; -1 if no process is known.", func(r *socketRow) int64 { return r.fd }),
			schema.NotNull("socket", "Inode of the socket; 0 if it has none.", inode),
			schema.NotNull("family", "Address family: 2 IPv4, 10 IPv6, also with IPv4 addresses mapped into it, 1 unix, 17 packet.", func(r *socketRow) int32 { return r.family }),
			schema.NotNull("protocol", "Protocol: 6 TCP, 17 UDP, 136 UDP-Lite, 1 ping, 255 raw; 0 for unix; of packet sockets the EtherType.", func(r *socketRow) int32 { return r.protocol }),
			schema.NotNull("local_address", "Local address. Empty for unix and packet.", func(r *socketRow) netip.Addr { return r.local.Addr() }),
			schema.NotNull("remote_address", "Remote address. Empty for unix and packet.", func(r *socketRow) netip.Addr { return r.remote.Addr() }),
			schema.NotNull("local_port", "Local port; of a raw socket its IP protocol.", func(r *socketRow) int32 { return int32(r.local.Port()) }),
			schema.NotNull("remote_port", "Remote port.", func(r *socketRow) int32 { return int32(r.remote.Port()) }),
			schema.NotNull("path", "Path of a unix socket, with its blanks; osquery cuts it at the first.", func(r *socketRow) string { return r.path }),
			schema.NotNull("state", "State of TCP in osquery's words: ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSED CLOSE_WAIT LAST_ACK LISTEN CLOSING UNKNOWN. Empty for others.", func(r *socketRow) string { return r.state }),
			schema.NotNull("net_namespace", "Inode number of the network namespace, as text; 0 if it is not known.", namespace),
		},
		RowID: socketID,
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[socketRow, error] {
			return m.held(ctx, pid.Values(q))
		},
	})
}

// listens reports whether a socket is one of listening_ports.
func (r *socketRow) listens() bool {
	switch r.family {
	case int32(sock.UNIX):
		return r.path != ""
	case int32(sock.INET), int32(sock.INET6):
		return r.remote.Port() == 0
	}
	return true
}

func listeningPorts(m *machine) schema.Table {
	pid := heldPID()
	unix := func(r *socketRow) bool { return r.family == int32(sock.UNIX) }
	return schema.Bind(schema.TableDef[socketRow]{
		Name: "listening_ports",
		Doc:  "osquery's table of the sockets of the whole host that have no remote port, listening or not, of packet sockets, and of unix sockets with a path. listening_services has what really listens." + heldDoc,
		Examples: []string{
			"SELECT l.address, l.port, l.protocol, p.name FROM listening_ports l LEFT JOIN processes p USING (pid) WHERE l.family IN (2, 10)",
		},
		Columns: []schema.AnyColumn[socketRow]{
			pid,
			schema.NotNull("port", "Local port; 0 for unix and packet.", func(r *socketRow) int32 { return int32(r.local.Port()) }),
			schema.NotNull("protocol", "Protocol, as in process_open_sockets.", func(r *socketRow) int32 { return r.protocol }),
			schema.NotNull("family", "Address family, as in process_open_sockets.", func(r *socketRow) int32 { return r.family }),
			schema.NotNull("address", "Local address. Empty for unix and packet.", func(r *socketRow) netip.Addr { return r.local.Addr() }),
			schema.NotNull("fd", "Lowest file descriptor of the process for the socket; -1 if no process is known.", func(r *socketRow) int64 { return r.fd }),
			schema.NotNull("socket", "Inode of the socket; 0 for unix, as in osquery.", func(r *socketRow) int64 {
				if unix(r) {
					return 0
				}
				return inode(r)
			}),
			schema.NotNull("path", "Path of a unix socket.", func(r *socketRow) string { return r.path }),
			schema.NotNull("net_namespace", "Inode number of the network namespace, as text; 0 if it is not known.", namespace),
		},
		RowID: socketID,
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[socketRow, error] {
			return func(yield func(socketRow, error) bool) {
				for r, err := range m.held(ctx, pid.Values(q)) {
					if err == nil && !r.listens() {
						continue
					}
					if !yield(r, err) || err != nil {
						return
					}
				}
			}
		},
	})
}
