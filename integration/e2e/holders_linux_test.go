package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// holdSockets starts a process that inherits some of the namespace's sockets,
// as a forked worker does, and opens nothing else.
func holdSockets(t *testing.T, ns *netnstest.NS, fds ...int) (pid int) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	defer inherit(t, cmd, fds...)()
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// inherit lets a command have sockets as its files 3 and following. The function
// that it returns is called after the start.
func inherit(t *testing.T, cmd *exec.Cmd, fds ...int) (started func()) {
	t.Helper()
	for _, fd := range fds {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(dup), "socket"))
	}
	return func() {
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
	}
}

// holderEnv makes the test binary a process that holds sockets. Its value is the
// role of the process.
const holderEnv = "SOCKETS_E2E_HOLDER"

// A process holds the files of all its threads, whoever looks and however the
// statement selects it: neither a thread with files apart nor one in a network
// namespace of its own makes a difference between the walk and the iterator.
func TestFilesOfThreads(t *testing.T) {
	ns := netnstest.New(t)
	done := needIterator(t, ns)
	for _, c := range []struct {
		role string
		held bool
	}{{holdsOnly, true}, {holdsInThreads, true}, {firstThreadEnds, true}, {holdsApart, true}, {listensApart, true}} {
		t.Run(c.role, func(t *testing.T) {
			fd, inode := listenIn(t, ns)
			pid, _ := startHolder(t, ns, c.role, 0, fd)
			unix.Close(fd)
			want := []tableRow{{"pid": strconv.Itoa(pid), "fd": "3"}}
			if !c.held {
				want = []tableRow{}
			}
			statements := []string{
				"SELECT pid, fd FROM socket_processes WHERE inode = " + inode,
				fmt.Sprintf("SELECT pid, fd FROM socket_processes WHERE pid = %d AND inode = %s", pid, inode),
				"SELECT pid, fd FROM socket_processes WHERE +inode = " + inode,
				fmt.Sprintf("SELECT pid, fd FROM socket_processes WHERE pid = %d AND +inode = %s", pid, inode),
				"SELECT pid, fd FROM tcp_sockets WHERE pid > 0 AND inode = " + inode,
			}
			for way, results := range map[string][][]tableRow{
				"the iterator or a walk": queries(t, ns, "/proc", statements...),
				"a walk":                 walked(t, ns, statements[:4]...),
			} {
				for i, got := range results {
					if diff := gocmp.Diff(want, got); diff != "" {
						t.Errorf("%s, %s: want (-), got (+):\n%s", way, statements[i], diff)
					}
				}
			}
		})
	}
	done()
}

