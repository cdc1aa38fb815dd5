package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// nobody is the user of a neighbour.
const nobody = 65534

// neighbour starts a shell script as nobody, with a socket as its file 3, and waits
// until the script writes a line. The script ends by exec sleep.
func neighbour(t *testing.T, ns *netnstest.NS, socket int, script string) (pid int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "neighbour")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("timeout", "120", "sh", "-ec", script)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Setpgid: true}
	defer inherit(t, cmd, socket)()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// long makes 25 nested directories with names of 200 characters and goes into them:
// a path that the kernel tells nobody.
const long = `n=$(printf %0200d 0)
for i in $(seq 25); do mkdir $n; cd -P $n 2>/dev/null || cd $n; done
`

// A neighbour whose files have paths that are too long keeps no query from an
// answer. Its own cells are right as far as they can be told.
func TestPathsThatAreTooLong(t *testing.T) {
	ns := netnstest.New(t)
	sockets := ns.Populate(t)
	socket := sockets[slices.IndexFunc(sockets, func(s netnstest.Socket) bool { return s.State == "LISTEN" })]
	holdSockets(t, ns, sockets[0].FD)
	for name, script := range map[string]string{
		"a directory that is open": long + "exec 4<.; echo $$; exec sleep 100",
		"an executable":            long + "cp $(command -v sleep) odd; echo $$; exec ./odd 100",
		"both":                     long + "cp $(command -v sleep) odd; exec 4<. 5<odd; echo $$; exec ./odd 100",
	} {
		t.Run(name, func(t *testing.T) {
			pid := neighbour(t, ns, socket.FD, script)
			self := strconv.Itoa(os.Getpid())
			statements := []string{
				fmt.Sprintf("SELECT pid, fd, inode FROM socket_processes WHERE pid = %d", pid),
				"SELECT count(*) AS n FROM socket_processes WHERE pid = " + self,
				"SELECT count(*) AS n FROM tcp_sockets WHERE pid > 0 AND program <> ''",
				"SELECT DISTINCT pid, program, exe FROM socket_processes WHERE program = 'sleep' OR program LIKE '%odd'",
				"SELECT complete, reason FROM socket_sources WHERE proto = 'processes'",
			}
			for way, results := range map[string][][]tableRow{"this /proc": queries(t, ns, "/proc", statements...), "a walk": walked(t, ns, statements...)} {
				want := []tableRow{{"pid": strconv.Itoa(pid), "fd": "3", "inode": fmt.Sprint(socket.Inode)}}
				if diff := cmp.Diff(want, results[0]); diff != "" {
					t.Errorf("%s: the neighbour's socket: want (-), got (+):\n%s", way, diff)
				}
				if n, _ := strconv.Atoi(results[1][0]["n"]); n < len(sockets) {
					t.Errorf("%s: %d of %d sockets of ours", way, n, len(sockets))
				}
				i := slices.IndexFunc(results[3], func(r tableRow) bool { return r["pid"] == strconv.Itoa(pid) })
				if odd := name != "a directory that is open"; i < 0 || (results[3][i]["exe"] == "") != odd || len(results[3]) < 2 {
					t.Errorf("%s: programs %v", way, results[3])
				}
				if n, _ := strconv.Atoi(results[2][0]["n"]); n < 10 && way != "a walk" { // of process 1's namespace
					t.Errorf("%s: %d TCP sockets with a program", way, n)
				}
				complete := "1"
				if name != "a directory that is open" {
					complete = "0"
				}
				if r := results[4][0]; r["complete"] != complete || complete == "0" && !strings.Contains(r["reason"], fmt.Sprintf("process %d: readlink", pid)) {
					t.Errorf("%s: %v", way, r)
				}
			}
		})
	}
}

