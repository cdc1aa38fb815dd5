package sockdiag

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Attributes of TCP sockets, INET_DIAG_* and INET_ULP_INFO_* of
// include/uapi/linux/inet_diag.h, TLS_INFO_* of tls.h and MPTCP_SUBFLOW_ATTR_* of
// mptcp.h.
const (
	attrVegasInfo = 3
	attrDCTCPInfo = 9
	attrBBRInfo   = 16
	attrULPInfo   = 19

	ulpName  = 1
	ulpTLS   = 2
	ulpMPTCP = 3

	tlsVersion = 1
	tlsCipher  = 2
	tlsSend    = 3
	tlsReceive = 4

	subflowRemoteToken = 1
	subflowLocalToken  = 2
	subflowFlags       = 8
	subflowRemoteID    = 9
	subflowLocalID     = 10
)

// Connection decodes what [TCP] does and, asked for with [Info], [Congestion] and
// [Control], what the connection has seen.
func Connection(b []byte, order binary.ByteOrder, s *sock.Connection) error {
	s.Info, s.Control, s.ULP = sock.TCPInfo{}, sock.Control{}, sock.ULP{}
	if err := TCP(b, order, &s.TCP); err != nil {
		return err
	}
	return netlink.Attributes(b[inetMessageSize:], order, func(kind uint16, value []byte) error {
		words := func(n int) bool { return len(value) >= 4*n }
		word := func(i int) uint32 { return order.Uint32(value[4*i:]) }
		ok := true
		switch kind {
		case attrInfo:
			s.Info.Set(value, order)
		case attrBBRInfo:
			if ok = words(5); ok {
				s.Control.BBR = &sock.BBR{
					Bandwidth: uint64(word(1))<<32 | uint64(word(0)), MinRTT: word(2),
					PacingGain: float64(word(3)) / 256, CwndGain: float64(word(4)) / 256,
				}
			}
		case attrDCTCPInfo:
			if ok = words(4); ok {
				s.Control.DCTCP = &sock.DCTCP{
					Enabled: order.Uint16(value) != 0, CEState: order.Uint16(value[2:]) != 0,
					Alpha: word(1), ECNBytes: word(2), TotalBytes: word(3),
				}
			}
		case attrVegasInfo:
			if ok = words(4); ok {
				s.Control.Vegas = &sock.Vegas{Enabled: word(0) != 0, RTTCount: word(1), RTT: word(2), MinRTT: word(3)}
			}
		case attrULPInfo:
			return ulp(value, order, &s.ULP)
		}
		if !ok {
			return fmt.Errorf("the attribute %d of %d bytes: %w", kind, len(value), netlink.ErrShort)
		}
		return nil
	})
}

func ulp(b []byte, order binary.ByteOrder, u *sock.ULP) error {
	return netlink.Attributes(b, order, func(kind uint16, value []byte) error {
		switch kind {
		case ulpName:
			u.Name = text(value)
		case ulpTLS:
			u.TLS = &sock.TLS{}
			return netlink.Attributes(value, order, func(kind uint16, value []byte) error {
				if len(value) < 2 {
					return nil // flags
				}
				n := order.Uint16(value)
				switch kind {
				case tlsVersion:
					u.TLS.Version = name(n, map[uint16]string{0x0303: "1.2", 0x0304: "1.3"})
				case tlsCipher:
					u.TLS.Cipher = name(n, ciphers)
				case tlsSend:
					u.TLS.Send = name(n, directions)
				case tlsReceive:
					u.TLS.Receive = name(n, directions)
				}
				return nil
			})
		case ulpMPTCP:
			f := &sock.Subflow{}
			u.MPTCP = f
			return netlink.Attributes(value, order, func(kind uint16, value []byte) error {
				switch {
				case kind == subflowRemoteID && len(value) >= 1:
					f.RemoteID = value[0]
				case kind == subflowLocalID && len(value) >= 1:
					f.LocalID = value[0]
				case len(value) < 4:
				case kind == subflowRemoteToken:
					f.RemoteToken = order.Uint32(value)
				case kind == subflowLocalToken:
					f.LocalToken = order.Uint32(value)
				case kind == subflowFlags:
					f.Flags = order.Uint32(value)
				}
				return nil
			})
		}
		return nil
	})
}

// ciphers are TLS_CIPHER_*, and directions TLS_CONF_*, of include/uapi/linux/tls.h.
var (
	ciphers = map[uint16]string{
		51: "aes-gcm-128", 52: "aes-gcm-256", 53: "aes-ccm-128", 54: "chacha20-poly1305",
		55: "sm4-gcm", 56: "sm4-ccm", 57: "aria-gcm-128", 58: "aria-gcm-256",
	}
	directions = map[uint16]string{1: "none", 2: "sw", 3: "hw", 4: "hw-record"}
)

// name returns the name of a number, or the number.
func name(n uint16, names map[uint16]string) string {
	if s, ok := names[n]; ok {
		return s
	}
	return strconv.Itoa(int(n))
}

// text reads a text that NUL bytes end.
func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
