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
	Common
	// Line is that of the list, counted from 1.
	Line int
}

// ID returns a 63-bit identity of the socket: a hash of all that stays the same.
// Sockets without an inode that differ in nothing are told apart by their lines.
func (s *Legacy) ID() int64 {
	h := s.id(0)
	for _, text := range [...]string{s.Proto, s.Local, s.Remote, s.Digipeaters, s.LocalCall, s.RemoteCall, s.Device} {
		h = h.Text(text)
	}
	if s.Inode == 0 {
		h = h.Add(uint64(s.Line))
	}
	return h.ID()
}
