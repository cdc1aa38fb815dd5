package netnstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// commandTimeout bounds every program that runs in a namespace.
const commandTimeout = 30 * time.Second

// MustRunEnv names the environment variable that, set to 1, turns the skips of
// [SkipOrFail] into failures. It is set where everything a test needs is there.
const MustRunEnv = "SOCKETS_MUST_RUN"

// SkipOrFail skips a test that this machine cannot run: a privilege, a kernel
// feature or a program is missing. Where [MustRunEnv] is 1 the test fails.
func SkipOrFail(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv(MustRunEnv) == "1" {
		t.Fatalf("%s=1 forbids to skip: %s", MustRunEnv, reason)
	}
	t.Skip(fmt.Errorf("%s: %w", reason, errors.ErrUnsupported))
}

// SkipOrFailOn is [SkipOrFail] if err is for want of a privilege or of support. Any
// other error fails the test.
func SkipOrFailOn(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrPermission) {
		t.Fatal(err)
	}
	SkipOrFail(t, err.Error())
}

// NotInThisKernel skips a test of something that this machine's kernel lacks, and
// kernels that make kernels boots have. It does so where [MustRunEnv] is 1 too:
// there make kernels allows it for listed reasons only.
func NotInThisKernel(t testing.TB, what string) {
	t.Helper()
	t.Skip(fmt.Errorf("not in this kernel: %s: %w", what, errors.ErrUnsupported))
}

// OwnMachineEnv names the environment variable that is 1 where the whole machine
// is the tests' own, as under make kernels.
const OwnMachineEnv = "SOCKETS_OWN_MACHINE"

// NeedOwnMachine skips a test that changes the first network namespace, unless
// the machine is its own; see [NotInThisKernel].
func NeedOwnMachine(t testing.TB) {
	t.Helper()
	if os.Getenv(OwnMachineEnv) != "1" {
		t.Skip(fmt.Errorf("this changes the machine's own network, and make kernels runs it: %w", errors.ErrUnsupported))
	}
}

// NS is a network namespace that lives as long as its test. Its only interface
// is the loopback, which is up and has 127.0.0.0/8 and ::1.
type NS struct {
	work chan func()   // what the namespace's thread runs next
	quit chan struct{} // closed by End
	once sync.Once     // of End
	done chan struct{} // closed when the thread is gone
}

// New makes a network namespace for the test and ends it with the test. It
// skips the test, see [SkipOrFail], where that is not permitted or not
// supported.
func New(t testing.TB) *NS {
	t.Helper()
	ns := &NS{work: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	ready := make(chan error, 1)
	go ns.run(ready)
	t.Cleanup(ns.End)
	err := <-ready
	if errors.Is(err, errors.ErrUnsupported) {
		SkipOrFail(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// End ends the namespace's thread before the end of the test, and so the namespace
// unless something else keeps it.
func (ns *NS) End() {
	ns.once.Do(func() { close(ns.quit) })
	<-ns.done
}

// run is the namespace's thread. It stays locked to its goroutine, so the Go
// runtime throws the thread away at the end instead of reusing it.
func (ns *NS) run(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The process's first thread cannot be thrown away, and /proc/self
		// shows its namespace: leave it alone, run on another.
		moved := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(moved)
			ns.serve(ready)
		}()
		<-moved
		runtime.UnlockOSThread()
		return
	}
	ns.serve(ready)
}

// serve enters a fresh namespace and runs what Do hands over until the test
// ends.
func (ns *NS) serve(ready chan<- error) {
	defer close(ns.done)
	if err := Unshare(); err != nil {
		ready <- err
		return
	}
	ready <- nil
	for {
		select {
		case f := <-ns.work:
			f()
		case <-ns.quit:
			return
		}
	}
}

// Do runs f on the namespace's thread: sockets that f makes and programs that
// it starts belong to the namespace, and /proc/thread-self/net shows it. Calls
// are run one at a time; f must not call Do, nor end its goroutine as t.Fatal
// does.
func (ns *NS) Do(f func() error) error {
	result := make(chan error, 1)
	select {
	case ns.work <- func() { result <- f() }:
	case <-ns.done:
		return errors.New("netnstest: the namespace has ended")
	}
	select {
	case err := <-result:
		return err
	case <-ns.done:
		return errors.New("netnstest: the function ended the namespace's thread")
	}
}

// Command runs a program in the namespace, in the C locale, and returns what
// it writes to its standard output. It is ended when ctx ends, at the latest
// after half a minute.
func (ns *NS) Command(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second // for output that a grandchild holds open
	err := ns.Do(cmd.Start)     // a child inherits the namespace of the thread that forks it
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return stdout.Bytes(), fmt.Errorf("%s: %w: %s", cmd, errors.Join(err, ctx.Err()), bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// Unshare moves the calling thread into a fresh network namespace and brings
// its loopback up. A missing privilege or kernel feature is errors.ErrUnsupported.
func Unshare() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("no new network namespace: not privileged or not built into the kernel: %w (%w)", err, errors.ErrUnsupported)
		}
		return fmt.Errorf("no new network namespace: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	if bindsLoopback6() == nil {
		return nil
	}
	// A namespace may start with IPv6 switched off, as its parent's defaults say.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6", []byte("0"), 0); err != nil {
		return fmt.Errorf("switch IPv6 on: %w (%w)", err, errors.ErrUnsupported)
	}
	if err := bindsLoopback6(); err != nil {
		return fmt.Errorf("bind ::1: %w (%w)", err, errors.ErrUnsupported)
	}
	return nil
}

// loopbackUp sets the flag IFF_UP of lo, see netdevice(7).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return err
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// bindsLoopback6 reports whether ::1 is there to be used.
func bindsLoopback6() error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet6{Addr: [16]byte{15: 1}})
}
