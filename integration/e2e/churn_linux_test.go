package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// churnEnv says how long the churn lasts, as time.ParseDuration reads it.
const churnEnv = "SOCKETS_CHURN"

// churn makes and closes sockets, processes and namespaces, and keeps a log.
type churn struct {
	ns   *netnstest.NS
	stop chan struct{}

	mu    sync.Mutex
	ports map[string]bool // local ports that a socket ever had

	sockets, processes, namespaces atomic.Int64
}

// listener makes a listener on loopback in the namespace, and logs its port.
func (c *churn) listener() (fd int, address *unix.SockaddrInet4, err error) {
	err = c.ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 64))
	name, err2 := unix.Getsockname(fd)
	if err = errors.Join(err, err2); err != nil {
		unix.Close(fd)
		return 0, nil, err
	}
	address = name.(*unix.SockaddrInet4)
	c.log(address.Port)
	return fd, address, nil
}

func (c *churn) log(port int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ports[strconv.Itoa(port)] = true
}

// connect makes a connection in the namespace and logs its ports.
func (c *churn) connect(to *unix.SockaddrInet4) (fd int, err error) {
	err = c.ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, to); err != nil {
		unix.Close(fd)
		return 0, err
	}
	name, err := unix.Getsockname(fd)
	if err == nil {
		c.log(name.(*unix.SockaddrInet4).Port)
	}
	return fd, err
}

// run makes things until it is stopped.
func (c *churn) run(t *testing.T, make func() error) {
	for {
		select {
		case <-c.stop:
			return
		default:
			if err := make(); err != nil {
				t.Errorf("the churn fails: %v", err)
				return
			}
		}
	}
}

// churnSockets opens and closes a listener and connections to it.
func (c *churn) churnSockets() error {
	l, address, err := c.listener()
	if err != nil {
		return err
	}
	defer unix.Close(l)
	for range 20 {
		fd, err := c.connect(address)
		if err != nil {
			return err
		}
		accepted, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
		if err == nil {
			// A reset leaves no TIME_WAIT, so that ports do not run out.
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(accepted)
		}
		unix.Close(fd)
		c.sockets.Add(2)
	}
	return nil
}

func (c *churn) churnProcesses() error {
	c.processes.Add(1)
	return exec.Command("true").Run()
}

func (c *churn) churnNamespaces() error {
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread, and with it the namespace, ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			runtime.UnlockOSThread() // the first thread would not end
			ended <- nil
			return
		}
		ended <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	c.namespaces.Add(1)
	return <-ended
}

// scanTable reads columns of a table, in a namespace if one is named.
func scanTable(ctx context.Context, all []schema.Table, table, namespace string, used ...string) (rows []tableRow, err error) {
	t := all[slices.IndexFunc(all, func(t schema.Table) bool { return t.Spec().Name == table })]
	r := schema.Request{Used: used}
	if namespace != "" {
		r.Constraints = []schema.Constraint{{Column: "net_namespace", Op: schema.EQ, Value: namespace}}
	}
	s := t.Scan(ctx, t.Query(r))
	defer s.Close()
	var cell schema.Cell
	for s.Next() {
		row := tableRow{}
		for i, c := range t.Spec().Columns {
			if slices.Contains(used, c.Name) {
				s.Cell(i, &cell)
				row[c.Name] = string(cell.AppendText(nil))
			}
		}
		rows = append(rows, row)
	}
	return rows, s.Err()
}

// opened counts what this process has open.
func opened(t *testing.T) (files, goroutines, threads int) {
	t.Helper()
	runtime.GC()
	for path, n := range map[string]*int{"/proc/self/fd": &files, "/proc/self/task": &threads} {
		entries, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		*n = len(entries)
	}
	return files, runtime.NumGoroutine(), threads
}

