package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The addresses of the audited listeners, which no other test has.
const (
	reachable = "10.77.18.1"
	loopback  = "127.77.18.1"
)

// audited is what audit finds, by check: one line for each finding that is ours, of the
// columns that are named.
func audited(t *testing.T, s *seeded, ours func(tableRow) bool, columns string, args ...string) map[string][]string {
	t.Helper()
	var report struct {
		Checks []struct {
			ID, Status string
			Reasons    []string
			Evidence   []tableRow
		}
	}
	out, err := s.ns.Command(t.Context(), program, append([]string{"audit", "--format", "json"}, args...)...)
	if exit := (&exec.ExitError{}); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 && exit.ExitCode() != 3) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := make(map[string][]string)
	for _, c := range report.Checks {
		if len(c.Evidence) > 0 != (c.Status == "fail") || c.Status == "unknown" && len(c.Reasons) == 0 {
			t.Errorf("%s: %s with %d findings and the reasons %q", c.ID, c.Status, len(c.Evidence), c.Reasons)
		}
		for _, row := range c.Evidence {
			if !ours(row) {
				continue
			}
			var line []string
			for _, name := range strings.Fields(columns) {
				line = append(line, row[name])
			}
			found[c.ID] = append(found[c.ID], strings.Join(line, " "))
		}
		slices.Sort(found[c.ID])
	}
	return found
}

// services are the checks that fail for what listens where others reach it.
var services = map[string][]string{
	"no-avahi":         {"udp 5353"},
	"no-dhcp-server":   {"udp 547", "udp 67"},
	"no-dns-server":    {"tcp 53", "udp 53"},
	"no-ftp-server":    {"tcp 21"},
	"no-ldap-server":   {"tcp 389", "tcp 636", "udp 389"},
	"no-mail-access":   {"tcp 110", "tcp 143", "tcp 993", "tcp 995"},
	"no-nfs-server":    {"tcp 2049", "udp 2049"},
	"no-print-server":  {"tcp 515", "tcp 631"},
	"no-rpcbind":       {"tcp 111", "udp 111"},
	"no-rsync-server":  {"tcp 873"},
	"no-samba-server":  {"tcp 139", "tcp 445", "udp 137", "udp 138"},
	"no-snmp-server":   {"udp 161"},
	"no-tftp-server":   {"udp 69"},
	"no-web-proxy":     {"tcp 3128", "tcp 8118"},
	"no-web-server":    {"tcp 443", "tcp 80"},
	"no-x11-server":    {"tcp 6000", "tcp 6010"},
	"local-mail":       {"tcp 25", "tcp 465", "tcp 587"},
	"syslog-receivers": {"tcp 514", "tcp 601", "tcp 6514", "udp 514"},
	"ai-servers":       {"tcp 11434", "tcp 8188"},
}

