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
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// SOL_SCTP, include/linux/socket.h, and its options, include/uapi/linux/sctp.h.
const (
	solSCTP      = 132
	sctpStatus   = 14
	sctpBindxAdd = 100
)

// sctpSockets makes sockets of SCTP: listeners, connections with one address and
// with two at each end, one socket with two associations, and one that nobody
// answers. It returns those that listen and those that have associations.
func sctpSockets(t *testing.T, ns *netnstest.NS) (listeners, connected []int) {
	t.Helper()
	fd := -1
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
		return err
	})
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		netnstest.NotInThisKernel(t, "SCTP")
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)

	address := func(text string) unix.Sockaddr {
		a := netip.MustParseAddrPort(text)
		if a.Addr().Is4() {
			return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
		}
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	bound := func(domain, kind int, local string, more ...netip.Addr) int {
		t.Helper()
		fd, _ := openIn(t, ns, domain, kind, unix.IPPROTO_SCTP, func(fd int) error {
			if err := unix.Bind(fd, address(local)); err != nil {
				return fmt.Errorf("bind %s: %w", local, err)
			}
			for _, a := range more {
				raw := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.As4()}
				port := netip.MustParseAddrPort(local).Port()
				raw.Port = port>>8 | port<<8
				if err := unix.SetsockoptString(fd, solSCTP, sctpBindxAdd, string(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw)))); err != nil {
					return fmt.Errorf("bindx %v: %w", a, err)
				}
			}
			return nil
		})
		return fd
	}
	listen := func(domain, kind int, local string, more ...netip.Addr) int {
		t.Helper()
		fd := bound(domain, kind, local, more...)
		if err := unix.Listen(fd, 7); err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, fd)
		return fd
	}
	connect := func(fd int, remote string) {
		t.Helper()
		if err := ns.Do(func() error { return unix.Connect(fd, address(remote)) }); err != nil && err != unix.EINPROGRESS {
			t.Fatalf("connect %s: %v", remote, err)
		}
	}
	accept := func(listener int) int {
		t.Helper()
		for range 2000 {
			fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			if err == nil {
				t.Cleanup(func() { unix.Close(fd) })
				return fd
			}
			if err != unix.EAGAIN {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatal("no association comes")
		return -1
	}
	pair := func(listener, client int, remote string) {
		t.Helper()
		connect(client, remote)
		connected = append(connected, client, accept(listener))
	}
	second := netip.MustParseAddr("127.0.0.2")
	four := listen(unix.AF_INET, unix.SOCK_STREAM, "127.0.0.1:5001")
	pair(four, bound(unix.AF_INET, unix.SOCK_STREAM, "127.0.0.1:6001"), "127.0.0.1:5001")
	if _, err := unix.Write(connected[0], make([]byte, 300)); err != nil { // which nobody reads
		t.Fatal(err)
	}
	six := listen(unix.AF_INET6, unix.SOCK_STREAM, "[::1]:5002")
	pair(six, bound(unix.AF_INET6, unix.SOCK_STREAM, "[::1]:6002"), "[::1]:5002")
	homes := listen(unix.AF_INET, unix.SOCK_STREAM, "127.0.0.1:5003", second)
	pair(homes, bound(unix.AF_INET, unix.SOCK_STREAM, "127.0.0.1:6003", second), "127.0.0.2:5003")
	any := listen(unix.AF_INET6, unix.SOCK_STREAM, "[::]:5004")
	if err := unix.Fchown(any, -2, -1); err != nil {
		t.Fatal(err)
	}
	// One socket with two associations.
	many := listen(unix.AF_INET, unix.SOCK_SEQPACKET, "127.0.0.1:5005")
	pair(four, many, "127.0.0.1:5001")
	connect(many, "127.0.0.2:5003")
	connected = append(connected, accept(homes))
	return listeners, connected
}

// ended is how system calls describe an association.
type ended struct {
	Inode, Local, Remote, State string
	ID                          int32
	In, Out                     uint16
}

// statusOf asks a socket for its only association.
func statusOf(t *testing.T, fd int) ended {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		t.Fatal(err)
	}
	local, err1 := unix.Getsockname(fd)
	remote, err2 := unix.Getpeername(fd)
	// struct sctp_status.
	var status struct {
		ID, State                                   int32
		Window                                      uint32
		Unacknowledged, Pending, InStreams, Streams uint16
		Fragment                                    uint32
		Primary                                     [152]byte
	}
	size := uint32(unsafe.Sizeof(status))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), solSCTP, sctpStatus, uintptr(unsafe.Pointer(&status)), uintptr(unsafe.Pointer(&size)), 0)
	if err := errors.Join(err1, err2); err != nil || errno != 0 {
		t.Fatal(err, errno)
	}
	// enum sctp_sstat_state.
	names := []string{"EMPTY", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED"}
	return ended{strconv.FormatUint(s.Ino, 10), endOf(local), endOf(remote), names[status.State], status.ID, status.InStreams, status.Streams}
}

func endOf(sa unix.Sockaddr) string {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)).String()
	}
	return ""
}

