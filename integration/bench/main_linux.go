// Command bench compares sockets.ext with netstat, ss, lsof and the kernel itself on
// a host with many sockets. It makes the host: a network namespace of its own
// with TCP connections over its loopback, which end with the program however
// that ends. It needs root.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// roleEnv makes this program one of its own helpers.
const roleEnv = "SOCKETS_BENCH_ROLE"

func main() {
	role, argument, _ := strings.Cut(os.Getenv(roleEnv), " ")
	var err error
	switch role {
	case "":
		err = bench()
	case "hold":
		err = hold(argument)
	case "dump":
		err = bareDump()
	case "read":
		err = readProc()
	case "load":
		err = load()
	default:
		err = fmt.Errorf("%s=%s", roleEnv, role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// perHolder is how many sockets one process holds: its files, of which a
// process may usually have 20,000.
const perHolder = 18_000

// commandTimeout bounds each measured program.
const commandTimeout = 5 * time.Minute

func bench() error {
	sockets := flag.Int("sockets", 100_000, "TCP sockets on the host")
	runs := flag.Int("runs", 5, "runs of each program, interleaved; medians are shown")
	asJSON := flag.Bool("json", false, "print JSON")
	program := flag.String("program", "bin/sockets.ext", "the sockets.ext to measure")
	empty := flag.String("empty", "bin/empty", "a Go program that does nothing, to compare SELECT 1 with")
	only := flag.String("only", "", "measure the questions that match this regular expression")
	busy := flag.Int("load", 0, "processes that keep a core busy meanwhile")
	flag.Parse()
	asked, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	if *sockets < 0 || *runs < 1 || *busy < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ours, err := filepath.Abs(*program)
	if err != nil {
		return err
	}
	if _, err := os.Stat(ours); err != nil {
		return fmt.Errorf("%w: make build", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The namespace is that of this thread; children inherit it.
	runtime.LockOSThread()
	if err := netnstest.Unshare(); err != nil {
		return err
	}
	progress := func(format string, args ...any) {
		if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprintf(os.Stderr, "\r\033[K"+format, args...)
		}
	}
	defer progress("")

	holderPID := os.Getpid() // without any holder: a process without TCP sockets
	for made, holder := 0, 0; made < *sockets; holder++ {
		n := min(perHolder, *sockets-made)
		progress("making sockets: %d of %d", made, *sockets)
		pid, end, err := startHolder(ctx, holder, n)
		if err != nil {
			return err
		}
		if made == 0 {
			holderPID = pid
		}
		defer end()
		made += n
	}
	for range *busy {
		_, end, err := startHelper(ctx, "load")
		if err != nil {
			return err
		}
		defer end()
	}
	b := &benchmark{ctx: ctx, runs: *runs, buf: make([]byte, 64<<10)}
	report := report{Sockets: *sockets, Runs: *runs, Load: *busy, Kernel: kernelRelease()}
	for _, q := range questions(ours, *empty, strconv.Itoa(holderPID)) {
		if !asked.MatchString(q.name) {
			continue
		}
		progress("measuring: %s", q.name)
		if *sockets == 0 { // finding none is a failure to lsof
			q.programs = slices.DeleteFunc(q.programs, func(p contestant) bool { return p.title == "lsof" })
		}
		r, err := b.measure(q)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		report.Questions = append(report.Questions, r)
	}
	if *only == "" {
		progress("measuring: osquery's wire")
		if report.Wire, err = b.wire(ours); err != nil {
			return fmt.Errorf("wire: %w", err)
		}
	}
	progress("")
	if *asJSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	report.print(os.Stdout)
	return nil
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// question is asked of every program that can answer it, ours first.
type question struct {
	name     string
	programs []contestant
}

// contestant is a program with the arguments that ask a question.
type contestant struct {
	title string
	path  string
	args  []string
	role  string // of this program's own helpers
}

// questions returns them; holder is a process with sockets.
func questions(ours, empty, holder string) []question {
	sql := func(text string) contestant {
		return contestant{title: "ours", path: ours, args: []string{"query", "--csv", "--header=false", text}}
	}
	command := func(args ...string) contestant { return contestant{title: "ours", path: ours, args: args} }
	program := func(name string) func(...string) contestant {
		return func(args ...string) contestant { return contestant{title: name, path: name, args: args} }
	}
	netstat, ss, lsof := program("netstat"), program("ss"), program("lsof")
	dump, read := contestant{title: "dump", role: "dump"}, contestant{title: "/proc", role: "read"}
	const netstatColumns = "SELECT proto, recv_q, send_q, local_address, local_port, remote_address, remote_port, state"
	return []question{
		{"who listens", []contestant{sql(netstatColumns + " FROM tcp_sockets WHERE state = 'LISTEN'"), netstat("-ltn"), ss("-Hltn")}},
		{"one local port", []contestant{sql(netstatColumns + " FROM tcp_sockets WHERE local_port = 40000"), ss("-Hatn", "sport = :40000")}},
		{"listeners, or one port", []contestant{sql(netstatColumns + " FROM tcp_sockets WHERE state = 'LISTEN' OR local_port = 40000")}},
		{"one connection", []contestant{
			sql(netstatColumns + " FROM tcp_sockets WHERE local_address = '127.1.0.0' AND local_port = 40000 AND remote_address = '127.1.0.1' AND remote_port = 20000"),
			ss("-Hatn", "src 127.1.0.0:40000 and dst 127.1.0.1:20000")}},
		{"count of all", []contestant{sql("SELECT count(*) FROM tcp_sockets"), dump, read}},
		{"count by state", []contestant{sql("SELECT state, count(*) FROM tcp_sockets GROUP BY state"), dump, read}},
		{"what netstat -atn shows", []contestant{sql(netstatColumns + " FROM tcp_sockets"), netstat("-atn"), ss("-Hatn"), dump, read}},
		{"the same with timers, owner", []contestant{
			sql(netstatColumns + ", uid, inode, timer, timer_expires_ms, retransmits, probes FROM tcp_sockets"), netstat("-atneo"), ss("-Hatneo")}},
		{"who listens, with program", []contestant{
			sql("SELECT local_address, local_port, pid, program FROM tcp_sockets WHERE state = 'LISTEN'"), netstat("-ltnp"), ss("-Hltnp"), lsof("-nP", "-iTCP", "-sTCP:LISTEN")}},
		{"all sockets with program", []contestant{
			sql("SELECT proto, local_address, local_port, remote_address, remote_port, state, pid, program FROM tcp_sockets"), netstat("-atnp"), ss("-Hatnp"), lsof("-nP", "-iTCP")}},
		{"who holds any socket", []contestant{sql("SELECT inode, pid, fd, program FROM socket_processes"), lsof("-nP", "-iTCP")}},
		{"sockets of one process", []contestant{
			sql("SELECT proto, local_address, local_port, remote_address, remote_port, state, pid, program FROM tcp_sockets WHERE pid = " + holder), lsof("-nP", "-a", "-p", holder, "-iTCP")}},
		{"with timers and uid", []contestant{sql(netstatColumns + ", uid, timer, timer_expires_ms FROM tcp_sockets"), ss("-Hatno")}},
		{"tcp_info of all", []contestant{
			sql("SELECT local_address, local_port, remote_address, remote_port, state, rtt_us, cwnd, retrans_total, bytes_acked, bytes_received, delivery_rate_bytes_per_second FROM tcp_info"), ss("-Htni")}},
		{"listening_services", []contestant{sql("SELECT protocol, address, port, service, exposure, owner, program, username FROM listening_services"), ss("-Hltunp")}},
		{"our listening", []contestant{command("listening"), ss("-Hltunp")}},
		{"our why 20000", []contestant{command("why", "20000"), ss("-Hltnp", "sport = :20000")}},
		{"our netstat -atn", []contestant{command("netstat", "-atn"), netstat("-atn")}},
		{"our netstat -ltn", []contestant{command("netstat", "-ltn"), netstat("-ltn")}},
		{"our netstat -atnp", []contestant{command("netstat", "-atnp"), netstat("-atnp")}},
		{"SELECT 1", []contestant{sql("SELECT 1"), {title: "empty", path: empty}}},
		{"--version", []contestant{command("--version"), {title: "empty", path: empty}}},
	}
}

// measured is one program's medians.
type measured struct {
	Program string  `json:"program"`
	Wall    float64 `json:"wall_ms"`
	CPU     float64 `json:"cpu_ms"` // user and system
	Memory  int64   `json:"peak_kib"`
	Lines   int     `json:"lines"`
}

// answer is how the programs did on a question, ours first. Those that are not
// installed are left out.
type answer struct {
	Name     string     `json:"question"`
	Programs []measured `json:"programs"`
}

type benchmark struct {
	ctx  context.Context
	runs int
	buf  []byte // for output; the reader must not take a core from the measured
}

// measure runs the programs in turn.
func (b *benchmark) measure(q question) (answer, error) {
	self, err := os.Executable()
	if err != nil {
		return answer{}, err
	}
	var programs []contestant
	for _, p := range q.programs {
		if p.role != "" {
			p.path = self
		}
		if _, err := exec.LookPath(p.path); err == nil {
			programs = append(programs, p)
		}
	}
	all := make([][]measured, len(programs))
	for range b.runs {
		for i, p := range programs {
			m, err := b.run(p.path, p.args, p.role)
			if err != nil {
				return answer{}, err
			}
			all[i] = append(all[i], m)
		}
	}
	a := answer{Name: q.name}
	for i, p := range programs {
		m := median(all[i])
		m.Program = p.title
		a.Programs = append(a.Programs, m)
	}
	return a, nil
}

// run runs a program once. Its output goes through a pipe, as it does for
// those who use it.
func (b *benchmark) run(name string, args []string, role string) (m measured, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", roleEnv+"="+role)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return m, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return m, err
	}
	for {
		n, err := out.Read(b.buf)
		m.Lines += bytes.Count(b.buf[:n], []byte("\n"))
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		return m, fmt.Errorf("%s: %w\n%s", cmd, errors.Join(err, ctx.Err()), &said)
	}
	m.Wall = milliseconds(time.Since(start))
	m.CPU = milliseconds(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())
	m.Memory = int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	return m, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(all []measured) measured {
	middle := func(get func(measured) float64) float64 {
		var values []float64
		for _, m := range all {
			values = append(values, get(m))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return measured{
		Wall:   middle(func(m measured) float64 { return m.Wall }),
		CPU:    middle(func(m measured) float64 { return m.CPU }),
		Memory: int64(middle(func(m measured) float64 { return float64(m.Memory) })),
		Lines:  all[len(all)-1].Lines,
	}
}

// wireAnswer is a request to sockets.ext over osquery's Thrift.
type wireAnswer struct {
	Name string  `json:"request"`
	Rows int     `json:"rows"`
	Wall float64 `json:"wall_ms"`
	// Error is sockets.ext's, such as that an answer is too large for osquery.
	Error string `json:"error,omitempty"`
}

// untested is where the test kit runs outside of a test. What would fail a test
// panics.
type untested struct{ cleanups []func() }

func (t *untested) Helper()                           {}
func (t *untested) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *untested) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *untested) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *untested) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// wire asks sockets.ext as osquery does.
func (b *benchmark) wire(ours string) (answers []wireAnswer, err error) {
	t := &untested{}
	defer t.end()
	manager := osquerytest.New(t)
	cmd := exec.CommandContext(b.ctx, ours, "--socket", manager.Socket())
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, cmd.Wait())
	}()
	manager.WaitFor("sockets")
	numeric, visible := columns(manager)
	for _, request := range []struct {
		name    string
		columns []string
	}{
		{"count(*)", nil},
		{"3 columns", []string{"local_address", "local_port", "state"}},
		{"all visible numeric columns", numeric},
		{"all visible columns", visible},
	} {
		used, err := json.Marshal(append([]string{}, request.columns...))
		if err != nil {
			return nil, err
		}
		var walls []measured
		a := wireAnswer{Name: request.name}
		for range b.runs {
			start := time.Now()
			rows, err := manager.Generate(b.ctx, "tcp_sockets", `{"constraints":[],"colsUsed":`+string(used)+`}`)
			if err != nil {
				a.Error = err.Error()
			}
			a.Rows = len(rows)
			walls = append(walls, measured{Wall: milliseconds(time.Since(start))})
		}
		a.Wall = median(walls).Wall
		answers = append(answers, a)
	}
	return answers, nil
}

// columns returns the visible columns that sockets.ext registered for
// tcp_sockets.
func columns(m *osquerytest.Manager) (numeric, visible []string) {
	const hidden = 16
	for _, route := range m.Routes("tcp_sockets") {
		if options, err := strconv.Atoi(route["op"]); err != nil || options&hidden != 0 {
			continue
		}
		visible = append(visible, route["name"])
		if route["type"] != "TEXT" {
			numeric = append(numeric, route["name"])
		}
	}
	return numeric, visible
}

type report struct {
	Sockets   int          `json:"sockets"`
	Runs      int          `json:"runs"`
	Load      int          `json:"busy_processes"`
	Kernel    string       `json:"kernel"`
	Questions []answer     `json:"questions"`
	Wire      []wireAnswer `json:"wire"`
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%d TCP sockets, kernel %s, medians of %d interleaved runs of whole processes, milliseconds", r.Sockets, r.Kernel, r.Runs)
	if r.Load > 0 {
		fmt.Fprintf(w, ", beside %d busy processes", r.Load)
	}
	fmt.Fprintf(w, "\nCPU is user and system; ratios are ours to theirs.\n\n")
	fmt.Fprintf(w, "%-28s %-8s %9s %9s %9s %9s %9s\n", "question", "program", "wall", "CPU", "peak KiB", "wall x", "CPU x")
	for _, a := range r.Questions {
		name, ours := a.Name, a.Programs[0]
		for i, m := range a.Programs {
			fmt.Fprintf(w, "%-28s %-8s %9.1f %9.1f %9d", name, m.Program, m.Wall, m.CPU, m.Memory)
			if name = ""; i > 0 {
				fmt.Fprintf(w, " %9.3f %9.3f", ours.Wall/m.Wall, ours.CPU/m.CPU)
			}
			fmt.Fprintln(w)
		}
	}
	if len(r.Wire) == 0 {
		return
	}
	fmt.Fprintf(w, "\nOver osquery's Thrift to a Go client, milliseconds\n\n")
	for _, a := range r.Wire {
		fmt.Fprintf(w, "%-28s %9.1f for %d rows %s\n", a.Name, a.Wall, a.Rows, a.Error)
	}
}

// load keeps a core busy until its input ends.
func load() error {
	var ended atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	fmt.Println("ready")
	for !ended.Load() {
	}
	return nil
}

// startHolder starts a process that holds n sockets, and waits until it does.
func startHolder(ctx context.Context, number, n int) (pid int, end func(), err error) {
	return startHelper(ctx, fmt.Sprintf("hold %d %d", number, n))
}

// startHelper starts this program in a role, and waits until it is ready.
func startHelper(ctx context.Context, role string) (pid int, end func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(cmd.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	end = func() {
		stdin.Close()
		cmd.Wait()
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		end()
		return 0, nil, fmt.Errorf("the helper %q: %q, %w", role, line, errors.Join(err, ctx.Err()))
	}
	return cmd.Process.Pid, end, nil
}

// hold makes a listener and connections to it, says so and waits for the end
// of its input. The first connection is from port 40000.
func hold(argument string) error {
	var number, n int
	if _, err := fmt.Sscan(argument, &number, &n); err != nil {
		return err
	}
	limit := unix.Rlimit{}
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	server := unix.SockaddrInet4{Addr: [4]byte{127, 1, byte(number), 1}, Port: 20000}
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(listener, &server); err != nil {
		return err
	}
	if err := unix.Listen(listener, 128); err != nil {
		return err
	}
	port := 40000
	for made := 1; made+2 <= n; made += 2 {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Bind(client, &unix.SockaddrInet4{Addr: [4]byte{127, 1, byte(number), 0}, Port: port}); err != nil {
			return err
		}
		port++
		if err := unix.Connect(client, &server); err != nil {
			return err
		}
		if _, _, err := unix.Accept(listener); err != nil {
			return err
		}
	}
	if n%2 == 0 && n > 1 { // the odd one out listens too
		second, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Bind(second, &unix.SockaddrInet4{Addr: server.Addr, Port: 20001}); err != nil {
			return err
		}
		if err := unix.Listen(second, 128); err != nil {
			return err
		}
	}
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
