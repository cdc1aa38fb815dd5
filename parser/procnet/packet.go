package procnet

import (
	"bytes"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Packet streams the sockets of /proc/net/packet (packet_seq_show,
// net/packet/af_packet.c). Errors are as of [TCP].
//
//	sk RefCnt Type Proto Iface R Rmem User Inode
func Packet(r io.Reader) iter.Seq2[sock.Packet, error] {
	return list(r, nil, parser.Words("sk RefCnt Type Proto Iface R Rmem User Inode"), func(f *fields) (s sock.Packet) {
		f.next() // address of struct sock, hidden or hashed
		f.next() // reference count
		s.Type = sock.Type(f.dec("type", 8))
		s.Protocol = sock.EtherType(f.hex(f.next(), 16, "protocol"))
		if rest := bytes.TrimLeft(f.rest, blanks); bytes.HasPrefix(rest, []byte("-1 ")) {
			s.Interface = sock.NoInterface
			f.next()
		} else {
			s.Interface = int32(f.dec("interface", 31))
		}
		s.Running = f.dec("running", 32) != 0
		s.RecvQueue = uint32(f.dec("rmem", 32))
		s.UID, s.HasUID = uint32(f.dec("user", 32)), true
		s.Inode = f.dec("inode", 64)
		return s
	})
}
