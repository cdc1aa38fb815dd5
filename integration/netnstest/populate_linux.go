package netnstest

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// The owners of some sockets; the last does not fit into a signed 32-bit number.
var owners = []uint32{1, 1000, 65534, 4294967294}

// Populate fills the namespace with sockets and returns those that are open.
// There are more: TIME_WAIT, SYN_RECV, connections that nobody accepted and
// orphans have no descriptor. They stay as they are for about a minute,
// except for the counters and clocks of running timers.
//
// The TCP state CLOSE is not among what /proc shows: a socket enters the
// kernel's lists when it leaves CLOSE and is taken out when it comes back.
func (ns *NS) Populate(t testing.TB) []Socket {
	t.Helper()
	f := &fixture{t: t, ns: ns}
	t.Cleanup(f.closeAll)
	for _, fam := range []tcpFamily{
		{f: f, name: "tcp", domain: unix.AF_INET, server: "127.0.0.1:0"},
		{f: f, name: "tcp6", domain: unix.AF_INET6, server: "[::1]:0"},
		{f: f, name: "tcp6 mapped", domain: unix.AF_INET6, server: "[::ffff:127.0.0.1]:0"},
	} {
		fam.listening()
		fam.opening()
		fam.established()
		fam.closing()
	}
	f.listeners()
	f.crossFamily()
	f.udp(unix.IPPROTO_UDP)
	f.udplite()
	f.waitPending()

	sockets := make([]Socket, len(f.sockets))
	for i, s := range f.sockets {
		var err error
		if sockets[i], err = describe(s.name, s.fd, s.remote); err != nil {
			t.Fatal(err)
		}
	}
	return sockets
}

// tcpFamily makes TCP sockets whose both ends are of one family. IPv4-mapped
// addresses count as one.
type tcpFamily struct {
	f        *fixture
	name     string
	domain   int
	server   string // where servers listen
	listener int    // of the pairs; 0 until the first
}

func (fam *tcpFamily) begin(what string) { fam.f.what = fam.name + ": " + what }

func (fam *tcpFamily) listen(backlog int) int {
	f := fam.f
	f.t.Helper()
	l := f.socket(fam.domain, unix.SOCK_STREAM, 0)
	f.bind(l, netip.MustParseAddrPort(fam.server))
	f.must(unix.Listen(l, backlog), "listen")
	return l
}

// dial begins to connect to a listener and tries for as long as the kernel can.
func (fam *tcpFamily) dial(listener int) int {
	f := fam.f
	f.t.Helper()
	c := f.socket(fam.domain, unix.SOCK_STREAM, 0)
	f.setInt(c, unix.IPPROTO_TCP, unix.TCP_SYNCNT, 127)
	f.connect(c, f.localAddr(listener))
	return c
}

func (fam *tcpFamily) dialed(listener int) int {
	fam.f.t.Helper()
	c := fam.dial(listener)
	fam.f.waitState(c, unix.BPF_TCP_ESTABLISHED)
	return c
}

// pair returns both ends of a new connection.
func (fam *tcpFamily) pair() (client, server int) {
	f := fam.f
	f.t.Helper()
	if fam.listener == 0 {
		fam.listener = fam.listen(16)
	}
	client = fam.dialed(fam.listener)
	return client, f.accept(fam.listener)
}

// blocked returns a connection on which the client has more to send than the
// server's closed window lets it: both queues hold bytes, and the client
// probes the window.
func (fam *tcpFamily) blocked() (client, server int) {
	f := fam.f
	f.t.Helper()
	client, server = fam.pair()
	f.setInt(client, unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10)
	f.wait("a closed window", func() bool {
		var err error
		for err == nil {
			_, err = unix.Write(client, make([]byte, 16<<10))
		}
		if err != unix.EAGAIN {
			f.must(err, "write")
		}
		info := f.info(client)
		return info.Unacked == 0 && info.Notsent_bytes > 0 && info.Snd_wnd == 0
	})
	return client, server
}

