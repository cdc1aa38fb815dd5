package sockdiag

import (
	"encoding/binary"
	"fmt"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

const (
	vsockRequestSize = 24 // struct vsock_diag_req
	vsockMessageSize = 32 // struct vsock_diag_msg
)

// VsockRequest asks for the sockets of AF_VSOCK in some states.
type VsockRequest struct {
	States sock.StateSet
}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// vsock_diag_req (include/uapi/linux/vm_sockets_diag.h).
func (r *VsockRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeByFamily, netlink.FlagRequest|netlink.FlagDump, seq, vsockRequestSize)
	var q [vsockRequestSize]byte
	q[0] = byte(sock.VSOCK)
	order.PutUint32(q[4:], uint32(r.States))
	return append(b, q[:]...)
}

// Vsock decodes struct vsock_diag_msg.
func Vsock(b []byte, order binary.ByteOrder, s *sock.Vsock) error {
	*s = sock.Vsock{}
	if len(b) < vsockMessageSize {
		return fmt.Errorf("struct vsock_diag_msg of %d bytes: %w", len(b), netlink.ErrShort)
	}
	if family := sock.Family(b[0]); family != sock.VSOCK {
		return fmt.Errorf("struct vsock_diag_msg of the address family %d", family)
	}
	s.Type, s.State, s.Shutdown = sock.Type(b[1]), sock.State(b[2]), b[3]
	s.LocalCID, s.LocalPort = order.Uint32(b[4:]), order.Uint32(b[8:])
	s.RemoteCID, s.RemotePort = order.Uint32(b[12:]), order.Uint32(b[16:])
	s.Inode = uint64(order.Uint32(b[20:]))
	s.Cookie = uint64(order.Uint32(b[28:]))<<32 | uint64(order.Uint32(b[24:]))
	return nil
}