// While sockets, processes and namespaces come and go by the thousands, many
// queries at a time show every socket that stays, each once and with its holder,
// and none that never was.
func TestChurn(t *testing.T) {
	duration := 5 * time.Second
	if text := os.Getenv(churnEnv); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	ns := netnstest.New(t)
	inode := namespaceNumber(t, ns)
	c := &churn{ns: ns, stop: make(chan struct{}), ports: make(map[string]bool)}

	// The sockets that stay.
	stays := map[string]bool{} // by inode
	keep := func(fd int) {
		var s unix.Stat_t
		if err := unix.Fstat(fd, &s); err != nil {
			t.Fatal(err)
		}
		stays[strconv.FormatUint(s.Ino, 10)] = true
		t.Cleanup(func() { unix.Close(fd) })
	}
	for range 10 {
		l, address, err := c.listener()
		if err != nil {
			t.Fatal(err)
		}
		keep(l)
		for range 20 {
			fd, err := c.connect(address)
			if err != nil {
				t.Fatal(err)
			}
			keep(fd)
			accepted, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			keep(accepted)
		}
	}

	all := tables.All(host.New(host.Options{}))
	if _, err := scanTable(t.Context(), all, "tcp_sockets", inode, "pid"); err != nil { // what a first query opens for good
		t.Fatal(err)
	}
	files, goroutines, threads := opened(t)

	var work sync.WaitGroup
	for _, f := range []func() error{c.churnSockets, c.churnSockets, c.churnSockets, c.churnProcesses, c.churnNamespaces} {
		work.Go(func() { c.run(t, f) })
	}
	var queries, interrupted, shown atomic.Int64
	var mu sync.Mutex
	seen := map[string]bool{} // ports in rows
	query := func() {
		rows, err := scanTable(t.Context(), all, "tcp_sockets", inode, "cookie", "family", "inode", "local_port", "pid", "net_namespace")
		queries.Add(1)
		if err != nil && strings.Contains(err.Error(), "ask again") {
			interrupted.Add(1)
			return
		}
		if err != nil {
			t.Errorf("a query fails: %v", err)
			return
		}
		shown.Add(int64(len(rows)))
		once := map[string]bool{}
		found := 0
		mu.Lock()
		defer mu.Unlock()
		for _, r := range rows {
			seen[r["local_port"]] = true
			if key := r["family"] + " " + r["cookie"]; once[key] {
				t.Errorf("a socket is there twice: %v", r)
			} else {
				once[key] = true
			}
			if r["net_namespace"] != inode {
				t.Errorf("a socket of another namespace: %v", r)
			}
			if stays[r["inode"]] {
				found++
				if r["pid"] != strconv.Itoa(os.Getpid()) {
					t.Errorf("process %d has the socket, not %q", os.Getpid(), r["pid"])
				}
			}
		}
		if found != len(stays) {
			t.Errorf("%d of %d sockets that stay are there", found, len(stays))
		}
	}
	const atOnce = 50
	for range atOnce {
		work.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				default:
					query()
				}
				if t.Failed() {
					return
				}
			}
		})
	}
	work.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			default:
			}
			rows, err := scanTable(t.Context(), all, "network_namespaces", "", "inode", "processes")
			if err != nil {
				t.Errorf("network_namespaces: %v", err)
				return
			}
			if !slices.ContainsFunc(rows, func(r tableRow) bool { return r["inode"] == inode }) {
				t.Error("network_namespaces lacks the namespace that stays")
				return
			}
		}
	})
	time.Sleep(duration)
	close(c.stop)
	work.Wait()

	for port := range seen {
		if !c.ports[port] {
			t.Errorf("a row has the port %s, which no socket had", port)
		}
	}
	t.Logf("%d queries, %d rows, %d interrupted; %d sockets, %d processes, %d namespaces came and went",
		queries.Load(), shown.Load(), interrupted.Load(), c.sockets.Load(), c.processes.Load(), c.namespaces.Load())
	report(faultRow{fault: "sockets, processes and namespaces come and go, 50 queries at a time", times: int(queries.Load()), sees: "the whole answer", recovery: "none is needed"})
	if queries.Load() < atOnce || c.sockets.Load() == 0 || c.namespaces.Load() == 0 || c.processes.Load() == 0 {
		t.Error("too little happened")
	}
	// The runtime keeps threads for later: as many as ran at once.
	time.Sleep(100 * time.Millisecond)
	filesNow, goroutinesNow, threadsNow := opened(t)
	if filesNow > files || goroutinesNow > goroutines || threadsNow > threads+2*atOnce {
		t.Errorf("%d files, %d goroutines, %d threads; before %d, %d, %d", filesNow, goroutinesNow, threadsNow, files, goroutines, threads)
	}
}
