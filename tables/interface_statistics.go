package tables

import (
	"context"
	"iter"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// InterfaceStatistics is the table interface_statistics.
func InterfaceStatistics(h *host.Host) schema.Table {
	netNamespace := netNamespaceColumn(func(l *network.Link) uint32 { return l.Namespace })
	source := sourceColumn("",
		func(l *network.Link) bool { return l.FromProc })
	const notFromProc = " from /proc."
	counter := func(name, doc string, number int, options ...schema.Option) schema.AnyColumn[network.Link] {
		return schema.Nullable(name, doc, func(l *network.Link) (int64, bool) { return l.Counters.Get(number) }, options...)
	}
	netlinkOnly := func(get func(*network.Link) string) func(*network.Link) (string, bool) {
		return func(l *network.Link) (string, bool) { return get(l), !l.FromProc }
	}
	number := func(get func(*network.Link) network.Number) func(*network.Link) (uint32, bool) {
		return func(l *network.Link) (uint32, bool) { return get(l).Value, get(l).Known }
	}
	return schema.Bind(schema.TableDef[network.Link]{
		Name: "interface_statistics",
		Doc:  "Network interfaces of this network namespace, up or not, with all their counters: what netstat -ia and ip -s -s link show, in netstat's order. A counter is NULL if this kernel does not report it, or above 2^63-1.",
		Examples: []string{
			"SELECT interface, rx_packets, tx_packets FROM interface_statistics WHERE flags LIKE '%RU'",
			"SELECT interface, rx_errors, rx_dropped, rx_missed_errors, tx_errors, tx_dropped FROM interface_statistics WHERE rx_errors + rx_dropped + rx_missed_errors + tx_errors + tx_dropped > 0",
			"SELECT l.interface, l.net_namespace, p.interface AS other_end, l.link_namespace FROM interface_statistics l JOIN interface_statistics p ON p.net_namespace = l.link_namespace AND p.interface_index = l.link_index",
		},
		Columns: []schema.AnyColumn[network.Link]{
			schema.NotNull("interface", "Name of the interface.",
				func(l *network.Link) string { return l.Name }, schema.Synonym("name"), schema.Synonym("iface")),
			schema.Nullable("mtu", "Largest packet that the interface carries, bytes. NULL"+notFromProc,
				func(l *network.Link) (uint32, bool) { return l.MTU, !l.FromProc }),
			counter("rx_packets", "Packets received, netstat's RX-OK.", network.RxPackets, schema.Synonym("rx_ok")),
			counter("rx_errors", "Packets received that were bad, netstat's RX-ERR.", network.RxErrors, schema.Synonym("rx_err")),
			counter("rx_drops", "Packets received and dropped, netstat's RX-DRP: rx_dropped and rx_missed_errors, which /proc/net/dev adds up.", network.RxDrops, schema.Synonym("rx_drp")),
			counter("rx_fifo_errors", "Packets lost because a queue of the device overflowed, netstat's RX-OVR.", network.RxFIFOErrors, schema.Synonym("rx_ovr")),
			counter("tx_packets", "Packets sent, netstat's TX-OK.", network.TxPackets, schema.Synonym("tx_ok")),
			counter("tx_errors", "Packets that could not be sent, netstat's TX-ERR.", network.TxErrors, schema.Synonym("tx_err")),
			counter("tx_dropped", "Packets dropped on their way out, netstat's TX-DRP.", network.TxDropped, schema.Synonym("tx_drp")),
			counter("tx_fifo_errors", "Packets not sent because a queue of the device ran empty or over, netstat's TX-OVR.", network.TxFIFOErrors, schema.Synonym("tx_ovr")),
			schema.Nullable("flags", "Flags as letters of netstat -i: A all multicast, B broadcast, D debug, L loopback, M multicast, d dynamic, P promiscuous or point to point (netstat has one letter for both: see flags_number), N no trailers, O no ARP, s slave, m master, R running, U up. Empty"+notFromProc,
				netlinkOnly(func(l *network.Link) string { return l.Flags.Letters() })),
			schema.Nullable("flag_names", "Flags by their names with commas between: UP, BROADCAST, RUNNING, LOWER_UP and others. Empty"+notFromProc,
				netlinkOnly(func(l *network.Link) string { return l.Flags.String() })),
			schema.Nullable("state", "Whether the interface can carry packets (RFC 2863): UP, DOWN, DORMANT, LOWERLAYERDOWN, TESTING, NOTPRESENT; UNKNOWN if its driver does not say. Empty"+notFromProc,
				netlinkOnly(func(l *network.Link) string { return l.State.String() }), namesOf(network.OperState.String)),
			counter("rx_bytes", "Bytes received.", network.RxBytes),
			counter("tx_bytes", "Bytes sent.", network.TxBytes),
			counter("rx_dropped", "Good packets that were dropped because no protocol wanted them, or for lack of memory. NULL"+notFromProc, network.RxDropped),
			counter("rx_missed_errors", "Packets that the device dropped because its host did not fetch them in time. NULL"+notFromProc, network.RxMissedErrors),
			counter("multicast", "Multicast packets received.", network.MulticastPackets),
			counter("collisions", "Collisions when sending.", network.Collisions),
			counter("rx_length_errors", "Packets received with a wrong length. NULL"+notFromProc, network.RxLengthErrors),
			counter("rx_over_errors", "Packets that did not fit in the device's memory. NULL"+notFromProc, network.RxOverErrors),
			counter("rx_crc_errors", "Packets received with a wrong checksum. NULL"+notFromProc, network.RxCRCErrors),
			counter("rx_frame_errors", "Packets received that were not aligned. NULL"+notFromProc, network.RxFrameErrors),
			counter("tx_aborted_errors", "Transmissions given up, such as after too many collisions. NULL"+notFromProc, network.TxAbortedErrors),
			counter("tx_carrier_errors", "Packets not sent because the carrier was lost. NULL"+notFromProc, network.TxCarrierErrors),
			counter("tx_heartbeat_errors", "Missing heartbeats of old Ethernet. NULL"+notFromProc, network.TxHeartbeatErrors),
			counter("tx_window_errors", "Collisions that came too late. NULL"+notFromProc, network.TxWindowErrors),
			counter("rx_compressed", "Compressed packets received.", network.RxCompressed),
			counter("tx_compressed", "Compressed packets sent.", network.TxCompressed),
			counter("rx_nohandler", "Packets dropped because the interface is an inactive part of another (since Linux 4.6). NULL"+notFromProc, network.RxNoHandler),
			schema.Nullable("address", "Address of the link layer, such as the MAC address. Empty if it has none, and"+notFromProc,
				netlinkOnly(func(l *network.Link) string { return network.HardwareAddress(l.Address) })),
			schema.Nullable("type", "Type of the link layer as a number, ARPHRD_* of linux/if_arp.h: 1 for Ethernet, 772 for the loopback. NULL"+notFromProc,
				func(l *network.Link) (uint16, bool) { return l.Type, !l.FromProc }),

			schema.Nullable("interface_index", "Number of the interface. NULL"+notFromProc,
				func(l *network.Link) (uint32, bool) { return l.Index, !l.FromProc }, schema.Hidden),
			schema.Nullable("flags_number", "Flags as a number, IFF_* of linux/if.h. NULL"+notFromProc,
				func(l *network.Link) (uint32, bool) { return uint32(l.Flags), !l.FromProc }, schema.Hidden),
			schema.NotNull("kind", "Kind of a virtual interface, such as veth, bridge or vlan. Empty for others, and"+notFromProc,
				func(l *network.Link) string { return l.Kind }, schema.Hidden),
			schema.NotNull("master", "Interface that this one is part of, such as its bridge. Empty if there is none, and"+notFromProc,
				func(l *network.Link) string { return l.MasterName }, schema.Hidden),
			schema.NotNull("alias", "Text that the administrator gave the interface, ip link set alias. Empty if there is none, and"+notFromProc,
				func(l *network.Link) string { return l.Alias }, schema.Hidden),
			schema.NotNull("altnames", "Its other names, with commas between; a comma in one is \\x2c. Empty if there are none, and"+notFromProc,
				func(l *network.Link) string { return l.OtherNames() }, schema.Hidden),
			schema.Nullable("link_index", "Number of the interface at the other end, such as that of a veth, or of the interface beneath, such as that of a vlan. It is in link_namespace. NULL if there is none, and"+notFromProc,
				func(l *network.Link) (uint32, bool) { return l.Lower, l.Lower != 0 }, schema.Hidden),
			schema.Nullable("link_namespace", "Inode number of the network namespace in which that interface is, as in network_namespaces. Empty if there is none, if no process that may be looked at is there and no file keeps it, and"+notFromProc,
				func(l *network.Link) (string, bool) {
					return strconv.FormatUint(uint64(l.LowerNamespace), 10), l.LowerNamespace != 0
				}, schema.Hidden, schema.Needs(needLower)),
			schema.Nullable("vrf_table", "Routing table of a VRF: table_id of network_routes. NULL for other interfaces, and"+notFromProc,
				func(l *network.Link) (uint32, bool) { return l.VRFTable, l.VRFTable != 0 }, schema.Hidden),
			schema.Nullable("speed", "Speed at which the interface carries packets, Mbit/s. NULL if it is down, if its driver does not say, before Linux 5.6, and"+notFromProc,
				number(func(l *network.Link) network.Number { return l.Speed }), schema.Hidden, schema.Needs(needSpeed)),
			schema.NotNull("duplex", "full if it carries packets both ways at once, else half. Empty where speed is NULL or if the driver does not say.",
				func(l *network.Link) string { return l.Duplex }, schema.Hidden, schema.Needs(needSpeed), words("full", "half")),
			schema.Nullable("promiscuity", "Number of requests that put the interface in promiscuous mode. NULL if the kernel does not report it, and"+notFromProc,
				number(func(l *network.Link) network.Number { return l.Promiscuity }), schema.Hidden),
			schema.NotNull("qdisc", "Queueing discipline, such as fq_codel. Empty"+notFromProc,
				func(l *network.Link) string { return l.Queueing }, schema.Hidden),
			schema.Nullable("qdisc_length", "Packets that may wait to be sent, txqueuelen. NULL"+notFromProc,
				number(func(l *network.Link) network.Number { return l.QueueLength }), schema.Hidden),
			schema.Nullable("carrier_changes", "Times that the carrier came or went. NULL if the kernel does not report it, and"+notFromProc,
				number(func(l *network.Link) network.Number { return l.CarrierChanges }), schema.Hidden),
			counter("rx_otherhost_dropped", "Packets dropped because they were for another host (since Linux 6.0). NULL"+notFromProc, network.RxOtherHostDropped, schema.Hidden),
			counter("rx_frame", "Sum of rx_length_errors, rx_over_errors, rx_crc_errors and rx_frame_errors, which /proc/net/dev and ifconfig call frame.", network.RxFrame, schema.Hidden),
			counter("tx_carrier", "Sum of tx_carrier_errors, tx_aborted_errors, tx_window_errors and tx_heartbeat_errors, which /proc/net/dev and ifconfig call carrier.", network.TxCarrier, schema.Hidden),
			source, netNamespace,
		},
		RowID: func(l *network.Link) int64 { return l.ID() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[network.Link, error] {
			return h.Links(ctx, host.LinkFilter{Namespaces: namespaces(netNamespace, q), Sources: sources(source, q), Lower: q.Needs(needLower), Speed: q.Needs(needSpeed)})
		},
	})
}
