package sockdiag

import (
	"encoding/binary"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// The sizes of struct mptcp_info as kernels grew it. Each is a multiple of 8, so
// that there are bytes without a meaning at the ends, which later kernels use: a
// field has a value only if the structure is as long as it was when the field
// came.
const (
	mptcpInfoSize      = 40 // Linux 5.9
	mptcpInfoLocal     = 48 // 5.12, 5.14
	mptcpInfoBytes     = 80 // 6.5
	mptcpInfoTotal     = 88 // 6.8
	mptcpInfoLast      = 96 // 6.10
	mptcpFlagFallback  = 1 << 0
	mptcpFlagRemoteKey = 1 << 1
)

// MPTCP decodes struct inet_diag_msg and the attributes behind it. Without
// [Info] nothing of its Info is known, nor of a listener's, whose structure is
// of zeros.
func MPTCP(b []byte, order binary.ByteOrder, s *sock.MPTCP) error {
	*s = sock.MPTCP{}
	if err := inet(b, order, sock.ProtoMPTCP, &s.Inet); err != nil {
		return err
	}
	a := netlink.NewAttributes(b[inetMessageSize:], order)
	for a.Next() {
		if a.Type() != attrInfo || s.State == sock.Listen {
			detail(&a, a.Type(), &s.Details)
		} else if value, ok := a.Struct(mptcpInfoSize); ok {
			mptcpInfo(value, order, &s.Info)
		}
	}
	return a.Err()
}

// mptcpInfo decodes struct mptcp_info, include/uapi/linux/mptcp.h, of at least
// mptcpInfoSize bytes.
func mptcpInfo(b []byte, order binary.ByteOrder, i *sock.MPTCPInfo) {
	i.Known = sock.KnowsMPTCP
	i.Subflows, i.AddressesSignalled, i.AddressesAccepted = b[0], b[1], b[2]
	i.MaxSubflows, i.MaxAddressesSignalled, i.MaxAddressesAccepted = b[3], b[4], b[5]
	flags := order.Uint32(b[8:])
	i.Fallback, i.RemoteKey = flags&mptcpFlagFallback != 0, flags&mptcpFlagRemoteKey != 0
	i.Token = order.Uint32(b[12:])
	i.WriteSeq, i.SentUnacked, i.Next = order.Uint64(b[16:]), order.Uint64(b[24:]), order.Uint64(b[32:])
	if len(b) >= mptcpInfoLocal {
		i.Known |= sock.KnowsMPTCPLocal
		i.LocalAddresses, i.MaxLocalAddresses, i.Checksum = b[40], b[41], b[42] != 0
	}
	if len(b) >= mptcpInfoBytes {
		i.Known |= sock.KnowsMPTCPBytes
		i.Retransmits = order.Uint32(b[44:])
		i.BytesRetransmitted, i.BytesSent = order.Uint64(b[48:]), order.Uint64(b[56:])
		i.BytesReceived, i.BytesAcked = order.Uint64(b[64:]), order.Uint64(b[72:])
	}
	if len(b) >= mptcpInfoTotal {
		i.Known |= sock.KnowsMPTCPTotal
		i.TotalSubflows = b[80]
	}
	if len(b) >= mptcpInfoLast {
		i.Known |= sock.KnowsMPTCPLast
		i.LastDataSent, i.LastDataReceived, i.LastAckReceived = order.Uint32(b[84:]), order.Uint32(b[88:]), order.Uint32(b[92:])
	}
}
