// Package endpoint joins sockets to the endpoints that they serve: what a host
// takes from outside the processes that have the sockets.
//
//	collector := endpoint.NewCollector(endpoint.Network{Addresses: addresses, Ephemeral: ports})
//	collector.TCP(&listener)
//	collector.UDP(&socket)
//	for _, e := range collector.Endpoints() {
//		fmt.Println(e.Protocol, e.Address, e.Port, e.Exposure)
//	}
//
// A collector is for the sockets of one network namespace. Sockets with the same
// protocol, address, port and interface are one endpoint: the workers of a server
// that share a port by SO_REUSEPORT, or the two families of one address. The
// package reads nothing.
package endpoint
