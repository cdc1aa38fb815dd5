package sock

import "strconv"

// VSOCK is the address family of sockets between virtual machines and their
// host, vsock(7).
const VSOCK Family = 40

// AnyVsock is the context identifier or port of an end that has none, or that
// stands for every one: VMADDR_CID_ANY, VMADDR_PORT_ANY.
const AnyVsock uint32 = 1<<32 - 1

// Vsock is one socket between virtual machines and their host.
type Vsock struct {
	Type  Type
	State State // borrowed from TCP; Close if it is not connected
	// Shutdown is what was shut down: 1 receiving, 2 sending, 3 both.
	Shutdown uint8
	// The ends: context identifiers, of a machine, and ports, or AnyVsock.
	LocalCID, LocalPort, RemoteCID, RemotePort uint32
	Common                                     // without UID
}

// ID returns a 63-bit identity of the socket: a hash of namespace and cookie.
func (s *Vsock) ID() int64 { return s.id(VSOCK).ID() }

// Type is a kind of socket, SOCK_* of include/linux/net.h.
type Type uint8

// The types.
const (
	Stream    Type = 1
	Datagram  Type = 2
	Raw       Type = 3
	RDM       Type = 4
	SeqPacket Type = 5
	// OldPacket is the obsolete kind of packet socket, SOCK_PACKET.
	OldPacket Type = 10
)

// String returns netstat's name of the type; an unknown one is its number.
func (t Type) String() string {
	switch t {
	case Stream:
		return "STREAM"
	case Datagram:
		return "DGRAM"
	case Raw:
		return "RAW"
	case RDM:
		return "RDM"
	case SeqPacket:
		return "SEQPACKET"
	case OldPacket:
		return "PACKET"
	}
	return strconv.Itoa(int(t))
}
