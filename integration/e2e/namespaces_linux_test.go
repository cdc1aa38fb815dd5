package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// netnsDir is where ip-netns(8) keeps names.
const netnsDir = "/run/netns"

// privateNames gives the namespace's thread, and the programs that it starts, a
// mount namespace of their own without names of network namespaces. It ends with
// the thread.
func privateNames(t *testing.T, ns *netnstest.NS) {
	t.Helper()
	err := ns.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		return hideNames()
	})
	if errors.Is(err, unix.EPERM) {
		netnstest.SkipOrFail(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hideNames takes the names of network namespaces out of a mount namespace that
// is the caller's own.
func hideNames() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	// Those that the machine has stay in its own.
	names, _ := filepath.Glob(filepath.Join(netnsDir, "*"))
	for _, name := range names {
		if err := unix.Unmount(name, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
			return err
		}
	}
	return errors.Join(
		unix.Mount("tmpfs", filepath.Dir(netnsDir), "tmpfs", 0, ""),
		os.Mkdir(netnsDir, 0o755))
}

// bindName gives the namespace of a thread, by its directory in /proc, a name.
// It is to be called on the thread of privateNames.
func bindName(name, thread string) error {
	path := filepath.Join(netnsDir, name)
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return err
	}
	return unix.Mount(filepath.Join(thread, "ns", "net"), path, "", unix.MS_BIND, "")
}

// netInode returns the number of the network namespace of a process or a thread,
// by its directory in /proc.
func netInode(process string) (string, error) {
	link, err := os.Readlink(filepath.Join(process, "ns", "net"))
	return strings.TrimSuffix(strings.TrimPrefix(link, "net:["), "]"), err
}

// inodeOf returns the number of the namespace.
func inodeOf(t *testing.T, ns *netnstest.NS) string {
	t.Helper()
	inode, err := netInode(threadOf(ns))
	if err != nil {
		t.Fatal(err)
	}
	return inode
}

