package e2e

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// tcpSockets makes TCP sockets of a namespace, which live as long as the test.
type tcpSockets struct {
	t  *testing.T
	ns *netnstest.NS
}

// make returns a socket that is bound to an address, to a device unless that is
// "", and shares both with others.
func (s *tcpSockets) make(local, device string) int {
	s.t.Helper()
	at := netip.MustParseAddrPort(local)
	var fd int
	err := s.ns.Do(func() (err error) {
		if fd, err = unix.Socket(familyOf(at), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		s.t.Cleanup(func() { unix.Close(fd) })
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		if device != "" {
			if err := unix.BindToDevice(fd, device); err != nil {
				return err
			}
		}
		return unix.Bind(fd, sockaddrOf(at))
	})
	if err != nil {
		s.t.Fatalf("%s: %v", local, err)
	}
	return fd
}

// connect begins to connect.
func (s *tcpSockets) connect(fd int, remote string) int {
	s.t.Helper()
	err := s.ns.Do(func() error { return unix.Connect(fd, sockaddrOf(netip.MustParseAddrPort(remote))) })
	if err != nil && err != unix.EINPROGRESS {
		s.t.Fatalf("%s: %v", remote, err)
	}
	return fd
}

// deafen makes a socket drop what it receives.
func (s *tcpSockets) deafen(fd int) int {
	s.t.Helper()
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing}); err != nil {
		s.t.Fatal(err)
	}
	return fd
}

// deaf returns the address of a listener that never answers.
func (s *tcpSockets) deaf(address string) string {
	s.t.Helper()
	fd := s.deafen(s.make(address, ""))
	if err := unix.Listen(fd, 1); err != nil {
		s.t.Fatal(err)
	}
	return address
}

