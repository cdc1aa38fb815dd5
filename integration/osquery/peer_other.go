//go:build !linux

package osquery

import "net"

// ownPeer trusts the mode of the socket file.
func ownPeer(net.Conn) error { return nil }
