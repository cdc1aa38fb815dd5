package sock

// Common is what sockets of every family have: their identity and their owner.
type Common struct {
	// Inode of the socket in sockfs; 0 where no file refers to it, such as in
	// TIME_WAIT or SYN_RECV, and where the source does not report it.
	Inode uint64
	// Cookie is the kernel's 64-bit identity of the socket; 0 where the source
	// (/proc) does not report it.
	Cookie uint64
	// UID is the user who owns the socket. It means nothing unless HasUID.
	UID uint32
	// Namespace is the inode number of the network namespace; 0 if it is not
	// known.
	Namespace uint32
	// HasUID says that UID has a value. The kernel reports no owner of netlink
	// and vsock sockets, and keeps none of a TCP connection in TIME_WAIT or,
	// once its program has closed it, in FIN_WAIT2: the 0 that it shows there is
	// not root. A connection in SYN_RECV has its listener's owner, which only
	// /proc reports.
	HasUID bool
}

// Base returns the common part of a socket of any type that embeds it.
func (c *Common) Base() *Common { return c }

// hash begins the identity of a socket without a cookie. Two network namespaces
// may have sockets that are alike in all else.
func (c *Common) hash(f Family) Hash {
	return Hash(f).Add(uint64(c.Namespace)).Add(c.Inode)
}
