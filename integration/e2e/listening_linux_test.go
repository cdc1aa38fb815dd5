package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// seeded is a network namespace whose listeners are known.
type seeded struct {
	t    *testing.T
	ns   *netnstest.NS
	want []tableRow
	fds  map[string]int // by name
}

// seed makes a namespace with a private network on the interface d0.
func seed(t *testing.T) *seeded {
	t.Helper()
	s := &seeded{t: t, ns: netnstest.New(t), fds: make(map[string]int)}
	for _, args := range []string{
		"link add d0 type ifb",
		"link set d0 up",
		"address add 10.7.0.1/24 dev d0",
		"address add fe80::7/64 dev d0 nodad",
	} {
		output(t, s.ns, "ip", strings.Fields(args)...)
	}
	return s
}

// where are the columns that say what an endpoint is.
const where = "protocol, address, port, ip_versions, interface, scope, exposure, role, v6only, sockets"

// row is the truth of an endpoint, in the order of where.
func (s *seeded) row(values string) {
	row := tableRow{}
	columns := strings.Split(where, ", ")
	for i, v := range strings.Split(values, " ") {
		if v != "-" {
			row[columns[i]] = v
		} else {
			row[columns[i]] = ""
		}
	}
	s.want = append(s.want, row)
}

// socket makes and binds a socket, which listens if it may, and closes it with the
// test.
func (s *seeded) socket(kind, protocol int, local string, set ...func(fd int) error) (fd int) {
	s.t.Helper()
	err := s.ns.Do(func() error {
		var err error
		to := unix.Sockaddr(nil)
		family := unix.AF_UNIX
		if end, failed := netip.ParseAddrPort(local); failed != nil {
			to = &unix.SockaddrUnix{Name: local}
		} else if end.Addr().Is4() {
			family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(end.Port()), Addr: end.Addr().As4()}
		} else {
			to6 := &unix.SockaddrInet6{Port: int(end.Port()), Addr: end.Addr().As16()}
			if end.Addr().IsLinkLocalUnicast() {
				to6.ZoneId = indexOf("d0")
			}
			family, to = unix.AF_INET6, to6
		}
		if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol); err != nil {
			return err
		}
		for _, f := range set {
			if err := f(fd); err != nil {
				return err
			}
		}
		if err := unix.Bind(fd, to); err != nil {
			return err
		}
		if kind == unix.SOCK_STREAM {
			return unix.Listen(fd, 5)
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("%s: %v", local, err)
	}
	s.t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// indexOf returns the number of an interface of the calling thread's namespace.
func indexOf(name string) uint32 {
	text, err := os.ReadFile("/proc/thread-self/net/if_inet6")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if index, err := strconv.ParseUint(f[1], 16, 32); err == nil && f[5] == name {
			return uint32(index)
		}
	}
	return 0
}

// sockopt sets an option to 1 or another number.
func sockopt(level, name, value int) func(int) error {
	return func(fd int) error { return unix.SetsockoptInt(fd, level, name, value) }
}

func device(name string) func(int) error {
	return func(fd int) error { return unix.BindToDevice(fd, name) }
}

func connected(peer string) func(int) error {
	end := netip.MustParseAddrPort(peer)
	return func(fd int) error {
		return unix.Connect(fd, &unix.SockaddrInet4{Port: int(end.Port()), Addr: end.Addr().As4()})
	}
}