// SCTP's endpoints and associations are what system calls, netstat and ss say.
func TestSCTP(t *testing.T) {
	ns := netnstest.New(t)
	listeners, connected := sctpSockets(t, ns)
	const columns = "SELECT *, in_streams, out_streams, rto_ticks, heartbeat_active FROM sctp_sockets"
	rows := query(t, ns, columns)
	end := func(r tableRow, side string) string {
		port, err := strconv.Atoi(r[side+"_port"])
		if err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		return netip.AddrPortFrom(netip.MustParseAddr(r[side+"_address"]), uint16(port)).String()
	}
	t.Run("system calls", func(t *testing.T) {
		var got, want []ended
		for _, fd := range connected {
			if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_SEQPACKET {
				want = append(want, statusOf(t, fd))
			}
		}
		many := 0
		for _, r := range rows {
			switch {
			case r["association_id"] == "":
			case r["type"] == "SEQPACKET":
				many++
			default:
				id, err1 := strconv.Atoi(r["association_id"])
				in, err2 := strconv.Atoi(r["in_streams"])
				out, err3 := strconv.Atoi(r["out_streams"])
				if err := errors.Join(err1, err2, err3); err != nil {
					t.Fatalf("%v: %v", r, err)
				}
				got = append(got, ended{r["inode"], end(r, "local"), end(r, "remote"), r["association_state"], int32(id), uint16(in), uint16(out)})
			}
		}
		byInode := func(a, b ended) int { return strings.Compare(a.Inode, b.Inode) }
		slices.SortFunc(got, byInode)
		slices.SortFunc(want, byInode)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if many != 2 {
			t.Errorf("%d associations of the socket with two", many)
		}
	})
	t.Run("endpoints", func(t *testing.T) {
		var got, want []string
		for _, fd := range listeners {
			var s unix.Stat_t
			if err := unix.Fstat(fd, &s); err != nil {
				t.Fatal(err)
			}
			local, err := unix.Getsockname(fd)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("%d %s uid %d LISTEN", s.Ino, endOf(local), s.Uid))
		}
		for _, r := range rows {
			if r["association_id"] == "" {
				got = append(got, fmt.Sprintf("%s %s uid %s %s", r["inode"], end(r, "local"), r["uid"], r["state"]))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	var got []string
	for _, r := range rows {
		line := fmt.Sprintf("%s:%s - %s %s %s", strings.ReplaceAll(r["local_addresses"], ",", " "), r["local_port"], r["state"], r["uid"], r["inode"])
		if r["association_id"] != "" {
			line = fmt.Sprintf("%s %s %s:%s - %s:%s %s %s %s", r["recv_q"], r["send_q"], strings.ReplaceAll(r["local_addresses"], ",", " "), r["local_port"],
				strings.ReplaceAll(r["remote_addresses"], ",", " "), r["remote_port"], r["state"], r["uid"], r["inode"])
		}
		got = append(got, line)
	}
	t.Run("netstat", func(t *testing.T) {
		// It has a line for each further address, and the port behind some; it
		// shows a user above 2^31-1 as negative.
		var want []string
		var local, remote, queues, rest string
		flush := func() {
			if local != "" {
				want = append(want, strings.Join(strings.Fields(queues+" "+local+" - "+remote+" "+rest), " "))
			}
		}
		for _, line := range command(t, ns, "netstat", "-aSne")[2:] {
			if strings.TrimSpace(line) == "" {
				continue
			}
			column := func(from, to int) string { return strings.TrimSpace(line[min(from, len(line)):min(to, len(line))]) }
			if strings.HasPrefix(line, "sctp") {
				flush()
				local, remote, queues, rest = column(20, 44), column(44, 68), column(5, 19), strings.ReplaceAll(column(68, 100), " -2 ", " 4294967294 ")
				continue
			}
			local, remote = withFurther(local, column(20, 44)), withFurther(remote, column(44, 68))
			rest += " " + column(68, 100)
		}
		flush()
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("ss", func(t *testing.T) {
		var listening, associations []string
		for _, line := range command(t, ns, "ss", "-HSane") {
			f := strings.Fields(strings.TrimPrefix(strings.ReplaceAll(line, "%lo", ""), "`-"))
			inode := regexp.MustCompile(`ino:(\d+)`).FindStringSubmatch(line)[1]
			switch {
			case strings.HasPrefix(line, "`-"):
				associations = append(associations, strings.Join(append(f[1:5], inode), " "))
			case f[0] == "LISTEN":
				listening = append(listening, inode)
			}
		}
		var ours, ourListening []string
		for _, r := range rows {
			if r["association_id"] == "" {
				ourListening = append(ourListening, r["inode"])
				continue
			}
			ours = append(ours, strings.Join([]string{r["recv_q"], r["send_q"], end(r, "local"), end(r, "remote"), r["inode"]}, " "))
		}
		for _, all := range [][]string{listening, associations, ours, ourListening} {
			slices.Sort(all)
		}
		listening = slices.Compact(listening) // under Linux 6.1 ss lists one of them twice
		if diff := cmp.Diff(associations, ours); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(listening, ourListening); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("paths", func(t *testing.T) {
		// The file has a line of each path: address, association, heartbeat, RTO.
		paths := command(t, ns, "cat", "/proc/thread-self/net/sctp/remaddr")
		for _, r := range rows {
			if r["association_id"] == "" {
				continue
			}
			found := slices.ContainsFunc(paths[1:], func(line string) bool {
				f := strings.Fields(line)
				return netip.MustParseAddr(f[0]).String() == r["remote_address"] && f[1] == r["association_id"] && f[2] == r["heartbeat_active"] && f[3] == r["rto_ticks"]
			})
			if !found {
				t.Errorf("%v is in none of %q", r, paths)
			}
		}
	})
	t.Run("from outside", func(t *testing.T) {
		other := query(t, netnstest.New(t), columns+" WHERE net_namespace = '"+namespaceNumber(t, ns)+"'")
		if diff := cmp.Diff(rows, other); diff != "" {
			t.Error(diff)
		}
	})
}

// withFurther adds an address to those before a port.
func withFurther(all, address string) string {
	if address == "" {
		return all
	}
	i := strings.LastIndexByte(all, ':')
	port := all[i:]
	return all[:i] + " " + strings.TrimSuffix(address, port) + port
}
