package sock

// MPTCP is one Multipath TCP socket as a program has it: a connection over one
// or more TCP connections, its subflows, or who listens for such.
type MPTCP struct {
	Inet
	Info MPTCPInfo
}

// MPTCPInfo is struct mptcp_info, include/uapi/linux/mptcp.h, of a connection.
type MPTCPInfo struct {
	// Known names the fields that have a value: later kernels tell of more.
	Known MPTCPKnown
	// The fields of KnowsMPTCP, Linux 5.9.
	Subflows                    uint8 // beside the first
	MaxSubflows                 uint8
	AddressesSignalled          uint8 // told to the peer
	MaxAddressesSignalled       uint8
	AddressesAccepted           uint8 // of those that the peer told of
	MaxAddressesAccepted        uint8
	Fallback                    bool // it is plain TCP after all
	RemoteKey                   bool // the peer's key was received
	Token                       uint32
	WriteSeq, SentUnacked, Next uint64 // write_seq, snd_una and rcv_nxt
	// The fields of KnowsMPTCPLocal, Linux 5.14.
	LocalAddresses, MaxLocalAddresses uint8 // beside the first
	Checksum                          bool
	// The fields of KnowsMPTCPBytes, Linux 6.5.
	Retransmits                                              uint32
	BytesRetransmitted, BytesSent, BytesReceived, BytesAcked uint64
	// Of KnowsMPTCPTotal, Linux 6.8.
	TotalSubflows uint8 // with the first
	// The fields of KnowsMPTCPLast, Linux 6.10, milliseconds ago.
	LastDataSent, LastDataReceived, LastAckReceived uint32
}

// MPTCPKnown is a set of groups of fields of [MPTCPInfo].
type MPTCPKnown uint8

// The groups, in the order in which kernels got them.
const (
	KnowsMPTCP MPTCPKnown = 1 << iota
	KnowsMPTCPLocal
	KnowsMPTCPBytes
	KnowsMPTCPTotal
	KnowsMPTCPLast
)