// Each check of a service fails for what listens at its ports where others reach it, and
// for nothing else: not on the loopback, not by the other protocol, not at the next port.
func TestAuditServices(t *testing.T) {
	s := seed(t)
	output(t, s.ns, "ip", "address", "add", reachable+"/24", "dev", "d0")
	kinds := map[string]int{"tcp": unix.SOCK_STREAM, "udp": unix.SOCK_DGRAM}
	bound := make(map[string]bool)
	for _, ends := range services {
		for _, end := range ends {
			protocol, port, _ := strings.Cut(end, " ")
			s.socket(kinds[protocol], 0, loopback+":"+port)
			s.socket(kinds[protocol], 0, reachable+":"+port)
			bound[end] = true
		}
	}
	// What no check of a service is about: the other protocol of those, and others.
	for _, end := range []string{"udp 21", "udp 80", "udp 25", "udp 873", "tcp 161", "tcp 69", "tcp 67", "tcp 5353", "udp 6000", "tcp 22", "tcp 81", "tcp 5999", "tcp 6011", "tcp 11435", "udp 11434"} {
		protocol, port, _ := strings.Cut(end, " ")
		s.socket(kinds[protocol], 0, reachable+":"+port)
		bound[end] = true
	}
	s.socket(unix.SOCK_STREAM, 0, loopback+":6274")
	s.socket(unix.SOCK_STREAM, 0, reachable+":23")
	bound["tcp 23"] = true

	ours := func(row tableRow) bool { return row["address"] == reachable || row["address"] == loopback }
	got := audited(t, s, ours, "protocol port")
	insecure := got["insecure-services"]
	for _, end := range []string{"tcp 23", "tcp 21", "udp 69"} {
		if !slices.Contains(insecure, end) {
			t.Errorf("insecure-services has %v, and not %s", insecure, end)
		}
	}
	for _, end := range []string{"tcp 22", "tcp 443", "tcp 80", "tcp 6274"} {
		if slices.Contains(insecure, end) {
			t.Errorf("insecure-services has %s", end)
		}
	}
	want := map[string][]string{"mcp-servers": {"tcp 6274"}}
	for id, ends := range services {
		want[id] = ends
	}
	delete(got, "insecure-services")
	for _, of := range []map[string][]string{got, want} {
		delete(of, "approved-listeners") // is unknown without a register
		delete(of, "temporary-executables")
		for id, ends := range of {
			if len(ends) == 0 {
				delete(of, id)
			}
			slices.Sort(ends)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}

	// With a register approved endpoints pass, and what has expired does not.
	register := filepath.Join(t.TempDir(), "approved.yaml")
	save := func(text string) {
		if err := os.WriteFile(register, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	save(`listeners:
  - {protocol: tcp, port: 80, address: 10.77.18.0/24, why: the website, approver: j.doe}
  - {protocol: tcp, port: 443, address: 10.77.18.1, why: the website, approver: j.doe, expires: 2001-01-01}
  - {protocol: tcp, port: 21, address: 10.77.18.1, why: old, approver: j.doe}
`)
	got = audited(t, s, ours, "protocol port", "--register", register)
	if diff := cmp.Diff([]string{"tcp 443"}, got["no-web-server"]); diff != "" {
		t.Errorf("no-web-server: %s", diff)
	}
	if len(got["no-ftp-server"]) > 0 || !slices.Contains(got["insecure-services"], "tcp 21") {
		t.Errorf("an approved FTP server: %v, %v", got["no-ftp-server"], got["insecure-services"])
	}
	delete(bound, "tcp 80")
	delete(bound, "tcp 21")
	onlyReachable := func(row tableRow) bool { return row["address"] == reachable }
	got = audited(t, s, onlyReachable, "protocol port", "--register", register, "approved-listeners")
	var all []string
	for end := range bound {
		all = append(all, end)
	}
	slices.Sort(all)
	if diff := cmp.Diff(all, got["approved-listeners"]); diff != "" {
		t.Errorf("approved-listeners: want (-), got (+):\n%s", diff)
	}
	got = audited(t, s, func(row tableRow) bool { return row["port"] == "443" && row["address"] == reachable }, "differences nearest_line", "--register", register, "approved-listeners")
	if diff := cmp.Diff([]string{"the approval ended on 2001-01-01 3"}, got["approved-listeners"]); diff != "" {
		t.Errorf("what differs: %s", diff)
	}
	got = audited(t, s, func(tableRow) bool { return true }, "line expires", "--register", register, "current-approvals")
	if diff := cmp.Diff([]string{"3 2001-01-01"}, got["current-approvals"]); diff != "" {
		t.Errorf("current-approvals: %s", diff)
	}

	// A register that others can change, or that is malformed, leaves the checks unknown.
	if err := os.Chmod(register, 0o666); err != nil {
		t.Fatal(err)
	}
	unknown := func(reason string) {
		t.Helper()
		out, err := s.ns.Command(t.Context(), program, "audit", "--register", register, "approved-listeners", "no-web-server")
		if exit := (&exec.ExitError{}); !errors.As(err, &exit) || exit.ExitCode() != 3 || strings.Count(string(out), reason) != 2 {
			t.Errorf("%v: %s, want %s twice", err, out, reason)
		}
	}
	unknown("has mode 0666, and only its owner may have write permission")
	if err := os.Chmod(register, 0o644); err != nil {
		t.Fatal(err)
	}
	save("listeners:\n  - {protocol: tcp, prot: 80}\n")
	unknown("approved.yaml: line 2: unknown key")
}

// The checks for incident response find what they are about, and nothing beside it.
func TestAuditIncidents(t *testing.T) {
	s := seed(t)
	output(t, s.ns, "ip", "address", "add", reachable+"/24", "dev", "d0")
	dir := t.TempDir()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	copyOf := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// start runs a program with the socket as its standard input, or as descriptor 3.
	start := func(path string, fd, as int) {
		t.Helper()
		duplicate, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		file := os.NewFile(uintptr(duplicate), "socket")
		defer file.Close()
		cmd := exec.Command(path, "60")
		if as == 0 {
			cmd.Stdin = file
		} else {
			cmd.ExtraFiles = []*os.File{file}
		}
		if err := s.ns.Do(cmd.Start); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
	s.socket(unix.SOCK_STREAM, 0, reachable+":4444")
	connection := func() (fd int) {
		t.Helper()
		err := s.ns.Do(func() (err error) {
			if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
				err = unix.Connect(fd, &unix.SockaddrInet4{Port: 4444, Addr: [4]byte{10, 77, 18, 1}})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	start(copyOf("bash"), connection(), 0)
	start(copyOf("dash"), connection(), 3)  // does not obey it
	start(copyOf("inetd"), connection(), 0) // is no shell
	dropped := s.socket(unix.SOCK_STREAM, 0, reachable+":4445")
	start(copyOf("dropper"), dropped, 3)
	unix.Close(dropped)
	deleted := copyOf("deleted")
	left := s.socket(unix.SOCK_STREAM, 0, reachable+":4446")
	start(deleted, left, 3)
	unix.Close(left)
	if err := os.Remove(deleted); err != nil {
		t.Fatal(err)
	}
	installed := s.socket(unix.SOCK_STREAM, 0, reachable+":4447")
	start(sleep, installed, 3)
	unix.Close(installed)

	packet := func(protocol uint16, promiscuous bool) {
		t.Helper()
		err := s.ns.Do(func() error {
			order := protocol<<8 | protocol>>8
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(order))
			if err != nil {
				return err
			}
			t.Cleanup(func() { unix.Close(fd) })
			if promiscuous {
				return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(indexOf("d0")), Type: unix.PACKET_MR_PROMISC})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	packet(unix.ETH_P_ALL, true)
	packet(unix.ETH_P_LLDP, false)
	s.socket(unix.SOCK_RAW, unix.IPPROTO_ICMP, reachable+":0")
	s.socket(unix.SOCK_RAW, 89, reachable+":0")

	var inode string
	if _, err := fmt.Sscanf(s.here(), " FROM listening_services WHERE net_namespace = '%s", &inode); err != nil {
		t.Fatal(err)
	}
	inode = strings.TrimSuffix(inode, "'")
	here := func(row tableRow) bool { return row["net_namespace"] == inode || row["address"] == reachable }
	got := audited(t, s, here, "comm program port protocol_name ip_protocol_name promiscuous", "--pack", "ir")
	for id := range got {
		for i := range got[id] {
			got[id][i] = strings.Join(strings.Fields(got[id][i]), " ")
		}
	}
	if len(got["sniffers"]) != 1 || len(got["promiscuous-interfaces"]) != 1 || len(got["raw-icmp"]) != 1 || !strings.Contains(got["raw-icmp"][0], "icmp") {
		t.Errorf("sniffers %q, promiscuous %q, raw ICMP %q", got["sniffers"], got["promiscuous-interfaces"], got["raw-icmp"])
	}
	if diff := cmp.Diff([]string{"bash"}, got["reverse-shells"]); diff != "" {
		t.Errorf("reverse-shells: %s", diff)
	}
	// The copies are in the directory for temporary files that the tests have.
	temporary := got["temporary-executables"]
	if strings.HasPrefix(dir, "/tmp/") || strings.HasPrefix(dir, "/var/tmp/") {
		if !slices.Contains(temporary, "dropper 4445") {
			t.Errorf("temporary-executables: %q", temporary)
		}
	}
	if slices.ContainsFunc(temporary, func(s string) bool { return strings.Contains(s, "4447") }) {
		t.Errorf("temporary-executables: %q", temporary)
	}
	for _, c := range []struct {
		port string
		want bool
	}{{"4446", true}, {"4447", false}} {
		if found := slices.ContainsFunc(got["deleted-executables"], func(s string) bool { return strings.Contains(s, c.port) }); found != c.want {
			t.Errorf("deleted-executables: %q has %s: %v", got["deleted-executables"], c.port, found)
		}
	}
}

// The checks of operations have a threshold: what is below it passes.
func TestAuditOperations(t *testing.T) {
	s := seed(t)
	output(t, s.ns, "ip", "address", "add", reachable+"/24", "dev", "d0")
	busy := s.socket(unix.SOCK_STREAM, 0, reachable+":4444")
	if err := unix.Listen(busy, 128); err != nil {
		t.Fatal(err)
	}
	var inode string
	if _, err := fmt.Sscanf(s.here(), " FROM listening_services WHERE net_namespace = '%s", &inode); err != nil {
		t.Fatal(err)
	}
	inode = strings.TrimSuffix(inode, "'")
	here := func(row tableRow) bool { return row["net_namespace"] == inode || row["address"] == reachable }
	waiting := func(n int) {
		t.Helper()
		for range n {
			err := s.ns.Do(func() error {
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
				if err == nil {
					err = errors.Join(unix.Connect(fd, &unix.SockaddrInet4{Port: 4444, Addr: [4]byte{10, 77, 18, 1}}), unix.Close(fd))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			accepted, _, err := unix.Accept4(busy, unix.SOCK_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(accepted) })
		}
	}
	waiting(99)
	if got := audited(t, s, here, "connections", "close-wait", "accept-queues"); len(got["close-wait"])+len(got["accept-queues"]) > 0 {
		t.Errorf("99 connections: %v", got)
	}
	waiting(1)
	full := s.socket(unix.SOCK_STREAM, 0, reachable+":4445")
	if err := unix.Listen(full, 0); err != nil {
		t.Fatal(err)
	}
	err := s.ns.Do(func() error { // one fits
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			t.Cleanup(func() { unix.Close(fd) })
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: 4445, Addr: [4]byte{10, 77, 18, 1}})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := audited(t, s, here, "connections port", "close-wait", "accept-queues")
	for id, lines := range got {
		for i := range lines {
			got[id][i] = strings.TrimSpace(lines[i])
		}
	}
	if diff := cmp.Diff(map[string][]string{"close-wait": {"100"}, "accept-queues": {"4445"}}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}
