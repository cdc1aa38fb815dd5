// Package sockdiag encodes questions to, and decodes answers of, the kernel's
// socket monitoring over netlink, NETLINK_SOCK_DIAG (sock_diag(7)). It does no
// I/O: package host has the conversation.
//
// Numbers are of the host's byte order, but for ports and addresses, which are
// of the network's; the order is an argument so that captures of other
// machines decode too. Attributes that are not known pass by, structures may
// grow at their end; what is shorter than the fields that are read is an
// error.
package sockdiag

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// What an answer may carry besides the socket itself: bits for
// Request.Attributes, 1 << (INET_DIAG_* - 1) of include/uapi/linux/inet_diag.h.
const (
	// Info asks for struct tcp_info, which only full TCP sockets have.
	Info uint8 = 1 << (attrInfo - 1)
	// Control asks for what the congestion control algorithm tells.
	Control uint8 = 1 << (attrVegasInfo - 1)
	// Congestion asks for the congestion control algorithm of TCP sockets.
	Congestion uint8 = 1 << (attrCong - 1)
	// TypeOfService asks for the bytes that the socket's packets carry for it,
	// of both families.
	TypeOfService uint8 = 1<<(attrTOS-1) | 1<<(attrTClass-1)
	// MemInfo asks for the socket's memory and drop counters.
	MemInfo uint8 = 1 << (attrSKMemInfo - 1)
)

// Attribute numbers, INET_DIAG_*.
const (
	attrInfo      = 2
	attrCong      = 4
	attrTOS       = 5
	attrTClass    = 6
	attrSKMemInfo = 7
	attrShutdown  = 8
	attrV6Only    = 11
	attrMark      = 15
	attrClassID   = 17
	attrMD5       = 18
	attrCgroupID  = 21
	attrOptions   = 22

	md5Size = 20 + 80 // struct tcp_diag_md5sig, include/uapi/linux/tcp.h
)

// The types of messages, include/uapi/linux/sock_diag.h and inet_diag.h, and the
// sizes of the structures in them.
const (
	typeTCP         = 18 // TCPDIAG_GETSOCK
	typeByFamily    = 20 // SOCK_DIAG_BY_FAMILY
	attrReqByteCode = 1  // INET_DIAG_REQ_BYTECODE
	attrReqProtocol = 3  // INET_DIAG_REQ_PROTOCOL
	inetRequestSize = 56 // struct inet_diag_req_v2
	tcpRequestSize  = 60 // struct inet_diag_req
	inetMessageSize = 72 // struct inet_diag_msg
	memInfoSize     = 36 // SK_MEMINFO_VARS numbers
)

// AnyFamily asks for the TCP sockets of both families at once, which takes the
// kernel one walk through its table in place of two. Only a request of the form
// that kernels before 3.3 had can, and every kernel still takes.
const AnyFamily sock.Family = 0

// Request asks for sockets of one family and protocol.
type Request struct {
	Family     sock.Family // or AnyFamily
	Protocol   sock.Protocol
	States     sock.StateSet
	Attributes uint8
	// Filter is a program of [Filter.Program] that sockets must pass.
	Filter []byte
}

