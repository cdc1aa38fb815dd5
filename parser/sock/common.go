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
	// and vsock sockets: see also [Common.Own].
	HasUID bool
}

// Base returns the common part of a socket of any type that embeds it.
func (c *Common) Base() *Common { return c }

// Own sets the inode of an IP socket, and the owner, which it has only with one. A
// connection that waits to be accepted, is closed by its program, or is a request
// in SYN_RECV belongs to no file, and what the kernel reports in the owner's place
// depends on its version and on the list: 0, which is not root, before Linux 6.17
// (sock_i_uid, include/net/sock.h), later and in /proc for requests the user of
// the listener.
func (c *Common) Own(inode uint64, uid uint32) {
	c.Inode, c.UID, c.HasUID = inode, uid, inode != 0
}

// id begins the identity of a socket, whose number is the kernel's cookie or else the
// inode. Namespaces may have sockets that are alike in all else, and before Linux 5.4
// their cookies are alike too.
func (c *Common) id(f Family) Hash {
	if c.Cookie != 0 {
		return Hash(0).Add(uint64(c.Namespace)).Add(c.Cookie)
	}
	return Hash(f).Add(uint64(c.Namespace)).Add(c.Inode)
}
