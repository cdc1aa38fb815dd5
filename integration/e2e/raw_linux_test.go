package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// openIn makes a socket in the namespace, which is closed with the test, and
// prepares it there.
func openIn(t *testing.T, ns *netnstest.NS, domain, kind, protocol int, prepare func(fd int) error) (fd int, inode string) {
	t.Helper()
	err := ns.Do(func() (err error) {
		if fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol); err != nil {
			return os.NewSyscallError("socket", err)
		}
		if prepare != nil {
			return prepare(fd)
		}
		return nil
	})
	if fd > 0 {
		t.Cleanup(func() { unix.Close(fd) })
	}
	if err != nil {
		t.Fatal(err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		t.Fatal(err)
	}
	return fd, strconv.FormatUint(s.Ino, 10)
}

// namespaceNumber returns the inode number of the namespace, and lets a process
// stay in it by which others find it.
func namespaceNumber(t *testing.T, ns *netnstest.NS) string {
	t.Helper()
	holdSockets(t, ns)
	return inodeOf(t, ns)
}

// command runs one of the kernel's other tools in the namespace and returns the
// lines that it prints.
func command(t *testing.T, ns *netnstest.NS, name string, args ...string) []string {
	t.Helper()
	return linesOf(output(t, ns, name, args...), 0)
}

// sameLines fails the test unless both sides have the same lines.
func sameLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("%s\ngot\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// rawSockets makes raw and ping sockets and returns how many.
func rawSockets(t *testing.T, ns *netnstest.NS) (raw, ping int) {
	t.Helper()
	err := ns.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	four, six := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}
	mapped := &unix.SockaddrInet6{Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}}
	both := func(sa unix.Sockaddr) func(int) error {
		return func(fd int) error {
			if err := unix.Bind(fd, sa); err != nil {
				return os.NewSyscallError("bind", err)
			}
			return os.NewSyscallError("connect", unix.Connect(fd, sa))
		}
	}
	for _, protocol := range []int{unix.IPPROTO_ICMP, unix.IPPROTO_RAW, 253, unix.IPPROTO_MPTCP} {
		openIn(t, ns, unix.AF_INET, unix.SOCK_RAW, protocol, nil)
		raw++
	}
	openIn(t, ns, unix.AF_INET, unix.SOCK_RAW, 89, both(four))
	openIn(t, ns, unix.AF_INET, unix.SOCK_RAW, 89, func(fd int) error { return unix.Fchown(fd, -2, -1) })
	openIn(t, ns, unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6, nil)
	openIn(t, ns, unix.AF_INET6, unix.SOCK_RAW, 89, both(six))
	openIn(t, ns, unix.AF_INET6, unix.SOCK_RAW, 89, func(fd int) error { return unix.Connect(fd, mapped) })
	// One that nobody reads gets more than it has room for.
	openIn(t, ns, unix.AF_INET, unix.SOCK_RAW, 254, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	openIn(t, ns, unix.AF_INET, unix.SOCK_RAW, 254, func(fd int) error {
		for range 9 {
			if err := unix.Sendto(fd, make([]byte, 600), 0, four); err != nil {
				return os.NewSyscallError("sendto", err)
			}
		}
		return nil
	})
	raw += 7
	request := func(kind byte, sa unix.Sockaddr) func(int) error {
		return func(fd int) error {
			if err := unix.Connect(fd, sa); err != nil {
				return os.NewSyscallError("connect", err)
			}
			_, err := unix.Write(fd, append([]byte{kind}, make([]byte, 63)...))
			return os.NewSyscallError("write", err)
		}
	}
	openIn(t, ns, unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP, request(8, four))
	openIn(t, ns, unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP, func(fd int) error {
		return unix.Bind(fd, &unix.SockaddrInet4{Addr: four.Addr, Port: 777})
	})
	openIn(t, ns, unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6, request(128, six))
	openIn(t, ns, unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6, func(fd int) error {
		return unix.Bind(fd, &unix.SockaddrInet6{Addr: six.Addr, Port: 888})
	})
	return raw, 4
}

func TestRawSockets(t *testing.T) {
	ns := netnstest.New(t)
	raw, ping := rawSockets(t, ns)
	rows := query(t, ns, "SELECT * FROM raw_sockets")
	if len(rows) != raw+ping {
		t.Errorf("%d rows of %d raw and %d ping sockets", len(rows), raw, ping)
	}

	// netstat -w shows the IP protocol for a port and the number of a state; it
	// shows the mapped address as IPv4, and a user above 2^31-1 as negative.
	var got, want []string
	dropped := false
	for _, r := range rows {
		if !strings.HasPrefix(r["proto"], "raw") {
			continue
		}
		state := map[string]string{"": "7", "ESTABLISHED": "1"}[r["state"]]
		if r["uid"] == "4294967294" {
			r["uid"] = "-2"
		}
		got = append(got, strings.Join([]string{r["proto"], r["recv_q"], r["send_q"], strings.TrimPrefix(r["local_address"], "::ffff:") + ":" + r["ip_protocol"],
			strings.TrimPrefix(r["remote_address"], "::ffff:") + ":*", state, r["uid"], r["inode"]}, " "))
		if r["icmp_identifier"] != "" {
			t.Errorf("a raw socket has an ICMP identifier: %v", r)
		}
		if r["ip_protocol"] == "254" && r["drops"] != "0" {
			dropped = true
		}
	}
	for _, line := range command(t, ns, "netstat", "-wnae", "--wide")[2:] {
		want = append(want, strings.Join(strings.Fields(line), " "))
	}
	sameLines(t, "netstat -wnae", got, want)
	if !dropped {
		t.Error("no socket has dropped a packet")
	}

	// What system calls say of the same sockets.
	for _, r := range rows {
		fd, err := strconv.Atoi(query(t, ns, "SELECT fd FROM raw_sockets WHERE inode = "+r["inode"])[0]["fd"])
		if err != nil {
			t.Fatal(err)
		}
		local, err1 := unix.Getsockname(fd)
		protocol, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		number, identifier := 0, ""
		switch sa := local.(type) {
		case *unix.SockaddrInet4:
			number = sa.Port
		case *unix.SockaddrInet6:
			number = sa.Port
		}
		if strings.HasPrefix(r["proto"], "icmp") {
			identifier = strconv.Itoa(number)
		}
		if r["ip_protocol"] != strconv.Itoa(protocol) || r["icmp_identifier"] != identifier || r["pid"] != strconv.Itoa(os.Getpid()) {
			t.Errorf("%v: the socket has protocol %d and %v", r, protocol, local)
		}
	}

	number := namespaceNumber(t, ns)
	same := []string{"proto", "recv_q", "local_address", "remote_address", "ip_protocol", "ip_protocol_name", "icmp_identifier", "state", "uid", "inode", "pid", "drops"}
	outside := query(t, netnstest.New(t), fmt.Sprintf("SELECT * FROM raw_sockets WHERE net_namespace = '%s'", number))
	sameLines(t, "from another namespace", lines(outside, same), lines(query(t, ns, "SELECT * FROM raw_sockets"), same))
}
