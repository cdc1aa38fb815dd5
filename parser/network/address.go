package network

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Address is an address of a network interface: struct ifaddrmsg,
// include/uapi/linux/if_addr.h, and the attributes behind it.
type Address struct {
	// Namespace is the inode number of its network namespace; 0 if it is not
	// known.
	Namespace uint32
	Family    sock.Family
	Interface uint32
	// Prefix is the address with the length of its network's prefix.
	Prefix netip.Prefix
	// Peer is the other end of a point-to-point interface, with the length of the
	// prefix, and Broadcast the network's broadcast address. Either is invalid if
	// there is none.
	Peer      netip.Prefix
	Broadcast netip.Addr
	Scope     Scope // how far the address is valid
	Flags     AddressFlags
	Label     string // of an IPv4 address, such as eth0:1; "" if there is none
	Metric    uint32 // of the routes that the kernel made for it; 0 if there is none
	Protocol  uint8  // who made it, IFAPROT_*; 0 if it is not known
	// Valid and Preferred are how long the address lasts, and how long new
	// connections may use it; Forever if there is no end.
	Valid, Preferred time.Duration
}

// Forever is a lifetime without an end.
const Forever time.Duration = -1

// AddressFlags are IFA_F_* of include/uapi/linux/if_addr.h.
type AddressFlags uint32

// Names returns the names of the flags, in lower case, with commas between. The
// first is temporary for IPv6, secondary for IPv4.
func (f AddressFlags) Names(family sock.Family) string {
	first := "secondary"
	if family == sock.INET6 {
		first = "temporary"
	}
	return words(uint32(f), []string{first, "nodad", "optimistic", "dadfailed", "homeaddress", "deprecated", "tentative", "permanent",
		"managetempaddr", "noprefixroute", "autojoin", "stable_privacy"}, ",")
}

// AddressProtocol returns the name that ip(8) prints of who made an address: the
// kernel for the loopback, a router advertisement, or the link-local address. It is
// empty if that is not known, and a number of a program's own.
func AddressProtocol(p uint8) string {
	switch p {
	case 0:
		return ""
	case 1:
		return "kernel_lo"
	case 2:
		return "kernel_ra"
	case 3:
		return "kernel_ll"
	}
	return strconv.Itoa(int(p))
}
