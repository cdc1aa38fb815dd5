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

// joinGroup makes a netlink socket join a group.
func joinGroup(group int) func(fd int) error {
	return func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
}

// port binds a netlink socket; to 0 means that the kernel chooses.
func port(id, groups uint32) func(fd int) error {
	return func(fd int) error {
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: id, Groups: groups}))
	}
}

// netlinkSockets makes netlink sockets, by inode with what their rows must say.
func netlinkSockets(t *testing.T, ns *netnstest.NS) map[string]tableRow {
	t.Helper()
	want := make(map[string]tableRow)
	add := func(protocol int, row tableRow, steps ...func(fd int) error) {
		t.Helper()
		_, inode := openIn(t, ns, unix.AF_NETLINK, unix.SOCK_RAW, protocol, all(steps...))
		row["protocol"], row["pid"] = strconv.Itoa(protocol), strconv.Itoa(os.Getpid())
		want[inode] = row
	}
	add(unix.NETLINK_ROUTE, tableRow{"protocol_name": "route", "port_id": "4242", "groups": "0x00000011", "dump": "0"}, port(4242, 0x11))
	add(unix.NETLINK_ROUTE, tableRow{"port_id": "4243", "groups": "0x200000000", "no_enobufs": "1", "listen_all_namespaces": "0"}, port(4243, 0), joinGroup(34),
		func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1) })
	add(unix.NETLINK_KOBJECT_UEVENT, tableRow{"protocol_name": "kobject_uevent", "groups": "0x00000003", "listen_all_namespaces": "1"}, port(0, 3),
		func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1) })
	add(unix.NETLINK_GENERIC, tableRow{"protocol_name": "generic", "groups": "0x00000000"}, port(0, 0))
	add(unix.NETLINK_SOCK_DIAG, tableRow{"protocol_name": "sock_diag", "port_id": "4294967290"}, port(4294967290, 0))
	// It has asked for all addresses, of which there are many, and reads none.
	for i := range 200 {
		command(t, ns, "ip", "addr", "add", fmt.Sprintf("10.9.%d.1/32", i), "dev", "lo")
	}
	add(unix.NETLINK_ROUTE, tableRow{"port_id": "77", "dump": "1"}, port(77, 0), func(fd int) error {
		request := []byte{24, 0, 0, 0, unix.RTM_GETADDR, 0, 1, 3, 1, 0, 0, 0, 0, 0, 0, 0, unix.AF_INET, 0, 0, 0, 0, 0, 0, 0}
		return os.NewSyscallError("sendto", unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	})
	// It hears more than it has room for.
	add(unix.NETLINK_ROUTE, tableRow{"port_id": "78"}, port(78, unix.RTMGRP_LINK),
		func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	for range 5 {
		command(t, ns, "ip", "link", "set", "lo", "mtu", "60000")
		command(t, ns, "ip", "link", "set", "lo", "mtu", "65536")
	}
	return want
}

// unbound makes one that has no place in /proc/net/netlink: in a group without
// being bound.
func unbound(t *testing.T, ns *netnstest.NS) (inode string, want tableRow) {
	t.Helper()
	_, inode = openIn(t, ns, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE, all(joinGroup(1), joinGroup(34)))
	return inode, tableRow{"port_id": "0", "groups": "0x200000001", "pid": strconv.Itoa(os.Getpid()), "ref_count": "", "recv_q": "0", "drops": "0", "dump": "0"}
}

const netlinkColumns = "SELECT *, no_enobufs, listen_all_namespaces, ref_count, cookie FROM netlink_sockets"

// among returns the rows of these sockets, without the kernel's own.
func among(rows []tableRow, sockets map[string]tableRow) []tableRow {
	return slices.DeleteFunc(slices.Clone(rows), func(r tableRow) bool { return sockets[r["inode"]] == nil })
}

func TestNetlinkSockets(t *testing.T) {
	ns := netnstest.New(t)
	want := netlinkSockets(t, ns)
	bound := queries(t, ns, onlyProc, netlinkColumns)[0]
	checkRows(t, among(bound, want), asProc(want))
	inode, row := unbound(t, ns)
	want[inode] = row
	rows := query(t, ns, netlinkColumns)
	checkRows(t, among(rows, want), want)
	dropped := false
	for _, r := range rows {
		dropped = dropped || r["port_id"] == "78" && r["drops"] != "0"
	}
	if !dropped {
		t.Error("no socket has lost a message")
	}

	// The kernel's own file, and sock_diag by ss, which shows sockets in groups
	// twice, itself, and no group above 32.
	var got, proc, diag []string
	for _, r := range rows {
		if r["inode"] != inode {
			got = append(got, netlinkLine(r["protocol"], r["port_id"], r["groups"], r["recv_q"], r["send_q"], r["dump"], r["ref_count"], r["drops"], r["inode"]))
		}
	}
	for _, line := range command(t, ns, "cat", "/proc/thread-self/net/netlink")[1:] {
		f := strings.Fields(line)
		proc = append(proc, netlinkLine(f[1], f[2], "0x"+f[3], f[4], f[5], f[6], f[7], f[8], f[9]))
	}
	sameLines(t, "/proc/net/netlink", got, proc)
	got = nil
	for _, r := range rows {
		if r["protocol_name"] != "sock_diag" { // by which ss is asking
			got = append(got, netlinkLine(r["protocol"]+":"+r["port_id"], r["groups"], r["recv_q"], r["send_q"]))
		}
	}
	for _, line := range command(t, ns, "ss", "-Hf", "netlink", "-ane") {
		if f := strings.Fields(line); !strings.HasPrefix(f[3], "4:") {
			diag = append(diag, netlinkLine(f[3], strings.TrimPrefix(f[len(f)-1], "groups="), f[1], f[2]))
		}
	}
	slices.Sort(diag)
	slices.Sort(got)
	sameLines(t, "ss -f netlink -ane", slices.Compact(got), slices.Compact(diag))

	outside := query(t, netnstest.New(t), fmt.Sprintf("%s WHERE net_namespace = '%s'", netlinkColumns, namespaceNumber(t, ns)))
	checkRows(t, among(outside, want), want)
}

// asProc is what /proc tells; from another directory than /proc there are no
// processes.
func asProc(want map[string]tableRow) map[string]tableRow {
	some := make(map[string]tableRow)
	for inode, row := range want {
		some[inode] = tableRow{"no_enobufs": "", "listen_all_namespaces": "", "cookie": "", "pid": ""}
		for column, value := range row {
			if _, absent := some[inode][column]; !absent {
				some[inode][column] = value
			}
		}
		if some[inode]["groups"] == "0x200000000" {
			some[inode]["groups"] = "0x00000000"
		}
	}
	return some
}

// netlinkLine joins fields, with the groups of a socket up to 32.
func netlinkLine(fields ...string) string {
	for i, f := range fields {
		if mask, ok := strings.CutPrefix(f, "0x"); ok {
			fields[i] = mask[len(mask)-8:]
			if len(mask) < 8 || strings.Trim(mask, "0123456789abcdef") != "" {
				fields[i] = "no mask: " + f
			}
		}
	}
	return strings.Join(fields, " ")
}

// Between two messages sock_diag loses a socket: ss does not show it. No row may
// be missing here, nor its groups.
func TestManyNetlinkSockets(t *testing.T) {
	const n = 600
	ns := netnstest.New(t)
	want := make(map[string]tableRow)
	for i := range uint32(n) {
		_, inode := openIn(t, ns, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC, port(100000+i, 0))
		want[inode] = tableRow{"port_id": strconv.Itoa(int(100000 + i)), "groups": "0x00000000", "no_enobufs": "0"}
	}
	checkRows(t, among(query(t, ns, netlinkColumns), want), want)
}