// listening makes accept queues that hold connections.
func (fam *tcpFamily) listening() {
	f := fam.f
	fam.begin("accept queue with 3 of at most 16")
	l := fam.listen(16)
	fam.dialed(l)
	fam.dialed(l)
	f.send(fam.dialed(l), 300) // to a socket that has no descriptor yet
	f.wait("3 connections", func() bool { return f.info(l).Unacked == 3 })

	// A queue of at most n holds n+1 before it is full, and then SYNs are dropped.
	fam.begin("full accept queue")
	l = fam.listen(1)
	fam.dialed(l)
	fam.dialed(l)
	f.wait("2 connections", func() bool { return f.info(l).Unacked == 2 })
	fam.begin("SYN_SENT to a full accept queue")
	c := fam.dial(l)
	f.later(c, "a repeated SYN", func(i *unix.TCPInfo) bool { return i.Retransmits > 0 })
}

// opening makes SYN_SENT and SYN_RECV.
func (fam *tcpFamily) opening() {
	f := fam.f
	fam.begin("SYN_SENT")
	l := fam.listen(16)
	f.deafen(l)
	f.waitState(fam.dial(l), unix.BPF_TCP_SYN_SENT)

	// The server waits for data before it makes a socket of the request. The
	// client is connected, the request stays.
	fam.begin("SYN_RECV")
	l = fam.listen(16)
	f.setInt(l, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 3600)
	f.chown(l, owners[0])
	fam.dialed(l)
}

