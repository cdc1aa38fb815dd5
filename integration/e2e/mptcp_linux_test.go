package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// mptcpSockets makes listeners, connections in several states, one of them to
// plain TCP, and one that waits to be accepted, in the namespace.
func mptcpSockets(t *testing.T, ns *netnstest.NS) {
	t.Helper()
	var open []int
	t.Cleanup(func() {
		for _, fd := range open {
			unix.Close(fd)
		}
	})
	err := ns.Do(func() error {
		socket := func(domain, protocol int) (int, error) {
			fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
			if err == nil {
				open = append(open, fd)
			}
			return fd, err
		}
		listen := func(domain, protocol int, address unix.Sockaddr) (int, error) {
			fd, err := socket(domain, protocol)
			if err == nil {
				err = errors.Join(unix.Bind(fd, address), unix.Listen(fd, 7))
			}
			return fd, err
		}
		connect := func(domain, listener int, accept bool) (c, s int, err error) {
			address, err := unix.Getsockname(listener)
			if err != nil {
				return 0, 0, err
			}
			if a, ok := address.(*unix.SockaddrInet6); ok && domain == unix.AF_INET {
				address = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: a.Port}
			}
			if c, err = socket(domain, unix.IPPROTO_MPTCP); err == nil {
				err = unix.Connect(c, address)
			}
			if err == nil && accept {
				if s, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC); err == nil {
					open = append(open, s)
				}
			}
			return c, s, err
		}
		four, err := listen(unix.AF_INET, unix.IPPROTO_MPTCP, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		if err != nil {
			return err
		}
		six, err := listen(unix.AF_INET6, unix.IPPROTO_MPTCP, &unix.SockaddrInet6{})
		if err != nil {
			return err
		}
		plain, err := listen(unix.AF_INET, unix.IPPROTO_TCP, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		if err != nil {
			return err
		}
		c, _, err := connect(unix.AF_INET, four, true)
		if err != nil {
			return err
		}
		if _, err = unix.Write(c, make([]byte, 100)); err != nil {
			return err
		}
		if err := unix.Fchown(c, 65534, 0); err != nil {
			return err
		}
		c, _, err = connect(unix.AF_INET, four, true)
		if err != nil {
			return err
		}
		_, _, err6 := connect(unix.AF_INET6, six, true)
		_, _, errMapped := connect(unix.AF_INET, six, false)
		_, _, errPlain := connect(unix.AF_INET, plain, true)
		return errors.Join(unix.Shutdown(c, unix.SHUT_WR), err6, errMapped, errPlain)
	})
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOPROTOOPT) {
		netnstest.SkipOrFail(t, "this kernel has no MPTCP, or it is switched off: "+err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	// The end of the shutdown is acknowledged a moment later.
	for range 500 {
		if lines := strings.Join(ssMPTCP(t, ns), "\n"); strings.Contains(lines, "FIN_WAIT2") && strings.Contains(lines, "CLOSE_WAIT") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the peer did not acknowledge the end of the data")
}

// ssMPTCP returns what ss -M shows as lines of mptcpColumns.
func ssMPTCP(t *testing.T, ns *netnstest.NS) (lines []string) {
	t.Helper()
	out, err := ns.Command(t.Context(), "ss", "-HaMnieO")
	if err != nil {
		netnstest.SkipOrFail(t, err.Error())
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		value := func(key, absent string) string {
			if m := regexp.MustCompile(`\b` + key + `:(\S+)`).FindStringSubmatch(line); m != nil {
				return m[1]
			}
			return absent
		}
		address := func(s string) string {
			s = strings.Replace(s, ":*", ":0", 1)
			a, err := netip.ParseAddrPort(strings.Replace(s, "*:", "[::]:", 1))
			if err != nil {
				t.Fatal(err)
			}
			return a.Addr().String() + " " + strconv.Itoa(int(a.Port()))
		}
		word := func(word string) string {
			return strconv.FormatInt(map[bool]int64{true: 1}[slices.Contains(f, word)], 10)
		}
		cookie, err := strconv.ParseInt(value("sk", ""), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		about := ",,,,,,,"
		if f[0] != "LISTEN" {
			about = strings.Join([]string{
				fmt.Sprintf("%08s", value("token", "")), value("subflows", "0"), value("subflows_max", "0"), word("fallback"), word("remote_key"),
				value("write_seq", "0"), value("snd_una", "0"), value("rcv_nxt", "0"),
			}, ",")
		}
		uid, inode := value("uid", "0"), value("ino", "")
		if inode == "0" {
			uid, inode = "", "" // nobody has it open
		}
		lines = append(lines, fmt.Sprint(stateOf(f[0]), " ", f[1], " ", f[2], " ", address(f[3]), " ", address(f[4]), " ", uid, " ", inode, " ", cookie, " ", about))
	}
	slices.Sort(lines)
	return lines
}

const mptcpQuery = `SELECT state || ' ' || recv_q || ' ' || send_q || ' ' || local_address || ' ' || local_port || ' ' || remote_address || ' ' || remote_port || ' ' ||
	ifnull(uid, '') || ' ' || ifnull(inode, '') || ' ' || cookie || ' ' || concat_ws(',', token, ifnull(subflows, ''), ifnull(subflows_max, ''), ifnull(fallback, ''), ifnull(remote_key, ''), write_seq, snd_una, rcv_nxt) AS line
	FROM mptcp_sockets`

func mptcpLines(rows []tableRow) (lines []string) {
	for _, r := range rows {
		lines = append(lines, r["line"])
	}
	slices.Sort(lines)
	return lines
}

func TestMPTCPSameAsSS(t *testing.T) {
	ns := netnstest.New(t)
	mptcpSockets(t, ns)
	var ours []string
	agree(t, "ss -M", func() []string { return ssMPTCP(t, ns) }, func() []string {
		ours = mptcpLines(query(t, ns, mptcpQuery))
		return ours
	})
	all := strings.Join(ours, "\n")
	for _, want := range []string{"LISTEN", "ESTABLISHED", "FIN_WAIT2", "CLOSE_WAIT", " 65534 ", "::ffff:127.0.0.1", " ::1 "} {
		if len(ours) != 11 || !strings.Contains(all, want) {
			t.Errorf("%d sockets, or none with %q:\n%s", len(ours), want, all)
		}
	}
	// The kernel narrows as SQLite would.
	port := query(t, ns, "SELECT local_port FROM mptcp_sockets WHERE state = 'LISTEN' AND proto = 'mptcp'")[0]["local_port"]
	for _, where := range []string{"@state = 'LISTEN'", "@proto = 'mptcp6'", "@local_port = " + port, "@remote_port = " + port + " AND @state <> 'LISTEN'", "@local_address = '::1'", "@protocol = 262", "@protocol = 6"} {
		r := queries(t, ns, "/proc", mptcpQuery+" WHERE "+strings.ReplaceAll(where, "@", ""), mptcpQuery+" WHERE "+strings.ReplaceAll(where, "@", "+"))
		if !slices.Equal(mptcpLines(r[0]), mptcpLines(r[1])) || (len(r[0]) == 0) != (where == "@protocol = 6") {
			t.Errorf("%s: %v, by SQLite alone %v", where, r[0], r[1])
		}
	}
}

// From outside the namespace is asked for by its number. The owner is this
// test, which holds the sockets.
func TestMPTCPInAnotherNamespace(t *testing.T) {
	ns, elsewhere := netnstest.New(t), netnstest.New(t)
	mptcpSockets(t, ns)
	holdSockets(t, ns) // a process by which the namespace is found
	number := query(t, ns, "SELECT net_namespace, program, pid FROM mptcp_sockets WHERE state = 'LISTEN' AND net_namespace = '"+inodeOf(t, ns)+"'")[0]
	if n := equal(t, "from another namespace",
		func() []string { return mptcpLines(query(t, ns, mptcpQuery)) },
		func() []string {
			return mptcpLines(query(t, elsewhere, mptcpQuery+" WHERE net_namespace = '"+number["net_namespace"]+"'"))
		}); n != 11 {
		t.Errorf("%d sockets", n)
	}
	if number["pid"] != strconv.Itoa(unix.Getpid()) {
		t.Errorf("the listener is of %v, not of this process", number)
	}
	if rows := query(t, elsewhere, mptcpQuery); len(rows) != 0 {
		t.Errorf("without a number: %v", rows)
	}
}
