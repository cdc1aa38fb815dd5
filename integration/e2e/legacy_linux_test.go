package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
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

// here runs a program in the machine's own network namespace.
func here(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// socketHere makes a socket that is closed with the test, and skips the test if
// the kernel has none of its family.
func socketHere(t *testing.T, domain, kind, protocol int) (fd int, inode string) {
	t.Helper()
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err == unix.EAFNOSUPPORT || err == unix.EPROTONOSUPPORT {
		netnstest.NotInThisKernel(t, fmt.Sprintf("the address family %d", domain))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		t.Fatal(err)
	}
	return fd, strconv.FormatUint(s.Ino, 10)
}

// withAddress calls bind or connect with an address that x/sys/unix does not know.
func withAddress(t *testing.T, call uintptr, fd int, address []byte) {
	t.Helper()
	_, _, errno := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(&address[0])), uintptr(len(address)))
	if errno != 0 && errno != unix.EINPROGRESS {
		t.Fatalf("system call %d with % x: %v", call, address, errno)
	}
}

// callSign is an ax25_address: shifted characters.
func callSign(name string, station byte) []byte {
	b := make([]byte, 7)
	for i := range 6 {
		b[i] = ' ' << 1
		if i < len(name) {
			b[i] = name[i] << 1
		}
	}
	b[6] = 0x60 | station<<1
	return b
}

// ax25Address is a struct sockaddr_ax25, include/uapi/linux/ax25.h.
func ax25Address(family uint16, call []byte) []byte {
	b := make([]byte, 16)
	binary.NativeEndian.PutUint16(b, family)
	copy(b[2:], call)
	return b
}

// hardwareAddress writes an address as ip takes it.
func hardwareAddress(b []byte) string {
	return strings.ReplaceAll(fmt.Sprintf("% x", b), " ", ":")
}

// legacySockets are the rows of the machine's own namespace.
func legacySockets(t *testing.T, proto string) []tableRow {
	t.Helper()
	return outside(t, "SELECT * FROM legacy_sockets WHERE proto = '"+proto+"'")
}

// inTable compares rows with what netstat prints of the family, and asks for a
// row with each of the inodes, of this process.
func inTable(t *testing.T, proto string, netstat func(words []string) string, line func(tableRow) string, inodes ...string) {
	t.Helper()
	agree(t, "netstat --"+proto,
		func() (lines []string) {
			for _, l := range linesOf(here(t, "netstat", "--"+proto, "-an"), 2) {
				lines = append(lines, netstat(strings.Fields(l)))
			}
			return lines
		},
		func() (lines []string) {
			for _, r := range legacySockets(t, proto) {
				lines = append(lines, strings.Join(strings.Fields(line(r)), " "))
			}
			return lines
		})
	owned := make(map[string]string)
	for _, r := range legacySockets(t, proto) {
		owned[r["inode"]] = r["pid"]
	}
	for _, inode := range inodes {
		if owned[inode] != strconv.Itoa(os.Getpid()) {
			t.Errorf("the socket %s is of the process %q", inode, owned[inode])
		}
	}
}

// withoutWindow leaves out what netstat shows before the queues, Vr/Vs.
func withoutWindow(words []string) string {
	n := len(words) - 3
	return strings.Join(slices.Delete(words, n, n+1), " ")
}

