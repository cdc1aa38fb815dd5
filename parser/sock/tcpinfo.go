package sock

import (
	"encoding/binary"
	"math"
	"strings"
)

// Connection is a TCP socket with what its connection has seen.
type Connection struct {
	TCP
	Info    TCPInfo
	Control Control
	ULP     ULP
}

// TCPInfo is struct tcp_info of include/uapi/linux/tcp.h, as long as the kernel
// that wrote it knows it. The zero value has no field.
type TCPInfo struct {
	raw  [tcpInfoSize]byte
	size int
	big  bool
}

// tcpInfoSize is that of the structure in Linux 6.18.
const tcpInfoSize = 280

// Set takes the structure over, in the byte order of its machine. What is longer
// than the fields below is cut.
func (i *TCPInfo) Set(b []byte, order binary.ByteOrder) {
	i.size = copy(i.raw[:], b)
	i.big = order.Uint16([]byte{0, 1}) == 1
}

// InfoField is a number in [TCPInfo]: its place times 16 and its size in bytes.
type InfoField uint16

// The fields, in the order of the structure. Times are in microseconds unless the
// name says Milliseconds. Left out is last_ack_sent, which the kernel does not
// keep.
const (
	InfoRetransmits        InfoField = 2<<4 | 1 // of the segment that waits
	InfoProbes             InfoField = 3<<4 | 1 // not answered
	InfoBackoff            InfoField = 4<<4 | 1 // doublings of the timer
	InfoRTO                InfoField = 8<<4 | 4
	InfoATO                InfoField = 12<<4 | 4
	InfoSendMSS            InfoField = 16<<4 | 4
	InfoReceiveMSS         InfoField = 20<<4 | 4
	InfoUnacked            InfoField = 24<<4 | 4 // segments
	InfoSacked             InfoField = 28<<4 | 4 // segments
	InfoLost               InfoField = 32<<4 | 4 // segments
	InfoRetrans            InfoField = 36<<4 | 4 // segments
	InfoFackets            InfoField = 40<<4 | 4 // segments
	InfoLastDataSentMillis InfoField = 44<<4 | 4
	InfoLastDataRecvMillis InfoField = 52<<4 | 4
	InfoLastAckRecvMillis  InfoField = 56<<4 | 4
	InfoPMTU               InfoField = 60<<4 | 4
	InfoReceiveSSThresh    InfoField = 64<<4 | 4 // bytes
	InfoRTT                InfoField = 68<<4 | 4
	InfoRTTVar             InfoField = 72<<4 | 4
	InfoSSThresh           InfoField = 76<<4 | 4 // segments
	InfoCwnd               InfoField = 80<<4 | 4 // segments
	InfoAdvMSS             InfoField = 84<<4 | 4
	InfoReordering         InfoField = 88<<4 | 4 // segments
	InfoReceiveRTT         InfoField = 92<<4 | 4
	InfoReceiveSpace       InfoField = 96<<4 | 4
	InfoTotalRetrans       InfoField = 100<<4 | 4 // segments
	InfoPacingRate         InfoField = 104<<4 | 8 // bytes a second
	InfoMaxPacingRate      InfoField = 112<<4 | 8 // bytes a second
	InfoBytesAcked         InfoField = 120<<4 | 8
	InfoBytesReceived      InfoField = 128<<4 | 8
	InfoSegsOut            InfoField = 136<<4 | 4
	InfoSegsIn             InfoField = 140<<4 | 4
	InfoNotSentBytes       InfoField = 144<<4 | 4
	InfoMinRTT             InfoField = 148<<4 | 4
	InfoDataSegsIn         InfoField = 152<<4 | 4
	InfoDataSegsOut        InfoField = 156<<4 | 4
	InfoDeliveryRate       InfoField = 160<<4 | 8 // bytes a second
	InfoBusyTime           InfoField = 168<<4 | 8
	InfoRwndLimited        InfoField = 176<<4 | 8
	InfoSndbufLimited      InfoField = 184<<4 | 8
	InfoDelivered          InfoField = 192<<4 | 4 // segments
	InfoDeliveredCE        InfoField = 196<<4 | 4 // segments
	InfoBytesSent          InfoField = 200<<4 | 8
	InfoBytesRetrans       InfoField = 208<<4 | 8
	InfoDSACKDups          InfoField = 216<<4 | 4 // segments
	InfoReorderingSeen     InfoField = 220<<4 | 4
	InfoReceiveOutOfOrder  InfoField = 224<<4 | 4 // segments
	InfoSendWindow         InfoField = 228<<4 | 4 // bytes
	InfoReceiveWindow      InfoField = 232<<4 | 4 // bytes
	InfoRehash             InfoField = 236<<4 | 4
	InfoTotalRTO           InfoField = 240<<4 | 2
	InfoTotalRTORecoveries InfoField = 242<<4 | 2
	InfoTotalRTOMillis     InfoField = 244<<4 | 4
	InfoReceivedCE         InfoField = 248<<4 | 4 // segments
	InfoDeliveredECT1Bytes InfoField = 252<<4 | 4
	InfoDeliveredECT0Bytes InfoField = 256<<4 | 4
	InfoDeliveredCEBytes   InfoField = 260<<4 | 4
	InfoReceivedECT1Bytes  InfoField = 264<<4 | 4
	InfoReceivedECT0Bytes  InfoField = 268<<4 | 4
	InfoReceivedCEBytes    InfoField = 272<<4 | 4
	InfoAccECNFailMode     InfoField = 276<<4 | 2
	InfoAccECNOptionSeen   InfoField = 278<<4 | 2
	infoFlags                        = 7
	infoWscale                       = 6
	infoOptions                      = 5
	infoCAState                      = 1
	infoUnknownRTT                   = math.MaxUint32
	infoInfiniteSSThresh             = 0x7fffffff // TCP_INFINITE_SSTHRESH
)

