package network

import (
	"cmp"
	"math"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Link is a network interface with what it has counted. Of one that came from
// /proc only Name and Counters are known.
type Link struct {
	// Namespace is the inode number of its network namespace; 0 if it is not
	// known.
	Namespace uint32
	Name      string
	Counters  Counters

	FromProc bool
	Index    uint32
	Type     uint16 // ARPHRD_* of include/uapi/linux/if_arp.h
	Flags    LinkFlags
	MTU      uint32
	Address  []byte // of the link layer
	State    OperState
	Queueing string // discipline, such as fq_codel; "" if none is told
	// Kind is that of a virtual interface, such as veth; "" of others.
	Kind string
	// Master is the number of the interface that this one is part of, 0 if it
	// is of none, and MasterName its name, "" if that is not known.
	Master     uint32
	MasterName string
	Alias      string   // a text that the administrator gave; "" if none
	AltNames   []string // its other names, in the kernel's order
	// Lower is the number of the interface at the other end, as of a veth, or
	// beneath, as of a vlan; 0 if there is none. LowerID is the number that this
	// namespace has for the one in which that is, if it is another, or -1 if it has
	// none; LowerNamespace is the inode number of that one, 0 if it is not known.
	Lower          uint32
	LowerElsewhere bool
	LowerID        int32
	LowerNamespace uint32
	// Speed is in Mbit/s, and Duplex half or full, "" if it is not known.
	Speed  Number
	Duplex string
	// VRFTable is the routing table of a VRF; 0 of others.
	VRFTable uint32
	// UDPPort is where the kernel takes the packets of a tunnel over UDP; 0 of
	// others.
	UDPPort uint16
	// QueueLength, Promiscuity and CarrierChanges are numbers that a kernel may
	// not tell.
	QueueLength, Promiscuity, CarrierChanges Number
}

// Number is a number that may not be known.
type Number struct {
	Value uint32
	Known bool
}

// Counter numbers: the fields of struct rtnl_link_stats64,
// include/uapi/linux/if_link.h, in its order.
const (
	RxPackets = iota
	TxPackets
	RxBytes
	TxBytes
	RxErrors
	TxErrors
	RxDropped
	TxDropped
	MulticastPackets
	Collisions
	RxLengthErrors
	RxOverErrors
	RxCRCErrors
	RxFrameErrors
	RxFIFOErrors
	RxMissedErrors
	TxAbortedErrors
	TxCarrierErrors
	TxFIFOErrors
	TxHeartbeatErrors
	TxWindowErrors
	RxCompressed
	TxCompressed
	RxNoHandler
	RxOtherHostDropped
	// The sums that /proc/net/dev prints in place of their parts
	// (dev_seq_printf_stats, net/core/net-procfs.c).
	RxDrops   // RxDropped and RxMissedErrors
	RxFrame   // RxLengthErrors, RxOverErrors, RxCRCErrors and RxFrameErrors
	TxCarrier // TxCarrierErrors, TxAbortedErrors, TxWindowErrors and TxHeartbeatErrors
	counterCount
)

// Counters are what an interface has counted since it was made. A driver may
// leave out what it does not count: that is 0.
type Counters struct {
	values [counterCount]uint64
	known  uint32
}

// Set sets the counter with that number.
func (c *Counters) Set(number int, value uint64) {
	c.values[number], c.known = value, c.known|1<<number
}

// Get returns the counter with that number, if it is known and fits in 63 bits.
func (c *Counters) Get(number int) (value int64, ok bool) {
	v := c.values[number]
	return int64(v), c.known&(1<<number) != 0 && v <= math.MaxInt64
}

// Sum sets the sums of counters that are known. As the kernel's they wrap.
func (c *Counters) Sum() {
	for sum, parts := range map[int][]int{
		RxDrops:   {RxDropped, RxMissedErrors},
		RxFrame:   {RxLengthErrors, RxOverErrors, RxCRCErrors, RxFrameErrors},
		TxCarrier: {TxCarrierErrors, TxAbortedErrors, TxWindowErrors, TxHeartbeatErrors},
	} {
		total, known := uint64(0), true
		for _, part := range parts {
			total, known = total+c.values[part], known && c.known&(1<<part) != 0
		}
		if known {
			c.Set(sum, total)
		}
	}
}

// LinkFlags are IFF_* of include/uapi/linux/if.h.
type LinkFlags uint32

// LinkUp says that the administrator has switched the interface on.
const LinkUp LinkFlags = 0x1

// Letters returns the flags as netstat -i prints them.
func (f LinkFlags) Letters() string {
	var b strings.Builder
	for _, l := range [...]struct {
		bit    uint
		letter byte
	}{{9, 'A'}, {1, 'B'}, {2, 'D'}, {3, 'L'}, {12, 'M'}, {15, 'd'}, {8, 'P'}, {5, 'N'}, {7, 'O'}, {4, 'P'}, {11, 's'}, {10, 'm'}, {6, 'R'}, {0, 'U'}} {
		if f&(1<<l.bit) != 0 {
			b.WriteByte(l.letter)
		}
	}
	return b.String()
}

// String returns the kernel's names of the flags with commas between.
func (f LinkFlags) String() string {
	return words(uint32(f), []string{"UP", "BROADCAST", "DEBUG", "LOOPBACK", "POINTOPOINT", "NOTRAILERS", "RUNNING", "NOARP", "PROMISC", "ALLMULTI",
		"MASTER", "SLAVE", "MULTICAST", "PORTSEL", "AUTOMEDIA", "DYNAMIC", "LOWER_UP", "DORMANT", "ECHO"}, ",")
}

// OperState is whether an interface can carry packets, IF_OPER_* (RFC 2863).
type OperState uint8

// String returns ip-link(8)'s word for the state.
func (s OperState) String() string {
	return name([]string{"UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"}, int(s))
}

// OtherNames returns the altnames with commas between. They may hold whatever a
// text can: a comma in one is written \x2c, and the backslash before an x \x5c.
func (l *Link) OtherNames() string {
	commas := strings.NewReplacer(",", `\x2c`, `\x`, `\x5cx`)
	names := make([]string, len(l.AltNames))
	for i, n := range l.AltNames {
		names[i] = commas.Replace(n)
	}
	return strings.Join(names, ",")
}

// ID returns a 63-bit identity of the interface.
func (l *Link) ID() int64 {
	h := sock.Hash(0).Add(uint64(l.Namespace)).Add(uint64(l.Index))
	if l.Index == 0 {
		h = h.Text(l.Name)
	}
	return h.ID()
}

// CompareNames orders names of interfaces as netstat does: by what is before
// the number at the end, then by that number.
func CompareNames(a, b string) int {
	stemA, stemB := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	shorter := min(len(stemA), len(stemB))
	// Numbers are compared as texts without zeros: they may have many digits.
	numberA, numberB := strings.TrimLeft(a[len(stemA):], "0"), strings.TrimLeft(b[len(stemB):], "0")
	return cmp.Or(strings.Compare(stemA[:shorter], stemB[:shorter]), cmp.Compare(len(stemA), len(stemB)),
		cmp.Compare(len(numberA), len(numberB)), strings.Compare(numberA, numberB), strings.Compare(a, b))
}
