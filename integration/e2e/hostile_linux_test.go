package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// hostile is how many objects of each of five kinds a neighbour makes.
const hostile = 100

// ending matches a row of a connection that the kernel ends by itself, soon.
var ending = regexp.MustCompile(`,(FIN_WAIT1|FIN_WAIT2|LAST_ACK|CLOSING|TIME_WAIT),`)

// 500 objects of neighbours who mean us harm, beside known sockets: every table
// answers, with all known rows.
func TestHostileNeighbours(t *testing.T) {
	u := &unixSockets{t: t, ns: netnstest.New(t), dir: t.TempDir()}
	ns := u.ns
	inet := slices.DeleteFunc(ns.Populate(t), func(s netnstest.Socket) bool { return s.BoundOnly() })
	for i := range 10 {
		name := fmt.Sprintf("known %d", i)
		u.listen(u.bound(unix.SOCK_STREAM, "\x00"+name, "@"+name), 5)
		u.bound(unix.SOCK_DGRAM, u.dir+"/"+name, u.dir+"/"+name)
	}
	known := slices.Clone(u.all)
	if n := len(inet) + len(known); n < 50 {
		t.Fatalf("%d known sockets", n)
	}
	output(t, ns, "ip", "link", "set", "lo", "up")
	output(t, ns, "ip", "link", "add", "known", "type", "veth", "peer", "name", "other")
	output(t, ns, "ip", "address", "add", "192.0.2.1/24", "dev", "known")
	for _, link := range []string{"other", "known"} { // without addresses that are tentative for a while
		output(t, ns, "ip", "link", "set", link, "addrgenmode", "none")
		output(t, ns, "ip", "link", "set", link, "up")
	}

	// What changes by itself is looked for below.
	names := slices.DeleteFunc(tableNames(), func(name string) bool {
		return slices.Contains(changing, name) || slices.Contains([]string{"network_namespaces", "listening_services", "tcp_sockets", "tcp_info", "tcp_congestion"}, name)
	})
	all := func(name string) []string {
		statement := "SELECT * FROM " + name
		if name == "socket_processes" || name == "service_owners" { // others on this machine come and go
			statement += " WHERE pid = " + strconv.Itoa(os.Getpid())
		}
		return strings.Split(output(t, ns, program, "query", "--csv", statement), "\n")
	}
	before := map[string][]string{}
	for _, name := range names {
		before[name] = all(name)
	}
	hostileLinks(t, ns)
	hostileRoutes(t, ns)
	hostileSockets(u)
	hostileProcesses(t, ns, u.all[len(known)].fd)
	hostileNamespaces(t)

	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			after := map[string]int{}
			for _, line := range all(name) {
				after[line]++
			}
			var lost []string
			for _, line := range before[name] {
				if after[line]--; after[line] < 0 && !ending.MatchString(line) {
					lost = append(lost, line)
				}
			}
			if len(lost) > 0 {
				t.Errorf("lost:\n%s", strings.Join(lost, "\n"))
			}
		})
	}
	t.Run("known sockets", func(t *testing.T) {
		want, got := map[string]tableRow{}, map[string]tableRow{}
		for _, s := range inet {
			want[strconv.FormatUint(s.Inode, 10)] = tableRow{
				"proto": s.Proto, "state": s.State, "local_port": strconv.Itoa(int(s.Local.Port())), "remote_port": strconv.Itoa(int(s.Remote.Port())),
				"uid": strconv.FormatUint(uint64(s.UID), 10), "pid": strconv.Itoa(os.Getpid()),
			}
		}
		for _, scope := range []string{"", " WHERE net_namespace = '" + inodeOf(t, ns) + "'"} {
			for _, table := range []string{"tcp_sockets", "udp_sockets"} {
				for _, r := range query(t, ns, "SELECT inode, proto, state, local_port, remote_port, uid, pid FROM "+table+scope) {
					inode := r["inode"]
					if delete(r, "inode"); want[inode] != nil {
						got[inode] = r
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q: want (-), got (+):\n%s", scope, diff)
			}
		}
		for _, table := range []string{"tcp_info", "tcp_congestion"} {
			rows := query(t, ns, "SELECT inode FROM "+table)
			for inode, r := range want {
				if r["state"] == "ESTABLISHED" && strings.HasPrefix(r["proto"], "tcp") && !slices.ContainsFunc(rows, func(r tableRow) bool { return r["inode"] == inode }) {
					t.Errorf("%s lacks %v", table, r)
				}
			}
		}
	})
	t.Run("known unix sockets", func(t *testing.T) {
		rows := map[string]tableRow{}
		for _, r := range query(t, ns, "SELECT inode, path, state, type, pid, uncertain FROM unix_sockets") {
			rows[r["inode"]] = r
		}
		for _, s := range known {
			want := tableRow{"inode": s.inode, "uncertain": "0"}
			for _, column := range []string{"path", "state", "type", "pid"} {
				want[column] = s.want[column]
			}
			if diff := cmp.Diff(want, rows[s.inode]); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		}
	})
	t.Run("links", func(t *testing.T) {
		files, err := ns.Command(t.Context(), "sh", "-c", "tail -n +3 /proc/net/dev | wc -l")
		if err != nil {
			t.Fatal(err)
		}
		rows := query(t, ns, "SELECT interface FROM interface_statistics")
		if want := strings.TrimSpace(string(files)); strconv.Itoa(len(rows)) != want || len(rows) < hostile {
			t.Errorf("%d links of %s", len(rows), want)
		}
		for _, name := range []string{"lo", "known", "other"} {
			if !slices.ContainsFunc(rows, func(r tableRow) bool { return r["interface"] == name }) {
				t.Errorf("%s is missing", name)
			}
		}
	})
	t.Run("namespaces", func(t *testing.T) {
		rows := query(t, ns, "SELECT inode FROM network_namespaces")
		if len(rows) < hostile || !slices.ContainsFunc(rows, func(r tableRow) bool { return r["inode"] == inodeOf(t, ns) }) {
			t.Errorf("%d namespaces", len(rows))
		}
	})
	t.Run("others", func(t *testing.T) { // no error is enough
		for _, name := range tableNames() {
			if name != "vsock_sockets" { // which a kernel without vsock_diag lacks
				output(t, ns, program, "query", "--csv", "SELECT count(*) FROM "+name)
			}
		}
	})
}

func tableNames() (names []string) {
	for _, table := range tables.All(host.New(host.Options{})) {
		names = append(names, table.Spec().Name)
	}
	return names
}

// hostileLinks have escapes, brackets and bytes that are no UTF-8 in their names,
// several names each, and one so many that its message is larger than most buffers.
func hostileLinks(t *testing.T, ns *netnstest.NS) {
	t.Helper()
	var names []string
	for i := range hostile {
		name := fmt.Sprintf("%s%d", []string{"\x1b[31m", "(x)", "\xff\xe2\x82", "$(x)`", "|.,"}[i%5], i)
		output(t, ns, "ip", "link", "add", name, "type", "ifb")
		if i%10 == 0 {
			output(t, ns, "ip", "link", "property", "add", "dev", name, "altname", fmt.Sprintf("other\x1b%d%s", i, strings.Repeat("n", 100)))
		}
	}
	for i := range 240 {
		names = append(names, fmt.Sprintf("link property add dev other altname big%d%s", i, strings.Repeat("n", 117)))
	}
	batch(t, ns, strings.Join(names, "\n")+"\n")
}

// hostileRoutes are in tables of their own; one has many next hops, so that its
// message is long.
func hostileRoutes(t *testing.T, ns *netnstest.NS) {
	t.Helper()
	var routes []string
	for i := range hostile - 1 {
		routes = append(routes, fmt.Sprintf("route add 10.%d.0.0/16 dev known table %d", i, 1000+i%7))
	}
	big := "route add 10.255.0.0/16"
	for i := range 70 {
		big += fmt.Sprintf(" nexthop via 192.0.2.%d dev known weight %d", 2+i%250, 1+i%200)
	}
	batch(t, ns, strings.Join(append(routes, big), "\n")+"\n")
}

// hostileSockets have names that imitate lines of /proc/net/unix.
func hostileSockets(u *unixSockets) {
	u.t.Helper()
	for i := range hostile {
		name := fmt.Sprintf("\x00%d\n0000000012345678: 00000009 00000000 00010000 0001 01 %d /run/forged%s", i, 4711+i, []string{"", "\n", "\n0000", "\xff\x1b[2J", "\x00\x00"}[i%5])
		u.bound([]int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}[i%3], name, "")
	}
}

// hostileProcesses of nobody have names that imitate /proc/PID/stat, and paths that
// the kernel tells nobody. They hold a socket.
func hostileProcesses(t *testing.T, ns *netnstest.NS, socket int) {
	t.Helper()
	neighbour(t, ns, socket, `n=0
while [ $n -lt `+strconv.Itoa(hostile-1)+` ]; do
	name="$n) R 1 (
x) Z 0"
	ln -s /bin/sleep "./$name"
	"./$name" 120 >/dev/null &
	n=$((n + 1))
done
`+long+`echo $$; exec sleep 120`)
}

// hostileNamespaces are those of a user who is nobody outside of them.
func hostileNamespaces(t *testing.T) {
	t.Helper()
	for range hostile {
		c := exec.Command("unshare", "--user", "--map-root-user", "--net", "sh", "-c", "echo ready; exec sleep 120")
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			c.Process.Kill()
			c.Wait()
		})
		if _, err := fmt.Fscan(out, new(string)); err != nil {
			t.Fatal(err)
		}
	}
}
