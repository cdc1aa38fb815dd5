package netnstest

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is an open socket of [NS.Populate], described by system calls on its
// descriptor and so by another way than /proc or netlink.
type Socket struct {
	Name string // what it was made for, such as "tcp6: FIN_WAIT1"
	FD   int    // for further questions; it is closed with the test

	Proto string // netstat's word: tcp, tcp6, udp, udp6, udplite, udplite6
	// State is netstat's name of the TCP state; CLOSE is a socket that is
	// bound and no more, which /proc does not show. For the other protocols it
	// is ESTABLISHED or empty.
	State string
	// Local and Remote keep IPv4-mapped addresses mapped. Without a peer
	// Remote is the family's wildcard and port 0.
	Local, Remote netip.AddrPort
	UID           uint32
	Inode         uint64
	Drops         uint32 // packets dropped at this socket
}

// BoundOnly reports whether the socket is a TCP socket that neither listens
// nor connects. The kernel keeps it in no list that /proc/net/tcp is made of.
func (s *Socket) BoundOnly() bool { return s.State == "CLOSE" }

// stateNames are netstat's names by number, include/net/tcp_states.h.
var stateNames = [...]string{
	unix.BPF_TCP_ESTABLISHED: "ESTABLISHED",
	unix.BPF_TCP_SYN_SENT:    "SYN_SENT",
	unix.BPF_TCP_SYN_RECV:    "SYN_RECV",
	unix.BPF_TCP_FIN_WAIT1:   "FIN_WAIT1",
	unix.BPF_TCP_FIN_WAIT2:   "FIN_WAIT2",
	unix.BPF_TCP_TIME_WAIT:   "TIME_WAIT",
	unix.BPF_TCP_CLOSE:       "CLOSE",
	unix.BPF_TCP_CLOSE_WAIT:  "CLOSE_WAIT",
	unix.BPF_TCP_LAST_ACK:    "LAST_ACK",
	unix.BPF_TCP_LISTEN:      "LISTEN",
	unix.BPF_TCP_CLOSING:     "CLOSING",
}

// States returns the TCP states that [NS.Populate] makes, by netstat's names:
// all that the kernel has but CLOSE.
func States() []string {
	var states []string
	for number, name := range stateNames {
		if name != "" && number != unix.BPF_TCP_CLOSE {
			states = append(states, name)
		}
	}
	return states
}

// describe asks the kernel about an open socket. The remote end that is given
// is taken for one that is still connecting: getpeername(2) does not tell it.
func describe(name string, fd int, remote netip.AddrPort) (Socket, error) {
	s := Socket{Name: name, FD: fd, Remote: remote}
	domain, err1 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	protocol, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	local, err3 := unix.Getsockname(fd)
	var stat unix.Stat_t
	err4 := unix.Fstat(fd, &stat)
	drops, err5 := socketDrops(fd)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	s.Proto = protoName(domain, protocol)
	s.Local = addrPort(local)
	s.UID, s.Inode, s.Drops = stat.Uid, stat.Ino, drops

	peer, err := unix.Getpeername(fd)
	switch {
	case err == nil:
		s.Remote = addrPort(peer)
	case err != unix.ENOTCONN:
		return s, fmt.Errorf("%s: %w", name, err)
	case !remote.IsValid() && domain == unix.AF_INET:
		s.Remote = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	case !remote.IsValid():
		s.Remote = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}

	if protocol == unix.IPPROTO_TCP {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return s, fmt.Errorf("%s: %w", name, err)
		}
		s.State = stateNames[info.State]
	} else if peer != nil {
		s.State = "ESTABLISHED"
	}
	return s, nil
}

func protoName(domain, protocol int) string {
	name := map[int]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_UDPLITE: "udplite"}[protocol]
	if domain == unix.AF_INET6 {
		name += "6"
	}
	return name
}

// socketDrops returns SK_MEMINFO_DROPS of SO_MEMINFO, include/uapi/linux/sock_diag.h.
func socketDrops(fd int) (uint32, error) {
	var mem [unix.SK_MEMINFO_VARS]uint32
	size := uint32(unsafe.Sizeof(mem))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&mem)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, errno
	}
	return mem[unix.SK_MEMINFO_DROPS], nil
}

// addrPort and sockaddr translate between the two forms of an address. A zone
// is the number of an interface.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	zone, _ := strconv.ParseUint(a.Addr().Zone(), 10, 32) // no zone is 0
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port()), ZoneId: uint32(zone)}
}
