package network

import (
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Rule is a policy rule of routing: struct fib_rule_hdr and FRA_* of
// include/uapi/linux/fib_rules.h.
type Rule struct {
	// Namespace is the inode number of its network namespace; 0 if it is not
	// known.
	Namespace uint32
	Family    sock.Family
	Priority  uint32
	// Source and Destination are invalid if the rule is for any.
	Source, Destination netip.Prefix
	// Input and Output are the names of interfaces, "" for any.
	Input, Output string
	TOS           uint8
	Mark, Mask    uint32 // of the packet; no Mask means any
	IPProtocol    uint8  // 0 means any
	// SourcePorts and DestinationPorts are the zero value for any.
	SourcePorts, DestinationPorts sock.PortRange
	HasUsers                      bool
	FirstUser, LastUser           uint32
	TunnelID                      uint64 // 0 means any
	Inverted                      bool   // the rule is for what does not match
	Action                        RuleAction
	Table                         uint32 // of the action table; 0 if VRF is set
	VRF                           bool   // the table is that of the interface's VRF
	Goto                          uint32 // the priority of the action goto
	// SuppressPrefix and SuppressGroup reject a route by the length of its prefix
	// and the group of its interface. They mean nothing unless Has is set.
	HasSuppressPrefix, HasSuppressGroup bool
	SuppressPrefix, SuppressGroup       uint32
	Realm                               uint32 // of the source in the upper 16 bits, and the destination; 0 if none is set
	Protocol                            Protocol
	Flags                               RuleFlags
}

// RuleAction is what a rule does, FR_ACT_*.
type RuleAction uint8

// Lookup is the action of a rule that chooses a table.
const Lookup RuleAction = 1

// String returns the name of the action, lookup if it chooses a table.
func (a RuleAction) String() string {
	return name([]string{1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}, int(a))
}

// RuleFlags are FIB_RULE_*.
type RuleFlags uint32

// String returns the names that ip-rule(8) prints, with commas between; the
// inversion is a field of its own.
func (f RuleFlags) String() string {
	return words(uint32(f&^2), []string{"permanent", "", "unresolved", "iif_detached", "oif_detached"}, ",")
}
