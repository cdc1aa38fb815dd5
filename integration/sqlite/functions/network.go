package functions

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

func networks() []function {
	return []function{
		{"inet_aton", 1, func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
			s, _ := text(arguments[0])
			if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
				ctx.ResultInt64(int64(number4(a)))
			}
		}},
		{"in_cidr_block", 2, func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
			in, err := inBlock(arguments[0], arguments[1])
			if err != nil {
				ctx.ResultError(err)
				return
			}
			ctx.ResultBool(in)
		}},
	}
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// inBlock reports whether a network, such as 10.0.0.0/8, has a host of that address.
// As in osquery the first and the last address of an IPv4 network are no hosts.
func inBlock(network, address sqlite3.Value) (bool, error) {
	if network.Type() != sqlite3.TEXT || address.Type() != sqlite3.TEXT {
		return false, errors.New("in_cidr_block: the network and the address must be texts")
	}
	s, _ := text(address)
	a, err := netip.ParseAddr(s)
	if err != nil {
		return false, errors.New("in_cidr_block: the second argument is no IP address")
	}
	s, _ = text(network)
	base, digits, _ := strings.Cut(s, "/")
	bits, err := strconv.ParseUint(digits, 10, 8)
	of, failed := netip.ParseAddr(base)
	if err != nil || failed != nil || of.Is4() != a.Is4() || int(bits) > of.BitLen() {
		return false, errors.New("in_cidr_block: the first argument is no network of the address's version, such as 10.0.0.0/8 or fd00::/8")
	}
	prefix := netip.PrefixFrom(of.WithZone(""), int(bits))
	if !prefix.Contains(a.WithZone("")) {
		return false, nil
	}
	if a.Is4() && bits < 32 {
		mask := uint32(1)<<(32-bits) - 1
		host := number4(a) & mask
		return host != 0 && host != mask, nil
	}
	return true, nil
}
