package network

import (
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Neighbor is an entry of the table of ARP or NDP: struct ndmsg and NDA_* of
// include/uapi/linux/neighbour.h.
type Neighbor struct {
	// Namespace is the inode number of its network namespace; 0 if it is not
	// known.
	Namespace   uint32
	Family      sock.Family
	Interface   uint32
	Address     netip.Addr
	LinkAddress []byte // empty if it is not known
	State       NeighborState
	Flags       NeighborFlags
	Protocol    Protocol // who made the entry; 0 if nobody said so
	// HasTimes says that the fields that follow have values. The times are
	// milliseconds ago.
	HasTimes                 bool
	Confirmed, Used, Updated uint64
	References               uint32
	Probes                   uint32
}

// NeighborState is a state, NUD_*, of which one bit is set.
type NeighborState uint16

// String returns the name that ip-neighbour(8) prints; none if no bit is set.
func (s NeighborState) String() string {
	if s == 0 {
		return "NONE"
	}
	return words(uint32(s), []string{"INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "NOARP", "PERMANENT"}, ",")
}

// NeighborFlags are NTF_*, and from bit 8 on NTF_EXT_*.
type NeighborFlags uint32

// ProxyNeighbor is the flag of an address that is answered for in the place of
// another host.
const ProxyNeighbor NeighborFlags = 1 << 3

// String returns the names with commas between.
func (f NeighborFlags) String() string {
	return words(uint32(f), []string{"use", "self", "master", "proxy", "extern_learn", "offload", "sticky", "router", "managed", "locked", "extern_valid"}, ",")
}
