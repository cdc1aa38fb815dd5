// Package host is what tables can ask of a machine: its sockets, routes,
// interfaces, counters, processes and names. It only reads.
//
//	h := host.New(host.Options{})
//	for s, err := range h.TCP(ctx, host.InetFilter{States: 1 << sock.Listen}) {
//		…
//	}
//
// Each subject is a file here, with a filter that says what of it is wanted. All
// lists are sequences that end with their first error. One question takes this way:
//
//	Host.TCP             a filter, as a question to each source
//	netns.Each           in each of the selected network namespaces
//	source.WithFallback  from the first source that is usable and not refused
//	nlconn.Conn.Dump     messages of netlink; or source.Read, a file of /proc/net
//	package parser       bytes as values
//
// [Host.Sources] probes the same sources that queries read, so that both agree.
//
// The packages below know one thing each:
//
//	nlconn     the conversation with netlink
//	netns      network namespaces, and what is done in them
//	source     a list from the best of its sources
//	routing    routes, network interfaces, their addresses and neighbours
//	tracking   connections that netfilter keeps track of
//	endpoint   what sockets take from outside their processes
//	holders    which processes have which sockets open
//	process    what a process is
//	containers names of containers, from the files of their runtimes
//	units      socket units of systemd, from their files
//	names      names of ports, protocols, users and interfaces
//	usage      where each list came from
//	regular    files that end
package host
