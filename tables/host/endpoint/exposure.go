package endpoint

import (
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Exposure is how far the packets may come from that reach an endpoint, by its
// address and those of its network namespace. It knows no packet filter, no
// router and no address translation.
type Exposure int

// The exposures, from the narrowest to the widest.
const (
	HostOnly Exposure = iota // this network namespace or this host
	Link                     // the links of its interfaces
	Private                  // networks with private addresses
	Public                   // the Internet
	Any                      // not known, so that it may be anybody
)

var exposures = [...]string{"host_only", "link", "private", "public", "any"}

// String returns the exposure's name in SQL.
func (e Exposure) String() string { return exposures[e] }

// Exposures are the names of all exposures, from the narrowest to the widest.
func Exposures() []string { return exposures[:] }

// exposure judges an endpoint.
func (c *Collector) exposure(e *Endpoint) Exposure {
	switch e.Protocol {
	case Unix:
		return HostOnly
	case Vsock: // the host of this virtual machine, or those that this host runs
		if e.CID == localCID {
			return HostOnly
		}
		return Link
	}
	if !e.Address.IsUnspecified() {
		return ofAddress(e.Address)
	}
	if !c.network.KnowsAddresses {
		return Any
	}
	widest := HostOnly
	for _, a := range c.network.Addresses {
		if (e.Interface == 0 || a.Interface == e.Interface) && (a.Is4() && e.IPv4 || a.Is6() && e.IPv6) {
			widest = max(widest, ofAddress(a.Addr))
		}
	}
	return widest
}

// localCID is VMADDR_CID_LOCAL, vsock(7).
const localCID = 1

// ofAddress judges an address that is no wildcard.
func ofAddress(a netip.Addr) Exposure {
	switch sock.ScopeOf(a) {
	case sock.ScopeLoopback:
		return HostOnly
	case sock.ScopeLinkLocal:
		return Link
	case sock.ScopePrivate:
		return Private
	case sock.ScopeMulticast:
		return ofGroup(a)
	}
	return Public
}

// ofGroup judges a multicast group by its scope (RFC 2365, RFC 4291). That of the
// broadcast address is the link.
func ofGroup(a netip.Addr) Exposure {
	if a.Is4() {
		switch b := a.As4(); {
		case b[0] == 224 && b[1] == 0 && b[2] == 0, b[0] == 255, b[0] == 239 && b[1] == 255:
			return Link
		case b[0] == 239:
			return Private
		}
		return Public
	}
	switch scope := a.As16()[1] & 0xf; {
	case scope <= 1:
		return HostOnly
	case scope == 2:
		return Link
	case scope < 0xe:
		return Private
	}
	return Public
}
