// Package sock is the vocabulary of sockets: the values that every decoder
// produces and every table shows. It reads nothing; its types have typed
// numbers and units in their names or docs, so that /proc and netlink decoders
// can be compared value by value.
package sock

import (
	"net/netip"
	"strconv"
	"strings"
)

// Family is an address family, AF_* of include/linux/socket.h.
type Family uint8

// The families of IP sockets.
const (
	INET  Family = 2
	INET6 Family = 10
)

// Protocol is an IP protocol number, IPPROTO_* of include/uapi/linux/in.h. The
// kernel has some of its own beyond the 8 bits of a packet's header.
type Protocol uint16

// The protocols that have ports.
const (
	ProtoTCP     Protocol = 6
	ProtoUDP     Protocol = 17
	ProtoDCCP    Protocol = 33
	ProtoSCTP    Protocol = 132
	ProtoUDPLite Protocol = 136
	ProtoMPTCP   Protocol = 262
)

// Proto returns netstat's Proto word: the protocol's name, with a 6 for
// sockets of the IPv6 family, also those that carry IPv4-mapped addresses.
func Proto(f Family, p Protocol) string {
	for i := range protos {
		if protos[i].family == f && protos[i].protocol == p {
			return protos[i].name
		}
	}
	return strconv.Itoa(int(p))
}

// ParseProto is the inverse of [Proto]; letter case does not matter.
func ParseProto(s string) (Family, Protocol, bool) {
	for i := range protos {
		if strings.EqualFold(protos[i].name, s) {
			return protos[i].family, protos[i].protocol, true
		}
	}
	return 0, 0, false
}

var protos = [...]struct {
	name     string
	family   Family
	protocol Protocol
}{
	{"tcp", INET, ProtoTCP},
	{"tcp6", INET6, ProtoTCP},
	{"udp", INET, ProtoUDP},
	{"udp6", INET6, ProtoUDP},
	{"udplite", INET, ProtoUDPLite},
	{"udplite6", INET6, ProtoUDPLite},
	{"mptcp", INET, ProtoMPTCP},
	{"mptcp6", INET6, ProtoMPTCP},
}

// PortRange is the ports from Low to High, both included.
type PortRange struct{ Low, High uint16 }

