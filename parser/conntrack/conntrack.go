// Package conntrack decodes the connections that Linux's netfilter keeps track
// of, by which it translates addresses (NAT): as the kernel tells of them by
// netlink, NETLINK_NETFILTER (net/netfilter/nf_conntrack_netlink.c), and in
// /proc/net/nf_conntrack (net/netfilter/nf_conntrack_standalone.c).
//
// It does no I/O. What is not known passes by: attributes, and words of a line.
package conntrack

import (
	"net/netip"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// ProtoGRE is the IP protocol whose connections are told apart by keys.
const ProtoGRE sock.Protocol = 47

// Connection is an entry of the table of connections.
type Connection struct {
	Family   sock.Family
	Protocol sock.Protocol
	// State is the kernel's name of the connection's state, of TCP, SCTP and DCCP;
	// its number if it is a newer one. It is empty of others, and if Offloaded.
	State string
	// Timeout is the number of seconds after which the entry ends unless packets
	// come; meaningless if Offloaded.
	Timeout uint32
	// Original is how packets of the one who began look, Reply how the answers do
	// before they are translated back.
	Original, Reply Direction
	// Replied says that packets came both ways, Assured that the entry is not ended
	// early when the table is full, Offloaded that packets go by a flow table, past
	// the rest of the kernel.
	Replied, Assured, Offloaded bool
	Mark                        uint32
	MarkKnown                   bool
}

// Direction is one direction of a connection: struct nf_conntrack_tuple.
type Direction struct {
	Source, Destination netip.Addr
	// SourcePort and DestinationPort are ports where the protocol has some, and the
	// keys of GRE.
	SourcePort, DestinationPort uint16
	// ICMPID is the identity of an echo, ICMPType and ICMPCode the message's.
	ICMPID             uint16
	ICMPType, ICMPCode uint8
	Zone               uint16 // in which the tuple is told apart from others; 0 is the default one
	Packets, Bytes     uint64
	Counted            bool // Packets and Bytes are known
}

// HasPorts reports whether the protocol's connections have ports.
func (c *Connection) HasPorts() bool {
	switch c.Protocol {
	case sock.ProtoTCP, sock.ProtoUDP, sock.ProtoUDPLite, sock.ProtoSCTP, sock.ProtoDCCP:
		return true
	}
	return false
}

// SourceNAT reports whether the sender's address or port is translated: answers
// go to another than to the one who began.
func (c *Connection) SourceNAT() bool {
	return c.Reply.Destination != c.Original.Source || c.Reply.DestinationPort != c.Original.SourcePort || c.Reply.ICMPID != c.Original.ICMPID
}

// DestinationNAT reports whether the destination's address or port is
// translated: answers come from another than was asked.
func (c *Connection) DestinationNAT() bool {
	return c.Reply.Source != c.Original.Destination || c.Reply.SourcePort != c.Original.DestinationPort
}

// The kernel's names of states: tcp_conntrack_names and its like in
// net/netfilter/nf_conntrack_proto_tcp.c, _sctp.c and _dccp.c.
var (
	tcpStates  = []string{"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"}
	sctpStates = []string{"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT", "HEARTBEAT_ACKED"}
	dccpStates = []string{"NONE", "REQUEST", "RESPOND", "PARTOPEN", "OPEN", "CLOSEREQ", "CLOSING", "TIMEWAIT", "IGNORE", "INVALID"}
)

// stateName returns the name of a state, or its number.
func stateName(names []string, state uint8) string {
	if int(state) < len(names) {
		return names[state]
	}
	return strconv.Itoa(int(state))
}
