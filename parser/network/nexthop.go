package network

import (
	"strconv"
	"strings"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// NextHopObject is a nexthop object, ip-nexthop(8), that routes refer to: struct
// nhmsg and NHA_* of include/uapi/linux/nexthop.h.
type NextHopObject struct {
	// Namespace is the inode number of its network namespace; 0 if it is not
	// known.
	Namespace uint32
	ID        uint32
	Family    sock.Family // of the gateway; 0 of a group
	Scope     Scope
	Protocol  Protocol // who made it
	// Hop is the way of one that is no group. Its Weight is 0.
	Hop       NextHop
	Blackhole bool
	FDB       bool // it is for a bridge's forwarding database
	// Group are the members of a group.
	Group []GroupMember
	// Resilient says that flows stay with their member while the group changes:
	// the fields that follow are of such a group.
	Resilient                           bool
	Buckets                             uint16
	IdleTimer, UnbalancedTimer, Unequal time.Duration // Unequal is for how long it has not been balanced
}

// GroupMember is a member of a group, and its share.
type GroupMember struct {
	ID     uint32
	Weight uint16
}

// Members returns the group as ip-nexthop(8) writes it, such as 1/2,300: the
// members' numbers, and behind a comma their weight if it is not 1.
func (o *NextHopObject) Members() string {
	var b strings.Builder
	for i, m := range o.Group {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(strconv.FormatUint(uint64(m.ID), 10))
		if m.Weight != 1 {
			b.WriteString("," + strconv.Itoa(int(m.Weight)))
		}
	}
	return b.String()
}
