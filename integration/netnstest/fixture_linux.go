package netnstest

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// waitLimit bounds the wait for each thing that the kernel does in its own time.
const waitLimit = 20 * time.Second

// fixture makes sockets in a namespace and ends the test at the first error.
// Sockets never block; what takes time is waited for with a deadline.
type fixture struct {
	t       testing.TB
	ns      *NS
	what    string // what is being made, for names and errors
	sockets []openSocket
	pending []pending
}

type openSocket struct {
	fd     int
	name   string
	remote netip.AddrPort // where it connects to
}

// pending is what a TCP socket needs a while for, waited for at the end.
type pending struct {
	fd     int
	making string
	what   string
	done   func(*unix.TCPInfo) bool
}

func (f *fixture) must(err error, call string) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("%s: %s: %v", f.what, call, err)
	}
}

// wait waits until done.
func (f *fixture) wait(what string, done func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(waitLimit)
	for !done() {
		if time.Now().After(deadline) {
			f.t.Fatalf("%s: not within %v: %s", f.what, waitLimit, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// later is wait for a TCP socket, put off until everything else is made.
func (f *fixture) later(fd int, what string, done func(*unix.TCPInfo) bool) {
	f.pending = append(f.pending, pending{fd, f.what, what, done})
}

func (f *fixture) waitPending() {
	f.t.Helper()
	for _, p := range f.pending {
		f.what = p.making
		f.wait(p.what, func() bool { return p.done(f.info(p.fd)) })
	}
}

// own takes a descriptor into the fixture, to be described and closed.
func (f *fixture) own(fd int) int {
	f.sockets = append(f.sockets, openSocket{fd: fd, name: f.what})
	return fd
}

func (f *fixture) socket(domain, kind, protocol int) int {
	f.t.Helper()
	var fd int
	f.must(f.ns.Do(func() (err error) {
		fd, err = unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
		return err
	}), "socket")
	return f.own(fd)
}

// close closes one socket before the test ends.
func (f *fixture) close(fd int) {
	f.t.Helper()
	f.sockets = slices.DeleteFunc(f.sockets, func(s openSocket) bool { return s.fd == fd })
	f.must(unix.Close(fd), "close")
}

// closeAll closes every socket, connections by a reset, so that none lingers.
func (f *fixture) closeAll() {
	for _, s := range f.sockets {
		// UDP knows no reset: an error here means nothing.
		_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		if err := unix.Close(s.fd); err != nil {
			f.t.Errorf("%s: close: %v", s.name, err)
		}
	}
}

func (f *fixture) setInt(fd, level, option, value int) {
	f.t.Helper()
	f.must(unix.SetsockoptInt(fd, level, option, value), fmt.Sprintf("setsockopt %d %d", level, option))
}

func (f *fixture) bind(fd int, a netip.AddrPort) {
	f.t.Helper()
	f.must(unix.Bind(fd, sockaddr(a)), "bind "+a.String())
}

// bindAnywhere binds to an address, also to one that no interface has. The
// options, pairs of a level and a name, are switched on before.
func (f *fixture) bindAnywhere(fd int, a netip.AddrPort, options ...int) {
	f.t.Helper()
	for o := range slices.Chunk(options, 2) {
		f.setInt(fd, o[0], o[1], 1)
	}
	if a.Addr().Is4() {
		f.setInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	} else {
		f.setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
	}
	f.bind(fd, a)
}

// connect begins to connect; TCP goes on in the background.
func (f *fixture) connect(fd int, a netip.AddrPort) {
	f.t.Helper()
	if err := unix.Connect(fd, sockaddr(a)); err != unix.EINPROGRESS {
		f.must(err, "connect "+a.String())
	}
	i := slices.IndexFunc(f.sockets, func(s openSocket) bool { return s.fd == fd })
	f.sockets[i].remote = a
}

func (f *fixture) accept(listener int) int {
	f.t.Helper()
	var fd int
	f.wait("accept", func() bool {
		var err error
		fd, _, err = unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != unix.EAGAIN {
			f.must(err, "accept")
		}
		return err == nil
	})
	return f.own(fd)
}

func (f *fixture) localAddr(fd int) netip.AddrPort {
	f.t.Helper()
	sa, err := unix.Getsockname(fd)
	f.must(err, "getsockname")
	return addrPort(sa)
}

func (f *fixture) send(fd, bytes int) {
	f.t.Helper()
	n, err := unix.Write(fd, make([]byte, bytes))
	f.must(err, "write")
	if n != bytes {
		f.t.Fatalf("%s: wrote %d of %d bytes", f.what, n, bytes)
	}
}

// received returns the bytes that wait to be read.
func (f *fixture) received(fd int) int {
	f.t.Helper()
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	f.must(err, "ioctl SIOCINQ")
	return n
}

// chown gives the socket to another user: the kernel's sockfs_setattr
// (net/socket.c) carries it over to what /proc and sock_diag show.
func (f *fixture) chown(fd int, uid uint32) {
	f.t.Helper()
	f.must(unix.Fchown(fd, int(uid), -1), "fchown")
}

// deafen makes a socket drop every packet that reaches it, by a socket filter
// that accepts nothing. What its peer sends is never acknowledged, as if the
// network between them were gone.
func (f *fixture) deafen(fd int) {
	f.t.Helper()
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	f.must(unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &nothing}), "SO_ATTACH_FILTER")
}

func (f *fixture) info(fd int) *unix.TCPInfo {
	f.t.Helper()
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	f.must(err, "TCP_INFO")
	return info
}

func (f *fixture) waitState(fd int, state uint8) {
	f.t.Helper()
	f.wait(stateNames[state], func() bool { return f.info(fd).State == state })
}

func (f *fixture) shutdown(fd int) {
	f.t.Helper()
	f.must(unix.Shutdown(fd, unix.SHUT_WR), "shutdown")
}
