package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
)

// measured runs the program, whose output nobody reads, and returns its exit code,
// what it wrote to standard error and the most memory that it had, in MiB.
func measured(t *testing.T, args ...string) (code int, stderr string, peak int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	if err := c.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), errs.String(), int64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) >> 10 // of 32 bits on some
}

// A value of 100 MB, which SQLite holds, is printed without a copy of it, in every
// mode.
func TestMemoryOfLargeValue(t *testing.T) {
	for _, mode := range rowfmt.Modes() {
		t.Run(mode, func(t *testing.T) {
			code, stderr, peak := measured(t, "query", "--"+mode, "--memory-limit", "0", "SELECT zeroblob(1e8)")
			if code != 0 || (stderr != "") != (mode == "pretty") || peak > 160 {
				t.Errorf("exit code %d, %d MiB, %q", code, peak, stderr)
			}
			report(faultRow{fault: "a value of 100 MB, printed by --" + mode, times: 1, sees: "the whole value", recovery: fmt.Sprintf("none is needed: %d MiB at most", peak)})
		})
	}
}

// A query that takes more than the limit fails, and before it takes much more.
func TestMemoryLimitOfQuery(t *testing.T) {
	const endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
	for name, sql := range map[string]string{
		"a sort without an end": endless + "SELECT hex(zeroblob(1000)) || x FROM c ORDER BY 1",
		"a text of 20 GB":       endless + "SELECT group_concat(hex(zeroblob(1e5))) FROM (SELECT x FROM c LIMIT 100000)",
		"one large value":       "SELECT zeroblob(9e8)",
	} {
		t.Run(name, func(t *testing.T) {
			code, stderr, peak := measured(t, "query", "--memory-limit", "128MiB", sql)
			if code != 1 || !strings.Contains(stderr, "the memory limit of 128MiB") || peak > 192 {
				t.Errorf("exit code %d, %d MiB, %q", code, peak, stderr)
			}
			report(faultRow{fault: "a query takes more memory than --memory-limit 128MiB: " + name, times: 1, errors: 1, sees: "exit code 1 and an error that names the limit", recovery: fmt.Sprintf("the next query: %d MiB at most", peak)})
		})
	}
}