// named makes a namespace in which no process is, with a name and a TCP socket
// that listens; it has another network than the one of ns.
func named(t *testing.T, ns *netnstest.NS, name string, port int) (inode string) {
	t.Helper()
	var listener net.Listener
	err := ns.Do(func() error {
		back, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(back)
		if err := netnstest.Unshare(); err != nil {
			return err
		}
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			inode, err = netInode("/proc/thread-self")
		}
		if err == nil {
			err = bindName(name, "/proc/thread-self")
		}
		return errors.Join(err, unix.Setns(back, unix.CLONE_NEWNET))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return inode
}

// stay starts a process that stays in the namespace and has nothing open, as
// another user if credential is not nil.
func stay(t *testing.T, ns *netnstest.NS, credential *syscall.Credential) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// ssStates are our names of the states that ss names otherwise than by a dash in
// the place of an underscore.
var ssStates = map[string]string{"ESTAB": "ESTABLISHED", "FIN-WAIT-1": "FIN_WAIT1", "FIN-WAIT-2": "FIN_WAIT2", "UNCONN": ""}

// stateOf returns our name of a state that ss names.
func stateOf(ss string) string {
	if state, ok := ssStates[ss]; ok {
		return state
	}
	return strings.ReplaceAll(ss, "-", "_")
}

// ss returns the sockets that ss shows in the namespace, sorted: state, queues,
// and both ends as addressOf writes them.
func ss(t *testing.T, ns *netnstest.NS, prefix []string, flags string) (sockets []string) {
	t.Helper()
	command := append(slices.Clone(prefix), "ss", flags)
	if _, err := exec.LookPath("ss"); err != nil {
		netnstest.SkipOrFail(t, err.Error())
	}
	out, err := ns.Command(t.Context(), command[0], command[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			t.Fatalf("ss printed %q", line)
		}
		sockets = append(sockets, strings.Join([]string{stateOf(f[0]), f[1], f[2], addressOf(cutLast(f[3])), addressOf(cutLast(f[4]))}, " "))
	}
	slices.Sort(sockets)
	return sockets
}

func cutLast(s string) (address, port string) {
	i := strings.LastIndexByte(s, ':')
	return s[:i], s[i+1:]
}

// addressOf writes an end of a socket so that ss's and our spelling are the same.
func addressOf(address, port string) string {
	address, _, _ = strings.Cut(address, "%") // an interface
	address = strings.Trim(address, "[]")
	if address == "0.0.0.0" || address == "::" {
		address = "*"
	}
	if port == "0" {
		port = "*"
	}
	return address + ":" + port
}

// asSS returns rows as ss does. Those of UDP have the state that udp_sockets
// tells.
func asSS(rows []tableRow) (sockets []string) {
	for _, r := range rows {
		sockets = append(sockets, strings.Join([]string{r["state"], r["recv_q"], r["send_q"],
			addressOf(r["local_address"], r["local_port"]), addressOf(r["remote_address"], r["remote_port"])}, " "))
	}
	slices.Sort(sockets)
	return sockets
}

// equal compares what two programs show, again while it changes between them.
func equal(t *testing.T, what string, theirs, ours func() []string) (n int) {
	t.Helper()
	var want, got []string
	for range maxAttempts {
		want, got = theirs(), ours()
		if slices.Equal(want, got) {
			return len(got)
		}
	}
	for _, s := range want {
		if !slices.Contains(got, s) {
			t.Errorf("%s: missing: %s", what, s)
		}
	}
	for _, s := range got {
		if !slices.Contains(want, s) {
			t.Errorf("%s: unasked: %s", what, s)
		}
	}
	t.Errorf("%s: %d, want %d", what, len(got), len(want))
	return len(got)
}

const (
	tcpColumns = "state, recv_q, send_q, local_address, local_port, remote_address, remote_port, net_namespace"
	udpColumns = "CASE WHEN remote_port <> 0 THEN 'ESTABLISHED' ELSE '' END AS state, recv_q, send_q, local_address, local_port, remote_address, remote_port, net_namespace"
)

// The rows are those of lsns, and of the names without a process, of which it
// does not tell, those of ip-netns.
func TestNamespacesAreLsnss(t *testing.T) {
	if _, err := exec.LookPath("lsns"); err != nil {
		netnstest.SkipOrFail(t, err.Error())
	}
	ns, other := netnstest.New(t), netnstest.New(t)
	privateNames(t, ns)
	stay(t, other, nil)
	stay(t, other, nil)
	stay(t, ns, nil) // a lower process than lsns and ours
	// The program's own namespace has a name, and another that has processes.
	if err := ns.Do(func() error { return bindName("own", "/proc/thread-self") }); err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(func() error { return bindName("other", threadOf(other)) }); err != nil {
		t.Fatal(err)
	}
	empty := named(t, ns, "empty", 80)
	equal(t, "network_namespaces", func() (rows []string) {
		out, err := ns.Command(t.Context(), "lsns", "-t", "net", "-rn", "-o", "NS,PID,NPROCS,NSFS")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			rows = append(rows, strings.Join(strings.Fields(line), " "))
		}
		slices.Sort(rows)
		return rows
	}, func() (rows []string) {
		for _, r := range query(t, ns, "SELECT *, files FROM network_namespaces WHERE kept_by LIKE 'process%'") {
			rows = append(rows, strings.TrimSpace(strings.Join([]string{r["inode"], r["pid"], r["processes"], r["files"]}, " ")))
		}
		slices.Sort(rows)
		return rows
	})
	rows := query(t, ns, "SELECT *, enterable, files FROM network_namespaces WHERE name <> '' ORDER BY name")
	var got []string
	for _, r := range rows {
		got = append(got, strings.Join([]string{r["name"], r["inode"], r["processes"], r["own"], r["enterable"], r["files"]}, " "))
	}
	want := []string{
		"empty " + empty + " 0 0 1 /run/netns/empty",
		"other " + inodeOf(t, other) + " 2 0 1 /run/netns/other",
		"own " + inodeOf(t, ns) + " 2 1 1 /run/netns/own",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	out, err := ns.Command(t.Context(), "ip", "netns", "list")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(out))
	slices.Sort(names)
	if !slices.Equal(names, []string{"empty", "other", "own"}) {
		t.Errorf("ip netns list shows %q", names)
	}
}