// Append appends the netlink message of the request: struct nlmsghdr, struct
// inet_diag_req_v2, or inet_diag_req for any family, and the filter.
//
// A protocol beyond 255 goes into an attribute, and its place in the structure
// stays 0: a kernel that does not know the attribute, as before 5.9, has no list
// of that number and says so.
func (r *Request) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	kind, requestSize := uint16(typeByFamily), inetRequestSize
	if r.Family == AnyFamily {
		kind, requestSize = typeTCP, tcpRequestSize
	}
	size := requestSize
	if len(r.Filter) > 0 {
		size += netlink.AttributeHeaderSize + len(r.Filter)
	}
	wide := r.Protocol > math.MaxUint8
	if wide {
		size += netlink.AttributeHeaderSize + 4
	}
	b = netlink.AppendHeader(b, order, kind, netlink.FlagRequest|netlink.FlagDump, seq, size)
	start := len(b)
	b = append(b, make([]byte, requestSize)...)
	q := b[start:]
	var id []byte
	if r.Family == AnyFamily {
		q[3] = r.Attributes
		id = q[4:]
		order.PutUint32(q[52:], uint32(r.States))
	} else {
		q[0], q[2] = byte(r.Family), r.Attributes
		if !wide {
			q[1] = byte(r.Protocol)
		}
		order.PutUint32(q[4:], uint32(r.States))
		id = q[8:]
	}
	// INET_DIAG_NOCOOKIE: any.
	order.PutUint32(id[40:], 1<<32-1)
	order.PutUint32(id[44:], 1<<32-1)
	if len(r.Filter) > 0 {
		b = netlink.AppendAttribute(b, order, attrReqByteCode, r.Filter)
	}
	if wide {
		var protocol [4]byte
		order.PutUint32(protocol[:], uint32(r.Protocol))
		b = netlink.AppendAttribute(b, order, attrReqProtocol, protocol[:])
	}
	return b
}

// TCP decodes struct inet_diag_msg and the attributes behind it. Without
// [Info] Retransmits and Probes are only those of the timer that runs.
func TCP(b []byte, order binary.ByteOrder, s *sock.TCP) error {
	if err := TCPHeader(b, order, s); err != nil {
		return err
	}
	a := netlink.NewAttributes(b[inetMessageSize:], order)
	for a.Next() {
		tcpAttribute(&a, s)
	}
	return a.Err()
}

// tcpAttribute decodes an attribute of a TCP socket.
func tcpAttribute(a *netlink.Attributes, s *sock.TCP) {
	switch a.Type() {
	case attrInfo:
		// struct tcp_info, include/uapi/linux/tcp.h: state, ca_state,
		// retransmits, probes, …
		if value, ok := a.Struct(4); ok {
			s.Retransmits, s.Probes = uint32(value[2]), uint32(value[3])
		}
	case attrCong:
		s.Congestion = a.Text()
	case attrMD5:
		s.MD5Peers = md5Peers(a.Bytes())
	case attrULPInfo:
		a.Nested(func() {
			if a.Type() == ulpName {
				s.ULP = a.Text()
			}
		})
	default:
		detail(a, a.Type(), &s.Details)
	}
}

// TCPHeader decodes struct inet_diag_msg alone. Of the Details it knows Interface.
func TCPHeader(b []byte, order binary.ByteOrder, s *sock.TCP) error {
	*s = sock.TCP{}
	if err := inet(b, order, sock.ProtoTCP, &s.Inet); err != nil {
		return err
	}
	// The kernel asks for bound sockets by a state of their own, and shows them
	// in that which they have. Of others in it only those that are about to go
	// away are in its lists, and they have a peer.
	if s.State == sock.Close && s.Remote.Port() == 0 {
		s.State = sock.Bound
	}
	s.Timer = sock.Timer(b[2])
	s.TimerExpires = order.Uint32(b[52:])
	switch retrans := uint32(b[3]); s.Timer {
	case sock.TimerOn:
		s.Retransmits = retrans
	case sock.TimerKeepalive, sock.TimerProbe:
		s.Probes = retrans
	}
	return nil
}

// md5Peers returns the prefixes in an array of struct tcp_diag_md5sig: family, length
// of the prefix, of the key, address and key, which is left alone.
func md5Peers(b []byte) string {
	var peers []string
	for ; len(b) >= md5Size; b = b[md5Size:] {
		var a netip.Addr
		switch sock.Family(b[0]) {
		case sock.INET:
			a = netip.AddrFrom4([4]byte(b[4:]))
		case sock.INET6:
			a = netip.AddrFrom16([16]byte(b[4:]))
		}
		peers = append(peers, fmt.Sprintf("%v/%d", a, b[1]))
	}
	return strings.Join(peers, ",")
}

