package sock

import (
	"encoding/binary"
	"net/netip"
)

// AppendAddr appends an address as glibc's inet_ntop(3), and so osquery,
// spells it: as [netip.Addr] does, but with a dotted tail for IPv4-compatible
// addresses (::192.0.2.1) as well as for mapped ones.
func AppendAddr(b []byte, a netip.Addr) []byte {
	if a.Is6() && !a.Is4In6() {
		x := a.As16()
		if binary.BigEndian.Uint64(x[:8]) == 0 && binary.BigEndian.Uint32(x[8:]) == 0 && (x[12] != 0 || x[13] != 0) {
			b = append(b, "::"...)
			return netip.AddrFrom4([4]byte(x[12:])).AppendTo(b)
		}
	}
	return a.AppendTo(b)
}

// Scope says what an address is exposed to.
type Scope string

// The scopes, from the registries of special-purpose addresses
// (RFC 6890, RFC 1918, RFC 3927, RFC 4193, RFC 4291, RFC 6598).
const (
	ScopeWildcard  Scope = "wildcard"
	ScopeLoopback  Scope = "loopback"
	ScopeLinkLocal Scope = "link_local"
	ScopePrivate   Scope = "private"
	ScopeMulticast Scope = "multicast"
	ScopeGlobal    Scope = "global"
)

var sharedAddressSpace = netip.MustParsePrefix("100.64.0.0/10")

// ScopeOf classifies an address; an IPv4-mapped one as its IPv4 address. The
// shared address space of carriers (100.64.0.0/10) is private: it is not
// reachable from the Internet. The IPv4 broadcast address is multicast, the
// invalid address has no scope.
func ScopeOf(a netip.Addr) Scope {
	a = a.Unmap()
	switch {
	case !a.IsValid():
		return ""
	case a.IsUnspecified():
		return ScopeWildcard
	case a.IsLoopback():
		return ScopeLoopback
	case a.IsLinkLocalUnicast():
		return ScopeLinkLocal
	case a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return ScopeMulticast
	case a.IsPrivate(), sharedAddressSpace.Contains(a):
		return ScopePrivate
	}
	return ScopeGlobal
}