// established makes queues and timers.
func (fam *tcpFamily) established() {
	f := fam.f
	fam.begin("ESTABLISHED, idle")
	fam.pair()

	fam.begin("ESTABLISHED, bytes to read")
	c, s := fam.pair()
	f.chown(c, owners[1])
	f.chown(s, owners[2])
	f.send(c, 1000)
	f.wait("1000 bytes", func() bool { return f.received(s) == 1000 && f.info(c).Unacked == 0 })

	fam.begin("ESTABLISHED, retransmitting")
	c, s = fam.pair()
	f.deafen(s)
	f.send(c, 700)
	f.later(c, "2 retransmissions", func(i *unix.TCPInfo) bool { return i.Retransmits >= 2 })

	fam.begin("ESTABLISHED, closed window")
	fam.blocked()

	fam.begin("ESTABLISHED, closed window, probes unanswered")
	c, s = fam.blocked()
	f.deafen(s)
	f.later(c, "2 probes", func(i *unix.TCPInfo) bool { return i.Probes >= 2 })

	fam.begin("ESTABLISHED, keepalive")
	c, _ = fam.pair()
	f.setInt(c, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)

	fam.begin("ESTABLISHED, keepalive unanswered")
	c, s = fam.pair()
	f.deafen(s)
	f.setInt(c, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1)
	f.setInt(c, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 600)
	f.setInt(c, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	f.later(c, "a probe", func(i *unix.TCPInfo) bool { return i.Probes == 1 })
}

// closing makes the states of a connection's end, each that can be both with
// and without (orphaned) a descriptor.
func (fam *tcpFamily) closing() {
	f := fam.f
	fam.begin("FIN_WAIT1")
	c, s := fam.pair()
	f.deafen(s)
	f.shutdown(c)
	f.waitState(c, unix.BPF_TCP_FIN_WAIT1)

	fam.begin("FIN_WAIT1, closed window")
	c, _ = fam.blocked()
	f.shutdown(c)
	f.waitState(c, unix.BPF_TCP_FIN_WAIT1)

	fam.begin("FIN_WAIT1, orphan")
	c, s = fam.pair()
	f.chown(c, owners[1])
	f.deafen(s)
	f.send(c, 500)
	f.close(c)

	fam.begin("FIN_WAIT2 and CLOSE_WAIT with bytes to read")
	c, s = fam.pair()
	f.send(c, 200)
	f.shutdown(c)
	f.waitState(s, unix.BPF_TCP_CLOSE_WAIT)
	f.waitState(c, unix.BPF_TCP_FIN_WAIT2)

	// Without a descriptor FIN_WAIT2 shrinks to the small socket of TIME_WAIT.
	fam.begin("FIN_WAIT2, orphan, and CLOSE_WAIT")
	c, s = fam.pair()
	f.chown(c, owners[1])
	f.shutdown(c)
	f.waitState(s, unix.BPF_TCP_CLOSE_WAIT)
	f.waitState(c, unix.BPF_TCP_FIN_WAIT2)
	f.close(c)

	fam.begin("LAST_ACK and FIN_WAIT2")
	c, s = fam.pair()
	f.shutdown(c)
	f.waitState(s, unix.BPF_TCP_CLOSE_WAIT)
	f.deafen(c)
	f.shutdown(s)
	f.waitState(s, unix.BPF_TCP_LAST_ACK)

	fam.begin("LAST_ACK, orphan, and FIN_WAIT2")
	c, s = fam.pair()
	f.shutdown(c)
	f.waitState(s, unix.BPF_TCP_CLOSE_WAIT)
	f.deafen(c)
	f.close(s)

	// Both close; the server does not hear that its FIN, nor that the client's
	// FIN before it, arrived.
	fam.begin("CLOSING and FIN_WAIT1")
	c, s = fam.pair()
	f.deafen(s)
	f.shutdown(c)
	f.shutdown(s)
	f.waitState(c, unix.BPF_TCP_CLOSING)
	f.waitState(s, unix.BPF_TCP_FIN_WAIT1)

	// The kernel sets an open socket to CLOSE when it replaces it by the small
	// one of TIME_WAIT.
	fam.begin("TIME_WAIT")
	c, s = fam.pair()
	f.chown(c, owners[1])
	f.shutdown(c)
	f.waitState(s, unix.BPF_TCP_CLOSE_WAIT)
	f.close(s)
	f.waitState(c, unix.BPF_TCP_CLOSE)
	f.close(c)
}

// listeners makes what a listener may be bound to, and by whom, and sockets
// that are bound and no more.
func (f *fixture) listeners() {
	listen := func(domain int, address string, options ...int) int {
		f.t.Helper()
		f.what = "listener " + address
		l := f.socket(domain, unix.SOCK_STREAM, 0)
		f.bindAnywhere(l, netip.MustParseAddrPort(address), options...)
		f.must(unix.Listen(l, 128), "listen")
		return l
	}
	listen(unix.AF_INET, "0.0.0.0:22")
	listen(unix.AF_INET6, "[::]:22", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	listen(unix.AF_INET6, "[::]:443") // dual-stack
	listen(unix.AF_INET6, "[::ffff:0.0.0.0]:80")
	for _, a := range otherAddresses4 {
		listen(unix.AF_INET, a+":631")
	}
	for _, a := range otherAddresses6 {
		listen(unix.AF_INET6, "["+a+"]:65535")
	}
	// Rows that differ in nothing but their inode.
	listen(unix.AF_INET, "127.0.0.1:5353", unix.SOL_SOCKET, unix.SO_REUSEPORT)
	listen(unix.AF_INET, "127.0.0.1:5353", unix.SOL_SOCKET, unix.SO_REUSEPORT)
	for _, uid := range owners {
		f.chown(listen(unix.AF_INET, "127.0.0.2:0"), uid)
		f.chown(listen(unix.AF_INET6, "[::1]:0"), uid)
	}

	f.what = "bound only"
	f.bind(f.socket(unix.AF_INET, unix.SOCK_STREAM, 0), netip.MustParseAddrPort("127.0.0.1:0"))
	f.bind(f.socket(unix.AF_INET6, unix.SOCK_STREAM, 0), netip.MustParseAddrPort("[::1]:0"))
}

// Addresses that no interface has, one of each scope, and the longest texts.
var (
	otherAddresses4 = []string{"10.1.2.3", "100.64.0.1", "169.254.10.20", "192.0.2.255", "255.255.255.254"}
	otherAddresses6 = []string{
		"2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8:0:1:1:1:1:1", "2001:db8::1:0:0:1",
		"fd00::1", "fe80::1%1", "::ffff:192.168.100.200", "64:ff9b::192.0.2.1",
	}
)

// crossFamily connects an IPv4 client to a dual-stack listener: the two ends
// of one connection are of different families.
func (f *fixture) crossFamily() {
	f.what = "IPv4 to dual-stack"
	fam := tcpFamily{f: f, name: f.what, domain: unix.AF_INET6, server: "[::]:0"}
	fam.listener = fam.listen(16)
	c := f.socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	f.connect(c, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), f.localAddr(fam.listener).Port()))
	f.waitState(c, unix.BPF_TCP_ESTABLISHED)
	f.accept(fam.listener)
}

