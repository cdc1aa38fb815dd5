package tables

import (
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// All returns every table of the host, sorted by name.
func All(h *host.Host) []schema.Table {
	lazy := func(name string, table func(*host.Host) schema.Table) schema.Table {
		return schema.Lazy(name, func() schema.Table { return table(h) })
	}
	return []schema.Table{
		lazy("approved_listeners", ApprovedListeners),
		lazy("interface_statistics", InterfaceStatistics),
		lazy("ip_protocols", IPProtocols),
		lazy("legacy_sockets", LegacySockets),
		lazy("listening_services", ListeningServices),
		lazy("masqueraded_connections", MasqueradedConnections),
		lazy("mptcp_sockets", MPTCPSockets),
		lazy("multicast_groups", MulticastGroups),
		lazy("neighbors", Neighbors),
		lazy("netlink_sockets", NetlinkSockets),
		lazy("network_addresses", NetworkAddresses),
		lazy("network_namespaces", NetworkNamespaces),
		lazy("network_routes", NetworkRoutes),
		lazy("nexthops", NextHops),
		lazy("packet_sockets", PacketSockets),
		lazy("protocol_statistics", ProtocolStatistics),
		lazy("raw_sockets", RawSockets),
		lazy("routing_rules", RoutingRules),
		lazy("sctp_sockets", SCTPSockets),
		lazy("socket_processes", SocketProcesses),
		lazy("socket_sources", SocketSources),
		lazy("socket_summary", SocketSummary),
		lazy("tcp_congestion", TCPCongestion),
		lazy("tcp_info", TCPInfo),
		lazy("tcp_sockets", TCPSockets),
		lazy("tcp_ulp", TCPULP),
		lazy("tracked_connections", TrackedConnections),
		lazy("udp_sockets", UDPSockets),
		lazy("unapproved_listeners", UnapprovedListeners),
		lazy("unix_sockets", UnixSockets),
		lazy("vsock_sockets", VsockSockets),
		lazy("well_known_services", WellKnownServices),
	}
}
