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
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"syscall"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// What an answer may carry besides the socket itself: bits for
// Request.Attributes, 1 << (INET_DIAG_* - 1) of include/uapi/linux/inet_diag.h.
const (
	// Info asks for struct tcp_info, which only full TCP sockets have.
	Info uint8 = 1 << (attrInfo - 1)
	// MemInfo asks for the socket's memory and drop counters.
	MemInfo uint8 = 1 << (attrSKMemInfo - 1)
)

// Attribute numbers, INET_DIAG_*.
const (
	attrInfo      = 2
	attrSKMemInfo = 7
)

// Types and flags of netlink messages, include/uapi/linux/netlink.h and
// sock_diag.h.
const (
	typeError        = 2
	typeDone         = 3
	typeTCP          = 18 // TCPDIAG_GETSOCK
	typeByFamily     = 20 // SOCK_DIAG_BY_FAMILY
	flagRequest      = 0x1
	flagDump         = 0x300
	flagDumpIntr     = 0x10
	attrReqByteCode  = 1 // INET_DIAG_REQ_BYTECODE
	headerSize       = 16
	attributeHeader  = 4
	inetRequestSize  = 56 // struct inet_diag_req_v2
	tcpRequestSize   = 60 // struct inet_diag_req
	inetMessageSize  = 72 // struct inet_diag_msg
	memInfoDrops     = 8  // SK_MEMINFO_DROPS
	maxAttributeSize = 1<<16 - 1
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
	// Local and Remote, both or none, ask for the one connection between
	// them as packets from the interface with the number Interface would find
	// it, instead of a dump. Without such a connection the answer may be a
	// listener.
	Local, Remote netip.AddrPort
	Interface     uint32
}

// Exact reports whether the request is for one connection.
func (r *Request) Exact() bool { return r.Local.IsValid() }

// Append appends the netlink message of the request: struct nlmsghdr, struct
// inet_diag_req_v2, or inet_diag_req for any family, and the filter.
func (r *Request) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	flags := uint16(flagRequest | flagDump)
	if r.Exact() {
		flags = flagRequest
	}
	kind, requestSize := uint16(typeByFamily), inetRequestSize
	if r.Family == AnyFamily {
		kind, requestSize = typeTCP, tcpRequestSize
	}
	size := headerSize + requestSize
	if len(r.Filter) > 0 {
		size += attributeHeader + len(r.Filter)
	}
	start := len(b)
	b = append(b, make([]byte, size)...)
	m := b[start:]
	order.PutUint32(m[0:], uint32(size))
	order.PutUint16(m[4:], kind)
	order.PutUint16(m[6:], flags)
	order.PutUint32(m[8:], seq)
	q := m[headerSize:]
	var id []byte
	if r.Family == AnyFamily {
		q[3] = r.Attributes
		id = q[4:]
		order.PutUint32(q[52:], uint32(r.States))
	} else {
		q[0], q[1], q[2] = byte(r.Family), byte(r.Protocol), r.Attributes
		order.PutUint32(q[4:], uint32(r.States))
		id = q[8:]
	}
	if r.Exact() {
		binary.BigEndian.PutUint16(id[0:], r.Local.Port())
		binary.BigEndian.PutUint16(id[2:], r.Remote.Port())
		copy(id[4:20], r.Local.Addr().AsSlice())
		copy(id[20:36], r.Remote.Addr().AsSlice())
		order.PutUint32(id[36:], r.Interface)
	}
	// INET_DIAG_NOCOOKIE: any.
	order.PutUint32(id[40:], 1<<32-1)
	order.PutUint32(id[44:], 1<<32-1)
	if len(r.Filter) > 0 {
		a := q[requestSize:]
		order.PutUint16(a[0:], uint16(attributeHeader+len(r.Filter)))
		order.PutUint16(a[2:], attrReqByteCode)
		copy(a[attributeHeader:], r.Filter)
	}
	return b
}

// Message is one netlink message of an answer.
type Message struct {
	Seq     uint32
	Payload []byte
	// Done says that the answer is over; if Errno is not 0 it is not whole.
	Done  bool
	Errno syscall.Errno
	// Interrupted says that sockets changed places while the kernel listed
	// them: the list may lack some (NLM_F_DUMP_INTR).
	Interrupted bool
}

// errShort is wrapped by the errors of messages that end too early.
var errShort = errors.New("the message is too short")

