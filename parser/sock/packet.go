package sock

import "strconv"

// PACKET is the family of packet sockets.
const PACKET Family = 17

// Packet is one packet socket, packet(7): it gets frames as they pass an
// interface, and sends such.
type Packet struct {
	Type     Type
	Protocol EtherType
	// Interface is the number of the interface that the socket is bound to; 0 is
	// any, [NoInterface] one that has been removed.
	Interface int32
	// Running says that frames are handed to the socket: not if it has no
	// protocol, or if its interface is down.
	Running bool
	// RecvQueue is the kernel's memory of the frames that wait to be read, in
	// bytes and with its overhead. Those in a ring are not counted.
	RecvQueue uint32
	Common
	// Known names the fields that sock_diag gave a value. /proc gives those above,
	// and names none.
	Known  PacketKnown
	Memory Memory
	// Version is that of the ring's format, TPACKET_V1 to TPACKET_V3: 1 to 3.
	Version uint32
	// Reserve is the room in bytes before each frame of the ring, CopyThreshold
	// the length above which a frame is also queued: PACKET_RESERVE and
	// PACKET_COPY_THRESH.
	Reserve, CopyThreshold uint32
	// The options PACKET_AUXDATA, PACKET_ORIGDEV, PACKET_VNET_HDR and PACKET_LOSS.
	AuxData, OrigDev, VnetHeader, Loss bool
	RxRing, TxRing                     PacketRing
	// FanoutID is the group of sockets among which frames are spread.
	FanoutID   uint16
	FanoutType FanoutType
	// Memberships is how many things the socket has asked of interfaces by
	// PACKET_ADD_MEMBERSHIP, of which Promiscuous are the interfaces that it keeps
	// in promiscuous mode.
	Memberships, Promiscuous uint32
	// Filter is the classic BPF program that chooses the frames, as ss writes it; ""
	// if there is none, or if it is not known.
	Filter string
}

// NoInterface is the Interface of a packet socket whose interface was removed.
const NoInterface int32 = -1

// PacketKnown is a set of fields of [Packet].
type PacketKnown uint8

// The fields. KnowsPacketInfo is Interface, Running, Version, Reserve,
// CopyThreshold and the options.
const (
	KnowsPacketInfo PacketKnown = 1 << iota
	KnowsPacketQueue
	KnowsPacketMemory
	KnowsRxRing
	KnowsTxRing
	KnowsFanout
	KnowsMemberships
)

// PacketRing is memory that a program shares with the kernel, into which frames
// are written.
type PacketRing struct {
	Bytes  uint64
	Frames uint32 // of TPACKET_V3, where their length varies, a guess
}

// ID returns a 63-bit identity of the socket: a hash of namespace and cookie, else of
// namespace and inode.
func (s *Packet) ID() int64 { return s.id(PACKET).ID() }

// FanoutType says how frames are spread, PACKET_FANOUT_* of
// include/uapi/linux/if_packet.h.
type FanoutType uint16

var fanoutTypes = [...]string{"hash", "lb", "cpu", "rollover", "rnd", "qm", "cbpf", "ebpf"}

// String returns the kernel's word in lower case; an unknown type is its number.
func (t FanoutType) String() string {
	if int(t) < len(fanoutTypes) {
		return fanoutTypes[t]
	}
	return strconv.Itoa(int(t))
}

// EtherType says what is in a frame, ETH_P_* of include/uapi/linux/if_ether.h.
// Below 1536 it is no number on the wire but the kernel's own.
type EtherType uint16

var etherTypes = map[EtherType]string{
	0x0001: "802.3", 0x0002: "AX25", 0x0003: "ALL", 0x0004: "802.2", 0x0005: "SNAP", 0x000c: "CAN", 0x000d: "CANFD", 0x000e: "CANXL",
	0x0019: "HDLC", 0x001a: "ARCNET", 0x001b: "DSA", 0x0060: "LOOP", 0x00f5: "PHONET", 0x00f6: "IEEE802154", 0x00fa: "MCTP",
	0x0800: "IP", 0x0805: "X25", 0x0806: "ARP", 0x08ff: "BPQ", 0x22eb: "ERSPAN2", 0x22f0: "TSN", 0x4305: "BATMAN", 0x6558: "TEB",
	0x8035: "RARP", 0x809b: "ATALK", 0x80f3: "AARP", 0x8100: "802.1Q", 0x8137: "IPX", 0x86dd: "IPV6", 0x8808: "PAUSE", 0x8809: "SLOW",
	0x8847: "MPLS_UC", 0x8848: "MPLS_MC", 0x8863: "PPP_DISC", 0x8864: "PPP_SES", 0x886c: "LINK_CTL", 0x888e: "EAPOL", 0x8892: "PROFINET",
	0x8899: "REALTEK", 0x88a2: "AOE", 0x88a4: "ETHERCAT", 0x88a8: "802.1AD", 0x88b5: "802_EX1", 0x88be: "ERSPAN", 0x88c7: "PREAUTH", 0x88ca: "TIPC",
	0x88cc: "LLDP", 0x88e3: "MRP", 0x88e5: "MACSEC", 0x88e7: "802.1AH", 0x88f5: "MVRP", 0x88f7: "1588", 0x88f8: "NCSI", 0x88fb: "PRP",
	0x8902: "CFM", 0x8906: "FCOE", 0x890d: "TDLS", 0x8914: "FIP", 0x8915: "IBOE", 0x8917: "802.21", 0x892f: "HSR", 0x894f: "NSH",
	0x9000: "LOOPBACK", 0xed3e: "IFE",
}

// String returns the kernel's word behind ETH_P_, but EAPOL for PAE and the
// standards with their dot; it is "" for one without a name here, such as 0, with
// which a socket gets nothing.
func (e EtherType) String() string { return etherTypes[e] }
