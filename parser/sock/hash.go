package sock

import (
	"encoding/binary"
	"net/netip"
)

// Hash is a running hash that gives rows their identities. The zero value is
// ready; each method returns the hash with one value more:
//
//	id := sock.Hash(0).Add(uint64(namespace)).Text(name).ID()
type Hash uint64

// Add adds a number: the finaliser of splitmix64 over both words.
func (h Hash) Add(v uint64) Hash {
	h ^= Hash(v) + 0x9e3779b97f4a7c15 + h<<6 + h>>2
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

// Text adds a text and its length, so that texts in a row keep their borders.
func (h Hash) Text(s string) Hash {
	h = h.Add(uint64(len(s)))
	for ; len(s) > 0; s = s[min(8, len(s)):] {
		var word [8]byte
		copy(word[:], s)
		h = h.Add(binary.BigEndian.Uint64(word[:]))
	}
	return h
}

// Addr adds an address. The invalid address, an IPv4 address and the IPv6
// address that maps it differ.
func (h Hash) Addr(a netip.Addr) Hash {
	b := a.As16()
	return h.Add(uint64(a.BitLen())).Add(binary.BigEndian.Uint64(b[:8])).Add(binary.BigEndian.Uint64(b[8:]))
}

// AddrPort adds an address and a port.
func (h Hash) AddrPort(end netip.AddrPort) Hash {
	return h.Addr(end.Addr()).Add(uint64(end.Port()))
}

// ID returns 63 bits of the hash, which a row identity has.
func (h Hash) ID() int64 { return int64(h &^ (1 << 63)) }
