package names

import (
	"net"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
)

// Interfaces looks up the names of network interfaces, those of a namespace at
// once. It is for one query in one goroutine.
type Interfaces struct {
	namespaces *netns.Set
	seen       map[uint32]map[uint32]string // by namespace and number
}

// NewInterfaces returns an empty memory of the interfaces of namespaces.
func NewInterfaces(namespaces *netns.Set) *Interfaces {
	return &Interfaces{namespaces, make(map[uint32]map[uint32]string)}
}

// Name returns the name of the interface with that number in a network
// namespace, by its inode; its number if the name is not known, as in a copy of
// another host's /proc.
func (n *Interfaces) Name(namespace, index uint32) string {
	names, ok := n.seen[namespace]
	if !ok {
		names = make(map[uint32]string)
		for _, i := range n.interfaces(namespace) {
			names[uint32(i.Index)] = i.Name
		}
		n.seen[namespace] = names
	}
	if name, ok := names[index]; ok {
		return name
	}
	return strconv.FormatUint(uint64(index), 10)
}

// interfaces returns those of a network namespace, none if they are not known.
func (n *Interfaces) interfaces(namespace uint32) (all []net.Interface) {
	if process.CheckLocal(n.namespaces.Proc) != nil {
		return nil
	}
	in := n.namespaces.Find(namespace)
	if in == nil {
		return nil
	}
	defer in.Close()
	if err := in.Do(func() { all, _ = net.Interfaces() }); err != nil {
		return nil
	}
	return all
}