// Messages takes what was received at once apart. An error ends the sequence.
func Messages(b []byte, order binary.ByteOrder) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for len(b) > 0 {
			if len(b) < headerSize {
				yield(Message{}, fmt.Errorf("netlink: %d bytes left of a header: %w", len(b), errShort))
				return
			}
			size := order.Uint32(b)
			if size < headerSize || uint64(size) > uint64(len(b)) {
				yield(Message{}, fmt.Errorf("netlink: a message of %d bytes in %d: %w", size, len(b), errShort))
				return
			}
			m := Message{
				Seq:         order.Uint32(b[8:]),
				Payload:     b[headerSize:size],
				Interrupted: order.Uint16(b[6:])&flagDumpIntr != 0,
			}
			switch order.Uint16(b[4:]) {
			case typeDone, typeError:
				m.Done = true
				// A kernel's errno is negative; an acknowledgement's is 0.
				if len(m.Payload) >= 4 {
					m.Errno = syscall.Errno(-int32(order.Uint32(m.Payload)))
				} else if order.Uint16(b[4:]) == typeError {
					yield(m, fmt.Errorf("netlink: an error without a number: %w", errShort))
					return
				}
			case typeByFamily, typeTCP:
			default:
				m.Payload = nil // of no interest
			}
			if (m.Done || m.Payload != nil) && !yield(m, nil) {
				return
			}
			b = b[min(align(int(size)), len(b)):]
		}
	}
}

// align rounds up to NLMSG_ALIGNTO.
func align(n int) int { return (n + 3) &^ 3 }

// TCP decodes struct inet_diag_msg and the attributes behind it. Without
// [Info] Retransmits and Probes are only those of the timer that runs.
func TCP(b []byte, order binary.ByteOrder, s *sock.TCP) error {
	*s = sock.TCP{}
	if err := inet(b, order, sock.ProtoTCP, &s.Inet); err != nil {
		return err
	}
	s.Timer = sock.Timer(b[2])
	s.TimerExpires = order.Uint32(b[52:])
	switch retrans := uint32(b[3]); s.Timer {
	case sock.TimerOn:
		s.Retransmits = retrans
	case sock.TimerKeepalive, sock.TimerProbe:
		s.Probes = retrans
	}
	if s.Timer == sock.TimerTimeWait || s.State == sock.SynRecv || s.State == sock.NewSynRecv {
		s.Absent |= sock.NoOwner
	}
	return attributes(b[inetMessageSize:], order, func(kind uint16, value []byte) error {
		if kind == attrInfo {
			// struct tcp_info, include/uapi/linux/tcp.h: state, ca_state,
			// retransmits, probes, …
			if len(value) < 4 {
				return fmt.Errorf("tcp_info of %d bytes: %w", len(value), errShort)
			}
			s.Retransmits, s.Probes = uint32(value[2]), uint32(value[3])
		}
		return nil
	})
}

// UDP decodes struct inet_diag_msg and the attributes behind it. Drops are
// known with [MemInfo] only.
func UDP(b []byte, order binary.ByteOrder, protocol sock.Protocol, s *sock.UDP) error {
	*s = sock.UDP{}
	if err := inet(b, order, protocol, &s.Inet); err != nil {
		return err
	}
	return attributes(b[inetMessageSize:], order, func(kind uint16, value []byte) error {
		if kind == attrSKMemInfo && len(value) >= 4*(memInfoDrops+1) {
			s.Drops = uint64(order.Uint32(value[4*memInfoDrops:]))
		}
		return nil
	})
}

func inet(b []byte, order binary.ByteOrder, protocol sock.Protocol, s *sock.Inet) error {
	if len(b) < inetMessageSize {
		return fmt.Errorf("struct inet_diag_msg of %d bytes: %w", len(b), errShort)
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
	s.UID, s.Inode = order.Uint32(b[64:]), uint64(order.Uint32(b[68:]))
	return nil
}

// attributes hands out the attributes (struct rtattr) of a message.
func attributes(b []byte, order binary.ByteOrder, take func(kind uint16, value []byte) error) error {
	for len(b) >= attributeHeader {
		size := int(order.Uint16(b))
		if size < attributeHeader || size > len(b) {
			return fmt.Errorf("an attribute of %d bytes in %d: %w", size, len(b), errShort)
		}
		// The upper two bits are flags, NLA_TYPE_MASK.
		if err := take(order.Uint16(b[2:])&0x3fff, b[attributeHeader:size]); err != nil {
			return err
		}
		b = b[min(align(size), len(b)):]
	}
	if len(b) > 0 {
		return fmt.Errorf("%d bytes left of an attribute: %w", len(b), errShort)
	}
	return nil
}
