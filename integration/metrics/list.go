package metrics

// metric is a family of series.
type metric struct {
	name, help string
	counter    bool     // grows as long as the network namespace is there; else a gauge
	unit       string   // the end of the name, or empty
	labels     []string // of each series
	sql        string   // gives a row for each series: the labels and the value
}

// ofServers begins the SQL of what is told apart by local port: those that
// something listens at. All others are ephemeral.
const ofServers = `WITH servers AS MATERIALIZED (SELECT DISTINCT local_port FROM tcp_sockets WHERE state = 'LISTEN')
SELECT CASE WHEN local_port IN (SELECT local_port FROM servers) THEN local_port ELSE 'ephemeral' END, program, `

// ofKernel is the SQL of a counter of protocol_statistics, for IPv4 and IPv6.
func ofKernel(protocols, name string) string {
	return "SELECT sum(value) FROM protocol_statistics WHERE protocol IN (" + protocols + ") AND name = '" + name + "'"
}

// metrics are all metrics, in the order in which they are printed.
var metrics = []metric{
	{
		name: "sockets_open", labels: []string{"proto", "state"},
		help: "Sockets by protocol and state, as netstat names them.",
		sql: `SELECT proto, state, count(*) FROM tcp_sockets GROUP BY proto, state
UNION ALL SELECT proto, state, count(*) FROM udp_sockets GROUP BY proto, state
UNION ALL SELECT proto, state, count(*) FROM raw_sockets GROUP BY proto, state
UNION ALL SELECT proto, state, count(*) FROM unix_sockets GROUP BY proto, state`,
	},
	{
		name: "sockets_listening", labels: []string{"protocol", "port", "program", "exposure"},
		help: "Sockets that take packets from outside their process, in every network namespace, by how exposed they are.",
		sql:  "SELECT protocol, coalesce(port, ''), program, exposure, sum(sockets) FROM listening_services WHERE role <> 'client' GROUP BY 1, 2, 3, 4",
	},
	{
		name: "sockets_backlog_connections", unit: "connections", labels: []string{"protocol", "port", "program"},
		help: "Connections that wait to be accepted.",
		sql:  "SELECT protocol, coalesce(port, ''), program, sum(backlog) FROM listening_services GROUP BY 1, 2, 3",
	},
	{
		name: "sockets_backlog_limit_connections", unit: "connections", labels: []string{"protocol", "port", "program"},
		help: "Connections that may wait to be accepted.",
		sql:  "SELECT protocol, coalesce(port, ''), program, sum(backlog_max) FROM listening_services GROUP BY 1, 2, 3",
	},
	{
		name: "sockets_tcp_connections", unit: "connections", labels: []string{"port", "program"},
		help: "Established TCP connections by local port, of those that something listens at, and program.",
		sql:  ofServers + "count(*) FROM tcp_sockets WHERE state = 'ESTABLISHED' GROUP BY 1, 2",
	},
	{
		name: "sockets_tcp_retransmitted_segments", unit: "segments", labels: []string{"port", "program"},
		help: "Segments that the open TCP connections sent again, by local port as above and program.",
		sql:  ofServers + "sum(retrans_total) FROM tcp_info GROUP BY 1, 2",
	},
	{
		name: "sockets_udp_dropped_datagrams", unit: "datagrams", labels: []string{"port", "program"},
		help: "Datagrams that were dropped at the open UDP and UDP-Lite sockets without a peer, mostly because the receive queue was full.",
		sql:  "SELECT local_port, program, sum(drops) FROM udp_sockets WHERE remote_port = 0 GROUP BY 1, 2",
	},
	{
		name: "sockets_memory_bytes", unit: "bytes", labels: []string{"proto"},
		help: "Kernel memory of the sockets of the whole host.",
		sql:  "SELECT proto, memory_bytes FROM socket_summary WHERE memory_bytes IS NOT NULL",
	},
	{
		name: "sockets_tcp_orphans", help: "TCP connections that no process has any more, of the whole host.",
		sql: "SELECT orphan FROM socket_summary WHERE proto = 'tcp'",
	},
	{name: "sockets_tcp_sent_segments", counter: true, unit: "segments", help: "Segments sent.", sql: ofKernel("'Tcp'", "OutSegs")},
	{name: "sockets_tcp_resent_segments", counter: true, unit: "segments", help: "Segments sent again.", sql: ofKernel("'Tcp'", "RetransSegs")},
	{name: "sockets_tcp_timeouts", counter: true, help: "Retransmission timeouts.", sql: ofKernel("'TcpExt'", "TCPTimeouts")},
	{name: "sockets_tcp_listen_overflows", counter: true, help: "Connections refused because a backlog was full.", sql: ofKernel("'TcpExt'", "ListenOverflows")},
	{name: "sockets_tcp_listen_drops", counter: true, help: "Connections refused for any reason.", sql: ofKernel("'TcpExt'", "ListenDrops")},
	{name: "sockets_tcp_memory_pressures", counter: true, help: "Times that TCP came to need more memory than tcp_mem wants.", sql: ofKernel("'TcpExt'", "TCPMemoryPressures")},
	{name: "sockets_udp_receive_errors", counter: true, help: "Datagrams dropped because a receive queue was full.", sql: ofKernel("'Udp', 'Udp6'", "RcvbufErrors")},
	{name: "sockets_udp_send_errors", counter: true, help: "Datagrams dropped because a send queue was full.", sql: ofKernel("'Udp', 'Udp6'", "SndbufErrors")},
}
