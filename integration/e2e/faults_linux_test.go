package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// A system call that fails fails the query, or the answer is whole: rows are
// never lost.
func TestFaults(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	if _, err := exec.LookPath("strace"); err != nil {
		netnstest.SkipOrFail(t, "strace is not installed")
	}
	for name, c := range map[string]struct{ proc, sql string }{
		"netlink": {"/proc", "SELECT proto, local_address, local_port, remote_port, state, inode FROM tcp_sockets WHERE state IN ('LISTEN', 'ESTABLISHED')"},
		"procfs":  {onlyProc, "SELECT proto, local_address, local_port, remote_port, state, inode FROM udp_sockets"},
		"holders": {"/proc", "SELECT inode, pid, program, fd FROM tcp_sockets WHERE state = 'LISTEN'"},
	} {
		want, _, err := underFault(t, ns, "", c.proc, c.sql)
		if err != nil || len(want) < 20 {
			t.Fatalf("%s: %d rows, %v", name, len(want), err)
		}
		for _, f := range faults {
			for _, errno := range f.errnos {
				for _, when := range []string{"1", "3", "2+"} {
					if errno == "EINTR" && when == "2+" {
						when = "2+2" // who tries again must once have his way
					}
					fault := fmt.Sprintf("%s:error=%s:when=%s", f.call, errno, when)
					got, stderr, err := underFault(t, ns, fault, c.proc, c.sql)
					switch {
					case err == nil && !slices.Equal(got, want):
						t.Errorf("%s, %s: %d rows in place of %d, and no error", name, fault, len(got), len(want))
					case err != nil && !strings.Contains(stderr, "sockets.ext query: "):
						t.Errorf("%s, %s: %v, and no words but %q", name, fault, err, stderr)
					}
				}
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
	args = append(args, program, "query", "--csv", "--header=false", "--proc", proc, sql)
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	run := ns.Do(func() error {
		c := exec.CommandContext(ctx, args[0], args[1:]...)
		c.Stdout, c.Stderr = &out, &errs
		return c.Run()
	})
	if ctx.Err() != nil {
		t.Fatalf("%s: the query hangs", fault)
	}
	if run != nil && !errors.As(run, new(*exec.ExitError)) {
		t.Fatal(run)
	}
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimSpace(line))
	}
	slices.Sort(lines)
	return lines, errs.String(), run
}
