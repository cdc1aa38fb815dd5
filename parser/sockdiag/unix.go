package sockdiag

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// What an answer about a unix socket may carry besides it: bits for
// UnixRequest.Show, UDIAG_SHOW_* of include/uapi/linux/unix_diag.h.
//
// What is not here is what the kernel tells of connections that wait to be
// accepted, UDIAG_SHOW_ICONS: a listener with so many that they do not fit into
// one message ends the list there, as if it was whole.
const (
	ShowPath   uint32 = 0x01
	ShowPeer   uint32 = 0x04
	ShowQueues uint32 = 0x10
	ShowMemory uint32 = 0x20
	ShowUID    uint32 = 0x40 // since Linux 5.3
)

// Attribute numbers, UNIX_DIAG_*, and the sizes of the structures.
const (
	attrUnixName     = 0
	attrUnixPeer     = 2
	attrUnixQueues   = 4
	attrUnixMemInfo  = 5
	attrUnixShutdown = 6
	attrUnixUID      = 7

	unixRequestSize = 24 // struct unix_diag_req
	unixMessageSize = 16 // struct unix_diag_msg
)

// UnixRequest asks for unix sockets in some states. The kernel uses the numbers
// of TCP's: Listen, Established for a connected one, Close for others. It tells
// of no socket without an inode, and so not of connections that wait to be
// accepted.
type UnixRequest struct {
	States sock.StateSet
	Show   uint32
}

// Append appends the netlink message of the request: struct nlmsghdr and struct
// unix_diag_req.
func (r *UnixRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeByFamily, netlink.FlagRequest|netlink.FlagDump, seq, unixRequestSize)
	start := len(b)
	b = append(b, make([]byte, unixRequestSize)...)
	q := b[start:]
	q[0] = byte(sock.UNIX)
	order.PutUint32(q[4:], uint32(r.States))
	order.PutUint32(q[12:], r.Show)
	// UNIX_DIAG_NOCOOKIE: any.
	order.PutUint32(q[16:], 1<<32-1)
	order.PutUint32(q[20:], 1<<32-1)
	return b
}

// Unix decodes struct unix_diag_msg and the attributes behind it. It tells no
// reference count; Flags are what /proc would tell.
func Unix(b []byte, order binary.ByteOrder, s *sock.Unix) error {
	*s = sock.Unix{}
	if len(b) < unixMessageSize {
		return fmt.Errorf("struct unix_diag_msg of %d bytes: %w", len(b), netlink.ErrShort)
	}
	if f := sock.Family(b[0]); f != sock.UNIX {
		return fmt.Errorf("struct unix_diag_msg of the address family %d", f)
	}
	s.Type = sock.Type(b[1])
	s.Inode = uint64(order.Uint32(b[4:]))
	s.Cookie = uint64(order.Uint32(b[12:]))<<32 | uint64(order.Uint32(b[8:]))
	// As unix_seq_show of net/unix/af_unix.c translates them.
	switch state := sock.State(b[2]); {
	case state == sock.Established && s.Inode != 0:
		s.State = sock.UnixConnected
	case state == sock.Established:
		s.State = sock.UnixConnecting
	case s.Inode == 0:
		s.State = sock.UnixDisconnecting
	case state == sock.Listen:
		s.State = sock.UnixListening
	default:
		s.State = sock.UnixUnconnected
	}
	if sock.State(b[2]) == sock.Listen {
		s.Flags = sock.AcceptsConnections
	}
	a := netlink.NewAttributes(b[unixMessageSize:], order)
	for a.Next() {
		switch a.Type() {
		case attrUnixName:
			s.Path = unixPath(a.Bytes())
		case attrUnixPeer:
			s.Peer = uint64(a.Uint32())
		case attrUnixQueues:
			if value, ok := a.Struct(8); ok {
				s.RecvQueue, s.SendQueue = order.Uint32(value), order.Uint32(value[4:])
				s.KnownUnix |= sock.KnowsQueues
			}
		case attrUnixUID:
			s.UID, s.HasUID = a.Uint32(), true
		case attrUnixMemInfo:
			detail(&a, attrSKMemInfo, &s.Details)
		case attrUnixShutdown:
			detail(&a, attrShutdown, &s.Details)
		}
	}
	return a.Err()
}

// unixPath writes a name as /proc does. A path has a NUL byte behind it, an
// abstract name one in front.
func unixPath(b []byte) string {
	if len(b) == 0 || b[0] != 0 {
		b = bytes.TrimSuffix(b, []byte{0})
	}
	return string(bytes.ReplaceAll(b, []byte{0}, []byte("@")))
}
