// Package routing lists routes and network interfaces: from rtnetlink, or from
// /proc/net where rtnetlink is refused.
//
//	lists := &routing.Lists{Namespaces: set, Netlink: route, Uses: uses, Usable: local}
//	for r, err := range lists.Routes(ctx, routing.RouteFilter{Families: []sock.Family{sock.INET}}) {
//		…
//	}
//
// Both sources list the same routes, and each knows what the other does not:
// rtnetlink the tables and next hops, /proc the flags and counts that netstat
// prints. [RouteFilter.Kernel] asks for both.
package routing

import (
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Lists reads the lists of one machine. Its methods may be called at the same
// time.
type Lists struct {
	Namespaces *netns.Set
	Netlink    *nlconn.Conn // of NETLINK_ROUTE
	Generic    *nlconn.Conn // of NETLINK_GENERIC
	Uses       *usage.Log
	// Usable returns why rtnetlink must not be asked, nil if it may be.
	Usable func() error
}
