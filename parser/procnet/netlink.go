package procnet

import (
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Netlink streams the sockets of /proc/net/netlink (netlink_native_seq_show,
// net/netlink/af_netlink.c). Those that have joined groups without being bound are
// not in it, and of groups it tells the first 32. Errors are as of [TCP].
//
//	sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
func Netlink(r io.Reader) iter.Seq2[sock.Netlink, error] {
	return list(r, nil, parser.Words("sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode"), func(f *fields) (s sock.Netlink) {
		f.next() // address of struct sock, hidden or hashed
		s.Protocol = sock.NetlinkProtocol(f.dec("protocol", 8))
		s.PortID = uint32(f.dec("port", 32))
		if groups := f.hex(f.next(), 32, "groups"); groups != 0 {
			s.Groups = sock.NetlinkGroups{groups}
		}
		s.RecvQueue = uint32(f.dec("rmem", 32))
		s.SendQueue = uint32(f.dec("wmem", 32))
		s.Dump = f.dec("dump", 32) != 0
		s.RefCount = uint32(f.dec("locks", 32))
		s.Drops = uint32(f.dec("drops", 32))
		s.Inode = f.dec("inode", 64)
		s.Known = sock.KnowsNetlinkQueues | sock.KnowsNetlinkDrops | sock.KnowsNetlinkDump | sock.KnowsNetlinkRefCount
		return s
	})
}