// A network namespace in which only a later thread of a process is, is found and
// read.
func TestNamespaceOfOneThread(t *testing.T) {
	ns := netnstest.New(t)
	pid, _ := startHolder(t, ns, listensApart, 0)
	rows := query(t, ns, "SELECT n.pid, n.processes, t.local_port FROM network_namespaces n JOIN tcp_sockets t ON t.net_namespace = n.inode WHERE t.local_port = 81")
	want := []tableRow{{"pid": strconv.Itoa(pid), "processes": "1", "local_port": "81"}}
	if diff := gocmp.Diff(want, rows); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// The roles. Each holds the sockets that it inherits.
const (
	holdsOnly      = "holds"
	holdsInThreads = "threads"
	// chroots has its working directory as its root.
	chroots = "chroots"
	// firstThreadEnds goes on with other threads, as after pthread_exit of main.
	firstThreadEnds = "first thread ends"
	// holdsApart has its socket in another thread than the first, whose files are
	// others.
	holdsApart = "holds apart"
	// listensApart has a thread in a network namespace of its own, which listens on
	// port 81.
	listensApart = "listens apart"
	// receives takes a socket over SCM_RIGHTS from its file 3 and has it as file
	// receivedFD.
	receives   = "receives"
	receivedFD = 40
)

// beHolder is such a process. It says "ready" when it is what its role wants,
// and ends with its input.
func beHolder(role string) error {
	threads := make(chan struct{})
	thread := func() {
		runtime.LockOSThread()
		threads <- struct{}{}
		select {}
	}
	switch role {
	case holdsOnly:
	case chroots:
		if err := unix.Chroot("."); err != nil {
			return err
		}
	case holdsInThreads:
		for range 8 {
			go thread()
			<-threads
		}
	case firstThreadEnds:
		var end func()
		end = func() {
			runtime.LockOSThread()
			if unix.Gettid() == unix.Getpid() {
				unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
			}
			go end() // in another thread
			select {}
		}
		go end()
		for !isZombie(os.Getpid()) {
			time.Sleep(time.Millisecond)
		}
	case holdsApart:
		apart := make(chan error)
		closed := make(chan struct{})
		go inLaterThread(func() {
			apart <- unix.Unshare(unix.CLONE_FILES)
			<-closed
			unix.Write(1, []byte("ready\n"))
			unix.Read(0, make([]byte, 1))
			os.Exit(0)
		})
		if err := <-apart; err != nil {
			return err
		}
		if err := unix.Close(3); err != nil {
			return err
		}
		close(closed)
		select {}
	case listensApart:
		apart := make(chan error)
		go inLaterThread(func() {
			fd, err := 0, unix.Unshare(unix.CLONE_NEWNET)
			if err == nil {
				fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			}
			if err == nil {
				err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: 81}), unix.Listen(fd, 1))
			}
			apart <- err
			select {}
		})
		if err := <-apart; err != nil {
			return err
		}
	case receives:
		fd, err := receiveSocket(3)
		if err == nil {
			err = unix.Dup3(fd, receivedFD, unix.O_CLOEXEC)
			unix.Close(fd)
		}
		if err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s=%s", holderEnv, role)
	}
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// inLaterThread calls f in a thread that is not the first of the process.
func inLaterThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		go inLaterThread(f)
		select {} // keeps this thread
	}
	f()
}

// isZombie reports whether the first thread of a process has ended.
func isZombie(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && bytes.Contains(status, []byte("State:\tZ"))
}

