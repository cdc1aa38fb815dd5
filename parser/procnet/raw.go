package procnet

import (
	"encoding/binary"
	"io"
	"iter"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Raw streams the sockets of /proc/net/raw or, for ping sockets, /proc/net/icmp,
// and of their IPv6 siblings (raw_sock_seq_show, net/ipv4/raw.c;
// ping_v4_format_sock, net/ipv4/ping.c; __ip6_dgram_sock_seq_show,
// net/ipv6/datagram.c). Where the lists of UDP have the local port these have the
// IP protocol or the ICMP identifier. See [TCP] for byte order and errors.
func Raw(r io.Reader, family sock.Family, ping bool, order binary.ByteOrder) iter.Seq2[sock.RawIP, error] {
	return inetList(r, order, true, func(f *fields) sock.RawIP {
		s := sock.RawIP{Ping: ping}
		var timer sock.Timer
		var skip uint32
		s.Inet = f.inet(family, 0, &timer, &skip, &skip, &skip)
		f.next() // reference count
		f.next() // address of struct sock, hidden or hashed
		s.Drops = f.dec("drops", 64)
		number := s.Local.Port()
		s.Local = netip.AddrPortFrom(s.Local.Addr(), 0)
		switch {
		case !ping:
			s.IPProtocol = number
		case family == sock.INET6:
			s.IPProtocol, s.Identifier = uint16(sock.ProtoICMPv6), number
		default:
			s.IPProtocol, s.Identifier = uint16(sock.ProtoICMP), number
		}
		return s
	})
}
