package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
)

// unixSocket is a socket of the tests, described by who made it.
type unixSocket struct {
	fd    int
	inode string
	want  tableRow
}

// unixSockets makes unix sockets of every kind in a namespace.
type unixSockets struct {
	t   *testing.T
	ns  *netnstest.NS
	dir string
	all []*unixSocket
}

func (u *unixSockets) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

// add takes a descriptor and what its row must say.
func (u *unixSockets) add(fd int, want tableRow) *unixSocket {
	u.t.Helper()
	u.t.Cleanup(func() { unix.Close(fd) })
	var stat unix.Stat_t
	u.must(unix.Fstat(fd, &stat))
	s := &unixSocket{fd: fd, inode: strconv.FormatUint(stat.Ino, 10), want: want}
	for column, value := range map[string]string{
		"proto": "unix", "family": "1", "pid": strconv.Itoa(os.Getpid()), "fd": strconv.Itoa(fd), "path": "", "flags": "", "state": "", "peer_inode": "", "peer_pid": "",
		"listening": "0", "recv_q": "0", "uid": strconv.FormatUint(uint64(stat.Uid), 10), "shutdown": "0",
	} {
		if _, ok := want[column]; !ok {
			want[column] = value
		}
	}
	u.all = append(u.all, s)
	return s
}