// Get returns a field. It is absent where the kernel's structure is shorter, and
// where the number says that there is none: a slow start threshold that was not
// set, no round trip yet, a rate without limit.
func (i *TCPInfo) Get(f InfoField) (int64, bool) {
	at, size := int(f>>4), int(f&15)
	if at+size > i.size {
		return 0, false
	}
	var order binary.ByteOrder = binary.LittleEndian
	if i.big {
		order = binary.BigEndian
	}
	var v uint64
	switch b := i.raw[at:]; size {
	case 1:
		v = uint64(b[0])
	case 2:
		v = uint64(order.Uint16(b))
	case 4:
		v = uint64(order.Uint32(b))
	case 8:
		v = order.Uint64(b)
	}
	none := v > math.MaxInt64 || f == InfoMinRTT && v == infoUnknownRTT || f == InfoSSThresh && v >= infoInfiniteSSThresh
	return int64(v), !none
}

// caStates are the states of congestion avoidance, enum tcp_ca_state.
var caStates = [...]string{"open", "disorder", "cwr", "recovery", "loss"}

// CongestionState returns the state of congestion avoidance: open, disorder, cwr,
// recovery, loss; "" if it is not known.
func (i *TCPInfo) CongestionState() string {
	if i.size <= infoCAState || int(i.raw[infoCAState]) >= len(caStates) {
		return ""
	}
	return caStates[i.raw[infoCAState]]
}

// options are the bits of tcpi_options, TCPI_OPT_*.
var options = [...]string{"ts", "sack", "wscale", "ecn", "ecnseen", "fastopen", "usec_ts", "tfo_child"}

// optionWscale is TCPI_OPT_WSCALE.
const optionWscale = 4

// Options returns the options of the connection, separated by blanks: ts, sack,
// wscale, ecn (agreed), ecnseen, fastopen (data in the SYN was acknowledged),
// usec_ts, tfo_child (accepted with fast open).
func (i *TCPInfo) Options() string {
	var set []string
	for bit, name := range options {
		if i.size > infoOptions && i.raw[infoOptions]&(1<<bit) != 0 {
			set = append(set, name)
		}
	}
	return strings.Join(set, " ")
}

// bits returns bits of a byte, counted as the machine's C compiler does.
func (i *TCPInfo) bits(at, first, width int) (uint8, bool) {
	if at >= i.size {
		return 0, false
	}
	if i.big {
		first = 8 - first - width
	}
	return i.raw[at] >> first & (1<<width - 1), true
}

// SendScale and ReceiveScale return by how many bits the windows are shifted;
// absent if the connection does not scale them.
func (i *TCPInfo) SendScale() (uint8, bool) {
	n, ok := i.bits(infoWscale, 0, 4)
	return n, ok && i.raw[infoOptions]&optionWscale != 0
}

// ReceiveScale is like SendScale.
func (i *TCPInfo) ReceiveScale() (uint8, bool) {
	n, ok := i.bits(infoWscale, 4, 4)
	return n, ok && i.raw[infoOptions]&optionWscale != 0
}

// AppLimited reports whether the delivery rate was measured while the program
// had too little to send.
func (i *TCPInfo) AppLimited() (bool, bool) {
	n, ok := i.bits(infoFlags, 0, 1)
	return n == 1, ok
}

// FastOpenFail returns why fast open was not used by a client, enum
// tcp_fastopen_client_fail: 0 it did not fail, 1 no cookie, 2 data not
// acknowledged, 3 SYN sent again.
func (i *TCPInfo) FastOpenFail() (uint8, bool) { return i.bits(infoFlags, 1, 2) }

// Control is what the congestion control algorithm tells: one of these, or none.
type Control struct {
	BBR   *BBR
	DCTCP *DCTCP
	Vegas *Vegas
}

// BBR is struct tcp_bbr_info.
type BBR struct {
	Bandwidth            uint64 // bytes a second
	MinRTT               uint32 // microseconds
	PacingGain, CwndGain float64
}

// DCTCP is struct tcp_dctcp_info.
type DCTCP struct {
	Enabled, CEState bool
	Alpha            uint32 // share of marked bytes, of 1024
	ECNBytes         uint32 // acknowledged with marks, in this window
	TotalBytes       uint32 // acknowledged, in this window
}

// Vegas is struct tcpvegas_info.
type Vegas struct {
	Enabled     bool
	RTTCount    uint32
	RTT, MinRTT uint32 // microseconds
}

// ULP is the protocol between a program and its TCP socket; the zero value is
// none.
type ULP struct {
	Name  string // tls, mptcp, …
	TLS   *TLS
	MPTCP *Subflow
}

// TLS is the kernel's TLS of a connection, include/uapi/linux/tls.h. A text is
// empty if it is not told.
type TLS struct {
	Version string // 1.2, 1.3
	Cipher  string // aes-gcm-128, …
	// Send and Receive say who encrypts: none, sw, hw, hw-record.
	Send, Receive string
}

// Subflow is a connection that is part of an MPTCP one, include/uapi/linux/mptcp.h.
type Subflow struct {
	LocalToken, RemoteToken uint32
	LocalID, RemoteID       uint8
	Flags                   uint32 // MPTCP_SUBFLOW_FLAG_*
}
