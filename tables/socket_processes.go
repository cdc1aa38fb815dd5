package tables

import (
	"context"
	"iter"
	"math"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/container"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/holders"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type holderRow struct {
	holders.Holder
	processes *process.Cache
	kinds     map[uint64]socketKind
}

type socketKind struct {
	family   sock.Family
	protocol sock.Protocol // 0 of unix sockets
}

// SocketProcesses is the table socket_processes.
func SocketProcesses(h *host.Host) schema.Table {
	inode := schema.Nullable("inode", "Inode of the socket, as in the links /proc/PID/fd/N.",
		func(r *holderRow) (int64, bool) { return int64(r.Inode), r.Inode <= math.MaxInt64 }, schema.Synonym("socket"), schema.Pushed)
	pid := schema.NotNull("pid", "Process that has the socket open.",
		func(r *holderRow) int32 { return r.PID }, schema.Pushed)
	of := func(r *holderRow) *process.Process { return r.processes.Get(r.PID) }
	return schema.Bind(schema.TableDef[holderRow]{
		Name: "socket_processes",
		Doc:  "Processes that have sockets of any kind open: one row for each file descriptor. Without root the table has only this user's processes.",
		Examples: []string{
			"SELECT pid, program, count(*) AS sockets FROM socket_processes GROUP BY pid ORDER BY sockets DESC LIMIT 10",
			"SELECT p.pid, p.program, t.local_port FROM tcp_sockets t JOIN socket_processes p ON p.inode = t.inode WHERE t.state = 'LISTEN'",
		},
		Columns: append([]schema.AnyColumn[holderRow]{
			inode, pid,
			schema.NotNull("fd", "File descriptor by which the process has the socket open.",
				func(r *holderRow) int32 { return r.FD }),
			schema.NotNull("program", "Its name as netstat shows it: argv[0] without the directories of an absolute path, or the kernel's name if there is no argv[0].",
				func(r *holderRow) string { return of(r).Program() }),
			schema.NotNull("exe", "Path of its executable file. Empty if unknown.",
				func(r *holderRow) string { return of(r).Exe() }),
			schema.NotNull("cmdline", "Its command line, the arguments separated by blanks. Empty if unknown.",
				func(r *holderRow) string { return strings.Join(of(r).Args(), " ") }),
			schema.Nullable("family", "Address family of the socket as a number: 1 for unix, 2 for IPv4, 10 for IPv6, 16 for netlink, 17 for packet sockets. NULL for a socket of another kind, such as SCTP and vsock, or of another network namespace.",
				func(r *holderRow) (uint8, bool) { k, ok := r.kinds[r.Inode]; return uint8(k.family), ok }, schema.Needs(needKinds)),
			schema.Nullable("protocol", "IP protocol of the socket as a number: 6 for TCP, 17 for UDP, 136 for UDP-Lite. NULL for unix sockets, and as for family.",
				func(r *holderRow) (uint16, bool) {
					k := r.kinds[r.Inode]
					return uint16(k.protocol), k.protocol != 0
				}, schema.Needs(needKinds)),
		}, append(processColumns(of, "uid"), containerColumns(func(r *holderRow) container.Container { return of(r).Container() }, "the process's container")...)...),
		RowID: func(r *holderRow) int64 {
			return sock.Hash(0).Add(r.Inode).Add(uint64(r.PID)).Add(uint64(r.FD)).ID() // threads may have two files of a number
		},
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[holderRow, error] {
			return func(yield func(holderRow, error) bool) {
				f := holders.Filter{PIDs: pid.Values(q)}
				for _, number := range inode.Values(q) {
					f.Inodes = append(f.Inodes, uint64(number))
				}
				all, err := h.Holders(ctx, f)
				if err != nil {
					yield(holderRow{}, err)
					return
				}
				row := holderRow{processes: h.Processes()}
				if q.Needs(needKinds) {
					if row.kinds, err = kinds(ctx, h); err != nil {
						yield(holderRow{}, err)
						return
					}
				}
				for _, row.Holder = range all {
					if !yield(row, nil) {
						return
					}
					if err := row.processes.Err(); err != nil {
						yield(holderRow{}, err)
						return
					}
				}
			}
		},
	})
}

// kinds returns what the sockets of this namespace are, by their inode.
func kinds(ctx context.Context, h *host.Host) (map[uint64]socketKind, error) {
	all := make(map[uint64]socketKind)
	inet := func(s *sock.Inet) socketKind { return socketKind{s.Family, s.Protocol} }
	// Not unix sockets without an inode, for which /proc would be read too.
	const held = sock.AllUnixStates &^ (1<<sock.UnixConnecting | 1<<sock.UnixDisconnecting)
	for _, add := range []func() error{
		func() error {
			return addKinds(all, h.TCP(ctx, host.InetFilter{}), func(s *sock.TCP) socketKind { return inet(&s.Inet) })
		},
		func() error {
			return addKinds(all, h.UDP(ctx, host.InetFilter{}), func(s *sock.UDP) socketKind { return inet(&s.Inet) })
		},
		func() error {
			return addKinds(all, h.Unix(ctx, host.UnixFilter{States: held}), func(*sock.Unix) socketKind { return socketKind{family: sock.UNIX} })
		},
		func() error {
			return addKinds(all, h.Raw(ctx, host.Namespaces{}), func(s *sock.RawIP) socketKind { return socketKind{s.Family, sock.Protocol(s.IPProtocol)} })
		},
		func() error {
			return addKinds(all, h.Packet(ctx, host.PacketFilter{}), func(*sock.Packet) socketKind { return socketKind{family: sock.PACKET} })
		},
		func() error {
			return addKinds(all, h.Netlink(ctx, host.Namespaces{}), func(*sock.Netlink) socketKind { return socketKind{family: sock.NETLINK} })
		},
	} {
		if err := add(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// addKinds adds what sockets are, by their inode.
func addKinds[S any, P socket[S]](all map[uint64]socketKind, sockets iter.Seq2[*S, error], kind func(P) socketKind) error {
	for s, err := range sockets {
		if err != nil {
			return err
		}
		all[P(s).Base().Inode] = kind(s)
	}
	return nil
}
