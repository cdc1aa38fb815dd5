package procnet

import (
	"io"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Protocol returns how many sockets of a protocol /proc/net/protocols counts
// (proto_seq_show, net/core/sock.c). It is not ok if the protocol is not in the
// list, which has those that the kernel has at the moment:
//
//	protocol  size sockets  memory press maxhdr  slab module …
//	MPTCP     1936      4       0   no       0   yes  kernel …
//
// Errors are as of [TCP]; lines beneath the protocol's are not read.
func Protocol(r io.Reader, name string) (sockets int64, ok bool, err error) {
	protocols := list(r, nil, parser.Words("protocol size sockets"), func(f *fields) (n int64) {
		found := string(f.next()) == name
		f.next() // size
		if f.skip = !found && len(f.next()) > 0; !f.skip {
			n = int64(f.dec("sockets", 63))
			f.goesOn()
		}
		return n
	})
	for n, err := range protocols {
		return n, err == nil, err
	}
	return 0, false, nil
}