// savedProc makes a saved proc filesystem in which the processes 1, 7, 8 and 9 each
// hold one socket. The first thread of process 8 has ended; the other one is in a
// network namespace of its own.
func savedProc(t *testing.T) string {
	t.Helper()
	proc := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(proc, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("1/net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
	write("1/mountinfo", "")
	for _, pid := range []string{"1", "7", "8", "9"} {
		write(pid+"/exe", "-> /bin/program"+pid)
		write(pid+"/cmdline", "program"+pid+"\x00")
		write(pid+"/comm", "comm"+pid+"\n")
		write(pid+"/cwd", "-> /home/"+pid)
		write(pid+"/root", "-> /srv/none"+pid)
		write(pid+"/status", "Uid:\t1\t2\t3\t4\nCapEff:\t0\n")
		write(pid+"/cgroup", "0::/unit"+pid+"\n")
		write(pid+"/ns/net", "-> net:[402653180"+pid+"]")
		state, thread := "S", pid
		if pid == "8" {
			state, thread = "Z", "8/task/12"
			write("8/fd/closed", "")
			write("8/task/8/ns/net", "-> net:[4026531808]")
			write("8/task/12/ns/net", "-> net:[4026531899]")
		}
		write(pid+"/stat", pid+" (comm) "+state+" 1 1")
		write(thread+"/fd/3", "-> socket:[100"+pid+"]")
	}
	return proc
}

// Each read of another's process, thread or namespace fails with each kind of
// error. Only what this program lacks fails a query; all others keep their rows,
// and what is missing is told.
func TestFaultsOfNeighbours(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		netnstest.SkipOrFail(t, "strace is not installed")
	}
	proc := savedProc(t)
	const holders = "SELECT pid, inode, exe, program, cmdline, comm, cwd, root, euid, parent FROM socket_processes"
	const namespaces = "SELECT pid, inode, container_id FROM network_namespaces"
	for _, c := range []struct {
		call, file, sql string
	}{
		{"readlinkat", "7/exe", holders},
		{"openat", "7/cmdline", holders},
		{"read", "7/cmdline", holders},
		{"openat", "7/comm", holders},
		{"read", "7/comm", holders},
		{"readlinkat", "7/cwd", holders},
		{"readlinkat", "7/root", holders},
		{"openat", "7/status", holders},
		{"read", "7/status", holders},
		{"openat", "7/stat", holders},
		{"read", "7/stat", holders},
		{"openat", "7/cgroup", namespaces},
		{"read", "7/cgroup", namespaces},
		{"openat", "7/fd", holders},
		{"getdents64", "7/fd", holders},
		{"readlinkat", "7/fd", holders},
		{"openat", "8/task", holders},
		{"getdents64", "8/task", holders},
		{"openat", "8/task/12/fd", holders},
		{"getdents64", "8/task/12/fd", holders},
		{"readlinkat", "8/task/12/fd", holders},
		{"readlinkat", "7/ns/net", namespaces},
		{"readlinkat", "8/task/12/ns/net", namespaces},
		{"openat", "8/task", namespaces},
	} {
		ask := func(inject ...string) (lines []string, stderr string, err error) {
			args := append([]string{"strace", "-f", "-qq", "-o", "/dev/null", "-P", filepath.Join(proc, c.file), "-e", "trace=" + c.call}, inject...)
			return straced(t, args, proc, c.sql)
		}
		pid, _, _ := strings.Cut(c.file, "/")
		whole, stderr, err := ask()
		if err != nil || len(whole) < 4 || stderr != "" {
			t.Fatalf("%q, %v: %s", whole, err, stderr)
		}
		for _, f := range []struct {
			errno string
			ours  bool
		}{
			{"ENAMETOOLONG", false}, {"EACCES", false}, {"EPERM", false}, {"EINVAL", false}, {"ENOENT", false}, {"ESRCH", false},
			{"EMFILE", true}, {"ENFILE", true}, {"ENOMEM", true}, {"EIO", true},
		} {
			fault := fmt.Sprintf("%s of a neighbour's %s fails with %s", c.call, c.file, f.errno)
			t.Run(fault, func(t *testing.T) {
				got, stderr, err := ask("-e", fmt.Sprintf("inject=%s:error=%s", c.call, f.errno))
				if (err != nil) != f.ours {
					t.Fatalf("%v: %s", err, stderr)
				}
				seen := faultRow{fault: fault}
				seen.add(err)
				if err == nil {
					seen.sees = "the whole answer of all others"
				}
				report(seen)
				told := strings.Contains(stderr, "process "+pid)
				if err != nil {
					if !told {
						t.Errorf("the error is %s", stderr)
					}
					return
				}
				if diff := cmp.Diff(without(whole, pid), without(got, pid)); diff != "" {
					t.Errorf("of others: want (-), got (+):\n%s", diff)
				}
				gone := f.errno == "ENOENT" || f.errno == "ESRCH"
				notSocket := f.errno == "ENAMETOOLONG" && c.call == "readlinkat" && strings.HasSuffix(c.file, "fd")
				if told == (gone || notSocket) {
					t.Errorf("the warning is %q", stderr)
				}
			})
		}
	}
}

// without returns the lines of other processes than one.
func without(lines []string, pid string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, pid+",") })
}

