package tables

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type netlinkRow = row[sock.Netlink]

// NetlinkSockets is the table netlink_sockets.
func NetlinkSockets(h *host.Host) schema.Table {
	owner := newOwnerColumns[sock.Netlink]("")
	return owner.bind(h, schema.TableDef[netlinkRow]{
		Name: "netlink_sockets",
		Doc:  "Netlink sockets of this network namespace, through which programs ask the kernel for routes, rules, sockets and much else, change them, and listen for events: what ss -f netlink -a shows. The kernel lists only sockets that have been used.",
		Examples: []string{
			"SELECT protocol_name, groups, pid, program FROM netlink_sockets WHERE groups <> '0x00000000'",
			"SELECT pid, program, protocol_name, drops FROM netlink_sockets WHERE drops > 0",
		},
		Columns: append([]schema.AnyColumn[netlinkRow]{
			schema.NotNull("protocol", "What the socket is for, as a number: 0 for routes, addresses and interfaces, 9 for audit; NETLINK_* of linux/netlink.h.",
				func(r *netlinkRow) uint8 { return uint8(r.Socket.Protocol) }),
			schema.NotNull("protocol_name", "Name of that protocol: route, sock_diag, audit, kobject_uevent, generic, xfrm, netfilter and others. An unknown protocol is its number.",
				func(r *netlinkRow) string { return r.Socket.Protocol.String() }),
			schema.NotNull("port_id", "The socket's address, which is often the number of its process, but need not be: see pid. 0 for the kernel's own sockets, and for a socket that listens without having been bound.",
				func(r *netlinkRow) uint32 { return r.Socket.PortID }),
			schema.NotNull("groups", "Multicast groups that the socket listens to, as a hexadecimal number whose lowest bit is group 1, such as 0x00000011 for groups 1 and 5; 0x00000000 for none. /proc leaves out groups above 32.",
				func(r *netlinkRow) string { return r.Socket.Groups.String() }),
			schema.Nullable("recv_q", "Kernel memory of the messages that wait to be read, in bytes and with its overhead.",
				netlinkKnown(sock.KnowsNetlinkQueues, func(r *netlinkRow) uint32 { return r.Socket.RecvQueue })),
			schema.Nullable("send_q", "Kernel memory of the messages sent and not yet read, in bytes and with its overhead.",
				netlinkKnown(sock.KnowsNetlinkQueues, func(r *netlinkRow) uint32 { return r.Socket.SendQueue })),
			schema.Nullable("dump", "1 if the program has not yet read a requested list to its end, else 0.",
				netlinkKnown(sock.KnowsNetlinkDump, func(r *netlinkRow) bool { return r.Socket.Dump })),
			schema.Nullable("drops", "Messages that were lost because the receive queue was full.",
				netlinkKnown(sock.KnowsNetlinkDrops, func(r *netlinkRow) uint32 { return r.Socket.Drops })),
			owner.inode, owner.pid, owner.program,
			schema.Nullable("no_enobufs", "1 if the program asks for no errors about lost messages (NETLINK_NO_ENOBUFS), else 0. NULL from /proc.",
				netlinkKnown(sock.KnowsNetlinkOptions, func(r *netlinkRow) bool { return r.Socket.NoENOBUFS }), schema.Hidden),
			schema.Nullable("listen_all_namespaces", "1 if the socket gets the messages of other network namespaces too (NETLINK_LISTEN_ALL_NSID), else 0. NULL as for no_enobufs.",
				netlinkKnown(sock.KnowsNetlinkOptions, func(r *netlinkRow) bool { return r.Socket.ListenAll }), schema.Hidden),
			schema.Nullable("ref_count", "References that the kernel holds to the socket. NULL for a socket that listens without having been bound, which /proc does not list.",
				netlinkKnown(sock.KnowsNetlinkRefCount, func(r *netlinkRow) uint32 { return r.Socket.RefCount }), schema.Hidden),
			listeningColumn("listens to multicast groups",
				func(r *netlinkRow) bool { return !r.Socket.Groups.Empty() }, schema.Hidden),
			owner.cookieColumn(""),
		}, owner.hidden...),
	}, func(ctx context.Context, q schema.Query) iter.Seq2[*sock.Netlink, error] {
		return h.Netlink(ctx, namespaces(owner.netNamespace, q))
	})
}

// netlinkKnown is an accessor that is absent unless the field is known.
func netlinkKnown[V schema.Value](field sock.NetlinkKnown, get func(*netlinkRow) V) func(*netlinkRow) (V, bool) {
	return func(r *netlinkRow) (V, bool) { return get(r), r.Socket.Known&field != 0 }
}