func (u *unixSockets) make(kind int) *unixSocket {
	u.t.Helper()
	var fd int
	u.must(u.ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	return u.add(fd, tableRow{"type": map[int]string{unix.SOCK_STREAM: "STREAM", unix.SOCK_DGRAM: "DGRAM", unix.SOCK_SEQPACKET: "SEQPACKET"}[kind]})
}

// at calls bind(2) or connect(2) with an address of exactly these bytes: package
// unix does not let a path fill it.
func (u *unixSockets) at(call uintptr, s *unixSocket, name string) {
	u.t.Helper()
	raw := append([]byte{0, 0}, name...)
	*(*uint16)(unsafe.Pointer(&raw[0])) = unix.AF_UNIX
	if _, _, errno := unix.Syscall(call, uintptr(s.fd), uintptr(unsafe.Pointer(&raw[0])), uintptr(len(raw))); errno != 0 {
		u.t.Fatalf("%q: %v", name, errno)
	}
}

// bound makes a socket with a name, that the table must show so.
func (u *unixSockets) bound(kind int, name, shown string) *unixSocket {
	u.t.Helper()
	s := u.make(kind)
	u.at(unix.SYS_BIND, s, name)
	s.want["path"] = shown
	return s
}

func (u *unixSockets) listen(s *unixSocket, backlog int) *unixSocket {
	u.t.Helper()
	u.must(unix.Listen(s.fd, backlog))
	s.want["state"], s.want["flags"], s.want["listening"], s.want["send_q"] = "LISTENING", "ACC", "1", strconv.Itoa(backlog)
	return s
}

// dial makes a socket that is connected, and not accepted yet.
func (u *unixSockets) dial(kind int, name string) *unixSocket {
	u.t.Helper()
	s := u.make(kind)
	u.at(unix.SYS_CONNECT, s, name)
	s.want["state"] = "CONNECTED"
	return s
}

// join says that two sockets are each other's peers.
func join(a, b *unixSocket) {
	for _, ends := range [][2]*unixSocket{{a, b}, {b, a}} {
		want := ends[0].want
		want["state"], want["peer_inode"], want["peer_pid"] = "CONNECTED", ends[1].inode, strconv.Itoa(os.Getpid())
	}
}

// newUnixSockets makes the namespace's sockets. Three connections wait at one
// listener, one of them of a client that is gone, and one at another.
func newUnixSockets(t *testing.T) *unixSockets {
	t.Helper()
	u := &unixSockets{t: t, ns: netnstest.New(t), dir: t.TempDir()}
	file := func(name string) string { return u.dir + "/" + name }
	send := func(s *unixSocket, n int) {
		t.Helper()
		if _, err := unix.Write(s.fd, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		delete(s.want, "send_q")
	}

	listener := u.listen(u.bound(unix.SOCK_STREAM, file("a listener"), file("a listener")), 5)
	client := u.dial(unix.SOCK_STREAM, file("a listener"))
	fd, _, err := unix.Accept4(listener.fd, unix.SOCK_CLOEXEC)
	u.must(err)
	server := u.add(fd, tableRow{"type": "STREAM", "path": file("a listener")})
	join(client, server)
	send(client, 100)
	server.want["recv_q"] = "100"
	send(u.dial(unix.SOCK_STREAM, file("a listener")), 7)
	half := u.dial(unix.SOCK_STREAM, file("a listener"))
	u.must(unix.Shutdown(half.fd, unix.SHUT_WR))
	half.want["shutdown"] = "2"
	u.must(u.ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Connect(fd, &unix.SockaddrUnix{Name: file("a listener")}), unix.Close(fd))
	}))
	listener.want["recv_q"] = "3"

	u.must(os.Chown(file("a listener"), 1, 1)) // the file is not the socket
	seq := u.listen(u.bound(unix.SOCK_SEQPACKET, "\x00abs\x00tract", "@abs@tract"), 1)
	u.must(unix.Fchown(seq.fd, 1234, -1))
	seq.want["uid"] = "1234"
	u.dial(unix.SOCK_SEQPACKET, "\x00abs\x00tract")
	seq.want["recv_q"] = "1"

	datagrams := u.bound(unix.SOCK_DGRAM, file("datagrams"), file("datagrams"))
	sender := u.dial(unix.SOCK_DGRAM, file("datagrams"))
	sender.want["peer_inode"], sender.want["peer_pid"] = datagrams.inode, strconv.Itoa(os.Getpid())
	send(sender, 3)
	send(sender, 30)
	datagrams.want["recv_q"], datagrams.want["state"] = "3", "CONNECTED"

	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		u.make(kind)
		pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		u.must(err)
		unix.Close(pair[0])
		unix.Close(pair[1])
		u.must(u.ns.Do(func() (err error) {
			pair, err = unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
			return err
		}))
		name := u.all[len(u.all)-1].want["type"]
		join(u.add(pair[0], tableRow{"type": name}), u.add(pair[1], tableRow{"type": name}))
	}

	for name, shown := range map[string]string{
		file("new\nline\n"):               file(`new\x0aline\x0a`),
		file("red \x1b[31m"):              file(`red \x1b[31m`),
		file(" "):                         file(" "),
		file("latin1 \xe9"):               file(`latin1 \xe9`),
		file(`escape\x2d \xe9`):           file(`escape\x2d \x5cxe9`),
		file("utf8 é\u2028"):              file(`utf8 é\xe2\x80\xa8`),
		"\x00":                            "@",
		"\x00a\xff\n b":                   `@a\xff\x0a b`,
		"\x00padded\x00\x00\x00":          "@padded@@@",
		"\x00" + strings.Repeat("n", 107): "@" + strings.Repeat("n", 107),
		file(strings.Repeat("p", 108-len(file("")))): file(strings.Repeat("p", 108-len(file("")))),
	} {
		u.bound(unix.SOCK_STREAM, name, shown)
	}
	u.must(os.Remove(file(" "))) // the socket keeps its name
	return u
}

// The table shows every socket as who made it knows it, from either source.
func TestUnixSockets(t *testing.T) {
	u := newUnixSockets(t)
	rows := map[string]tableRow{}
	waiting := map[string]int{}
	for _, r := range query(t, u.ns, "SELECT *, family, fd, shutdown FROM unix_sockets") {
		if r["inode"] == "" {
			waiting[r["type"]+" "+r["state"]+" "+r["path"]]++
			continue
		}
		rows[r["inode"]] = r
	}
	for _, s := range u.all {
		r := rows[s.inode]
		for column, value := range s.want {
			if r[column] != value {
				t.Errorf("%s %q: %s is %q, want %q", s.want["type"], s.want["path"], column, r[column], value)
			}
		}
	}
	if len(rows) != len(u.all) {
		t.Errorf("%d rows of sockets with an inode, want %d", len(rows), len(u.all))
	}
	if want := map[string]int{"STREAM CONNECTING " + u.dir + "/a listener": 3, "SEQPACKET CONNECTING @abs@tract": 1}; fmt.Sprint(waiting) != fmt.Sprint(want) {
		t.Errorf("%v wait to be accepted, want %v", waiting, want)
	}
}

