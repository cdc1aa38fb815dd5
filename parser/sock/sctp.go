package sock

import (
	"net/netip"
	"strconv"
)

// SCTP is an endpoint or an association of SCTP, sctp(7). Local and Remote are
// the addresses in use of an association, of those that it has, and the first of
// an endpoint, which has no peer.
type SCTP struct {
	Inet
	// Type is that of the socket: one of STREAM has one association, one of
	// SEQPACKET any number.
	Type Type
	// LocalAddrs and RemoteAddrs are all addresses of both ends.
	LocalAddrs, RemoteAddrs []netip.Addr
	// IsAssociation says that the row is one; the fields that follow, and the
	// queues, are of associations only.
	IsAssociation bool
	Number        int32 // of the association, SCTP_ASSOC_ID
	Association   AssociationState
	// Counters is false where the kernel's list has no more.
	Counters bool
	// Heartbeat is the time between two of them in ticks of the kernel's clock,
	// of which CONFIG_HZ make a second.
	Heartbeat             uint64
	InStreams, OutStreams uint32
	MaxRetransmits        uint32 // in a row, after which the association fails
	InitRetransmits       uint32 // of the chunks that open it
	ShutdownRetransmits   uint32 // of those that end it
	Retransmits           uint32 // data chunks sent again
	// Path is the way to the peer's primary address; nil if it is not known.
	Path *SCTPPath
}

// SCTPPath is one of the ways to the peer of an association.
type SCTPPath struct {
	Number          int32 // of the association
	Remote          netip.Addr
	HeartbeatActive bool   // its timer runs
	RTO             uint64 // time until what is not acknowledged is sent again, in ticks of the kernel's clock
}

// AssociationState is the state of an association, enum sctp_state of
// include/net/sctp/constants.h.
type AssociationState uint8

// String returns the name of RFC 9260; an unknown state is its number.
func (s AssociationState) String() string {
	names := [...]string{"CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_PENDING", "SHUTDOWN_SENT", "SHUTDOWN_RECEIVED", "SHUTDOWN_ACK_SENT"}
	if int(s) < len(names) {
		return names[s]
	}
	return strconv.Itoa(int(s))
}