// A namespace that nothing but a descriptor keeps is shown to those who ask for it.
func TestNamespaceOfDescriptor(t *testing.T) {
	ns := netnstest.New(t)
	// The process makes it, opens it and goes back to where the test is.
	script := fmt.Sprintf("exec 3</proc/self/ns/net && exec nsenter --net=/proc/%d/ns/net sleep 60", os.Getpid())
	sleep := exec.Command("unshare", "--net", "sh", "-c", script)
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sleep.Process.Kill()
		sleep.Wait()
	})
	path := fmt.Sprintf("/proc/%d/fd/3", sleep.Process.Pid)
	waitComm(t, sleep.Process.Pid, "sleep")
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf(" FROM network_namespaces WHERE inode = '%d'", st.Ino)
	want := []tableRow{{"pid": "", "processes": "0", "kept_by": "descriptor", "descriptor": path, "enterable": "1"}}
	equal(t, "the namespace", func() []string {
		return lines(want, []string{"pid", "processes", "kept_by", "descriptor", "enterable"})
	}, func() []string {
		return lines(query(t, ns, "SELECT pid, processes, kept_by, descriptor, enterable"+where), []string{"pid", "processes", "kept_by", "descriptor", "enterable"})
	})
	if rows := query(t, ns, "SELECT inode"+where); len(rows) != 0 {
		t.Errorf("without kept_by: %v", rows)
	}
	if rows := query(t, ns, "SELECT kept_by FROM network_namespaces WHERE own = 1"); len(rows) != 1 || !strings.HasPrefix(rows[0]["kept_by"], "process") && rows[0]["kept_by"] != "thread" {
		t.Errorf("the own one: %v", rows)
	}
}

// A namespace in which only a thread of a process is has that process. Inside and from outside, and as ss shows them, the sockets are the same.
func TestOtherNamespaceIsSss(t *testing.T) {
	ns, other := netnstest.New(t), netnstest.New(t)
	privateNames(t, ns)
	other.Populate(t)
	inode := inodeOf(t, other)
	if err := ns.Do(func() error { return bindName("blue", threadOf(other)) }); err != nil {
		t.Fatal(err)
	}
	if rows := query(t, ns, "SELECT processes, name FROM network_namespaces WHERE inode = "+inode); len(rows) != 1 || rows[0]["processes"] != "1" || rows[0]["name"] != "blue" {
		t.Fatalf("got %v", rows)
	}
	compare := func(how string) {
		enter := []string{"ip", "netns", "exec", "blue"}
		for table, c := range map[string]struct{ columns, where, flags string }{
			"tcp_sockets": {tcpColumns, "", "-Hatn"},
			"udp_sockets": {udpColumns, " AND proto IN ('udp', 'udp6')", "-Haun"},
		} {
			statement := "SELECT " + c.columns + " FROM " + table + " WHERE net_namespace = '" + inode + "'" + c.where
			n := equal(t, table+" "+how, func() []string { return ss(t, ns, enter, c.flags) }, func() []string { return asSS(query(t, ns, statement)) })
			if n < 20 {
				t.Errorf("%s %s: only %d sockets", table, how, n)
			}
			outside := "SELECT *, net_namespace, cookie, mark, tos, interface FROM " + table + " WHERE net_namespace = '" + inode + "'"
			inside := "SELECT *, cookie, mark, tos, interface FROM " + table
			columns := append(slices.Clone(still), "cookie", "mark", "tos", "interface")
			equal(t, table+" inside and outside", func() []string { return lines(query(t, other, inside), columns) }, func() []string { return lines(query(t, ns, outside), columns) })
		}
	}
	compare("with a thread")
	stay(t, other, nil)
	compare("with a process")
	for _, r := range query(t, ns, "SELECT * FROM tcp_sockets") {
		t.Errorf("a namespace without sockets shows %v", r)
	}
}