// startHolder starts a process of that role and waits until it is ready. end
// ends it but for its zombie; the test waits for that.
func startHolder(t *testing.T, ns *netnstest.NS, role string, flags uintptr, fds ...int) (pid int, end func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(cmd.Environ(), holderEnv+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	defer inherit(t, cmd, fds...)()
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s: %q, %v", role, line, err)
	}
	return cmd.Process.Pid, func() {
		stdin.Close()
		for !isZombie(cmd.Process.Pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// sendSocket sends a socket over SCM_RIGHTS.
func sendSocket(t *testing.T, to, fd int) {
	t.Helper()
	if err := unix.Sendmsg(to, []byte{1}, unix.UnixRights(fd), nil, 0); err != nil {
		t.Fatal(err)
	}
}

// receiveSocket receives it.
func receiveSocket(from int) (fd int, err error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(from, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return 0, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// socketPair is one over which sockets are sent.
func socketPair(t *testing.T) [2]int {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// passSocket sends a socket over SCM_RIGHTS and leaves it on its way: nobody
// has it in a file until it is received.
func passSocket(t *testing.T, fd int) (receive func() int) {
	t.Helper()
	pair := socketPair(t)
	sendSocket(t, pair[0], fd)
	unix.Close(pair[0])
	return func() int {
		defer unix.Close(pair[1])
		fd, err := receiveSocket(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
}

// listenIn makes a listener on the namespace's loopback.
func listenIn(t *testing.T, ns *netnstest.NS) (fd int, inode string) {
	t.Helper()
	err := ns.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 1))
	})
	if err != nil {
		t.Fatal(err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		t.Fatal(err)
	}
	return fd, strconv.FormatUint(s.Ino, 10)
}

// openManyFiles opens as many files as the BPF iterator is asked from.
func openManyFiles(t *testing.T) (done func()) {
	t.Helper()
	var files []*os.File
	for range 12_000 { // the kernel counts them per processor, and not exactly
		f, err := os.Open(os.DevNull)
		if errors.Is(err, unix.EMFILE) {
			netnstest.SkipOrFail(t, err.Error())
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return sync.OnceFunc(func() {
		for _, f := range files {
			f.Close()
		}
	})
}

// holdersSource is how the holders were read last.
const holdersSource = "SELECT last_source, reason FROM socket_sources WHERE proto = 'holders'"

// needIterator makes a host on which the BPF iterator is asked, and skips the test
// where it does not work.
func needIterator(t *testing.T, ns *netnstest.NS) (done func()) {
	t.Helper()
	done = openManyFiles(t)
	t.Cleanup(done)
	r := queries(t, ns, "/proc", "SELECT count(*) FROM socket_processes", holdersSource)[1][0]
	if r["last_source"] != "bpf" {
		netnstest.SkipOrFail(t, r["reason"])
	}
	return done
}

// walked runs statements with another mount of /proc, so that it is walked.
func walked(t *testing.T, ns *netnstest.NS, statements ...string) [][]tableRow {
	t.Helper()
	dir := t.TempDir()
	out, err := ns.Command(t.Context(), "unshare", "--mount", "sh", "-c", `mount -t proc proc "$0" && exec "$@"`, dir,
		program, "query", "--json", "--proc", dir, strings.Join(statements, ";\n"))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, out)
}

// lsofHolders returns inode, pid and file of every IP socket that lsof shows.
func lsofHolders(t *testing.T, ns *netnstest.NS) (holders []string) {
	t.Helper()
	if _, err := exec.LookPath("lsof"); err != nil {
		netnstest.SkipOrFail(t, err.Error())
	}
	out, err := ns.Command(t.Context(), "lsof", "-nP", "-i", "-F", "pfd") // the "device" of a socket is its inode
	if err != nil && !bytes.Contains(out, []byte("\n")) {
		t.Fatal(err)
	}
	var pid, fd string
	for line := range strings.Lines(string(out)) {
		value := strings.TrimSpace(line[1:])
		switch line[0] {
		case 'p':
			pid = value
		case 'f':
			fd = value
		case 'd':
			holders = append(holders, fmt.Sprint(value, " ", pid, " ", fd))
		}
	}
	slices.Sort(holders)
	return holders
}

// Every holder of every socket is the one that lsof shows, and the columns of
// the sockets name the lowest of them.
func TestHoldersAreLsofs(t *testing.T) {
	ns := netnstest.New(t)
	sockets := ns.Populate(t)
	var shared []int
	for i, s := range sockets {
		if i%7 == 0 {
			shared = append(shared, s.FD)
		}
	}
	holdSockets(t, ns, shared...)
	holdSockets(t, ns, shared[:3]...)
	receive := passSocket(t, sockets[0].FD)
	defer receive()

	var ours, theirs []string
	for range maxAttempts {
		theirs = lsofHolders(t, ns)
		ours = nil
		for _, r := range queries(t, ns, "/proc", "SELECT inode, pid, fd FROM socket_processes WHERE family IS NOT NULL")[0] {
			ours = append(ours, r["inode"]+" "+r["pid"]+" "+r["fd"])
		}
		slices.Sort(ours)
		// lsof sees sockets that are bound and no more as well, which have no family here.
		theirs = slices.DeleteFunc(theirs, func(h string) bool {
			return slices.ContainsFunc(sockets, func(s netnstest.Socket) bool {
				return s.BoundOnly() && strings.HasPrefix(h, fmt.Sprint(s.Inode, " "))
			})
		})
		if slices.Equal(ours, theirs) {
			break
		}
	}
	if !slices.Equal(ours, theirs) || len(ours) < len(sockets) {
		t.Errorf("%d holders, lsof shows %d", len(ours), len(theirs))
		for _, h := range theirs {
			if !slices.Contains(ours, h) {
				t.Errorf("only lsof has %s", h)
			}
		}
		for _, h := range ours {
			if !slices.Contains(theirs, h) {
				t.Errorf("only we have %s", h)
			}
		}
	}

	// The lowest holder, however the sockets are asked for.
	lowest := map[string][2]int{}
	for _, h := range ours {
		f := strings.Fields(h)
		pid, _ := strconv.Atoi(f[1])
		fd, _ := strconv.Atoi(f[2])
		if old, ok := lowest[f[0]]; !ok || pid < old[0] || pid == old[0] && fd < old[1] {
			lowest[f[0]] = [2]int{pid, fd}
		}
	}
	self := os.Getpid()
	for _, where := range []string{"1", "state = 'LISTEN'", "local_port = 22", fmt.Sprint("pid = ", self), fmt.Sprint("pid IN (1, ", self, ")")} {
		for _, r := range queries(t, ns, "/proc", "SELECT inode, pid, fd, program FROM tcp_sockets WHERE "+where)[0] {
			want, ok := lowest[r["inode"]]
			if ok && (r["pid"] != strconv.Itoa(want[0]) || r["fd"] != strconv.Itoa(want[1]) || r["program"] == "") || !ok && (r["pid"] != "" || r["fd"] != "" || r["program"] != "") {
				t.Errorf("%s: %v, want %v", where, r, want)
			}
		}
	}
	n := queries(t, ns, "/proc", fmt.Sprint("SELECT count(*) AS n FROM tcp_sockets WHERE pid = ", self), fmt.Sprint("SELECT count(*) AS n FROM tcp_sockets WHERE +pid = ", self))
	if n[0][0]["n"] != n[1][0]["n"] || n[0][0]["n"] == "0" {
		t.Errorf("pid = %d gives %s sockets, +pid = %d %s", self, n[0][0]["n"], self, n[1][0]["n"])
	}
}

// Who holds a socket is known, by the walk of /proc and by the iterator, however
// it came to have it; and lsof says the same, where it looks.
func TestHoldersOfEveryKind(t *testing.T) {
	ns := netnstest.New(t)
	var inodes, want, lsofs []string
	holds := func(inode string, pid, fd int, lsof bool) {
		line := fmt.Sprint(inode, " ", pid, " ", fd)
		want = append(want, line)
		if lsof {
			lsofs = append(lsofs, line)
		}
	}
	listener := func() (fd int, inode string) {
		fd, inode = listenIn(t, ns)
		inodes = append(inodes, inode)
		return fd, inode
	}
	given := func(role string, flags uintptr, lsof bool) (end func()) {
		fd, inode := listener()
		pid, end := startHolder(t, ns, role, flags, fd)
		unix.Close(fd)
		holds(inode, pid, 3, lsof)
		return end
	}

	// Shared by fork, by one process twice.
	shared, inode := listener()
	defer unix.Close(shared)
	holds(inode, os.Getpid(), shared, true)
	pid, _ := startHolder(t, ns, holdsOnly, 0, shared)
	holds(inode, pid, 3, true)
	pid, _ = startHolder(t, ns, holdsOnly, 0, shared, shared)
	holds(inode, pid, 3, true)
	holds(inode, pid, 4, true)

	// Sent to another process and closed: that of the receiver alone.
	sent, inode := listener()
	pair := socketPair(t)
	sendSocket(t, pair[0], sent)
	pid, _ = startHolder(t, ns, receives, 0, pair[1])
	holds(inode, pid, receivedFD, true)
	for _, fd := range []int{sent, pair[0], pair[1]} {
		unix.Close(fd)
	}

	given(holdsInThreads, 0, true)            // once, not once a thread
	given(firstThreadEnds, 0, false)          // lsof does not look at the other threads
	given(holdsOnly, unix.CLONE_NEWPID, true) // by the number that our /proc shows

	// A zombie has no files, and its socket is gone.
	kept := len(want)
	end := given(holdsOnly, 0, true)
	end()
	want, lsofs = want[:kept], lsofs[:len(lsofs)-1]

	slices.SortFunc(want, func(a, b string) int { return slices.CompareFunc(strings.Fields(a), strings.Fields(b), compareNumbers) })
	slices.Sort(lsofs)
	var here string
	if err := ns.Do(func() (err error) {
		here, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	// The walk's /proc shows process 1's network namespace without a word on it.
	tcp := " FROM tcp_sockets WHERE net_namespace = '" + strings.Trim(here, "net:[]") + "'"
	statements := []string{
		"SELECT inode, pid, fd FROM socket_processes WHERE inode IN (" + strings.Join(inodes, ", ") + ")",
		holdersSource,
		"SELECT inode, pid, fd FROM socket_processes",
		"SELECT inode, pid, fd" + tcp,
		"SELECT inode, holders" + tcp,
	}
	check := func(way string, results [][]tableRow) {
		t.Helper()
		var lowest, all []string
		for i, line := range want {
			f := strings.Fields(line)
			first := i == 0 || !strings.HasPrefix(want[i-1], f[0]+" ")
			name := f[1] + "/" + filepath.Base(os.Args[0])
			switch {
			case first:
				lowest = append(lowest, line)
				all = append(all, f[0]+" "+name)
			case !strings.HasSuffix(all[len(all)-1], name):
				all[len(all)-1] += "," + name
			}
		}
		for i, want := range map[int][]string{0: want, 2: want, 3: lowest, 4: all} {
			var got []string
			for _, r := range results[i] {
				if !slices.Contains(inodes, r["inode"]) {
					continue
				}
				if i == 4 {
					got = append(got, r["inode"]+" "+r["holders"])
				} else {
					got = append(got, r["inode"]+" "+r["pid"]+" "+r["fd"])
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("%s: %s\ngot  %q\nwant %q", way, statements[i], got, want)
			}
		}
	}
	results := walked(t, ns, statements...)
	if source := results[1][0]["last_source"]; source != "procfs" {
		t.Fatalf("%s is read, not /proc", source)
	}
	check("walk", results)

	var theirs []string
	for _, line := range lsofHolders(t, ns) {
		if inode, _, _ := strings.Cut(line, " "); slices.Contains(inodes, inode) {
			theirs = append(theirs, line)
		}
	}
	if !slices.Equal(theirs, lsofs) {
		t.Errorf("lsof shows %q, want %q", theirs, lsofs)
	}

	needIterator(t, ns)
	results = queries(t, ns, "/proc", statements...)
	if source := results[1][0]["last_source"]; source != "bpf" {
		t.Fatalf("%s is read, not the iterator", source)
	}
	check("iterator", results)
}

// compareNumbers compares decimal numbers; process numbers start again at the
// largest.
func compareNumbers(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// In another PID namespace with its own /proc processes have other numbers than
// those that the iterator tells.
func TestHoldersInsideAPIDNamespace(t *testing.T) {
	ns := netnstest.New(t)
	fd, inode := listenIn(t, ns)
	defer unix.Close(fd)
	defer openManyFiles(t)()
	// unshare execs the program as process 1 of the namespace, with the socket.
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", program, "query", "--json",
		"SELECT inode, pid, fd FROM socket_processes;"+holdersSource+";SELECT inode, pid, program FROM tcp_sockets")
	defer inherit(t, cmd, fd)()
	var out []byte
	err := ns.Do(func() (err error) {
		out, err = cmd.Output()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	results := decode(t, out)
	for i, column := range map[int]string{0: "fd", 2: "program"} {
		want := tableRow{"inode": inode, "pid": "1", column: map[string]string{"fd": "3", "program": filepath.Base(program)}[column]}
		for _, r := range results[i] {
			if r["pid"] != "1" {
				t.Errorf("%v holds a socket in a namespace of one process", r)
			}
		}
		if !slices.ContainsFunc(results[i], func(r tableRow) bool { return maps.Equal(r, want) }) {
			t.Errorf("got %v, want %v", results[i], want)
		}
	}
	if source, reason := results[1][0]["last_source"], results[1][0]["reason"]; source != "procfs" || !strings.Contains(reason, "PID namespace") {
		t.Errorf("%s is read: %s", source, reason)
	}
}

// programForAll copies the program to where every user may run it.
func programForAll(t *testing.T) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sockets-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "sockets.ext")
	binary, err := os.ReadFile(program)
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(path, binary, 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a user without root sees follows from the capabilities.
func TestHoldersByCapabilities(t *testing.T) {
	ns := netnstest.New(t)
	const nobody = 65534
	theirs, theirInode := listenIn(t, ns)
	defer unix.Close(theirs)
	ours, ourInode := listenIn(t, ns)
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	started := inherit(t, cmd, ours)
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	started()
	unix.Close(ours)
	defer cmd.Wait()
	defer cmd.Process.Kill()

	copied := programForAll(t)
	done := needIterator(t, ns)
	const refused = "the BPF iterator is refused: it needs root, or CAP_BPF and CAP_PERFMON"
	const denied = "the files of some processes may not be read"
	cases := []struct {
		name           string
		capabilities   []uintptr
		source, reason string
		warns          bool
	}{
		{"none", nil, "procfs", refused, true},
		{"CAP_BPF", []uintptr{unix.CAP_BPF}, "procfs", refused, true},
		{"CAP_PERFMON", []uintptr{unix.CAP_PERFMON}, "procfs", refused, true},
		{"CAP_BPF and CAP_PERFMON", []uintptr{unix.CAP_BPF, unix.CAP_PERFMON}, "bpf", "", false},
		{"CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", []uintptr{unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH}, "procfs", refused, false},
	}
	// With few files the walk comes first, and what it may not see makes no difference.
	for _, many := range []bool{true, false} {
		if !many {
			done()
		}
		for _, c := range cases {
			var stdout, stderr bytes.Buffer
			query := exec.CommandContext(t.Context(), copied, "query", "--json",
				"SELECT inode, pid FROM tcp_sockets; SELECT inode, pid FROM tcp_sockets WHERE state = 'LISTEN'; "+holdersSource+"; SELECT DISTINCT inode, pid FROM socket_processes; "+
					fmt.Sprintf("SELECT DISTINCT inode, pid FROM socket_processes WHERE pid IN (%d, %d)", os.Getpid(), cmd.Process.Pid))
			query.Dir, query.Stdout, query.Stderr = "/", &stdout, &stderr
			query.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: c.capabilities}
			if err := ns.Do(query.Run); err != nil {
				t.Fatalf("%s: %v: %s", c.name, err, &stderr)
			}
			results := decode(t, stdout.Bytes())
			source, reason := results[2][0]["last_source"], results[2][0]["reason"]
			if source != c.source || many && !strings.HasPrefix(reason, c.reason) {
				t.Errorf("%s, many files %v: %s is read: %q", c.name, many, source, reason)
			}
			// A sandbox may keep its first process from everybody.
			_, sealed := os.Readlink("/proc/1/fd/0")
			if n := strings.Count(stderr.String(), denied); c.warns && n != 1 || !c.warns && n > 0 && (c.source == "bpf" || !errors.Is(sealed, fs.ErrPermission)) {
				t.Errorf("%s: %d warnings: %s", c.name, n, &stderr)
			}
			// The holder of every socket, "" where it is not seen; no row then has it.
			want := map[string]string{theirInode: strconv.Itoa(os.Getpid()), ourInode: strconv.Itoa(cmd.Process.Pid)}
			if c.warns {
				want[theirInode] = ""
			}
			for _, i := range []int{0, 1, 3, 4} {
				got := map[string]string{}
				for _, r := range results[i] {
					got[r["inode"]] += r["pid"]
				}
				for inode, pid := range want {
					if held, ok := got[inode]; held != pid || ok != (i < 3 || pid != "") {
						t.Errorf("%s: statement %d gives %s the process %q, want %q", c.name, i, inode, held, pid)
					}
				}
			}
		}
	}
}

// Processes that end while they are looked at, and zombies, are no errors.
func TestHoldersOfTheDying(t *testing.T) {
	ns := netnstest.New(t)
	sockets := ns.Populate(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
			cmd := exec.Command("true")
			if cmd.Start() == nil {
				time.Sleep(time.Millisecond) // a zombie until then
				cmd.Wait()
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		r := queries(t, ns, "/proc", "SELECT count(*) AS n FROM tcp_sockets WHERE pid IS NOT NULL")
		if n, err := strconv.Atoi(r[0][0]["n"]); err != nil || n < len(sockets)/4 {
			t.Fatalf("%s sockets have a holder, %v", r[0][0]["n"], errors.Join(err))
		}
	}
}
