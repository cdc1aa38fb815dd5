package functions

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"net/netip"

	"github.com/ncruces/go-sqlite3"
)

func hashes() []function {
	hash := func(sum func([]byte) []byte) sqlite3.ScalarFunction {
		return func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
			if s, ok := text(arguments[0]); ok {
				ctx.ResultText(hex.EncodeToString(sum([]byte(s))))
			}
		}
	}
	community := func(strict bool) sqlite3.ScalarFunction {
		return func(ctx sqlite3.Context, arguments ...sqlite3.Value) {
			id, err := communityID(arguments)
			switch {
			case err == nil:
				ctx.ResultText(id)
			case strict:
				ctx.ResultError(err)
			}
		}
	}
	return []function{
		{"md5", 1, hash(func(b []byte) []byte { h := md5.Sum(b); return h[:] })},
		{"sha1", 1, hash(func(b []byte) []byte { h := sha1.Sum(b); return h[:] })},
		{"sha256", 1, hash(func(b []byte) []byte { h := sha256.Sum256(b); return h[:] })},
		{"community_id_v1", 5, community(false)}, {"community_id_v1", 6, community(false)},
		{"community_id_v1_strict", 5, community(true)}, {"community_id_v1_strict", 6, community(true)},
	}
}

// communityID returns the Community ID, version 1, of both addresses, both ports, the
// protocol and perhaps the seed.
func communityID(arguments []sqlite3.Value) (string, error) {
	integer := func(i int, low, high int64) (int64, bool) {
		if arguments[i].Type() != sqlite3.INTEGER {
			return 0, false
		}
		n := arguments[i].Int64()
		return n, low <= n && n <= high
	}
	var seed int64
	if len(arguments) == 6 {
		var ok bool
		if seed, ok = integer(5, math.MinInt16, math.MaxInt16); !ok {
			return "", errors.New("community_id_v1: the seed is no integer of 16 bits")
		}
	}
	var ends [2]netip.AddrPort
	for i, which := range []string{"source", "destination"} {
		s, _ := text(arguments[i])
		a, err := netip.ParseAddr(s)
		if arguments[i].Type() != sqlite3.TEXT || err != nil {
			return "", errors.New("community_id_v1: the " + which + " is no IP address")
		}
		port, ok := integer(2+i, 0, math.MaxUint16)
		if !ok {
			return "", errors.New("community_id_v1: the " + which + "'s port is no number from 0 to 65535")
		}
		ends[i] = netip.AddrPortFrom(a, uint16(port))
	}
	protocol, ok := integer(4, 0, math.MaxUint8)
	if !ok {
		return "", errors.New("community_id_v1: the protocol is no number from 0 to 255")
	}
	if ends[0].Compare(ends[1]) > 0 {
		ends[0], ends[1] = ends[1], ends[0]
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(seed))
	b = append(append(b, ends[0].Addr().AsSlice()...), ends[1].Addr().AsSlice()...)
	b = append(b, byte(protocol), 0)
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, ends[0].Port()), ends[1].Port())
	sum := sha1.Sum(b)
	return "1:" + base64.StdEncoding.EncodeToString(sum[:]), nil
}