// threadOf returns the directory of the namespace's thread in /proc, as every
// process sees it.
func threadOf(ns *netnstest.NS) string {
	var tid int
	if ns.Do(func() error { tid = unix.Gettid(); return nil }) != nil {
		return ""
	}
	return fmt.Sprintf("/proc/%d/task/%d", os.Getpid(), tid)
}

// Both ways to ask for all namespaces give the union of what ss shows in each,
// also of many.
func TestUnionOfNamespaces(t *testing.T) {
	const many = 200
	ns := netnstest.New(t)
	privateNames(t, ns)
	var want []string // namespace and port
	for i := range many {
		port := 1000 + i
		want = append(want, fmt.Sprint(named(t, ns, fmt.Sprintf("n%d", i), port), " ", port))
	}
	populated := netnstest.New(t)
	populated.Populate(t)
	stay(t, populated, nil)
	inode := inodeOf(t, populated)
	slices.Sort(want)
	for _, form := range []string{
		"SELECT " + tcpColumns + " FROM tcp_sockets",
		"SELECT " + tcpColumns + " FROM tcp_sockets WHERE net_namespace LIKE '4026%' OR local_port = 1000",
		"SELECT " + tcpColumns + " FROM tcp_sockets t RIGHT JOIN network_namespaces n ON t.net_namespace = n.inode",
		"SELECT " + tcpColumns + " FROM tcp_sockets WHERE net_namespace IN (SELECT inode FROM network_namespaces)",
		"SELECT " + tcpColumns + " FROM network_namespaces n JOIN tcp_sockets t ON t.net_namespace = n.inode",
		"SELECT " + tcpColumns + " FROM tcp_sockets t JOIN network_namespaces n ON t.net_namespace = n.inode",
		"SELECT " + tcpColumns + " FROM tcp_sockets t, network_namespaces n WHERE n.inode = t.net_namespace AND t.local_port > 0",
	} {
		var rows []tableRow
		equal(t, form, func() []string { return ss(t, populated, nil, "-Hatn") }, func() []string {
			rows = query(t, ns, form)
			return asSS(slices.DeleteFunc(slices.Clone(rows), func(r tableRow) bool { return r["net_namespace"] != inode }))
		})
		var got []string
		for _, r := range rows {
			if i := slices.IndexFunc(want, func(s string) bool { return strings.HasPrefix(s, r["net_namespace"]+" ") }); i >= 0 {
				got = append(got, r["net_namespace"]+" "+r["local_port"])
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: of %d namespaces with a socket %d are shown", form, len(want), len(got))
		}
	}
	// ss, in some of them.
	for _, i := range []int{0, 77, many - 1} {
		name := fmt.Sprintf("n%d", i)
		statement := "SELECT " + tcpColumns + " FROM tcp_sockets WHERE net_namespace = (SELECT inode FROM network_namespaces WHERE name = '" + name + "')"
		if n := equal(t, name, func() []string { return ss(t, ns, []string{"ip", "netns", "exec", name}, "-Hatn") }, func() []string { return asSS(query(t, ns, statement)) }); n != 1 {
			t.Errorf("%s has %d sockets", name, n)
		}
	}
}

// What cannot be read is told, in socket_sources and the log, and hides nothing
// of the others.
func TestNamespacesThatAreGone(t *testing.T) {
	dying, living := netnstest.New(t), netnstest.New(t)
	listen := func(ns *netnstest.NS, port int) {
		var l net.Listener
		err := ns.Do(func() (err error) { l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); return err })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	listen(dying, 1001)
	listen(living, 1002)
	first, second := stay(t, dying, nil), stay(t, dying, nil)
	stay(t, living, nil)
	const never = "4294967295"
	wanted := []string{inodeOf(t, dying), inodeOf(t, living), never}

	var log bytes.Buffer
	h := host.New(host.Options{Log: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn})})
	table := tables.TCPSockets(h)
	check := func(what string, ports, refused []string) {
		t.Helper()
		if got := scan(t, table, "local_port", wanted...); !slices.Equal(got, ports) {
			t.Errorf("%s: the ports are %q, want %q", what, got, ports)
		}
		sources, err := h.Sources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range sources {
			if s.Proto == "" {
				got = append(got, strconv.FormatUint(uint64(s.Namespace), 10))
				if s.Now.Reason == "" || s.Now.Source != "" {
					t.Errorf("%s: %+v", what, s)
				}
			}
		}
		if slices.Sort(got); !slices.Equal(got, refused) {
			t.Errorf("%s: told are %q, want %q", what, got, refused)
		}
		// One line for the reason that all of them have.
		if got := log.String(); strings.Count(got, "namespaces could not be read") != 1 || !strings.Contains(got, "number=1 net_namespace="+never) {
			t.Errorf("%s: the log is %s", what, got)
		}
	}
	end := func(cmd *exec.Cmd) {
		cmd.Process.Kill()
		cmd.Wait()
	}
	check("all are there", []string{"1001", "1002"}, []string{never})
	end(first) // the lowest, by which the namespace was known
	check("one process has left", []string{"1001", "1002"}, []string{never})
	end(second) // the test's thread is in it, but that is no process
	check("all have left", []string{"1002"}, []string{wanted[0], never})
	stay(t, dying, nil)
	check("one has come", []string{"1001", "1002"}, []string{never})
}