// udp makes sockets of UDP or UDP-Lite.
func (f *fixture) udp(protocol int) {
	socket := func(what string, domain int) int {
		f.t.Helper()
		f.what = protoName(domain, protocol) + ": " + what
		return f.socket(domain, unix.SOCK_DGRAM, protocol)
	}
	for _, fam := range []struct {
		domain  int
		address string
	}{
		{unix.AF_INET, "127.0.0.1:0"}, {unix.AF_INET6, "[::1]:0"}, {unix.AF_INET6, "[::ffff:127.0.0.1]:0"},
	} {
		address := netip.MustParseAddrPort(fam.address)
		// pair returns a bound socket and a second one that is connected to it.
		pair := func(what string) (bound, connected int) {
			f.t.Helper()
			bound = socket(what, fam.domain)
			f.bind(bound, address)
			connected = socket(what+", peer", fam.domain)
			f.connect(connected, f.localAddr(bound))
			return bound, connected
		}
		pair("bound and connected")

		bound, peer := pair("datagrams to read")
		f.chown(bound, owners[3])
		f.send(peer, 100)
		f.send(peer, 200)
		f.wait("a datagram", func() bool { return f.received(bound) > 0 })

		bound, peer = pair("drops")
		f.deafen(bound)
		for range 3 {
			f.send(peer, 10)
		}
		f.wait("3 drops", func() bool {
			n, err := socketDrops(bound)
			f.must(err, "SO_MEMINFO")
			return n == 3
		})

		// A datagram that is not finished stays in the send queue.
		_, peer = pair("unsent datagram")
		f.must(unix.Send(peer, make([]byte, 50), unix.MSG_MORE), "send")
	}

	bind := func(domain int, address string, options ...int) int {
		f.t.Helper()
		fd := socket("bound to "+address, domain)
		f.bindAnywhere(fd, netip.MustParseAddrPort(address), options...)
		return fd
	}
	bind(unix.AF_INET, "0.0.0.0:53")
	bind(unix.AF_INET6, "[::]:53", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
	bind(unix.AF_INET6, "[::]:123") // dual-stack
	bind(unix.AF_INET, "224.0.0.251:5353")
	bind(unix.AF_INET, "255.255.255.255:67")
	bind(unix.AF_INET6, "[ff02::fb%1]:5353")
	for _, a := range otherAddresses4 {
		bind(unix.AF_INET, a+":631")
	}
	for _, a := range otherAddresses6 {
		bind(unix.AF_INET6, "["+a+"]:65535")
	}
	// Rows that differ in nothing but their inode.
	bind(unix.AF_INET, "127.0.0.1:5353", unix.SOL_SOCKET, unix.SO_REUSEPORT)
	bind(unix.AF_INET, "127.0.0.1:5353", unix.SOL_SOCKET, unix.SO_REUSEPORT)
	for _, uid := range owners {
		f.chown(bind(unix.AF_INET, "127.0.0.2:0"), uid)
		f.chown(bind(unix.AF_INET6, "[::1]:0"), uid)
	}
}

// udplite is udp where the kernel has UDP-Lite.
func (f *fixture) udplite() {
	for _, domain := range []int{unix.AF_INET, unix.AF_INET6} {
		fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDPLITE)
		if err == unix.EPROTONOSUPPORT {
			f.t.Log("this kernel has no UDP-Lite")
			return
		}
		f.must(err, "socket")
		unix.Close(fd)
	}
	f.udp(unix.IPPROTO_UDPLITE)
}
