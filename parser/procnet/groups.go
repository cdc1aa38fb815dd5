package procnet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"iter"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
)

// The names of the lists of multicast groups.
const (
	IGMP     = "igmp"
	IGMP6    = "igmp6"
	DevMcast = "dev_mcast"
)

// Groups streams the multicast groups of /proc/net/igmp, igmp6 or dev_mcast,
// whichever name says. The kernel prints them in igmp_mc_seq_show
// (net/ipv4/igmp.c), igmp6_mc_seq_show (net/ipv6/mcast.c) and dev_mc_seq_show
// (net/core/dev_addr_lists.c, net/core/net-procfs.c). See [TCP] for byte order
// and errors.
func Groups(r io.Reader, name string, order binary.ByteOrder) iter.Seq2[network.Group, error] {
	switch name {
	case IGMP:
		return igmp(r, order)
	case IGMP6:
		// Index, interface, address, users, flags and timer.
		return list(r, order, nil, func(f *fields) network.Group {
			g := network.Group{Proto: name, Index: uint32(f.dec("index", 32)), Interface: string(f.next())}
			a := f.addr6("address").As16()
			g.Address, g.Users = a[:], uint32(f.dec("users", 32))
			return g
		})
	}
	// Index, interface, users, how often it was asked for by the user, address.
	length := 6 // of the longest address, which is that of Ethernet at least
	return list(r, order, nil, func(f *fields) network.Group {
		g := network.Group{Proto: name, Index: uint32(f.dec("index", 32)), Interface: string(f.next()), Users: uint32(f.dec("users", 32))}
		f.dec("global use", 32)
		var err error
		if g.Address, err = hex.DecodeString(string(f.next())); err != nil || len(g.Address) == 0 {
			f.fail("address: expected an even number of hexadecimal digits")
		}
		if length = max(length, len(g.Address)); f.cut && len(g.Address) < length {
			f.fail("expected more of the address")
		}
		return g
	})
}

// igmp decodes a list in which a line for each interface stands over those of
// its groups:
//
//	Idx Device : Count Querier Group Users Timer Reporter
//	2 eth0 : 1 V3
//	         010000E0 1 0:00000000 0
func igmp(r io.Reader, order binary.ByteOrder) iter.Seq2[network.Group, error] {
	var of network.Group // with the interface of the last such line
	return list(r, order, parser.Words("Idx Device : Count Querier Group Users Timer Reporter"), func(f *fields) network.Group {
		if f.skip = len(f.rest) == 0 || strings.IndexByte(blanks, f.rest[0]) < 0; f.skip {
			of = network.Group{Proto: IGMP, Index: uint32(f.dec("Idx", 32))}
			device, rest, ok := bytes.Cut(f.rest, []byte(":"))
			if !ok {
				f.fail("Device: expected a name and a colon")
			}
			f.rest, of.Interface = rest, string(bytes.Trim(device, blanks))
			f.dec("Count", 32)
			of.Querier = string(f.next())
			return of
		}
		if of.Interface == "" {
			f.fail("expected the line of an interface over those of its groups")
		}
		g := of
		a := f.addr(f.next(), 1, "Group").As4()
		g.Address, g.Users = a[:], uint32(f.dec("Users", 32))
		return g
	})
}