// Two stations of AX.25 at the two ends of a cable: one connects, one listens,
// and what waits to be accepted has no process.
func TestAX25(t *testing.T) {
	netnstest.NeedOwnMachine(t)
	listener, listens := socketHere(t, unix.AF_AX25, unix.SOCK_SEQPACKET, 0)
	client, connects := socketHere(t, unix.AF_AX25, unix.SOCK_SEQPACKET, 0)
	here(t, "modprobe", "bpqether") // which makes a device for each of Ethernet
	here(t, "ip", "link", "add", "ax0", "type", "veth", "peer", "name", "ax1")
	t.Cleanup(func() { here(t, "ip", "link", "del", "ax0") })
	for i, name := range []string{"ax0", "ax1"} {
		here(t, "ip", "link", "set", name, "up")
		device := fmt.Sprintf("bpq%d", i)
		here(t, "ip", "link", "set", device, "address", hardwareAddress(callSign("N0CALL", byte(i+1))))
		here(t, "ip", "link", "set", device, "up")
	}
	withAddress(t, unix.SYS_BIND, listener, ax25Address(unix.AF_AX25, callSign("N0CALL", 2)))
	if err := unix.Listen(listener, 3); err != nil {
		t.Fatal(err)
	}
	withAddress(t, unix.SYS_BIND, client, ax25Address(unix.AF_AX25, callSign("N0CALL", 1)))
	withAddress(t, unix.SYS_CONNECT, client, ax25Address(unix.AF_AX25, callSign("N0CALL", 2)))
	for range 2000 {
		if len(legacySockets(t, "ax25")) == 3 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	inTable(t, "ax25", withoutWindow, func(r tableRow) string {
		return strings.Join([]string{r["remote_address"], r["local_address"], r["interface"], r["state"], r["send_q"], r["recv_q"]}, " ")
	}, listens, connects)
}

func TestNetROM(t *testing.T) {
	netnstest.NeedOwnMachine(t)
	fd, inode := socketHere(t, unix.AF_NETROM, unix.SOCK_SEQPACKET, 0)
	node := callSign("N0NODE", 3)
	here(t, "ip", "link", "set", "nr0", "address", hardwareAddress(node))
	here(t, "ip", "link", "set", "nr0", "up")
	t.Cleanup(func() { here(t, "ip", "link", "set", "nr0", "down") })
	withAddress(t, unix.SYS_BIND, fd, ax25Address(unix.AF_NETROM, node))
	if err := unix.Listen(fd, 3); err != nil {
		t.Fatal(err)
	}
	inTable(t, "netrom", withoutWindow, func(r tableRow) string {
		return strings.Join([]string{r["local_call"], r["remote_address"], r["local_address"], r["interface"], r["state"], r["send_q"], r["recv_q"]}, " ")
	}, inode)
}

func TestROSE(t *testing.T) {
	netnstest.NeedOwnMachine(t)
	fd, inode := socketHere(t, unix.AF_ROSE, unix.SOCK_SEQPACKET, 0)
	here(t, "ip", "link", "set", "rose0", "address", "20:80:12:34:56")
	here(t, "ip", "link", "set", "rose0", "up")
	t.Cleanup(func() { here(t, "ip", "link", "set", "rose0", "down") })
	// struct sockaddr_rose, include/uapi/linux/rose.h.
	address := make([]byte, 28)
	binary.NativeEndian.PutUint16(address, unix.AF_ROSE)
	copy(address[2:], []byte{0x20, 0x80, 0x12, 0x34, 0x56})
	copy(address[7:], callSign("N0CALL", 4))
	withAddress(t, unix.SYS_BIND, fd, address)
	if err := unix.Listen(fd, 3); err != nil {
		t.Fatal(err)
	}
	// It shows no asterisk for the address of no peer, and circuits before the state.
	inTable(t, "rose", func(words []string) string {
		return strings.Join(slices.Delete(words, len(words)-3, len(words)-1), " ")
	}, func(r tableRow) string {
		return strings.Join([]string{strings.TrimPrefix(r["remote_address"], "*"), r["remote_call"], r["local_address"], r["local_call"], r["interface"], r["state"]}, " ")
	}, inode)
}

// netstat of most distributions does not know Bluetooth: the kernel's list is
// read by its words, and the sockets are asked.
func TestBluetooth(t *testing.T) {
	netnstest.NeedOwnMachine(t)
	for _, c := range []struct {
		proto    string
		kind     int
		protocol int
		address  unix.Sockaddr
	}{
		{"l2cap", unix.SOCK_SEQPACKET, unix.BTPROTO_L2CAP, &unix.SockaddrL2{PSM: 0x1001}},
		{"rfcomm", unix.SOCK_STREAM, unix.BTPROTO_RFCOMM, &unix.SockaddrRFCOMM{Channel: 7}},
		{"sco", unix.SOCK_SEQPACKET, unix.BTPROTO_SCO, nil},
	} {
		t.Run(c.proto, func(t *testing.T) {
			want := make(map[string]string)
			for _, uid := range []int{0, 4242} {
				fd, inode := socketHere(t, unix.AF_BLUETOOTH, c.kind, c.protocol)
				if c.address != nil && uid == 0 {
					if err := errors.Join(unix.Bind(fd, c.address), unix.Listen(fd, 1)); err != nil {
						t.Fatal(err)
					}
				}
				if err := unix.Fchown(fd, uid, -1); err != nil {
					t.Fatal(err)
				}
				want[inode] = fmt.Sprintf("%d %d", uid, os.Getpid())
			}
			got := make(map[string]string)
			var ours, theirs []string
			for _, r := range legacySockets(t, c.proto) {
				if want[r["inode"]] != "" {
					got[r["inode"]] = r["uid"] + " " + r["pid"]
				}
				ours = append(ours, strings.Join([]string{r["recv_q"], r["send_q"], r["uid"], r["inode"]}, " "))
			}
			for _, line := range linesOf(here(t, "cat", "/proc/net/"+c.proto), 1) {
				theirs = append(theirs, strings.Join(strings.Fields(line)[2:6], " "))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("fstat: %s", diff)
			}
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("/proc/net/%s: %s", c.proto, diff)
			}
		})
	}
}

func TestAppleTalk(t *testing.T) {
	netnstest.NeedOwnMachine(t)
	fd, _ := socketHere(t, unix.AF_APPLETALK, unix.SOCK_DGRAM, 0)
	// struct sockaddr_at, include/uapi/linux/atalk.h: port, network, node.
	address := make([]byte, 16)
	binary.NativeEndian.PutUint16(address, unix.AF_APPLETALK)
	copy(address[3:], []byte{0, 0x12, 0x34, 1})
	request := make([]byte, 40) // struct ifreq
	copy(request, "lo")
	copy(request[unix.IFNAMSIZ:], address)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFADDR, uintptr(unsafe.Pointer(&request[0]))); errno != 0 {
		t.Fatal(errno)
	}
	address[2] = 200
	withAddress(t, unix.SYS_BIND, fd, address)
	rows := legacySockets(t, "atalk")
	if len(rows) != 1 {
		t.Fatalf("%d rows of one socket: %v", len(rows), rows)
	}
	r := rows[0]
	got := []string{r["local_address"], r["remote_address"], r["send_q"] + ":" + r["recv_q"], r["state"], r["uid"]}
	want := []string{"1234:01:C8", "0000:00:00", "0:0", "", "0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