var ssUnixRecord = regexp.MustCompile(`(?ms)^u_(\w+) +(\S+) +(\d+) +(\d+) +(.*?) (\d+) \* (\d+) +(?:users:\((.*?)\) )?skmem:(\(.*?\)) ([<-]-[->])`)

var ssUser = regexp.MustCompile(`pid=(\d+),fd=(\d+)`)

// The table agrees with ss, which does not show who waits to be accepted.
func TestUnixAgainstSS(t *testing.T) {
	u := newUnixSockets(t)
	out, err := u.ns.Command(t.Context(), "ss", "-Haxemnp")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range ssUnixRecord.FindAllStringSubmatch(string(out), -1) {
		if m[5] == "*" {
			m[5] = ""
		}
		pid, fd := 0, 0
		for _, user := range ssUser.FindAllStringSubmatch(m[8], -1) {
			p, _ := strconv.Atoi(user[1])
			f, _ := strconv.Atoi(user[2])
			if pid == 0 || p < pid || p == pid && f < fd {
				pid, fd = p, f
			}
		}
		want = append(want, fmt.Sprintf("%q", []string{m[1], m[2], m[3], m[4], m[5], m[6], m[7], strconv.Itoa(pid), strconv.Itoa(fd), strings.Join(skmemValue.FindStringSubmatch(m[9])[1:9], ","), m[10]}))
	}
	for _, r := range query(t, u.ns, "SELECT *, fd, shutdown, "+strings.Join(skmem, ", ")+" FROM unix_sockets WHERE inode IS NOT NULL") {
		var memory []string
		for _, column := range skmem {
			memory = append(memory, r[column])
		}
		if r["peer_inode"] == "" {
			r["peer_inode"] = "0"
		}
		n, _ := strconv.Atoi(r["shutdown"])
		got = append(got, fmt.Sprintf("%q", []string{
			map[string]string{"STREAM": "str", "DGRAM": "dgr", "SEQPACKET": "seq"}[r["type"]],
			map[string]string{"LISTENING": "LISTEN", "CONNECTED": "ESTAB", "": "UNCONN"}[r["state"]],
			r["recv_q"], r["send_q"], text.Unescape(r["path"]), r["inode"], r["peer_inode"], r["pid"], r["fd"], strings.Join(memory, ","), []string{"<->", "-->", "<--", "---"}[n],
		}))
	}
	compareLines(t, "ss", got, want)
}

func compareLines(t *testing.T, tool string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) && len(got) > 20 {
		return
	}
	t.Errorf("%d rows, %s shows %d\ngot\n%s\nwant\n%s", len(got), tool, len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
}

var netstatUnix = regexp.MustCompile(`^unix  (\d+) +\[ ([A-Z ]*)\] +(\S+) +([A-Z]*) +(\d+) +(-|\d+/\S+) +(.*)$`)

// The table's first columns are those of netstat -axnp, who waits included.
func TestUnixAgainstNetstat(t *testing.T) {
	u := newUnixSockets(t)
	if _, err := exec.LookPath("netstat"); err != nil {
		netnstest.SkipOrFail(t, err.Error())
	}
	out, err := u.ns.Command(t.Context(), "netstat", "-axnp")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for line := range strings.Lines(string(out)) {
		if m := netstatUnix.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			m[2] = strings.TrimSpace(m[2])
			want = append(want, fmt.Sprintf("%q", m[1:]))
		}
	}
	for _, r := range query(t, u.ns, "SELECT * FROM unix_sockets") {
		holder := "-"
		if r["pid"] != "" {
			holder = r["pid"] + "/" + r["program"]
			holder = holder[:min(len(holder), 20)]
		}
		inode := r["inode"]
		if inode == "" {
			inode = "0"
		}
		// netstat shows no more than a word of a path.
		got = append(got, fmt.Sprintf("%q", []string{r["ref_count"], r["flags"], r["type"], r["state"], inode, holder, append(strings.Fields(text.Unescape(r["path"])), "")[0]}))
	}
	compareLines(t, "netstat", got, want)
}

