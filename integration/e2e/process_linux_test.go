package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// copyOf copies a program and makes it everybody's to run.
func copyOf(t *testing.T, program, to string) string {
	t.Helper()
	text, err := os.ReadFile(program)
	if err := errors.Join(err, os.WriteFile(to, text, 0o755)); err != nil {
		t.Fatal(err)
	}
	return to
}

// runWith starts a command that has a socket and ends with the test.
func runWith(t *testing.T, ns *netnstest.NS, socket int, cmd *exec.Cmd) (pid int) {
	t.Helper()
	defer inherit(t, cmd, socket)()
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// psOf returns what ps says of a process: the truth of most columns.
func psOf(t *testing.T, pid int) tableRow {
	t.Helper()
	row := make(tableRow)
	for column, format := range map[string]string{"comm": "comm", "parent": "ppid", "uid": "ruid", "euid": "euid", "gid": "rgid", "threads": "nlwp", "security_context": "label"} {
		out, err := exec.Command("ps", "-o", format+"=", "-p", strconv.Itoa(pid)).Output()
		if err != nil {
			t.Fatal(err)
		}
		row[column] = strings.TrimSpace(string(out))
	}
	if row["security_context"] == "-" { // there is no security module
		row["security_context"] = ""
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, set, _ := strings.Cut(string(status), "CapEff:\t")
	set, _, _ = strings.Cut(set, "\n")
	out, err := exec.Command("capsh", "--decode="+set).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, names, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
	row["cap_effective"] = strings.ToUpper(names)
	return row
}

// What a process is, on the tables of sockets and on socket_processes.
func TestWhatAProcessIs(t *testing.T) {
	ns := netnstest.New(t)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		start func(t *testing.T) *exec.Cmd
		after func(t *testing.T)
		want  tableRow
	}{
		{"a program", func(*testing.T) *exec.Cmd {
			cmd := exec.Command(sleep, "60")
			cmd.Dir = dir
			return cmd
		}, nil, tableRow{"cwd": dir, "root": "/", "exe_deleted": "0"}},
		{"another user with another group", func(*testing.T) *exec.Cmd {
			cmd := exec.Command(sleep, "60")
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 2345}}
			return cmd
		}, nil, tableRow{"cwd": "/", "root": "/", "exe_deleted": "0", "uid": "1234", "gid": "2345", "cap_effective": ""}},
		{"a name that is to be escaped", func(t *testing.T) *exec.Cmd {
			cmd := exec.Command(copyOf(t, sleep, filepath.Join(dir, "a\nb) S 1 \xff")), "60")
			cmd.Dir = "/"
			return cmd
		}, nil, tableRow{"cwd": "/", "root": "/", "exe_deleted": "0", "comm": `a\x0ab) S 1 \xff`}},
		{"the executable is removed", func(t *testing.T) *exec.Cmd {
			cmd := exec.Command(copyOf(t, sleep, filepath.Join(dir, "removed")), "60")
			cmd.Dir = "/"
			return cmd
		}, func(t *testing.T) {
			if err := os.Remove(filepath.Join(dir, "removed")); err != nil {
				t.Fatal(err)
			}
		}, tableRow{"cwd": "/", "root": "/", "exe_deleted": "1"}},
		{"the executable is replaced", func(t *testing.T) *exec.Cmd {
			cmd := exec.Command(copyOf(t, sleep, filepath.Join(dir, "replaced")), "60")
			cmd.Dir = "/"
			return cmd
		}, func(t *testing.T) {
			if err := os.Rename(copyOf(t, sleep, filepath.Join(dir, "new")), filepath.Join(dir, "replaced")); err != nil {
				t.Fatal(err)
			}
		}, tableRow{"cwd": "/", "root": "/", "exe_deleted": "1"}},
		{"the executable is called so", func(t *testing.T) *exec.Cmd {
			cmd := exec.Command(copyOf(t, sleep, filepath.Join(dir, "x (deleted)")), "60")
			cmd.Dir = "/"
			return cmd
		}, nil, tableRow{"cwd": "/", "root": "/", "exe_deleted": "0", "comm": "x (deleted)"}},
		{"the working directory is removed", func(t *testing.T) *exec.Cmd {
			gone := filepath.Join(dir, "gone")
			if err := os.Mkdir(gone, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(sleep, "60")
			cmd.Dir = gone
			return cmd
		}, func(t *testing.T) {
			if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
				t.Fatal(err)
			}
		}, tableRow{"cwd": filepath.Join(dir, "gone (deleted)"), "root": "/", "exe_deleted": "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fd, inode := listenIn(t, ns)
			cmd := c.start(t)
			before := time.Now().Unix()
			pid := runWith(t, ns, fd, cmd)
			unix.Close(fd)
			waitComm(t, pid, cmd.Path)
			if c.after != nil {
				c.after(t)
			}
			want := psOf(t, pid)
			for column, value := range c.want {
				want[column] = value
			}
			checkProcess(t, ns, pid, inode, before, want)
		})
	}
	t.Run("another root", func(t *testing.T) {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		fd, inode := listenIn(t, ns)
		before := time.Now().Unix()
		pid, _ := startHolder(t, ns, chroots, 0, fd)
		unix.Close(fd)
		want := psOf(t, pid)
		want["cwd"], want["root"], want["exe_deleted"] = dir, dir, "0"
		checkProcess(t, ns, pid, inode, before, want)
	})
}

// waitComm waits until a process runs the program, and no more what has forked it.
func waitComm(t *testing.T, pid int, path string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
		if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.HasPrefix(string(args), path+"\x00") {
			return
		}
	}
	t.Fatalf("process %d does not run %q", pid, path)
}

// checkProcess compares the columns of a process that holds a socket with the truth.
func checkProcess(t *testing.T, ns *netnstest.NS, pid int, inode string, before int64, want tableRow) {
	t.Helper()
	const columns = "comm, parent, euid, gid, cwd, root, exe_deleted, threads, cap_effective, security_context, started, "
	for _, statement := range []string{
		"SELECT " + columns + "process_uid AS uid FROM tcp_sockets WHERE inode = " + inode,
		"SELECT " + columns + "uid FROM socket_processes WHERE inode = " + inode,
	} {
		rows := query(t, ns, statement)
		if len(rows) != 1 {
			t.Fatalf("%s: %v", statement, rows)
		}
		// The kernel's time of the start is cut to the tick, that of the host to the second.
		if started, err := strconv.ParseInt(rows[0]["started"], 10, 64); err != nil || started < before-2 || started > time.Now().Unix()+1 {
			t.Errorf("%s: process %d has started at %s, after %d", statement, pid, rows[0]["started"], before)
		}
		delete(rows[0], "started")
		if diff := cmp.Diff(want, rows[0]); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", statement, diff)
		}
	}
}