// scan returns a column of the rows of namespaces, sorted.
func scan(t testing.TB, table schema.Table, column string, namespaces ...string) (values []string) {
	t.Helper()
	r := schema.Request{Used: []string{column}}
	for _, inode := range namespaces {
		r.Constraints = append(r.Constraints, schema.Constraint{Column: "net_namespace", Op: schema.EQ, Value: inode})
	}
	s := table.Scan(t.Context(), table.Query(r))
	defer s.Close()
	position := slices.IndexFunc(table.Spec().Columns, func(c schema.ColumnInfo) bool { return c.Name == column })
	var cell schema.Cell
	for s.Next() {
		s.Cell(position, &cell)
		values = append(values, string(cell.AppendText(nil)))
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
	slices.Sort(values)
	return values
}

// lastThread, in the environment, makes the test program a process whose first
// thread has ended.
const lastThread = "SOCKETS_LAST_THREAD"

// endFirstThread ends the process's first thread, and the others when its
// standard input ends.
func endFirstThread() {
	go func() {
		for {
			go func() {
				runtime.LockOSThread()
				if unix.Gettid() == unix.Getpid() {
					unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
				}
				select {} // the next goroutine is in another thread
			}()
			time.Sleep(time.Millisecond)
			if _, err := netInode("/proc/self"); err != nil {
				return
			}
		}
	}()
	unix.SetNonblock(0, true) // so that no thread waits for it
	io.Copy(io.Discard, os.NewFile(0, "stdin"))
	os.Exit(0)
}

// A process whose first thread has ended is in its namespace still.
func TestNamespaceOfLaterThread(t *testing.T) {
	ns, other := netnstest.New(t), netnstest.New(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(cmd.Environ(), lastThread+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	pid := cmd.Process.Pid
	for tries := 0; ; tries++ {
		if _, err := netInode(fmt.Sprintf("/proc/%d", pid)); errors.Is(err, os.ErrNotExist) {
			break
		}
		if tries == 1000 {
			t.Fatal("the first thread does not end")
		}
		time.Sleep(10 * time.Millisecond)
	}
	var l net.Listener
	if err := other.Do(func() (err error) { l, err = net.Listen("tcp", "127.0.0.1:80"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inode := inodeOf(t, other)
	other.End() // a thread of ours is in the namespace until then
	rows := query(t, ns, "SELECT n.pid, n.processes, t.local_port FROM network_namespaces n JOIN tcp_sockets t ON t.net_namespace = n.inode WHERE n.inode = "+inode)
	if len(rows) != 1 || rows[0]["pid"] != strconv.Itoa(pid) || rows[0]["processes"] != "1" || rows[0]["local_port"] != "80" {
		t.Errorf("got %v", rows)
	}
}

// The container and the pod are those of the process's control group.
func TestContainerOfNamespace(t *testing.T) {
	ns, other := netnstest.New(t), netnstest.New(t)
	root := "/sys/fs/cgroup/systemd"
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
	}
	const uid = "4e0c8f26-1d2e-4c5a-9a53-b2a3c4d5e6f7"
	id := strings.Repeat("0123456789abcdef", 4)
	dir := root
	for _, part := range []string{fmt.Sprintf("sockets-e2e-%d", os.Getpid()), "kubepods", "pod" + uid, "crio-" + id} {
		dir = filepath.Join(dir, part)
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, os.ErrNotExist) {
			netnstest.SkipOrFail(t, err.Error())
		}
		if err != nil {
			t.Fatal(err)
		}
		made := dir
		t.Cleanup(func() {
			if err := os.Remove(made); err != nil {
				t.Error(err)
			}
		})
	}
	cmd := stay(t, other, nil)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	rows := query(t, ns, "SELECT program, container_id, container_runtime, pod_uid FROM network_namespaces WHERE inode = "+inodeOf(t, other))
	if len(rows) != 1 || rows[0]["program"] != "sleep" || rows[0]["container_id"] != id || rows[0]["container_runtime"] != "cri-o" || rows[0]["pod_uid"] != uid {
		t.Errorf("got %v", rows)
	}
}

// Without CAP_SYS_ADMIN the namespaces of the processes that we may look at are
// read by their lists in /proc, and those without a process are refused.
func TestNamespacesWithoutPrivilege(t *testing.T) {
	ns, other := netnstest.New(t), netnstest.New(t)
	privateNames(t, ns)
	other.Populate(t)
	empty := named(t, ns, "empty", 80)
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	stay(t, other, nobody)
	inode := inodeOf(t, other)
	path := publicCopy(t, program)
	for name, c := range map[string]struct {
		credential *syscall.Credential
	}{
		"another user":               {nobody},
		"root without CAP_SYS_ADMIN": {nil},
	} {
		var stderr bytes.Buffer
		ask := func(statements ...string) (results [][]tableRow) {
			stderr.Reset()
			var stdout bytes.Buffer
			cmd := exec.CommandContext(t.Context(), path, "query", "--json", strings.Join(statements, "; "))
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.credential}
			if err := withoutAdmin(ns, cmd.Start); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%s: %v: %s", name, err, &stderr)
			}
			decoder := json.NewDecoder(&stdout)
			for {
				var rows []tableRow
				if err := decoder.Decode(&rows); err == io.EOF {
					return results
				} else if err != nil {
					t.Fatal(err)
				}
				results = append(results, rows)
			}
		}
		var results [][]tableRow
		statement := "SELECT " + tcpColumns + " FROM tcp_sockets WHERE net_namespace IN ('" + inode + "', '" + empty + "')"
		n := equal(t, name, func() []string { return withoutBacklog(ss(t, other, nil, "-Hatn")) }, func() []string {
			results = ask(statement, "SELECT * FROM socket_sources", "SELECT inode, own, enterable FROM network_namespaces")
			return withoutBacklog(asSS(results[0]))
		})
		if n < 20 {
			t.Errorf("%s: only %d sockets", name, n)
		}
		for _, r := range results[1] {
			switch {
			case r["proto"] == "" && (r["net_namespace"] != empty || !strings.Contains(r["reason"], "setns: operation not permitted")):
				t.Errorf("%s: refused is %v", name, r)
			case r["proto"] == "tcp" && (r["last_source"] != "procfs" || r["source"] != "sock_diag"):
				t.Errorf("%s: read from %v", name, r)
			}
		}
		if last := results[1][len(results[1])-1]; last["proto"] != "" || !strings.Contains(stderr.String(), "net_namespace="+empty) {
			t.Errorf("%s: that %s cannot be read is not told: %v, %s", name, empty, last, &stderr)
		}
		enterable := map[string]string{}
		for _, r := range results[2] {
			enterable[r["inode"]] = r["own"] + " " + r["enterable"]
		}
		if enterable[inode] != "0 0" || enterable[empty] != "0 0" || enterable[inodeOf(t, ns)] != "1 1" {
			t.Errorf("%s: own and enterable are %v", name, enterable)
		}
	}
}

// withoutBacklog leaves out the maximum of a listener's backlog, which only
// sock_diag tells.
func withoutBacklog(sockets []string) (rest []string) {
	for _, s := range sockets {
		if f := strings.Fields(s); f[0] == "LISTEN" {
			s = strings.Join(append(f[:2], f[len(f)-2:]...), " ")
		}
		rest = append(rest, s)
	}
	slices.Sort(rest)
	return rest
}

// publicCopy copies a program to where every user may run it.
func publicCopy(t *testing.T, program string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sockets-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sockets.ext")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(path, b, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// withoutAdmin runs f, which starts a program, in the namespace of ns with its
// mounts, in a thread whose children cannot have CAP_SYS_ADMIN.
func withoutAdmin(ns *netnstest.NS, f func() error) error {
	return ns.Do(func() error {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0); err != nil {
			return err
		}
		return f()
	})
}

// Reading other namespaces leaves no thread in them, and no thread behind.
func TestThreadsStayInTheirNamespace(t *testing.T) {
	other := netnstest.New(t)
	stay(t, other, nil)
	inode := inodeOf(t, other)
	own, err := netInode("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Options{})
	tcp, udp := tables.TCPSockets(h), tables.UDPSockets(h)
	threads := func() (elsewhere, all int) {
		tasks, err := filepath.Glob("/proc/self/task/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			switch in, err := netInode(task); {
			case err != nil: // it has ended
			case in == own:
				all++
			default:
				elsewhere++
				all++
			}
		}
		return elsewhere, all
	}
	files := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	read := func(n int) {
		for range n {
			scan(t, tcp, "local_port", inode)
			scan(t, udp, "interface", inode)
		}
	}
	// settled waits for threads that were told to end.
	settled := func(most int) (elsewhere, all int) {
		for range 1000 {
			if elsewhere, all = threads(); elsewhere == 1 && all <= most {
				return elsewhere, all
			}
			time.Sleep(10 * time.Millisecond)
		}
		return elsewhere, all
	}
	read(50)
	_, before := settled(1 << 20)
	open := files()
	read(500)
	// One is the test's own, in other.
	if elsewhere, after := settled(before + 2); elsewhere != 1 || after > before+2 {
		t.Errorf("%d threads before, %d after, %d of them in other namespaces", before, after, elsewhere)
	}
	if now := files(); now > open {
		t.Errorf("%d files before, %d after", open, now)
	}
}

// Several queries at once each get the sockets of their namespaces; processes
// come and go meanwhile.
func TestNamespacesAtOnce(t *testing.T) {
	const n = 8
	var inodes []string
	for i := range n {
		ns := netnstest.New(t)
		inodes = append(inodes, inodeOf(t, ns))
		var l net.Listener
		var u net.PacketConn
		err := ns.Do(func() (err error) {
			if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 1000+i)); err == nil {
				u, err = net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", 1000+i))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close(); u.Close() })
		stay(t, ns, nil)
	}
	h := host.New(host.Options{})
	tcp, udp, namespaces := tables.TCPSockets(h), tables.UDPSockets(h), tables.NetworkNamespaces(h)
	var workers sync.WaitGroup
	for i := range n {
		workers.Go(func() {
			for round := range 20 {
				port := strconv.Itoa(1000 + i)
				for _, table := range []schema.Table{tcp, udp} {
					if got := scan(t, table, "local_port", inodes[i]); !slices.Equal(got, []string{port}) {
						t.Errorf("%s of %s: %q, want %s", table.Spec().Name, inodes[i], got, port)
					}
				}
				next := (i + round) % n
				want := []string{port, strconv.Itoa(1000 + next)}
				slices.Sort(want)
				want = slices.Compact(want)
				if got := scan(t, tcp, "local_port", inodes[i], inodes[next], "77"); !slices.Equal(got, want) {
					t.Errorf("%s and %s: %q, want %q", inodes[i], inodes[next], got, want)
				}
				if round%5 == 0 {
					all := scan(t, namespaces, "inode")
					for _, inode := range inodes {
						if !slices.Contains(all, inode) {
							t.Errorf("network_namespaces lacks %s", inode)
						}
					}
					scan(t, namespaces, "enterable")
					scan(t, tcp, "interface", inodes...)
					if _, err := h.Sources(t.Context()); err != nil {
						t.Error(err)
					}
				}
				runtime.Gosched()
			}
		})
	}
	workers.Wait()
}

// A saved /proc with the processes of two namespaces is read as the host was.
func TestNamespacesOfACopy(t *testing.T) {
	ns, other := netnstest.New(t), netnstest.New(t)
	ns.Populate(t)
	other.Populate(t)
	root := t.TempDir()
	save := func(pid string, of *netnstest.NS) {
		t.Helper()
		process := filepath.Join("/proc", strconv.Itoa(stay(t, of, nil).Process.Pid))
		dir := filepath.Join(root, pid)
		err := errors.Join(os.MkdirAll(filepath.Join(dir, "ns"), 0o755), os.MkdirAll(filepath.Join(dir, "net"), 0o755),
			os.Symlink("net:["+inodeOf(t, of)+"]", filepath.Join(dir, "ns", "net")),
			os.WriteFile(filepath.Join(dir, "cgroup"), []byte("0::/machine.slice/libpod-"+strings.Repeat("ab", 32)+".scope/container\n"), 0o644))
		for _, name := range []string{"tcp", "tcp6", "udp", "udp6", "udplite", "udplite6"} {
			list, readErr := os.ReadFile(filepath.Join(process, "net", name))
			err = errors.Join(err, readErr, os.WriteFile(filepath.Join(dir, "net", name), list, 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range maxAttempts {
		// Nothing may change while it is saved.
		before := [][]string{ss(t, ns, nil, "-Hatn"), ss(t, other, nil, "-Hatn")}
		if err := errors.Join(os.RemoveAll(filepath.Join(root, "1")), os.RemoveAll(filepath.Join(root, "4242"))); err != nil {
			t.Fatal(err)
		}
		save("1", ns)
		save("4242", other)
		results := queries(t, ns, root, "SELECT * FROM network_namespaces ORDER BY own DESC", "SELECT "+tcpColumns+" FROM tcp_sockets WHERE net_namespace = '"+inodeOf(t, ns)+"'",
			"SELECT "+tcpColumns+" FROM network_namespaces n JOIN tcp_sockets t ON t.net_namespace = n.inode WHERE n.own = 0")
		rows := results[0]
		if len(rows) != 2 || rows[0]["inode"] != inodeOf(t, ns) || rows[1]["inode"] != inodeOf(t, other) || rows[1]["pid"] != "4242" || rows[1]["container_runtime"] != "podman" {
			t.Fatalf("the namespaces are %v", rows)
		}
		got := [][]string{withoutBacklog(asSS(results[1])), withoutBacklog(asSS(results[2]))}
		for i := range before {
			before[i] = withoutBacklog(before[i])
		}
		if slices.Equal(got[0], before[0]) && slices.Equal(got[1], before[1]) && len(got[1]) > 20 {
			return
		}
	}
	t.Error("the copy shows other sockets than ss")
}
