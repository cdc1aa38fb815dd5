package sock

import (
	"fmt"
	"strconv"
	"strings"
)

// NETLINK is the family of netlink sockets.
const NETLINK Family = 16

// NetlinkProtocol is what a netlink socket talks about with the kernel, or with
// other programs: NETLINK_* of include/uapi/linux/netlink.h.
type NetlinkProtocol uint8

var netlinkProtocols = [...]string{
	0: "route", 2: "usersock", 3: "firewall", 4: "sock_diag", 5: "nflog", 6: "xfrm", 7: "selinux", 8: "iscsi", 9: "audit", 10: "fib_lookup",
	11: "connector", 12: "netfilter", 13: "ip6_fw", 14: "dnrtmsg", 15: "kobject_uevent", 16: "generic", 18: "scsitransport", 19: "ecryptfs",
	20: "rdma", 21: "crypto", 22: "smc",
}

// String returns the kernel's word behind NETLINK_ in lower case; an unknown
// protocol is its number.
func (p NetlinkProtocol) String() string {
	if int(p) < len(netlinkProtocols) && netlinkProtocols[p] != "" {
		return netlinkProtocols[p]
	}
	return strconv.Itoa(int(p))
}

// NetlinkGroups is a set of multicast groups: group 1 is bit 0 of the first word.
type NetlinkGroups []uint64

// String returns the set as ss shows it, a hexadecimal number of at least eight
// digits whose lowest bit is group 1: 0x00000005. Of groups above 32 it has more
// digits.
func (g NetlinkGroups) String() string {
	for len(g) > 0 && g[len(g)-1] == 0 {
		g = g[:len(g)-1]
	}
	if len(g) == 0 {
		return "0x00000000"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "0x%08x", g[len(g)-1])
	for i := len(g) - 2; i >= 0; i-- {
		fmt.Fprintf(&b, "%016x", g[i])
	}
	return b.String()
}

// Empty reports whether the socket is in no group.
func (g NetlinkGroups) Empty() bool {
	for _, word := range g {
		if word != 0 {
			return false
		}
	}
	return true
}

// Netlink is one netlink socket, netlink(7).
type Netlink struct {
	Protocol NetlinkProtocol
	// PortID is the socket's address: often the number of its process. It is 0 of
	// the kernel's own sockets, and of one that has joined groups without being
	// bound.
	PortID uint32
	// Groups that the socket listens to; from /proc only those up to 32.
	Groups NetlinkGroups
	// Common has no UID. The kernel's own sockets have an Inode too.
	Common
	// Known names the fields below that have a value.
	Known NetlinkKnown
	// RecvQueue and SendQueue are the kernel's memory of messages, in bytes and
	// with its overhead.
	RecvQueue, SendQueue uint32
	// Drops counts messages that were lost because the receive queue was full.
	Drops uint32
	// Dump says that an answer of several parts is not yet read to its end.
	Dump bool
	// NoENOBUFS and ListenAll are the options NETLINK_NO_ENOBUFS (losses are not
	// told to the program) and NETLINK_LISTEN_ALL_NSID (it gets the messages of
	// other network namespaces too).
	NoENOBUFS, ListenAll bool
	RefCount             uint32
}

// NetlinkKnown is a set of fields of [Netlink].
type NetlinkKnown uint8

// The fields. KnowsNetlinkQueues is both queues, KnowsNetlinkOptions both options.
const (
	KnowsNetlinkQueues NetlinkKnown = 1 << iota
	KnowsNetlinkDrops
	KnowsNetlinkDump
	KnowsNetlinkOptions
	KnowsNetlinkRefCount
)

// ID returns a 63-bit identity of the socket, a hash of namespace and inode. The
// cookie is not in it, as it may be known at one time and not at another.
func (s *Netlink) ID() int64 {
	owner := s.Common
	owner.Cookie = 0
	return owner.id(NETLINK).Add(uint64(s.Protocol)).Add(uint64(s.PortID)).ID()
}
