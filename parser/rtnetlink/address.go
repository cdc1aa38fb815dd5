package rtnetlink

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Sizes of structures and numbers of attributes, IFA_* of
// include/uapi/linux/if_addr.h.
const (
	addressSize      = 8  // struct ifaddrmsg
	addressCacheSize = 16 // struct ifa_cacheinfo

	addressAddress   = 1
	addressLocal     = 2
	addressLabel     = 3
	addressBroadcast = 4
	addressCacheInfo = 6
	addressFlags     = 8
	addressPriority  = 9
	addressProtocol  = 11
)

// Address decodes struct ifaddrmsg and the attributes behind it. It is false for
// what is no IP address.
func Address(kind uint16, b []byte, order binary.ByteOrder, to *network.Address) (ok bool, err error) {
	*to = network.Address{Valid: network.Forever, Preferred: network.Forever}
	if kind != typeNewAddress {
		return false, nil
	}
	if len(b) < addressSize {
		return false, fmt.Errorf("struct ifaddrmsg of %d bytes, want %d: %w", len(b), addressSize, netlink.ErrShort)
	}
	to.Family = sock.Family(b[0])
	if to.Family != sock.INET && to.Family != sock.INET6 {
		return false, nil
	}
	size := addrSize(to.Family)
	bits := int(b[1])
	to.Flags, to.Scope, to.Interface = network.AddressFlags(b[2]), network.Scope(b[3]), order.Uint32(b[4:])
	var address, local netip.Addr
	a := netlink.NewAttributes(b[addressSize:], order)
	for a.Next() {
		switch a.Type() {
		case addressAddress:
			address = a.Addr(size)
		case addressLocal:
			local = a.Addr(size)
		case addressLabel:
			to.Label = a.Text()
		case addressBroadcast:
			to.Broadcast = a.Addr(size)
		case addressCacheInfo:
			if b, ok := a.Struct(addressCacheSize); ok {
				to.Preferred, to.Valid = lifetime(order.Uint32(b)), lifetime(order.Uint32(b[4:]))
			}
		case addressFlags:
			to.Flags = network.AddressFlags(a.Uint32()) // more than fit in the struct
		case addressPriority:
			to.Metric = a.Uint32()
		case addressProtocol:
			to.Protocol = a.Uint8()
		}
	}
	if err := a.Err(); err != nil {
		return false, fmt.Errorf("an address: %w", err)
	}
	// With a peer IFA_ADDRESS is the peer's (include/uapi/linux/if_addr.h).
	if local.IsValid() && address.IsValid() && local != address {
		to.Peer = netip.PrefixFrom(address, bits)
	}
	if !local.IsValid() {
		local = address
	}
	if to.Prefix = netip.PrefixFrom(local, bits); !to.Prefix.IsValid() {
		return false, fmt.Errorf("an address: %s with a prefix of %d bits", local, bits)
	}
	return true, nil
}

// lifetime translates seconds, of which the largest number is forever.
func lifetime(seconds uint32) time.Duration {
	if seconds == math.MaxUint32 {
		return network.Forever
	}
	return time.Duration(seconds) * time.Second
}
