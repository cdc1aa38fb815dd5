package tables

import (
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// All returns every table of the host, sorted by name.
func All(h *host.Host) []schema.Table {
	return []schema.Table{
		InterfaceStatistics(h),
		IPProtocols(h),
		LegacySockets(h),
		MasqueradedConnections(h),
		MPTCPSockets(h),
		MulticastGroups(h),
		NetlinkSockets(h),
		NetworkNamespaces(h),
		NetworkRoutes(h),
		PacketSockets(h),
		ProtocolStatistics(h),
		RawSockets(h),
		SCTPSockets(h),
		SocketProcesses(h),
		SocketSources(h),
		SocketSummary(h),
		TCPCongestion(h),
		TCPInfo(h),
		TCPSockets(h),
		TCPULP(h),
		UDPSockets(h),
		UnixSockets(h),
		VsockSockets(h),
		WellKnownServices(h),
	}
}