// Both sources give the same rows, from inside the namespace and from outside.
func TestUnixSourcesAgree(t *testing.T) {
	u := newUnixSockets(t)
	columns := []string{"proto", "ref_count", "flags", "type", "state", "inode", "path", "listening", "family"}
	statement := "SELECT " + strings.Join(columns, ", ") + " FROM unix_sockets"
	source := "SELECT last_source, last_rows FROM socket_sources WHERE proto = 'unix'"
	netlink := queries(t, u.ns, "/proc", statement, source)
	proc := queries(t, u.ns, onlyProc, statement, source)
	if netlink[1][0]["last_source"] != "sock_diag" || proc[1][0]["last_source"] != "procfs" {
		t.Fatalf("the sources are %v and %v", netlink[1], proc[1])
	}
	if n := strconv.Itoa(len(proc[0])); proc[1][0]["last_rows"] != n || netlink[1][0]["last_rows"] != strconv.Itoa(len(proc[0])-4) {
		t.Errorf("%v and %v sockets were handed over, want %s, less 4 that wait", netlink[1], proc[1], n)
	}
	compareLines(t, "/proc", lines(netlink[0], columns), lines(proc[0], columns))

	holdSockets(t, u.ns) // by which the namespace is found
	namespace := inodeOf(t, u.ns)
	out, err := exec.CommandContext(t.Context(), program, "query", "--json", statement+" WHERE net_namespace = '"+namespace+"'").Output()
	if err != nil {
		t.Fatal(err)
	}
	var outside []tableRow
	if err := json.Unmarshal(out, &outside); err != nil {
		t.Fatal(err)
	}
	compareLines(t, "the namespace itself", lines(outside, columns), lines(netlink[0], columns))
}

// States that the kernel is asked for give the rows that SQLite alone would.
func TestUnixStatesAreNarrowed(t *testing.T) {
	u := newUnixSockets(t)
	columns := []string{"type", "state", "inode", "path"}
	all := query(t, u.ns, "SELECT * FROM unix_sockets")
	handed := func(state string) (n int) {
		for _, r := range all {
			if r["state"] == state {
				n++
			}
		}
		return n
	}
	for where, want := range map[string]int{
		"@state = 'LISTENING'":                    handed("LISTENING"),
		"@state = 'connected' COLLATE NOCASE":     handed("CONNECTED"),
		"@state = 'CONNECTING'":                   0,
		"@state IN ('CONNECTING', 'LISTENING')":   handed("LISTENING"),
		"@state IN ('DISCONNECTING', 'FREE')":     0,
		"@state = ''":                             handed(""),
		"@state = 'CONNECTED' OR @state = 'x'":    -1,
		"@state = 'LISTENING' OR @type = 'DGRAM'": -1,
		"@state IN ('LISTENING', '9')":            len(all) - handed("CONNECTING"),
	} {
		r := queries(t, u.ns, "/proc", "SELECT * FROM unix_sockets WHERE "+strings.ReplaceAll(where, "@", ""),
			"SELECT last_rows FROM socket_sources WHERE proto = 'unix'",
			"SELECT * FROM unix_sockets WHERE "+strings.ReplaceAll(where, "@", "+"))
		if got, plain := lines(r[0], columns), lines(r[2], columns); !slices.Equal(got, plain) {
			t.Errorf("%s\ngot\n%s\nwant\n%s", where, strings.Join(got, "\n"), strings.Join(plain, "\n"))
		}
		if n := r[1][0]["last_rows"]; want >= 0 && n != strconv.Itoa(want) {
			t.Errorf("%s: the kernel handed over %s sockets, want %d", where, n, want)
		}
	}
}