// wait waits until a socket is in a state.
func (s *tcpSockets) wait(fd int, state uint8) {
	s.t.Helper()
	for range 2000 {
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err != nil || info.State == state {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("the socket is not in the state %d", state)
}

func (s *tcpSockets) inode(fd int) string {
	s.t.Helper()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		s.t.Fatal(err)
	}
	return strconv.FormatUint(stat.Ino, 10)
}

func familyOf(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddrOf(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// byEnds is the statement for the connections between two ends.
func byEnds(r tableRow) string {
	return fmt.Sprintf("SELECT cookie FROM tcp_sockets WHERE local_address = '%s' AND local_port = %s AND remote_address = '%s' AND remote_port = %s",
		r["local_address"], r["local_port"], r["remote_address"], r["remote_port"])
}

// Connections between the same two ends, which differ in their device, are all
// found by the ends, as is one in any state.
func TestConnectionsByEnds(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	s := tcpSockets{t, ns}
	devices := []string{"lo", ""} // the newer one hides the older from the kernel's own look-up
	for _, c := range []struct{ local, remote string }{
		{"127.0.0.1:7001", "127.0.0.9:7009"},
		{"[::1]:7001", "[::1]:7009"},
		{"[::ffff:127.0.0.2]:7001", "[::ffff:127.0.0.9]:7008"},
	} {
		s.deaf(c.remote)
		for _, device := range devices {
			s.connect(s.make(c.local, device), c.remote)
		}
	}

	// One row by each state, and those above: by its ends each finds what all
	// rows have with the same ones.
	rows := query(t, ns, "SELECT state, local_address, local_port, remote_address, remote_port, cookie FROM tcp_sockets")
	want, ask := map[string][]string{}, map[string]bool{}
	states := map[string]bool{}
	for _, r := range rows {
		sql := byEnds(r)
		want[sql] = append(want[sql], r["cookie"])
		if family := r["state"] + strconv.FormatBool(strings.Contains(r["local_address"], ":")); !states[family] || r["local_port"] == "7001" {
			states[family], ask[sql] = true, true
		}
	}
	pairs := 0
	for _, sql := range slices.Sorted(maps.Keys(ask)) {
		t.Run(sql, func(t *testing.T) {
			var got []string
			for _, r := range query(t, ns, sql) {
				got = append(got, r["cookie"])
			}
			slices.Sort(got)
			slices.Sort(want[sql])
			if diff := cmp.Diff(want[sql], got); diff != "" {
				t.Errorf("-by reading all, +by the ends:\n%s", diff)
			}
			if len(got) == 2 {
				pairs++
			}
		})
	}
	if pairs < 3 || len(states) < 18 {
		t.Errorf("%d pairs with the same ends and %d states were asked for", pairs, len(states))
	}
}

// A socket in SYN_RECV is one if both ends began to connect at once: it has an
// owner, and what ss -i shows. A request of a listener is none.
func TestSimultaneousOpen(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t) // which makes requests
	s := tcpSockets{t, ns}
	for _, c := range []struct{ name, a, b string }{
		{"IPv4", "127.0.0.1:7001", "127.0.0.2:7002"},
		{"IPv6", "[::1]:7001", "[::1]:7002"},
		{"mapped", "[::ffff:127.0.0.3]:7001", "[::ffff:127.0.0.4]:7002"},
	} {
		t.Run(c.name, func(t *testing.T) {
			deaf := s.connect(s.deafen(s.make(c.b, "")), c.a)
			fd := s.make(c.a, "")
			if err := unix.Fchown(fd, 1234, -1); err != nil {
				t.Fatal(err)
			}
			s.connect(fd, c.b) // until the other one repeats its SYN
			s.wait(fd, unix.BPF_TCP_SYN_RECV)
			s.wait(deaf, unix.BPF_TCP_SYN_SENT)

			inode := s.inode(fd)
			for _, proc := range []string{"/proc", onlyProc} {
				got := queries(t, ns, proc, "SELECT state, uid FROM tcp_sockets WHERE inode = "+inode)[0]
				if diff := cmp.Diff([]tableRow{{"state": "SYN_RECV", "uid": "1234"}}, got); diff != "" {
					t.Errorf("%s: -want +got:\n%s", proc, diff)
				}
			}
			var theirs []string
			for _, line := range command(t, ns, "ss", "-HtneiO", "state", "syn-recv") {
				if strings.Contains(line, " ino:"+inode+" ") && strings.Contains(line, " uid:1234 ") && strings.Contains(line, " cwnd:") {
					theirs = append(theirs, inode)
				}
			}
			var ours []string
			for _, r := range query(t, ns, "SELECT inode, cwnd FROM tcp_info WHERE state = 'SYN_RECV' AND local_port = 7001 AND inode = "+inode) {
				if r["cwnd"] != "" {
					ours = append(ours, r["inode"])
				}
			}
			if diff := cmp.Diff(theirs, ours); diff != "" || len(ours) != 1 {
				t.Errorf("-ss +tcp_info:\n%s", diff)
			}
		})
	}
	requests := query(t, ns, "SELECT count(*) AS n, count(uid) AS owners FROM tcp_sockets WHERE state = 'SYN_RECV' AND inode IS NULL")
	if diff := cmp.Diff([]tableRow{{"n": "3", "owners": "0"}}, requests); diff != "" {
		t.Errorf("requests: -want +got:\n%s", diff)
	}
	if rows := query(t, ns, "SELECT inode FROM tcp_info WHERE state = 'SYN_RECV' AND inode IS NULL"); len(rows) > 0 {
		t.Errorf("tcp_info has the requests %v", rows)
	}
}

// Nobody owns a connection that no file refers to, whatever the kernel shows in
// its owner's place: one whose program has closed it with bytes unsent, or has not
// accepted it yet.
func TestNoOwnerWithoutFile(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	s := tcpSockets{t, ns}
	listener := s.make("127.0.0.1:7001", "")
	for _, err := range []error{unix.Fchown(listener, 1234, -1), unix.Listen(listener, 9)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.connect(s.make("127.0.0.1:7002", ""), "127.0.0.1:7001")
	for _, proc := range []string{"/proc", onlyProc} {
		t.Run(proc, func(t *testing.T) {
			states := map[string]int{}
			for _, r := range queries(t, ns, proc, "SELECT state, inode, uid, username, local_port FROM tcp_sockets")[0] {
				if (r["inode"] == "") != (r["uid"] == "") || r["inode"] == "" && r["username"] != "" {
					t.Errorf("%v", r)
				}
				if r["inode"] == "" {
					states[r["state"]]++
				}
			}
			for _, state := range []string{"ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "LAST_ACK", "TIME_WAIT", "SYN_RECV"} {
				if states[state] == 0 {
					t.Errorf("no connection in %s without a file", state)
				}
			}
		})
	}
}
