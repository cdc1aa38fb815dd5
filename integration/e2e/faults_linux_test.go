package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// faults are the errors that system calls are made to give, by strace.
var faults = []struct {
	call   string
	errnos []string
}{
	{"socket", []string{"EMFILE", "ENFILE", "ENOBUFS", "EPERM", "EAFNOSUPPORT"}},
	{"setsockopt", []string{"ENOPROTOOPT", "EPERM"}},
	{"sendto", []string{"ENOBUFS", "EPERM", "ECONNREFUSED", "EINTR"}},
	{"recvfrom", []string{"EINTR", "EAGAIN", "ENOBUFS", "ENOMEM", "EIO"}},
	{"openat", []string{"EMFILE", "ENFILE", "ENOMEM", "EIO", "EINTR"}},
	{"read", []string{"EINTR", "EIO", "ENOMEM"}},
	{"getdents64", []string{"EINTR", "EIO", "ENOMEM"}},
	{"readlinkat", []string{"EIO", "ENOMEM", "EINTR"}},
	{"newfstatat", []string{"EIO", "ENOMEM"}},
}

// faultRow is a row of the table of faults: see faultsEnv.
type faultRow struct {
	fault          string
	times, errors  int
	sees, recovery string
}

// add counts a query that was answered as a whole, or failed.
func (r *faultRow) add(err error) {
	r.times++
	if err != nil {
		r.errors++
	}
	switch {
	case r.errors == 0:
		r.sees = "the whole answer"
	case r.errors == r.times:
		r.sees = "an error that names it"
	default:
		r.sees = fmt.Sprintf("the whole answer %d times, else an error that names it", r.times-r.errors)
	}
	r.recovery = "the next query"
}

// faultsEnv, in the environment, names the file to which the tests write what
// faults they injected: make faults.
const faultsEnv = "SOCKETS_FAULTS"

var faultReport []faultRow

// report adds a row to the table of faults.
func report(r faultRow) { faultReport = append(faultReport, r) }

// writeFaults writes the table, if it is asked for.
func writeFaults() error {
	path := os.Getenv(faultsEnv)
	if path == "" {
		return nil
	}
	slices.SortFunc(faultReport, func(a, b faultRow) int { return strings.Compare(a.fault, b.fault) })
	var b strings.Builder
	b.WriteString("# Faults\n\nWhat the tests injected, and what came of it; printed by them (`make faults`).\n\n")
	b.WriteString("| fault | times | what the user sees | recovery | rows lost |\n|---|---|---|---|---|\n")
	for _, r := range faultReport {
		fmt.Fprintf(&b, "| %s | %d | %s | %s | 0 |\n", r.fault, r.times, r.sees, r.recovery)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// A system call that fails fails the query, or the answer is whole: rows are
// never lost.
func TestFaults(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	if _, err := exec.LookPath("strace"); err != nil {
		netnstest.SkipOrFail(t, "strace is not installed")
	}
	for name, c := range map[string]struct{ of, proc, sql string }{
		"netlink": {"sockets by netlink", "/proc", "SELECT proto, local_address, local_port, remote_port, state, inode FROM tcp_sockets WHERE state IN ('LISTEN', 'ESTABLISHED')"},
		"procfs":  {"sockets by /proc", onlyProc, "SELECT proto, local_address, local_port, remote_port, state, inode FROM udp_sockets"},
		"holders": {"sockets and their holders", "/proc", "SELECT inode, pid, program, fd FROM tcp_sockets WHERE state = 'LISTEN'"},
	} {
		want, _, err := underFault(t, ns, "", c.proc, c.sql)
		if err != nil || len(want) < 20 {
			t.Fatalf("%s: %d rows, %v", name, len(want), err)
		}
		for _, f := range faults {
			for _, errno := range f.errnos {
				seen := faultRow{fault: fmt.Sprintf("%s fails with %s, in a query of %s", f.call, errno, c.of)}
				for _, when := range []string{"1", "3", "2+"} {
					if errno == "EINTR" && when == "2+" {
						when = "2+2" // who tries again must once have his way
					}
					fault := fmt.Sprintf("%s:error=%s:when=%s", f.call, errno, when)
					got, stderr, err := underFault(t, ns, fault, c.proc, c.sql)
					seen.add(err)
					switch {
					case err == nil && !slices.Equal(got, want):
						t.Errorf("%s, %s: %d rows in place of %d, and no error", name, fault, len(got), len(want))
					case err != nil && !strings.Contains(stderr, "sockets.ext query: "):
						t.Errorf("%s, %s: %v, and no words but %q", name, fault, err, stderr)
					}
				}
				report(seen)
			}
		}
	}
}

// hangs is how long a query under a fault may take: longer than the kernel may be
// silent.
const hangs = 30 * time.Second

// underFault runs a query while strace injects a fault, and returns its sorted
// lines.
func underFault(t *testing.T, ns *netnstest.NS, fault, proc, sql string) (lines []string, stderr string, err error) {
	t.Helper()
	args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=none"}
	if call, _, ok := strings.Cut(fault, ":"); ok {
		args = append(args, "-e", "trace="+call, "-e", "inject="+fault)
	}
	run := ns.Do(func() error {
		lines, stderr, err = straced(t, args, proc, sql)
		return nil
	})
	return lines, stderr, cmp.Or(run, err)
}

// straced runs a query by a command that begins with strace, and returns its sorted
// lines.
func straced(t *testing.T, args []string, proc, sql string) (lines []string, stderr string, err error) {
	t.Helper()
	args = append(args, program, "query", "--csv", "--header=false", "--proc", proc, sql)
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Stdout, c.Stderr = &out, &errs
	run := c.Run()
	if ctx.Err() != nil {
		t.Errorf("%s: the query hangs", args)
	}
	if run != nil && !errors.As(run, new(*exec.ExitError)) {
		t.Error(run)
	}
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	slices.Sort(lines)
	return lines, errs.String(), run
}