// here returns the WHERE clause for the namespace.
func (s *seeded) here() string {
	s.t.Helper()
	var inode uint64
	err := s.ns.Do(func() error {
		var st unix.Stat_t
		err := unix.Stat("/proc/thread-self/ns/net", &st)
		inode = st.Ino
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf(" FROM listening_services WHERE net_namespace = '%d'", inode)
}

// Each endpoint is a row, with what its sockets can be reached by.
func TestListeningEndpoints(t *testing.T) {
	s := seed(t)
	const stream, dgram = unix.SOCK_STREAM, unix.SOCK_DGRAM
	dual := sockopt(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	alone := sockopt(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	reuse := sockopt(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)

	s.socket(stream, 0, "127.0.0.1:1001")
	s.row("tcp 127.0.0.1 1001 4 - loopback host_only server - 1")
	s.socket(stream, 0, "0.0.0.0:1002")
	s.row("tcp 0.0.0.0 1002 4 - wildcard private server - 1")
	s.socket(stream, 0, "[::]:1003", dual)
	s.row("tcp :: 1003 46 - wildcard private server 0 1")
	s.socket(stream, 0, "[::]:1004", alone)
	s.row("tcp :: 1004 6 - wildcard link server 1 1") // d0 has no other IPv6 address
	s.socket(stream, 0, "0.0.0.0:1004")
	s.row("tcp 0.0.0.0 1004 4 - wildcard private server - 1")
	s.socket(stream, 0, "[fe80::7]:1005", alone)
	s.row("tcp fe80::7 1005 6 d0 link_local link server 1 1")
	s.socket(stream, 0, "0.0.0.0:1006", device("lo"))
	s.row("tcp 0.0.0.0 1006 4 lo wildcard host_only server - 1")
	s.socket(stream, 0, "0.0.0.0:1006", device("d0"))
	s.row("tcp 0.0.0.0 1006 4 d0 wildcard private server - 1")
	for range 8 {
		s.socket(stream, 0, "10.7.0.1:1007", reuse)
	}
	s.row("tcp 10.7.0.1 1007 4 - private private server - 8")
	s.socket(stream, 0, "[::ffff:10.7.0.1]:1008", dual)
	s.row("tcp 10.7.0.1 1008 4 - private private server - 1")

	s.socket(dgram, 0, "0.0.0.0:53")
	s.row("udp 0.0.0.0 53 4 - wildcard private server - 1")
	s.socket(dgram, 0, "0.0.0.0:45000")
	s.row("udp 0.0.0.0 45000 4 - wildcard private unclear - 1")
	client := s.socket(dgram, 0, "10.7.0.1:45001")
	if err := connected("10.7.0.2:53")(client); err != nil {
		t.Fatal(err)
	}
	s.row("udp 10.7.0.1 45001 4 - private private client - 1")
	s.socket(dgram, 0, "224.0.0.251:45002")
	s.row("udp 224.0.0.251 45002 4 - multicast link server - 1")
	for range 2 {
		s.socket(dgram, 0, "[::1]:45003", reuse)
	}
	s.row("udp ::1 45003 6 - loopback host_only server 1 2") // the kernel limits a socket with such an address
	s.socket(dgram, unix.IPPROTO_UDPLITE, "127.0.0.1:1009")
	s.row("udplite 127.0.0.1 1009 4 - loopback host_only server - 1")
	s.socket(unix.SOCK_RAW, 89, "0.0.0.0:0")
	s.row("raw 0.0.0.0 - 4 - wildcard private server - 1")
	s.socket(unix.SOCK_RAW, unix.IPPROTO_ICMP, "10.7.0.1:0")
	s.row("raw 10.7.0.1 - 4 - private private unclear - 1")

	got := query(t, s.ns, "SELECT "+where+s.here())
	columns := strings.Split(where, ", ")
	if diff := cmp.Diff(lines(s.want, columns), lines(got, columns)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}

	// No socket is lost on the way.
	for protocol, ss := range map[string]string{"tcp": "-Hltn", "udp": "-Huan"} {
		sum := query(t, s.ns, "SELECT sum(sockets) AS n"+s.here()+" AND protocol = '"+protocol+"'")[0]["n"]
		if want := strings.Count(output(t, s.ns, "ss", ss), "\n"); sum != strconv.Itoa(want) {
			t.Errorf("%s sockets of %s, ss %s shows %d", sum, protocol, ss, want)
		}
	}
}

// Unix sockets are shown to a statement that asks for their names.
func TestListeningUnix(t *testing.T) {
	s := seed(t)
	path := filepath.Join(t.TempDir(), "listener")
	s.socket(unix.SOCK_STREAM, 0, path)
	s.socket(unix.SOCK_DGRAM, 0, "@seeded")
	sender := s.socket(unix.SOCK_DGRAM, 0, "@sender")
	if err := unix.Connect(sender, &unix.SockaddrUnix{Name: "@seeded"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sql  string
		want []tableRow
	}{
		{"SELECT path, exposure, role_reason, backlog, backlog_max" + s.here() + " ORDER BY path", []tableRow{
			{"path": path, "exposure": "host_only", "role_reason": "listens", "backlog": "0", "backlog_max": "5"},
			{"path": "@seeded", "exposure": "host_only", "role_reason": "takes datagrams", "backlog": "", "backlog_max": ""},
		}},
		{"SELECT exposure" + s.here(), []tableRow{}},
	} {
		t.Run(c.sql, func(t *testing.T) {
			if diff := cmp.Diff(c.want, query(t, s.ns, c.sql)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// Multipath TCP's listener is one with the TCP socket that the kernel keeps for it.
func TestListeningMPTCP(t *testing.T) {
	s := seed(t)
	var fd int
	if err := s.ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
		return err
	}); errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ENOPROTOOPT) {
		netnstest.NotInThisKernel(t, "MPTCP")
	} else if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	s.socket(unix.SOCK_STREAM, unix.IPPROTO_MPTCP, "127.0.0.1:1010")
	want := []tableRow{{"port": "1010", "protocol": "tcp", "sockets": "1", "mptcp": "1", "owner": "process", "pid": strconv.Itoa(os.Getpid())}}
	if diff := cmp.Diff(want, query(t, s.ns, "SELECT port, protocol, sockets, mptcp, owner, pid"+s.here())); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// The owner is the process with the lowest number that is not systemd, which waits
// with the socket until it starts the process.
func TestListeningOwners(t *testing.T) {
	s := seed(t)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	systemd := filepath.Join(t.TempDir(), "systemd")
	if err := os.WriteFile(systemd, text, 0o755); err != nil {
		t.Fatal(err)
	}
	start := func(path string, fd int) int {
		cmd := exec.Command(path, "60")
		defer inherit(t, cmd, fd)()
		if err := s.ns.Do(cmd.Start); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return cmd.Process.Pid
	}
	row := func(port int, owner string, pid int, program string, processes int) tableRow {
		return tableRow{"port": strconv.Itoa(port), "owner": owner, "pid": strconv.Itoa(pid), "program": program, "processes": strconv.Itoa(processes), "complete": "1"}
	}
	var want []tableRow

	waiting := s.socket(unix.SOCK_STREAM, 0, "127.0.0.1:1001")
	want = append(want, row(1001, "systemd", start(systemd, waiting), "systemd", 1))
	unix.Close(waiting)

	started := s.socket(unix.SOCK_STREAM, 0, "127.0.0.1:1002")
	start(systemd, started)
	want = append(want, row(1002, "process", start(sleep, started), "sleep", 2))
	unix.Close(started)

	workers := s.socket(unix.SOCK_STREAM, 0, "127.0.0.1:1003")
	first := start(sleep, workers)
	for range 3 {
		start(sleep, workers)
	}
	want = append(want, row(1003, "process", first, "sleep", 4))
	unix.Close(workers)

	got := query(t, s.ns, "SELECT port, owner, pid, program, processes, complete"+s.here()+" ORDER BY port")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}

	// Where systemd waits, its unit files tell for what.
	const script = `mount -t tmpfs tmpfs /usr/local/lib && mkdir -p /usr/local/lib/systemd/system && printf '[Socket]\nListenStream=127.0.0.1:1001\nListenStream=127.0.0.1:1002\n' >/usr/local/lib/systemd/system/seeded.socket && exec "$0" "$@"`
	unit := output(t, s.ns, "unshare", "--mount", "sh", "-c", script, program, "query", "--list", "--header=false", "SELECT port, systemd_unit = 'seeded.socket'"+s.here()+" AND port < 1003 ORDER BY port")
	if want := "1001|1\n1002|0\n"; unit != want {
		t.Errorf("units: got %q, want %q", unit, want)
	}

	// A socket of the kernel has no process, and nobody is made up: the kernel's it is
	// where an interface takes its packets, whatever else may not be seen.
	output(t, s.ns, "ip", strings.Fields("link add vx0 type vxlan id 1 dstport 4789 dev d0 local 10.7.0.1")...)
	output(t, s.ns, "ip", "link", "set", "vx0", "up")
	kernel := query(t, s.ns, "SELECT port, role, pid, program, owner, tunnel, complete"+s.here()+" AND protocol = 'udp'")
	wantKernel := []tableRow{{"port": "4789", "role": "server", "pid": "", "program": "", "owner": "kernel", "tunnel": "vx0", "complete": "1"}}
	if diff := cmp.Diff(wantKernel, kernel); diff != "" {
		t.Errorf("vxlan: want (-), got (+):\n%s", diff)
	}
}

// A port that Docker publishes has a proxy of the host, whose row names the container.
func TestListeningProxy(t *testing.T) {
	s := seed(t)
	proxy := exec.Command("/bin/sh", "-c", "sleep 60; true", "x", "-proto", "tcp", "-container-ip", "172.17.0.2", "-container-port", "80")
	proxy.Args[0] = "docker-proxy"
	fd := s.socket(unix.SOCK_STREAM, 0, "127.0.0.1:1001")
	started := inherit(t, proxy, fd)
	if err := s.ns.Do(proxy.Start); err != nil {
		t.Fatal(err)
	}
	started()
	unix.Close(fd)
	t.Cleanup(func() {
		proxy.Process.Kill()
		proxy.Wait()
	})
	id := strings.Repeat("1a", 32)
	script := `mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/docker/containers/` + id + ` && printf %s "$0" >/var/lib/docker/containers/` + id + `/config.v2.json && exec "$@"`
	const file = `{"State":{"Running":true},"Name":"/web","Config":{"Image":"nginx:1.27"},"NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}}}`
	got := output(t, s.ns, "unshare", "--mount", "sh", "-c", script, file, program, "query", "--list", "--header=false", "SELECT port, program, container_id, container_name, image"+s.here())
	if want := "1001|docker-proxy|" + id + "|web|nginx:1.27\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The commands for people show the same: listening a line for each endpoint, why
// what is behind one.
func TestListeningCommands(t *testing.T) {
	s := seed(t)
	fd := s.socket(unix.SOCK_STREAM, 0, "127.0.0.1:1001")
	s.socket(unix.SOCK_DGRAM, 0, "10.7.0.1:53")
	if err := connected("10.7.0.2:53")(s.socket(unix.SOCK_DGRAM, 0, "10.7.0.1:45001")); err != nil {
		t.Fatal(err)
	}
	pid := holdSockets(t, s.ns, fd)
	unix.Close(fd)
	s.socket(unix.SOCK_STREAM, 0, "127.0.0.1:1002")
	if err := s.ns.Do(func() error {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(c) })
		return unix.Connect(c, &unix.SockaddrInet4{Port: 1002, Addr: [4]byte{127, 0, 0, 1}})
	}); err != nil {
		t.Fatal(err)
	}

	fields := func(out string) (lines []string) {
		for line := range strings.Lines(out) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return lines
	}
	has := func(lines []string, prefix string) bool {
		return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) })
	}
	out := output(t, s.ns, program, "listening")
	all := output(t, s.ns, program, "listening", "--all")
	for _, line := range []string{fmt.Sprintf("tcp 127.0.0.1:1001 sleep[%d]", pid), fmt.Sprintf("udp 10.7.0.1:53 domain e2e.test[%d]", os.Getpid())} {
		if !has(fields(out), line) {
			t.Errorf("listening has no line %q:\n%s", line, out)
		}
	}
	if strings.Contains(out, ":45001") || !strings.Contains(all, "10.7.0.1:45001") {
		t.Error("clients are not shown to those who ask for all alone")
	}
	if rows := decode(t, []byte(output(t, s.ns, program, "listening", "--json")))[0]; len(rows) < 3 || rows[0]["exposure"] == "" {
		t.Errorf("--json: %v", rows)
	}

	why := fields(output(t, s.ns, program, "why", "127.0.0.1:1001"))
	for _, line := range []string{"tcp 127.0.0.1:1001", "exposure host_only: a loopback address", fmt.Sprintf("process sleep[%d], since 20", pid), "command sleep 60",
		fmt.Sprintf("parents e2e.test[%d] < ", os.Getpid()), "user root", "queue 0 of 5 wait to be accepted", "connections none"} {
		if !has(why, line) {
			t.Errorf("why has no line %q:\n%s", line, strings.Join(why, "\n"))
		}
	}
	if lines := fields(output(t, s.ns, program, "why", "1002")); !has(lines, "connections 1, from 127.0.0.1 (1)") {
		t.Errorf("why 1002: %q", lines)
	}
	if lines := fields(output(t, s.ns, program, "why", strconv.Itoa(pid))); !has(lines, "tcp 127.0.0.1:1001") {
		t.Errorf("why PID: %q", lines)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"why", "10.7.0.1:99"}, 1, "nothing listens at 10.7.0.1:99"},
		{[]string{"why"}, 2, "give one port, ADDRESS:PORT, process or name"},
		{[]string{"listening", "x"}, 2, "unknown command"},
		{[]string{"listening", "--json", "--sql"}, 2, "none of the others can be"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			_, err := s.ns.Command(t.Context(), program, c.args...)
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