// UDP decodes struct inet_diag_msg and the attributes behind it. Drops are
// known with [MemInfo] only.
func UDP(b []byte, order binary.ByteOrder, protocol sock.Protocol, s *sock.UDP) error {
	*s = sock.UDP{}
	if err := inet(b, order, protocol, &s.Inet); err != nil {
		return err
	}
	a := netlink.NewAttributes(b[inetMessageSize:], order)
	for a.Next() {
		detail(&a, a.Type(), &s.Details)
	}
	s.Drops = uint64(s.Memory.Drops)
	return a.Err()
}

// detail decodes an attribute of a socket of any IP protocol. kind is its number
// there: those of Unix sockets have other ones.
func detail(a *netlink.Attributes, kind uint16, d *sock.Details) {
	switch kind {
	case attrTOS:
		d.TOS = a.Uint8()
		d.Known |= sock.KnowsTOS
	case attrTClass:
		d.TClass = a.Uint8()
		d.Known |= sock.KnowsTClass
	case attrShutdown:
		d.Shutdown = a.Uint8()
		d.Known |= sock.KnowsShutdown
	case attrV6Only:
		d.V6Only = a.Uint8() != 0
		d.Known |= sock.KnowsV6Only
	case attrMark:
		d.Mark = a.Uint32()
		d.Known |= sock.KnowsMark
	case attrCgroupID:
		d.CgroupID = a.Uint64()
		d.Known |= sock.KnowsCgroupID
	case attrClassID:
		d.ClassID = a.Uint32()
		d.Known |= sock.KnowsClassID
	case attrOptions:
		if b, ok := a.Struct(2); ok {
			d.Options = options([2]byte(b), a.Numbers)
			d.Known |= sock.KnowsOptions
		}
	case attrSKMemInfo:
		// Drops came with Linux 4.11; without them there is no use for the rest.
		if b := a.Bytes(); len(b) >= memInfoSize {
			d.Memory = memory(b, a.Numbers)
			d.Known |= sock.KnowsMemory
		}
	}
}

// options decodes struct inet_diag_sockopt, bit fields of two bytes, of which C
// compilers put the first into the lowest bit of a little-endian machine and into the
// highest of a big-endian one.
func options(b [2]byte, order binary.ByteOrder) sock.Options {
	if order == binary.BigEndian {
		b[0], b[1] = bits.Reverse8(b[0]), bits.Reverse8(b[1])
	}
	return sock.Options(b[0]) | sock.Options(b[1])<<8
}

// memory decodes SK_MEMINFO_*, memInfoSize bytes.
func memory(b []byte, order binary.ByteOrder) (m sock.Memory) {
	for i, to := range []*uint32{&m.Received, &m.ReceiveBuffer, &m.Sent, &m.SendBuffer, &m.Forward, &m.Queued, &m.Options, &m.Backlog, &m.Drops} {
		*to = order.Uint32(b[4*i:])
	}
	return m
}

func inet(b []byte, order binary.ByteOrder, protocol sock.Protocol, s *sock.Inet) error {
	if len(b) < inetMessageSize {
		return fmt.Errorf("struct inet_diag_msg of %d bytes: %w", len(b), netlink.ErrShort)
	}
	s.Family, s.Protocol, s.State = sock.Family(b[0]), protocol, sock.State(b[1])
	local, remote := b[8:24], b[24:40]
	localPort, remotePort := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	switch s.Family {
	case sock.INET:
		s.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(local)), localPort)
		s.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte(remote)), remotePort)
	case sock.INET6:
		s.Local = netip.AddrPortFrom(netip.AddrFrom16([16]byte(local)), localPort)
		s.Remote = netip.AddrPortFrom(netip.AddrFrom16([16]byte(remote)), remotePort)
	default:
		return fmt.Errorf("struct inet_diag_msg of the address family %d", s.Family)
	}
	s.Cookie = uint64(order.Uint32(b[48:]))<<32 | uint64(order.Uint32(b[44:]))
	s.RecvQueue, s.SendQueue = order.Uint32(b[56:]), order.Uint32(b[60:])
	s.Own(uint64(order.Uint32(b[68:])), order.Uint32(b[64:]))
	s.Interface, s.Known = order.Uint32(b[40:]), sock.KnowsInterface
	return nil
}
