package sockdiag

import (
	"encoding/binary"
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
	if err := TCPHeader(b, order, &s.TCP); err != nil {
		return err
	}
	a := netlink.NewAttributes(b[inetMessageSize:], order)
	for a.Next() {
		switch a.Type() {
		case attrInfo:
			tcpAttribute(&a, &s.TCP)
			s.Info.Set(a.Bytes(), order)
		case attrBBRInfo:
			if w, ok := words(&a, 5); ok {
				s.Control.BBR = &sock.BBR{
					Bandwidth: uint64(w[1])<<32 | uint64(w[0]), MinRTT: w[2],
					PacingGain: float64(w[3]) / 256, CwndGain: float64(w[4]) / 256,
				}
			}
		case attrDCTCPInfo:
			if w, ok := words(&a, 4); ok {
				value := a.Bytes()
				s.Control.DCTCP = &sock.DCTCP{
					Enabled: order.Uint16(value) != 0, CEState: order.Uint16(value[2:]) != 0,
					Alpha: w[1], ECNBytes: w[2], TotalBytes: w[3],
				}
			}
		case attrVegasInfo:
			if w, ok := words(&a, 4); ok {
				s.Control.Vegas = &sock.Vegas{Enabled: w[0] != 0, RTTCount: w[1], RTT: w[2], MinRTT: w[3]}
			}
		case attrULPInfo:
			ulp(&a, &s.ULP)
		default:
			tcpAttribute(&a, &s.TCP)
		}
	}
	return a.Err()
}

// words returns the first n numbers of 32 bits of a structure, of at most 5.
func words(a *netlink.Attributes, n int) (w [5]uint32, ok bool) {
	b, ok := a.Struct(4 * n)
	for i := 0; ok && i < n; i++ {
		w[i] = a.Numbers.Uint32(b[4*i:])
	}
	return w, ok
}

func ulp(a *netlink.Attributes, u *sock.ULP) {
	a.Nested(func() {
		switch a.Type() {
		case ulpName:
			u.Name = a.Text()
		case ulpTLS:
			u.TLS = &sock.TLS{}
			a.Nested(func() {
				switch a.Type() {
				case tlsVersion:
					u.TLS.Version = name(a.Uint16(), map[uint16]string{0x0303: "1.2", 0x0304: "1.3"})
				case tlsCipher:
					u.TLS.Cipher = name(a.Uint16(), ciphers)
				case tlsSend:
					u.TLS.Send = name(a.Uint16(), directions)
				case tlsReceive:
					u.TLS.Receive = name(a.Uint16(), directions)
				}
			})
		case ulpMPTCP:
			f := &sock.Subflow{}
			u.MPTCP = f
			a.Nested(func() {
				switch a.Type() {
				case subflowRemoteID:
					f.RemoteID = a.Uint8()
				case subflowLocalID:
					f.LocalID = a.Uint8()
				case subflowRemoteToken:
					f.RemoteToken = a.Uint32()
				case subflowLocalToken:
					f.LocalToken = a.Uint32()
				case subflowFlags:
					f.Flags = a.Uint32()
				}
			})
		}
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