// ServiceName returns the protocol's word in services(5): tcp for both of
// TCP's families, and for MPTCP, whose ports are TCP's.
func (p Protocol) ServiceName() string {
	switch p {
	case ProtoTCP, ProtoMPTCP:
		return "tcp"
	case ProtoUDP:
		return "udp"
	case ProtoUDPLite:
		return "udplite"
	case ProtoDCCP:
		return "dccp"
	case ProtoSCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// State is a TCP state, enum of include/net/tcp_states.h. UDP, raw and packet
// sockets borrow Established and Close from it.
type State uint8

// The states, with the kernel's numbers.
const (
	Established State = 1
	SynSent     State = 2
	SynRecv     State = 3
	FinWait1    State = 4
	FinWait2    State = 5
	TimeWait    State = 6
	Close       State = 7
	CloseWait   State = 8
	LastAck     State = 9
	Listen      State = 10
	Closing     State = 11
	NewSynRecv  State = 12
	// Bound marks a TCP socket that is bound and neither listens nor
	// connects. Only sock_diag shows it (TCP_BOUND_INACTIVE, since Linux 6.8).
	Bound State = 13
)

var stateNames = [...]string{
	Established: "ESTABLISHED",
	SynSent:     "SYN_SENT",
	SynRecv:     "SYN_RECV",
	FinWait1:    "FIN_WAIT1",
	FinWait2:    "FIN_WAIT2",
	TimeWait:    "TIME_WAIT",
	Close:       "CLOSE",
	CloseWait:   "CLOSE_WAIT",
	LastAck:     "LAST_ACK",
	Listen:      "LISTEN",
	Closing:     "CLOSING",
	NewSynRecv:  "SYN_RECV",
	Bound:       "BOUND",
}

// String returns netstat's name of the state; an unknown one is its number.
func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return strconv.Itoa(int(s))
}

// StateSet is a set of states, bit 1<<state, as idiag_states of
// struct inet_diag_req_v2 wants it.
type StateSet uint32

// AllStates holds every state a kernel may name.
const AllStates StateSet = 1<<32 - 1

// Has reports whether s is in the set. A state beyond the set's width is in
// every set: what is not known is never left out.
func (set StateSet) Has(s State) bool { return s > 31 || set&(1<<s) != 0 }

// ParseState returns the states that [State.String] prints as name; letter
// case does not matter. It is false for a name that it does not know.
func ParseState(name string) (StateSet, bool) {
	var set StateSet
	for s, n := range stateNames {
		if n != "" && strings.EqualFold(n, name) {
			set |= 1 << s
		}
	}
	return set, set != 0
}

// Timer is the kind of timer that runs for a TCP socket, the first number of
// netstat's -o and of /proc/net/tcp's tr column.
type Timer uint8

// The timers, with the numbers of idiag_timer and /proc/net/tcp.
const (
	TimerOff       Timer = 0
	TimerOn        Timer = 1 // retransmission, early retransmit or loss probe
	TimerKeepalive Timer = 2
	TimerTimeWait  Timer = 3
	TimerProbe     Timer = 4 // zero window probe
	TimerDelack    Timer = 5 // delayed acknowledgement, from sock_diag of newer kernels
)

var timerNames = [...]string{"off", "on", "keepalive", "timewait", "probe", "delack"}

// String returns netstat's name of the timer; an unknown one is its number.
func (t Timer) String() string {
	if int(t) < len(timerNames) {
		return timerNames[t]
	}
	return strconv.Itoa(int(t))
}

// Inet holds what sockets of every IP protocol have.
type Inet struct {
	Family   Family
	Protocol Protocol
	State    State
	// Local and Remote keep an IPv4-mapped address as IPv6. A wildcard or
	// unconnected end is the family's zero address with port 0.
	Local, Remote netip.AddrPort
	// RecvQueue and SendQueue are bytes; for a TCP listener the accept
	// backlog now and its maximum.
	RecvQueue, SendQueue uint32
	// NoBacklog says that SendQueue means nothing: /proc does not report the
	// maximum of a listener's backlog.
	NoBacklog bool
	Common
	Details
}

// Details are what only sock_diag reports of a socket, and of a full one only: a
// connection in TIME_WAIT or SYN_RECV has none.
type Details struct {
	// Known names the fields that have a value.
	Known Known
	// Interface is the number of the network interface that the socket is bound
	// to; 0 if it is to none.
	Interface uint32
	Mark      uint32 // SO_MARK, socket(7)
	// CgroupID is the number of the control group in which the socket was made:
	// the inode of its directory in the cgroup2 file system.
	CgroupID uint64
	TOS      uint8 // IP_TOS, ip(7)
	TClass   uint8 // IPV6_TCLASS, RFC 3542
	// Shutdown is what was shut down: 1 receiving, 2 sending, 3 both.
	Shutdown uint8
	V6Only   bool // IPV6_V6ONLY, ipv6(7)
	Options  Options
	// ClassID is that of the control group of net_cls, or the priority, SO_PRIORITY,
	// where there is none.
	ClassID uint32
	Memory  Memory
}

// Options are settings of a socket of IP, struct inet_diag_sockopt of
// include/uapi/linux/inet_diag.h: bits, the first option in the lowest one.
type Options uint16

// optionNames are ss's; the kernel's is_icsk is no option.
var optionNames = [...]string{
	"recverr", "", "freebind", "hdrincl", "mc_loop", "transparent", "mc_all", "nodefrag",
	"bind_addr_no_port", "recverr_rfc4884", "defer_connect",
}

// String returns ss's names of the options that are on, with commas between; of an
// unknown one its bit.
func (o Options) String() string {
	var names []string
	for i := range 16 {
		switch {
		case o&(1<<i) == 0:
		case i >= len(optionNames):
			names = append(names, strconv.Itoa(i))
		case optionNames[i] != "":
			names = append(names, optionNames[i])
		}
	}
	return strings.Join(names, ",")
}

// Known is a set of fields of [Details].
type Known uint16

// The fields.
const (
	KnowsInterface Known = 1 << iota
	KnowsMark
	KnowsCgroupID
	KnowsTOS
	KnowsTClass
	KnowsShutdown
	KnowsV6Only
	KnowsMemory
	KnowsOptions
	KnowsClassID
)

// Memory is what a socket takes of the kernel's memory, in bytes but for Drops:
// INET_DIAG_SKMEMINFO, sock_diag(7).
type Memory struct {
	Received      uint32 // in the receive queue, with the kernel's overhead
	ReceiveBuffer uint32 // its limit, SO_RCVBUF
	Sent          uint32 // in the hands of the network layer
	SendBuffer    uint32 // its limit, SO_SNDBUF
	Forward       uint32 // set aside for what comes next
	Queued        uint32 // to be sent, or sent and not acknowledged
	Options       uint32
	Backlog       uint32 // came while the program held the socket
	Drops         uint32 // packets dropped since the socket was made
}

// IP returns the part that sockets of every IP protocol share.
func (s *Inet) IP() *Inet { return s }

// ID returns a 63-bit identity of the socket: a hash of namespace and cookie, else of
// namespace, protocol, inode and both ends, which changes when the socket is
// connected or its program closes it.
func (s *Inet) ID() int64 {
	h := s.id(s.Family)
	if s.Cookie != 0 {
		return h.ID()
	}
	return h.Add(uint64(s.Protocol)).AddrPort(s.Local).AddrPort(s.Remote).ID()
}

// TCP is one TCP socket.
type TCP struct {
	Inet
	Timer Timer
	// TimerExpires is the time until the timer fires, in milliseconds;
	// /proc has steps of 10 ms.
	TimerExpires uint32
	// Retransmits counts the retransmissions of the segment that waits for
	// an acknowledgement, Probes the unanswered window or keepalive probes.
	Retransmits, Probes uint32
	// Congestion is the congestion control algorithm, such as cubic; "" if it
	// is not known.
	Congestion string
	// MD5Peers are the prefixes of the peers with which the socket has a key for
	// the MD5 signature option, RFC 2385, with commas between.
	MD5Peers string
	// ULP is the upper layer protocol, such as tls, or mptcp for a subflow of
	// Multipath TCP; "" if there is none, or it is not known.
	ULP string
}

// UDP is one UDP or UDP-Lite socket.
type UDP struct {
	Inet
	// Drops counts datagrams that were dropped because the receive queue was
	// full or a check failed.
	Drops uint64
}