// The process at the other end is found in whatever way the rows are.
func TestUnixPeerProcess(t *testing.T) {
	ns := netnstest.New(t)
	var pair [2]int
	err := ns.Do(func() (err error) {
		pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	child := strconv.Itoa(holdSockets(t, ns, pair[1]))
	defer unix.Close(pair[0])
	unix.Close(pair[1])
	var stat unix.Stat_t
	if err := unix.Fstat(pair[0], &stat); err != nil {
		t.Fatal(err)
	}
	self, me := strconv.Itoa(os.Getpid()), filepath.Base(os.Args[0])
	for _, where := range []string{"inode = " + strconv.FormatUint(stat.Ino, 10), "pid = " + self, "peer_pid = " + child, "program = '" + me + "'", "peer_program = 'sleep'", "pid <> peer_pid AND pid = " + self} {
		rows := query(t, ns, "SELECT pid, peer_pid, program, peer_program FROM unix_sockets WHERE "+where)
		if len(rows) != 1 || rows[0]["pid"] != self || rows[0]["peer_pid"] != child || rows[0]["program"] != me || rows[0]["peer_program"] != "sleep" {
			t.Errorf("%s: %v, want %s/%s and %s/sleep", where, rows, self, me, child)
		}
	}
	rows := query(t, ns, "SELECT peer_pid, peer_program FROM unix_sockets WHERE pid = "+child)
	if len(rows) != 1 || rows[0]["peer_pid"] != self || rows[0]["peer_program"] != me {
		t.Errorf("the child's peer is %v", rows)
	}
	rows = query(t, ns, "SELECT family, protocol FROM socket_processes WHERE pid = "+child)
	if len(rows) != 1 || rows[0]["family"] != "1" || rows[0]["protocol"] != "" {
		t.Errorf("the child's sockets are %v", rows)
	}
}

// The other end may be in another network namespace, where a path leads to it.
// The kernel's socket of the server's end, and of a connection that waits, is in
// the namespace of the client.
func TestUnixPeerElsewhere(t *testing.T) {
	server := &unixSockets{t: t, ns: netnstest.New(t), dir: t.TempDir()}
	client := &unixSockets{t: t, ns: netnstest.New(t)}
	path := server.dir + "/listener"
	listener := server.listen(server.bound(unix.SOCK_STREAM, path, path), 1)
	client.dial(unix.SOCK_STREAM, path)
	to, _, err := unix.Accept4(listener.fd, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	client.add(to, tableRow{})
	client.dial(unix.SOCK_STREAM, path)
	columns := []string{"ref_count", "type", "state", "inode", "path"}
	for _, u := range []*unixSockets{server, client} {
		diag := queries(t, u.ns, "/proc", "SELECT * FROM unix_sockets")[0]
		proc := queries(t, u.ns, onlyProc, "SELECT * FROM unix_sockets")[0]
		if got, want := lines(diag, columns), lines(proc, columns); !slices.Equal(got, want) || len(want) != map[bool]int{true: 1, false: 4}[u == server] {
			t.Errorf("netlink\n%s\n/proc\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}

	// Who reads a list of one end only finds the other's process too: a datagram
	// socket in another namespace.
	away := server.bound(unix.SOCK_DGRAM, server.dir+"/away", server.dir+"/away")
	from := client.dial(unix.SOCK_DGRAM, server.dir+"/away")
	self := strconv.Itoa(os.Getpid())
	rows := query(t, client.ns, "SELECT inode, peer_inode, peer_pid FROM unix_sockets WHERE type = 'DGRAM'")
	if len(rows) != 1 || rows[0]["inode"] != from.inode || rows[0]["peer_inode"] != away.inode || rows[0]["peer_pid"] != self {
		t.Errorf("got %v, want the peer %s of %s", rows, away.inode, self)
	}
}

// A path that imitates a line of /proc/net/unix deceives netstat, but not us
// where there is netlink; in /proc alone the imitation is uncertain.
func TestUnixImitation(t *testing.T) {
	u := &unixSockets{t: t, ns: netnstest.New(t)}
	victim := u.make(unix.SOCK_STREAM)
	path := "a\n0000000012345678: 00000009 00000000 00010000 0001 01 " + victim.inode + " /run/x"
	shown := strings.ReplaceAll(path, "\n", `\x0a`)
	imitator := u.listen(u.bound(unix.SOCK_STREAM, "\x00"+path, "@"+shown), 5)
	client := u.dial(unix.SOCK_STREAM, "\x00"+path)
	var want []string
	for _, s := range []*unixSocket{victim, imitator, client} {
		count := map[bool]string{true: "3", false: "2"}[s == client]
		want = append(want, "ref_count="+count+" state="+s.want["state"]+" inode="+s.inode+" path="+s.want["path"])
	}
	want = append(want, "ref_count=3 state=CONNECTING inode= path=@"+shown)
	slices.Sort(want)
	if got := lines(query(t, u.ns, "SELECT * FROM unix_sockets"), []string{"ref_count", "state", "inode", "path"}); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rows := query(t, u.ns, "SELECT count(*) AS n FROM unix_sockets"); len(rows) != 1 || rows[0]["n"] != "4" {
		t.Errorf("%v sockets", rows)
	}
	// The list has the imitation behind the listener and behind the connection that
	// waits for it; where they follow each other they are one.
	proc := queries(t, u.ns, onlyProc, "SELECT path, inode, uncertain FROM unix_sockets")[0]
	for _, inode := range []string{victim.inode, imitator.inode, client.inode, ""} {
		if !slices.ContainsFunc(proc, func(r tableRow) bool { return r["inode"] == inode && r["path"] != "/run/x" }) {
			t.Errorf("no socket with the inode %q in /proc: %v", inode, proc)
		}
	}
	for _, r := range proc {
		if r["path"] == "/run/x" && r["uncertain"] != "1" {
			t.Errorf("the imitation is certain: %v", r)
		}
	}
}

// What names do to the list of /proc fails no table: neither a name that ends in
// half a line, nor one that imitates a socket without an inode, nor one in another
// namespace, whose connections that wait have it here.
func TestUnixForgery(t *testing.T) {
	whole := func(fill string) string { return "a\n0000000012345678: 00000009 00000000 " + fill }
	for name, path := range map[string]string{
		"half a line":            whole("000"),
		"a line":                 whole("00010000 0001 01 4711 forged"),
		"a line without inode":   whole("00000000 0001 02 0 forged"),
		"a line with a protocol": "a\n0000000012345678: 00000009 00000006 00010000 0001 01 4711 forged",
		"lines of nothing":       "a\n\n\nb",
	} {
		t.Run(name, func(t *testing.T) {
			server := &unixSockets{t: t, ns: netnstest.New(t), dir: t.TempDir()}
			client := &unixSockets{t: t, ns: netnstest.New(t)}
			// A short directory leaves room in the name.
			t.Chdir(server.dir)
			listener := server.listen(server.bound(unix.SOCK_STREAM, path, path), 5)
			known := client.make(unix.SOCK_DGRAM)
			client.dial(unix.SOCK_STREAM, path) // waits in the client's namespace
			for u, inode := range map[*unixSockets]string{server: listener.inode, client: known.inode} {
				for _, proc := range []string{"/proc", onlyProc} {
					rows := queries(t, u.ns, proc, "SELECT inode, path, state, uncertain FROM unix_sockets")[0]
					is := func(r tableRow) bool { return r["inode"] == inode }
					if !slices.ContainsFunc(rows, is) {
						t.Errorf("--proc %s lacks the inode %s: %v", proc, inode, rows)
					}
					for _, r := range rows {
						if (r["path"] == "forged" || r["inode"] == "4711") && r["uncertain"] != "1" {
							t.Errorf("--proc %s: the imitation is certain: %v", proc, r)
						}
						if is(r) && r["uncertain"] != "0" && proc == "/proc" {
							t.Errorf("what netlink lists is uncertain: %v", r)
						}
					}
				}
			}
			// Without an imitation everything is certain again.
			unix.Close(listener.fd)
			rows := queries(t, server.ns, onlyProc, "SELECT count(*) AS n FROM unix_sockets WHERE uncertain = 1")[0]
			if diff := gocmp.Diff([]tableRow{{"n": "0"}}, rows); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}