// An answer that lacks what may not be read has a warning, a row of socket_sources
// and, where it is asked for, an exit code of its own.
func TestIncomplete(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	copied := programForAll(t)
	const asNobody = "setpriv --reuid 65534 --regid 65534 --clear-groups "
	const byProgram = "SELECT pid FROM tcp_sockets WHERE program = 'x'"
	for _, c := range []struct {
		name, script, sql, lacks string
		code                     int
	}{
		{"whole", `exec "$@"`, byProgram, "", 0},
		{"no column of processes", "exec " + asNobody + `"$@"`, "SELECT inode FROM tcp_sockets", "", 0},
		{"nobody", "exec " + asNobody + `"$@"`, byProgram, "holders: the files of some processes may not be read", 3},
		{"nobody and one process", "exec " + asNobody + `"$@"`, fmt.Sprint("SELECT fd FROM socket_processes WHERE pid = ", os.Getpid()), "holders: the files of some processes may not be read", 3},
		{"nobody and namespaces", "exec " + asNobody + `"$@"`, "SELECT inode FROM network_namespaces", "namespaces: some processes may not be looked at", 3},
		{"a namespace that is not there", `exec "$@"`, "SELECT 1 FROM tcp_sockets WHERE net_namespace = '77'", "network namespace 77: ", 3},
		{"hidepid", "mount -t proc -o hidepid=2 proc /proc && exec " + asNobody + `"$@"`, byProgram, "holders: the proc filesystem is mounted with hidepid", 3},
		{"hidepid and namespaces", "mount -t proc -o hidepid=2 proc /proc && exec " + asNobody + `"$@"`, "SELECT inode FROM network_namespaces", "namespaces: the proc filesystem is mounted with hidepid", 3},
		{"something else is mounted on /proc", `mount -t tmpfs none /proc && exec "$@"`, byProgram, "no lists of sockets", 1},
		{"an empty /proc with the lists of one thread", `p=$(mktemp -d) && mount -t proc proc $p && mount -t tmpfs none /proc && mkdir -p /proc/thread-self && mount --bind $p/$$ /proc/thread-self && exec "$@"`, byProgram, "no proc filesystem that shows this process is mounted at /proc", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, flag := range []string{"--fail-incomplete", "--fail-incomplete=false"} {
				var stdout, stderr strings.Builder
				sources := "SELECT reason FROM socket_sources WHERE complete = 0"
				cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", c.script, "sh", copied, "query", "--list", "--header=false", flag, c.sql+";"+sources)
				cmd.Dir, cmd.Stdout, cmd.Stderr = "/", &stdout, &stderr
				if err := ns.Do(cmd.Run); err != nil && cmd.ProcessState == nil {
					t.Fatal(err)
				}
				want := c.code
				if flag != "--fail-incomplete" && want == 3 {
					want = 0
				}
				if code := cmd.ProcessState.ExitCode(); code != want || !strings.Contains(stderr.String(), c.lacks) && flag == "--fail-incomplete" {
					t.Errorf("%s: exit code %d, want %d: %s", flag, code, want, &stderr)
				}
				if _, sealed := os.Readlink("/proc/1/fd/0"); c.code == 0 && sealed == nil && stderr.Len() > 0 {
					t.Errorf("%s: %s", flag, &stderr)
				}
				if c.code != 3 {
					continue
				}
				if _, reason, _ := strings.Cut(c.lacks, ": "); !strings.Contains(stdout.String(), reason) || !strings.Contains(stderr.String(), "warning: ") {
					t.Errorf("%s: %s\n%s", flag, &stdout, &stderr)
				}
			}
		})
	}
}
