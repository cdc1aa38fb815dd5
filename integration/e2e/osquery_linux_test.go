package e2e

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// aloneEnv says that the test is the first process of namespaces of its own.
const aloneEnv = "SOCKETS_ALONE"

// alone runs the test again as the first process of new namespaces of processes,
// mounts and networks, in which nothing is but what it starts: other programs of
// the machine change no row. It returns false when that has ended; the test
// returns then.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneEnv) != "" {
		if err := enterAlone(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	ns := netnstest.New(t)
	args := []string{"-test.run", "^" + t.Name() + "$", "-test.v", "-test.timeout", "5m"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), aloneEnv+"=1", "SOCKETS_EXT="+program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := ns.Do(cmd.Start); err != nil {
		netnstest.SkipOrFailOn(t, err)
	}
	err := cmd.Wait()
	t.Log(log.String())
	if err != nil {
		t.Fatal(err)
	}
	return false
}

func enterAlone() error {
	if err := hideNames(); err != nil {
		return fmt.Errorf("hide the names of network namespaces: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// world is the sockets of a test that is alone.
type world struct {
	own, blue, red string // numbers of the network namespaces
	child          int    // a process that has the listener of port 443 open too
}

// connections is how many TCP connections a world has.
const connections = 300

// newWorld makes sockets that stay as they are.
func newWorld(t *testing.T) (w world) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	quiet := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	listen := func(network, address string) net.Listener {
		t.Helper()
		l, err := quiet.Listen(t.Context(), network, address)
		check(err)
		t.Cleanup(func() { l.Close() })
		return l
	}
	listen("tcp4", "0.0.0.0:22")
	listen("tcp6", "[::]:22")
	shared := listen("tcp", "[::]:443")
	listen("unix", "@listening")
	server := listen("tcp", "127.0.0.1:8443")
	dialer := net.Dialer{KeepAlive: -1}
	for range connections / 2 {
		client, err := dialer.Dial("tcp", server.Addr().String())
		check(err)
		t.Cleanup(func() { client.Close() })
		peer, err := server.Accept()
		check(err)
		t.Cleanup(func() { peer.Close() })
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:53")
	check(err)
	t.Cleanup(func() { udp.Close() })
	for _, kind := range [][3]int{
		{unix.AF_PACKET, unix.SOCK_RAW, 0}, {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		{unix.AF_INET, unix.SOCK_STREAM, 0},
	} {
		fd, err := unix.Socket(kind[0], kind[1]|unix.SOCK_CLOEXEC, kind[2])
		check(err)
		t.Cleanup(func() { unix.Close(fd) })
		if kind[1] == unix.SOCK_STREAM { // bound and no more
			check(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 7777}))
		}
	}
	file, err := shared.(*net.TCPListener).File()
	check(err)
	sleep := exec.Command("sleep", "300")
	sleep.ExtraFiles = []*os.File{file}
	check(sleep.Start())
	file.Close()
	t.Cleanup(func() {
		sleep.Process.Kill()
		sleep.Wait()
	})
	w.child = sleep.Process.Pid

	w.own, err = netInode("/proc/self")
	check(err)
	ns := netnstest.New(t)
	w.blue = named(t, ns, "blue", 8080)
	w.red = named(t, ns, "red", 9090)
	// The extension would list the namespace of the thread, which the embedded host
	// in the same process does not.
	ns.End()
	return w
}

// coreRow is a row of osquery's tables processes or users.
type coreRow map[string]string

// coreTable is a table of osquery's for the embedded host, of some of its
// columns.
func coreTable(name string, rows func() ([]coreRow, error), numbers, texts []string) schema.Table {
	t := schema.TableDef[coreRow]{Name: name, Doc: "As in osquery.", RowID: func(r *coreRow) int64 {
		id, _ := strconv.ParseInt((*r)[numbers[0]], 10, 64)
		return id
	}}
	for _, column := range numbers {
		t.Columns = append(t.Columns, schema.Nullable(column, "As in osquery.", func(r *coreRow) (int64, bool) {
			n, err := strconv.ParseInt((*r)[column], 10, 64)
			return n, err == nil
		}))
	}
	for _, column := range texts {
		t.Columns = append(t.Columns, schema.NotNull(column, "As in osquery.", func(r *coreRow) string { return (*r)[column] }))
	}
	t.Rows = func(context.Context, schema.Query) iter.Seq2[coreRow, error] {
		return func(yield func(coreRow, error) bool) {
			all, err := rows()
			if err != nil {
				yield(nil, err)
			}
			for _, r := range all {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
	return schema.Bind(t)
}

// processRows reads the processes that there are.
func processRows() (rows []coreRow, err error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			return nil, err
		}
		rows = append(rows, coreRow{"pid": filepath.Base(dir), "name": strings.TrimSuffix(string(name), "\n")})
	}
	return rows, err
}

// userRows reads the users of this machine.
func userRows() (rows []coreRow, err error) {
	passwd, err := os.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(passwd)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) == 7 {
			rows = append(rows, coreRow{"username": f[0], "uid": f[2], "gid": f[3], "directory": f[5]})
		}
	}
	return rows, err
}

// reading makes a table of the kit read its rows when it is asked for them.
func reading(table func(...map[string]string) osquerytest.Table, rows func() ([]coreRow, error)) osquerytest.Table {
	t := table()
	t.Generate = func(ctx context.Context, call osquerytest.Call) ([]map[string]string, error) {
		all, err := rows()
		if err != nil {
			return nil, err
		}
		var plain []map[string]string
		for _, r := range all {
			plain = append(plain, r)
		}
		return table(plain...).Generate(ctx, call)
	}
	return t
}

// statement is one whose rows are the same everywhere.
type statement struct {
	name, sql string
	want      []string // its rows, if not nil
	ordered   bool     // by all that it selects
}

// documented are the statements of the README and of the tables' documents.
func documented(t *testing.T, all []schema.Table) (statements []statement) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i, block := range strings.Split(string(readme), "```") {
		if i%2 == 0 {
			continue // text between blocks
		}
		language, code, _ := strings.Cut(block, "\n")
		var texts []string
		if language == "sql" {
			for line := range strings.Lines(code) {
				text, _, _ := strings.Cut(line, "--")
				texts = append(texts, strings.TrimSpace(text))
			}
		}
		for _, quoted := range regexp.MustCompile(`"(SELECT [^"]*)"`).FindAllStringSubmatch(code, -1) {
			texts = append(texts, quoted[1])
		}
		for _, sql := range texts {
			if strings.HasPrefix(sql, "SELECT ") || strings.HasPrefix(sql, "WITH ") {
				found++
				statements = append(statements, statement{name: fmt.Sprint("README ", found), sql: sql})
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d statements are found in the README", found)
	}
	for _, table := range all {
		for i, sql := range table.Spec().Examples {
			statements = append(statements, statement{name: fmt.Sprint(table.Spec().Name, " ", i+1), sql: sql})
		}
	}
	return statements
}

// moving are documented statements whose rows change by themselves, and why. All
// must work, and their rows are not compared.
var moving = map[string]string{
	"socket_sources 2":   "it shows how the other tables were read last",
	"socket_processes 1": "the connections between osquery and the extension are sockets too",
	"socket_summary 1":   "the sockets of all kinds are counted, as of those connections",
	"socket_summary 2":   "allocated and orphaned sockets are those of the whole machine",
	"socket_summary 4":   "so is the memory",
	"unix_sockets 3":     "those connections are some",
}

// serving is an osquery with our program as its extension.
type serving struct {
	name string
	osquerytest.Osquery
	asked int // for queries
}

// queries returns how often each of our tables was asked for rows.
func (s *serving) queries(t *testing.T) map[string]int {
	t.Helper()
	// Each time for other columns: from the third of the same question on, within
	// 50 ms, the answer may be that of the second.
	s.asked++
	sql := "SELECT table_name, queries"
	for i, column := range []string{"rows", "errors", "last_error", "p50_us", "p99_us", "version", "commit", "registrations", "losses"} {
		if s.asked>>i&1 != 0 {
			sql += `, "` + column + `"`
		}
	}
	answer, err := s.Query(t.Context(), sql+" FROM sockets_extension_info")
	if err != nil {
		t.Fatal(err)
	}
	n := make(map[string]int)
	for _, row := range answer.Rows {
		if name := row[0].Text; name != "sockets_extension_info" {
			n[name], _ = strconv.Atoi(row[1].Text)
		}
	}
	return n
}

// listeners are the rows (port, network namespace) of all that listens.
func (w world) listeners() []string {
	row := func(port int, namespace string) string { return fmt.Sprintf("%q %q", strconv.Itoa(port), namespace) }
	return []string{row(22, w.own), row(22, w.own), row(443, w.own), row(8443, w.own), row(8080, w.blue), row(9090, w.red)}
}

// statements are what osquery once answered otherwise than the embedded host, or
// with many calls.
func (w world) statements() []statement {
	self := os.Getpid()
	withPID := func(rows []string, pid string) (with []string) {
		for _, r := range rows {
			with = append(with, r+" "+pid)
		}
		return with
	}
	quoted := strconv.Quote(strconv.Itoa(self))
	own := slices.DeleteFunc(w.listeners(), func(row string) bool { return !strings.Contains(row, w.own) })
	return []statement{
		{name: "a join by namespace with a constraint that costs the same",
			sql:  "SELECT n.name, t.local_port FROM network_namespaces n JOIN tcp_sockets t ON t.net_namespace = n.inode WHERE t.state = 'LISTEN' AND n.name <> ''",
			want: []string{`"blue" "8080"`, `"red" "9090"`}},
		{name: "the same in the other order",
			sql:  "SELECT n.name, t.local_port FROM tcp_sockets t JOIN network_namespaces n ON t.net_namespace = n.inode WHERE t.state = 'LISTEN' AND n.name <> ''",
			want: []string{`"blue" "8080"`, `"red" "9090"`}},
		{name: "an IN that osquery loses",
			sql:  fmt.Sprintf("SELECT t.local_port, t.net_namespace, p.pid FROM processes p LEFT JOIN tcp_sockets t ON t.pid = p.pid AND t.state = 'LISTEN' AND t.net_namespace IN ('%s', '%s') WHERE p.pid = %d", w.blue, w.own, self),
			want: withPID(slices.DeleteFunc(w.listeners(), func(row string) bool { return strings.Contains(row, w.red) }), quoted)},
		{name: "the same from every process",
			sql: fmt.Sprintf("SELECT p.pid, t.local_port FROM processes p LEFT JOIN tcp_sockets t ON t.pid = p.pid AND t.state = 'LISTEN' AND t.net_namespace IN ('%s', '%s')", w.blue, w.own)},
		{name: "a RIGHT JOIN by namespace",
			sql:  "SELECT n.name, t.local_port FROM tcp_sockets t RIGHT JOIN network_namespaces n ON t.net_namespace = n.inode WHERE n.name <> ''",
			want: []string{`"blue" "8080"`, `"red" "9090"`}},
		{name: "a join of our tables by inode",
			sql: "SELECT t.local_port, t.remote_port, i.mss_bytes FROM tcp_sockets t JOIN tcp_info i USING (inode)"},
		{name: "a join of our tables by cookie",
			sql: "SELECT t.local_port, t.remote_port, c.congestion_algorithm FROM tcp_sockets t JOIN tcp_congestion c USING (cookie)"},
		{name: "a join with the holders",
			sql:  fmt.Sprintf("SELECT t.local_port, t.net_namespace, p.pid FROM tcp_sockets t JOIN socket_processes p USING (inode) WHERE t.state = 'LISTEN' AND t.net_namespace = '%s'", w.own),
			want: append(withPID(own, quoted), fmt.Sprintf("\"443\" %q %q", w.own, strconv.Itoa(w.child)))},
		{name: "sockets by process",
			sql:  "SELECT p.pid, count(*) AS n FROM tcp_sockets JOIN processes p USING (pid) GROUP BY p.pid ORDER BY 1",
			want: []string{fmt.Sprintf("%s %q", quoted, strconv.Itoa(connections+4))}, ordered: true},
		{name: "sockets by process, the processes first",
			sql:  "WITH p AS MATERIALIZED (SELECT pid, name FROM processes) SELECT p.pid, count(*) AS n FROM tcp_sockets t JOIN p USING (pid) GROUP BY 1",
			want: []string{fmt.Sprintf("%s %q", quoted, strconv.Itoa(connections+4))}},
		{name: "users",
			sql: "SELECT u.username, count(*) AS n FROM tcp_sockets t JOIN users u USING (uid) GROUP BY 1", want: []string{fmt.Sprintf("%q %q", "root", strconv.Itoa(connections+4))}},
		{name: "services of all sockets",
			sql: "SELECT t.local_port, t.remote_port, w.name FROM tcp_sockets t LEFT JOIN well_known_services w ON w.port = t.local_port AND w.protocol = 'tcp'"},
		{name: "one column behind many",
			sql: "SELECT family FROM tcp_info"},
		{name: "IS a namespace",
			sql: "SELECT local_port FROM tcp_sockets WHERE net_namespace IS '" + w.blue + "'", want: []string{`"8080"`}},
		{name: "interfaces of all namespaces",
			sql:  "SELECT i.interface, n.name FROM interface_statistics i CROSS JOIN network_namespaces n ON n.inode = i.net_namespace WHERE i.interface = 'lo' ORDER BY 2",
			want: []string{`"lo" ""`, `"lo" "blue"`, `"lo" "red"`}, ordered: true},
		{name: "OR of namespaces",
			sql:  fmt.Sprintf("SELECT local_port, net_namespace FROM tcp_sockets WHERE state = 'LISTEN' AND (net_namespace = '%s' OR net_namespace LIKE '%s%%' OR length(net_namespace) = %d)", w.red, w.own[:5], len(w.own)),
			want: w.listeners()},
		{name: "sockets that are bound and no more",
			sql: "SELECT local_port, bound_only FROM tcp_sockets WHERE bound_only = 1", want: []string{`"7777" "1"`}},
		{name: "every column",
			sql: "SELECT * FROM tcp_sockets"},
		// The parts of an OR are calls of their own, and rows are told apart by what
		// the table says they are.
		{name: "an OR of which a row meets both parts",
			sql:  "SELECT local_port, proto FROM tcp_sockets WHERE state = 'LISTEN' OR local_port = 443 ORDER BY 1, 2",
			want: []string{`"22" "tcp"`, `"22" "tcp6"`, `"443" "tcp6"`, `"8443" "tcp"`}, ordered: true},
		{name: "an OR that is true for all",
			sql: "SELECT local_port, remote_port FROM tcp_sockets WHERE state <> '' OR local_port = 443"},
		{name: "the same the other way around",
			sql:  "SELECT local_port, proto FROM tcp_sockets WHERE local_port = 443 OR state = 'LISTEN' ORDER BY 1, 2",
			want: []string{`"22" "tcp"`, `"22" "tcp6"`, `"443" "tcp6"`, `"8443" "tcp"`}, ordered: true},
		{name: "an OR whose second part is true for all",
			sql: "SELECT local_port, remote_port FROM tcp_sockets WHERE local_port = 443 OR state <> ''"},
		{name: "an OR in a RIGHT JOIN",
			sql:  "SELECT x.p, t.local_port, t.proto FROM (SELECT 22 AS p UNION ALL SELECT 443 UNION ALL SELECT 1) x RIGHT JOIN tcp_sockets t ON t.local_port = x.p WHERE t.state = 'LISTEN'",
			want: []string{`"22" "22" "tcp"`, `"22" "22" "tcp6"`, `"443" "443" "tcp6"`, `NULL "8443" "tcp"`}},
		{name: "a RIGHT JOIN with values",
			sql:  "SELECT x.column1 AS p, count(*) AS n FROM (VALUES (22), (8443), (1)) x RIGHT JOIN tcp_sockets t ON t.local_port = x.column1 GROUP BY 1 ORDER BY 1",
			want: []string{fmt.Sprintf("NULL %q", strconv.Itoa(connections/2+1)), `"22" "2"`, fmt.Sprintf("%q %q", "8443", strconv.Itoa(connections/2+1))}, ordered: true},
		// What is left of the tables whose documented statements move.
		{name: "holders of one process",
			sql: fmt.Sprintf("SELECT pid, fd, program FROM socket_processes WHERE pid = %d", w.child), want: []string{fmt.Sprintf(`"%d" "3" "sleep"`, w.child)}},
		{name: "holders of both",
			sql: fmt.Sprintf("SELECT pid, program FROM socket_processes WHERE inode = (SELECT inode FROM tcp_sockets WHERE local_port = 443) AND pid <> %d", self), want: []string{fmt.Sprintf(`"%d" "sleep"`, w.child)}},
		{name: "one unix socket",
			sql: "SELECT path, state, type, pid FROM unix_sockets WHERE path = '@listening'", want: []string{`"@listening" "LISTENING" "STREAM" ` + quoted}},
		{name: "sockets of one protocol",
			sql: "SELECT proto, in_use FROM socket_summary WHERE proto <> 'all'"},
	}
}

// A statement has the same rows in the embedded host, in osquery as the kit has
// it, and in a real osqueryi where OSQUERYI names one; and osqueryi asks our
// tables as often as the kit says.
func TestSameRowsInOsquery(t *testing.T) {
	if !alone(t) {
		return
	}
	w := newWorld(t)
	kit := osquerytest.New(t, osquerytest.Core(reading(osquerytest.Processes, processRows), reading(osquerytest.Users, userRows)))
	hosts := []*serving{{name: "the kit", Osquery: kit}}
	if path := os.Getenv("OSQUERYI"); path != "" {
		hosts = append(hosts, &serving{name: "osqueryi", Osquery: osquerytest.StartReal(t, path)})
	}
	for _, o := range hosts {
		startExtensionOf(t, o.Socket())
		o.WaitFor("sockets")
	}
	all := tables.All(host.New(host.Options{}))
	db, err := sqlite.Open(append(slices.Clone(all),
		coreTable("processes", processRows, []string{"pid"}, []string{"name"}),
		coreTable("users", userRows, []string{"uid", "gid"}, []string{"username", "directory"})), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })

	for _, s := range append(w.statements(), documented(t, all)...) {
		t.Run(s.name, func(t *testing.T) { compare(t, db, hosts, s) })
	}
	for _, o := range hosts {
		t.Run("twice in "+o.name, func(t *testing.T) {
			const sql = "SELECT * FROM tcp_sockets ORDER BY inode"
			first, err1 := o.Query(t.Context(), sql)
			second, err2 := o.Query(t.Context(), sql)
			if err1 != nil || err2 != nil || first.String() != second.String() {
				t.Errorf("%v %v\nfirst %.300s\nthen  %.300s", err1, err2, first, second)
			}
		})
	}
}

// compare runs a statement everywhere.
func compare(t *testing.T, db *sqlite.DB, hosts []*serving, s statement) {
	same := func(a, b []string) bool { return sqltest.Statement{Ordered: s.ordered}.Same(a, b) }
	var embedded sqltest.Rows
	embeddedErr := db.Run(t.Context(), s.sql, func() (sqlite.Result, error) { return &embedded, nil })
	if s.want != nil && !same(embedded, s.want) {
		t.Errorf("%s\ngot  %.1000q\nwant %.1000q, error %v", s.sql, embedded, s.want, embeddedErr)
	}
	var predicted map[string]int
	for _, o := range hosts {
		before := o.queries(t)
		answer, err := o.Query(t.Context(), s.sql)
		if kit, ok := o.Osquery.(*osquerytest.Manager); ok {
			predicted = make(map[string]int)
			for _, c := range kit.Calls() {
				if _, ours := before[c.Table]; ours {
					predicted[c.Table]++
				}
				for _, column := range []string{"cmdline", "holders", "cgroup"} {
					if c.Uses(column) && !strings.Contains(s.sql, column) {
						t.Errorf("%s\nasks for %s", s.sql, column)
					}
				}
			}
		}
		if (err == nil) != (embeddedErr == nil) {
			t.Errorf("%s\n%s: %v\nthe embedded host: %v", s.sql, o.name, err, embeddedErr)
		}
		if err != nil {
			continue
		}
		calls := make(map[string]int)
		for table, n := range o.queries(t) {
			if n > before[table] {
				calls[table] = n - before[table]
			}
		}
		if !maps.Equal(calls, predicted) {
			t.Errorf("%s\n%s makes the calls %v\nthe kit says %v", s.sql, o.name, calls, predicted)
		}
		if got := sqltest.Answer(answer); moving[s.name] == "" && !same(got, embedded) {
			t.Errorf("%s\n%s: %d rows %.1000q\nthe embedded host: %d rows %.1000q", s.sql, o.name, len(got), got, len(embedded), embedded)
		}
	}
}

// startExtensionOf starts the program as the extension of an osquery until the end
// of the test.
func startExtensionOf(t *testing.T, socket string) {
	t.Helper()
	cmd := exec.Command(program, "--socket", socket, "--timeout", "10", "--interval", "3")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// counted is a table that counts how often it is read.
type counted struct {
	schema.Table
	mu       sync.Mutex
	readings int
	computed map[string]bool // the columns of all readings
}

func (c *counted) Scan(ctx context.Context, q schema.Query) schema.Scan {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readings++
	for i, column := range c.Spec().Columns {
		if q.Uses(i) {
			c.computed[column.Name] = true
		}
	}
	return c.Table.Scan(ctx, q)
}

// reset returns what was counted, and begins again.
func (c *counted) reset() (readings int, computed map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	readings, computed = c.readings, c.computed
	c.readings, c.computed = 0, make(map[string]bool)
	return readings, computed
}

// fewReadings bounds how often a join reads a table. There are two that are
// always fresh, a snapshot, and others where the machine is busy: a snapshot may
// take no longer than the calls did, and ends with a gap between two calls.
const fewReadings = connections / 10

// attempts is how often a join may be tried, as the machine may be busy.
const attempts = 5

// A join of our own tables asks one of them for each row of the other, which
// does not read the kernel's list each time.
func TestJoinsReadOurTablesAFewTimes(t *testing.T) {
	if !alone(t) {
		return
	}
	newWorld(t)
	var served, embedded []schema.Table
	for _, table := range tables.All(host.New(host.Options{})) {
		served = append(served, &counted{Table: table, computed: make(map[string]bool)})
		embedded = append(embedded, &counted{Table: table, computed: make(map[string]bool)})
	}
	kit := osquerytest.New(t)
	var plugins []sockets.Plugin
	for _, table := range served {
		plugins = append(plugins, sockets.NewTablePlugin(table))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- sockets.Serve(ctx, sockets.Options{Socket: kit.Socket(), Name: "counted"}, plugins...)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	kit.WaitFor("counted")
	db, err := sqlite.Open(embedded, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })

	for _, join := range []ownJoin{
		{other: "tcp_info", on: "t.inode = o.inode", rows: connections},
		{other: "tcp_info", on: "t.cookie = o.cookie", rows: connections},
		{other: "tcp_congestion", on: "t.cookie = o.cookie", rows: connections},
		{other: "socket_processes", on: "t.inode = o.inode", rows: connections},
		{other: "well_known_services", on: "t.local_port = o.port", rows: 3},
	} {
		for _, from := range []string{"tcp_sockets t %s JOIN " + join.other + " o", join.other + " o %s JOIN tcp_sockets t"} {
			for _, kind := range []string{"", "LEFT", "CROSS", "RIGHT"} {
				join.from = fmt.Sprintf(from, kind)
				passed := t.Run(join.from+" ON "+join.on, func(t *testing.T) {
					few(t, join, served, func(sql string) (string, error) {
						answer, err := kit.Query(t.Context(), sql)
						if err != nil {
							return "", err
						}
						return answer.Rows[0][0].Text, nil
					})
					few(t, join, embedded, func(sql string) (string, error) {
						var result sqltest.Rows
						err := db.Run(t.Context(), sql, func() (sqlite.Result, error) { return &result, nil })
						return strings.Trim(strings.Join(result, ""), `"`), err
					})
				})
				if !passed {
					return // the others would take as long
				}
			}
		}
	}
}

// ownJoin is a join of tcp_sockets as t and another table as o.
type ownJoin struct {
	other, on string
	rows      int // at least
	from      string
}

// few runs a join, by a function that returns its count(*), until it reads no
// table often.
func few(t *testing.T, j ownJoin, all []schema.Table, run func(sql string) (string, error)) {
	t.Helper()
	sql := "SELECT count(*) AS n FROM " + j.from + " ON " + j.on
	for attempt := 1; ; attempt++ {
		rows, err := run(sql)
		if n, _ := strconv.Atoi(rows); err != nil || n < j.rows {
			t.Fatalf("%s: %s rows, error %v", sql, rows, err)
		}
		often := ""
		for _, table := range all {
			readings, computed := table.(*counted).reset()
			if computed["cmdline"] || computed["holders"] {
				t.Errorf("%s reads of %s %v", sql, table.Spec().Name, slices.Sorted(maps.Keys(computed)))
			}
			if readings > fewReadings {
				often += fmt.Sprintf("%s reads %s %d times\n", sql, table.Spec().Name, readings)
			}
		}
		if often == "" {
			return
		}
		if attempt == attempts {
			t.Fatal(often)
		}
	}
}
