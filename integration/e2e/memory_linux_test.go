package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/parser/proc"
)

// meterEnv, in the environment, has the test binary be a meter of the program that
// it names.
const meterEnv = "SOCKETS_METER"

// beMeter runs a program and writes the most memory that it had to descriptor 3, in
// MiB; it exits as the program does. A program starts with the peak of the process
// that made it, and the meter's is small, where that of the tests is not.
func beMeter(path string) error {
	c := exec.Command(path, os.Args[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		return err
	}
	peak := int64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) >> 10 // of 32 bits on some
	if _, err := fmt.Fprint(os.NewFile(3, "the peak"), peak); err != nil {
		return err
	}
	os.Exit(c.ProcessState.ExitCode())
	return nil
}

// measured runs the program, whose output nobody reads, and returns its exit code,
// what it wrote to standard error and the most memory that it had, in MiB.
func measured(t *testing.T, args ...string) (code int, stderr string, peak int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hangs)
	defer cancel()
	meter := exec.CommandContext(ctx, "/proc/self/exe", args...)
	meter.Env = append(os.Environ(), meterEnv+"="+program)
	var errs bytes.Buffer
	meter.Stderr = &errs
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	meter.ExtraFiles = []*os.File{out}
	err = meter.Run()
	out.Close()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(in, &peak); err != nil {
		t.Fatalf("no peak: %v, %s", err, errs.String())
	}
	return meter.ProcessState.ExitCode(), errs.String(), peak
}

// A value of 100 MB, which SQLite holds, is printed without a copy of it, in every
// mode.
func TestMemoryOfLargeValue(t *testing.T) {
	for _, mode := range rowfmt.Modes() {
		t.Run(mode, func(t *testing.T) {
			code, stderr, peak := measured(t, "query", "--"+mode, "--memory-limit", "0", "SELECT zeroblob(1e8)")
			if code != 0 || (stderr != "") != (mode == "pretty" || mode == "box") || peak > 160 {
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

// maxPeak is the most memory that the extension may have under an attack, in MiB,
// and maxWait how long a query may then take.
const (
	maxPeak = 256
	maxWait = 10 * time.Second
)

// attackEnv, in the environment, has the test binary attack the extension whose
// socket it names, by the attack whose number follows a colon.
const attackEnv = "SOCKETS_ATTACK"

// attacks are what connections to the extension do, by what they are.
var attacks = []struct {
	name        string
	connections int
	of          func(c net.Conn)
}{
	{"25 connections with a map of 2,000,000 entries", 25, func(c net.Conn) {
		c.Write(request("tcp_sockets", 2_000_000, "context", 1<<20))
		c.Write(bytes.Repeat([]byte{' '}, 1<<20))
	}},
	{"60 unfinished requests of 15 MiB", 60, func(c net.Conn) {
		c.Write(request("tcp_sockets", 2, "context", 15<<20))
		for range 14 {
			c.Write(bytes.Repeat([]byte{' '}, 1<<20))
		}
	}},
	{"40 clients that do not read their answers", 40, func(c net.Conn) {
		const all = `{"constraints":[]}`
		whole := append(request("tcp_sockets", 2, "context", uint32(len(all))), all...)
		c.Write(append(prefixed(prefixed(whole, "action"), "generate"), 0, 0)) // the ends of the arguments
	}},
}

// beAttacker makes an attack, says so and keeps the connections until its standard
// input ends.
func beAttacker(role string) error {
	socket, number, _ := strings.Cut(role, ":")
	i, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	for range attacks[i].connections {
		c, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		go attacks[i].of(c)
	}
	fmt.Println("attacking")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Whoever may connect to the extension's socket cannot make it hold much, and
// keeps osquery from no answer.
func TestMemoryUnderAttack(t *testing.T) {
	ns := netnstest.New(t)
	connectMany(t, ns, 4000)
	for i, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			m := osquerytest.New(t)
			var e *extension
			if err := ns.Do(func() error { e = startExtension(t, m); return nil }); err != nil {
				t.Fatal(err)
			}
			socket := m.ExtensionSocket(m.WaitFor("sockets"))
			attacker := exec.CommandContext(t.Context(), "/proc/self/exe")
			attacker.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d", attackEnv, socket, i))
			attacker.Stderr = os.Stderr
			if _, err := attacker.StdinPipe(); err != nil { // which ends with this process
				t.Fatal(err)
			}
			out, err := attacker.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := attacker.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				attacker.Process.Kill()
				attacker.Wait()
			})
			if _, err := fmt.Fscan(out, new(string)); err != nil {
				t.Fatal(err)
			}
			var longest time.Duration
			for range 20 {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), maxWait)
				rows, err := m.Generate(ctx, "tcp_sockets", `{"constraints":[{"name":"state","list":[{"op":2,"expr":"LISTEN"}]}],"colsUsed":["local_port"]}`)
				cancel()
				if err != nil || len(rows) != 1 {
					t.Errorf("meanwhile: %d rows, %v", len(rows), err)
				}
				longest = max(longest, time.Since(start))
				time.Sleep(100 * time.Millisecond)
			}
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			peak, ok := proc.PeakMemory(status)
			if peak >>= 20; !ok || peak > maxPeak {
				t.Errorf("%d MiB at most", peak)
			}
			sees := fmt.Sprintf("queries meanwhile answered within %d ms", longest.Milliseconds())
			report(faultRow{fault: "the extension is attacked: " + attack.name, times: 1, sees: sees, recovery: fmt.Sprintf("none is needed: %d MiB at most", peak)})
			t.Logf("%s; %d MiB at most", sees, peak)
		})
	}
}

// connectMany makes so many connections in the namespace, to one listener.
func connectMany(t *testing.T, ns *netnstest.NS, n int) {
	t.Helper()
	if err := ns.Do(func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		for range n {
			for _, open := range []func() (net.Conn, error){func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }, l.Accept} {
				c, err := open()
				if err != nil {
					return err
				}
				t.Cleanup(func() { c.Close() })
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// request is the begin of a call of a table, in Thrift's binary protocol, up to the
// length of the first value of the request.
func request(table string, entries uint32, key string, length uint32) []byte {
	b := prefixed([]byte{0x80, 1, 0, 1}, "call")
	b = append(b, 0, 0, 0, 1)                     // sequence number
	b = prefixed(append(b, 11, 0, 1), "table")    // registry
	b = prefixed(append(b, 11, 0, 2), table)      // item
	b = append(b, 13, 0, 3, 11, 11)               // a map of texts
	b = binary.BigEndian.AppendUint32(b, entries) // its size
	return binary.BigEndian.AppendUint32(prefixed(b, key), length)
}

func prefixed(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
