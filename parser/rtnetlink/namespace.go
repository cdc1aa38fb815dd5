package rtnetlink

import (
	"encoding/binary"
	"fmt"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
)

// The size of struct rtgenmsg with its padding, and numbers of attributes, NETNSA_*
// of include/uapi/linux/net_namespace.h.
const (
	namespaceSize = 4

	namespaceID   = 1
	namespaceFile = 3
)

// NamespaceRequest asks for the number that the namespace in which it is asked has
// for another one, which the file with the descriptor FD is of.
type NamespaceRequest struct{ FD int }

// Append appends the netlink message of the request: struct nlmsghdr, struct
// rtgenmsg and NETNSA_FD.
func (r *NamespaceRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, typeGetNSID, netlink.FlagRequest, seq, namespaceSize+netlink.AttributeHeaderSize+4)
	b = append(b, make([]byte, namespaceSize)...)
	var fd [4]byte
	order.PutUint32(fd[:], uint32(r.FD))
	return netlink.AppendAttribute(b, order, namespaceFile, fd[:])
}

// NamespaceID decodes the answer: the number of a namespace, -1 if it has none.
func NamespaceID(kind uint16, b []byte, order binary.ByteOrder) (id int32, err error) {
	if kind != typeNewNSID || len(b) < namespaceSize {
		return 0, fmt.Errorf("a message of type %d and %d bytes, want %d and struct rtgenmsg: %w", kind, len(b), typeNewNSID, netlink.ErrShort)
	}
	id = -1
	a := netlink.NewAttributes(b[namespaceSize:], order)
	for a.Next() {
		if a.Type() == namespaceID {
			id = int32(a.Uint32())
		}
	}
	if err := a.Err(); err != nil {
		return 0, fmt.Errorf("the number of a network namespace: %w", err)
	}
	return id, nil
}
