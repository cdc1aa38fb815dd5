package names

import (
	"os"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
)

// Interfaces looks up the names of network interfaces. It is for one query in one
// goroutine.
type Interfaces struct {
	namespaces *netns.Set
	sockets    map[uint32]*os.File // by namespace, in which each was made; nil if none could be
	seen       map[link]string
}

// link is an interface by its namespace and number.
type link struct{ namespace, index uint32 }

// NewInterfaces returns an empty memory of the interfaces of namespaces.
func NewInterfaces(namespaces *netns.Set) *Interfaces {
	return &Interfaces{namespaces, make(map[uint32]*os.File), make(map[link]string)}
}

// Name returns the name of the interface with that number in a network
// namespace, by its inode; its number if the name is not known, as in a copy of
// another host's /proc. Each is asked for by itself (SIOCGIFNAME, netdevice(7)): a
// list of all may end at one that has too many names.
func (n *Interfaces) Name(namespace, index uint32) string {
	l := link{namespace, index}
	name, ok := n.seen[l]
	if !ok {
		socket, ok := n.sockets[namespace]
		if !ok {
			socket = n.open(namespace)
			n.sockets[namespace] = socket
		}
		name = strconv.FormatUint(uint64(index), 10)
		if socket != nil {
			if known, err := interfaceName(socket, index); err == nil {
				name = known
			}
		}
		n.seen[l] = name
	}
	return name
}

// open makes a socket in a namespace, which is closed when it is not used any more;
// nil if it cannot.
func (n *Interfaces) open(namespace uint32) (socket *os.File) {
	if process.CheckLocal(n.namespaces.Proc) != nil {
		return nil
	}
	in := n.namespaces.Find(namespace)
	if in == nil {
		return nil
	}
	defer in.Close()
	in.Do(func() { socket, _ = anySocket() })
	return socket
}
