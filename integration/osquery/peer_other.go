//go:build !linux

package osquery

import "net"

// ownPeer trusts the mode of the socket file.
func ownPeer(net.Conn) (pid int32, err error) { return 0, nil }
