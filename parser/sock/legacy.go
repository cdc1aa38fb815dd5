package sock

// Legacy is a socket of one of the old families that netstat knows, or of
// Bluetooth. What its list does not tell is empty.
type Legacy struct {
	Proto string // ax25, netrom, rose, x25, ipx, atalk, l2cap, rfcomm, sco
	// Local and Remote are the addresses as the list spells them, * for any.
	Local, Remote string
	// Digipeaters are the stations by which AX.25 reaches the peer, with commas
	// between; an asterisk marks those that have repeated.
	Digipeaters string
	// LocalCall and RemoteCall are the call signs that a protocol has besides the
	// addresses: of NET/ROM the user, of ROSE those of both ends.
	LocalCall, RemoteCall string
	Device                string // the network interface
	// State is netstat's name of it; one that it has no name for is its number.
	State string
	// Queues says that the list has RecvQueue and SendQueue, bytes.
	Queues               bool
	RecvQueue, SendQueue uint32
	// HasUID says that it has UID.
	HasUID bool
	UID    uint32
	Inode  uint64 // 0 if no file refers to the socket, or the list does not tell
	// Line is that of the list, counted from 1.
	Line int
	// Namespace is the inode number of the network namespace; 0 if it is not
	// known.
	Namespace uint32
}

// ID returns a 63-bit identity of the socket: a mix of all that stays the same.
// Sockets without an inode that differ in nothing are told apart by their lines.
func (s *Legacy) ID() int64 {
	h := mix(uint64(s.Namespace), s.Inode)
	for _, text := range [...]string{s.Proto, s.Local, s.Remote, s.Digipeaters, s.LocalCall, s.RemoteCall, s.Device} {
		for i := range len(text) {
			h = mix(h, uint64(text[i]))
		}
		h = mix(h, 1<<8) // the text's end
	}
	if s.Inode == 0 {
		h = mix(h, uint64(s.Line))
	}
	return int64(h &^ (1 << 63))
}
