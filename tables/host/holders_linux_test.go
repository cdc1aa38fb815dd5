package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// listeners opens sockets on loopback until the test ends.
func listeners(t testing.TB, n int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
}

// skipOrFail skips a test for want of a privilege or of support, unless it must
// run. Any other error fails it.
func skipOrFail(t testing.TB, err error) {
	t.Helper()
	lacking := errors.Is(err, fs.ErrPermission) || errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, errors.ErrUnsupported)
	if os.Getenv("SOCKETS_MUST_RUN") == "1" || !lacking {
		t.Fatal(err)
	}
	t.Skip(errors.Join(err, errors.ErrUnsupported))
}

// The kernel's iterator and the walk of /proc see the same.
func TestHoldersBothWays(t *testing.T) {
	listeners(t, 100)
	h := New(Options{})
	// Other processes open and close files meanwhile.
	ours := func(all []Holder) []Holder {
		return slices.DeleteFunc(all, func(h Holder) bool { return h.PID != int32(os.Getpid()) })
	}
	for _, f := range []HolderFilter{{}, {Lowest: true}, {PIDs: []int32{int32(os.Getpid())}}} {
		walked, _, err := h.walk(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		iterated, err := h.iterate(t.Context(), f)
		if err != nil {
			skipOrFail(t, err)
		}
		if len(walked) == 0 || len(iterated) == 0 {
			t.Fatalf("%+v: the walk found %d holders, the iterator %d", f, len(walked), len(iterated))
		}
		if f.PIDs == nil {
			if f.PIDs == nil {
				walked, iterated = ours(walked), ours(iterated)
			}
		}
		if !slices.Equal(walked, iterated) || len(walked) < 100 {
			t.Errorf("%+v: the walk found %d holders, the iterator %d", f, len(walked), len(iterated))
		}
	}
}

// A thread with files of its own is seen by neither way.
func TestHoldersOfThreads(t *testing.T) {
	h := New(Options{})
	ready, done := make(chan error), make(chan struct{})
	var thread func()
	thread = func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			go thread() // not the first thread: /proc/PID/fd shows its files
			<-done
			runtime.UnlockOSThread()
			return
		}
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			ready <- err
			return
		}
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		ready <- err
		<-done
		syscall.Close(fd)
	}
	go thread()
	if err := <-ready; err != nil {
		skipOrFail(t, err)
	}
	defer close(done)
	own := func(all []Holder, _ int, err error) []Holder {
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(all, func(h Holder) bool { return h.PID != int32(os.Getpid()) })
	}
	walked := own(h.walk(t.Context(), HolderFilter{}))
	iterated, err := h.iterate(t.Context(), HolderFilter{})
	if err != nil {
		skipOrFail(t, err)
	}
	if iterated = own(iterated, 0, nil); !slices.Equal(walked, iterated) {
		t.Errorf("the walk found %v, the iterator %v", walked, iterated)
	}
}

// With many files the iterator is asked; where it does not work /proc is walked,
// and the iterator is not tried again.
func TestHoldersFallBack(t *testing.T) {
	listeners(t, 10)
	for _, works := range []bool{true, false} {
		h := New(Options{})
		asked := 0
		h.taskFiles = func(_ context.Context, found func(Holder)) error {
			asked++
			found(Holder{1, 2, 3})
			if works {
				return nil
			}
			return syscall.EPERM
		}
		h.openFiles = func() int { return manyFiles }
		for range 2 {
			holders, err := h.Holders(t.Context(), HolderFilter{})
			if err != nil || works != slices.Equal(holders, []Holder{{1, 2, 3}}) || !works && len(holders) < 10 {
				t.Errorf("works %v: %v, %v", works, holders, err)
			}
		}
		if works && asked != 2 || !works && (asked != 1 || !strings.Contains(h.whyNotBPF(&HolderFilter{}), "needs root")) {
			t.Errorf("works %v: asked %d times, %q", works, asked, h.whyNotBPF(&HolderFilter{}))
		}
	}
}

// A walk that stops with the last socket found has found the lowest holder of
// each. In the fixture one socket is held twice by a process and one by two.
func TestLowestHolders(t *testing.T) {
	h := New(Options{Proc: "../testdata/proc"})
	want := []Holder{{13878, 250, 6}, {13894, 90000, 11}, {13951, 100, 4}, {14631, 100, 3}}
	var inodes []uint64
	for _, holder := range want {
		inodes = append(inodes, holder.Inode)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i := range 20 {
		runtime.GOMAXPROCS(1 + i%4) // as many walk together
		got, err := h.Holders(t.Context(), HolderFilter{Inodes: inodes, Lowest: true})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
	all, err := h.Holders(t.Context(), HolderFilter{Inodes: []uint64{13951, 14631}})
	if want := []Holder{{13951, 100, 4}, {13951, 100, 9}, {14631, 100, 3}, {14631, 90000, 3}}; err != nil || !slices.Equal(all, want) {
		t.Errorf("got %v, %v, want %v", all, err, want)
	}
}

// Whoever holds 100,000 sockets: they take 24 bytes each at most, whatever is
// garbage meanwhile included, and what does not depend on their number.
func TestMemoryOfHolders(t *testing.T) {
	const n, fixed = 100_000, 512 << 10
	random := rand.New(rand.NewPCG(7, 8))
	var want []Holder
	for i := range n {
		want = append(want, Holder{uint64(random.Uint32())<<17>>17 | uint64(i)<<15, int32(10 + 10*(i*2/n)), int32(i % (n / 2))})
	}
	proc := t.TempDir()
	for i, h := range want {
		dir := filepath.Join(proc, strconv.Itoa(int(h.PID)), "fd")
		if i%(n/2) == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(fmt.Sprintf("socket:[%d]", h.Inode), filepath.Join(dir, strconv.Itoa(int(h.FD)))); err != nil {
			t.Fatal(err)
		}
	}
	all := New(Options{Proc: proc})
	one := New(Options{})
	one.openFiles = func() int { return manyFiles }
	one.taskFiles = func(_ context.Context, found func(Holder)) error {
		for _, h := range want {
			found(h)
		}
		return nil
	}
	sorted := (&HolderFilter{}).arrange(slices.Clone(want))
	for name, h := range map[string]*Host{"walk": all, "iterator": one} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := h.Holders(t.Context(), HolderFilter{})
		runtime.ReadMemStats(&after)
		if err != nil || !slices.Equal(got, sorted) {
			t.Fatalf("%s: %d holders, %v", name, len(got), err)
		}
		bytes := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %.1f bytes a socket", name, float64(bytes)/n)
		if bytes > 24*n+fixed {
			t.Errorf("%s: %d sockets take %d bytes, %.1f each", name, n, bytes, float64(bytes)/n)
		}
	}
}

func TestOpenFiles(t *testing.T) {
	before := openFiles()
	listeners(t, 500)
	if n := openFiles(); before == 0 || n < 500 {
		t.Errorf("%d files before, %d with 500 sockets more", before, n)
	}
}

func TestHoldersOfSome(t *testing.T) {
	listeners(t, 3)
	h := New(Options{})
	self := int32(os.Getpid())
	ours, err := h.Holders(t.Context(), HolderFilter{PIDs: []int32{self, self, 1 << 30}})
	if err != nil || len(ours) < 3 || slices.ContainsFunc(ours, func(h Holder) bool { return h.PID != self }) {
		t.Fatalf("%v, %v", ours, err)
	}
	for _, lowest := range []bool{false, true} {
		one, err := h.Holders(t.Context(), HolderFilter{Inodes: []uint64{ours[0].Inode, 1 << 40}, Lowest: lowest})
		if err != nil || !slices.Contains(one, ours[0]) || lowest && len(one) != 1 {
			t.Errorf("lowest %v: %v, %v; want %v", lowest, one, err, ours[0])
		}
	}
	// A thread is no process, although it has a directory.
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatal(threads, err)
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil || int32(tid) == self {
			continue
		}
		if theirs, err := h.Holders(t.Context(), HolderFilter{PIDs: []int32{int32(tid)}}); err != nil || len(theirs) > 0 {
			t.Errorf("thread %d holds %v, %v", tid, theirs, err)
		}
	}
	if none, err := h.Holders(t.Context(), HolderFilter{Inodes: []uint64{}}); err != nil || len(none) > 0 {
		t.Errorf("of no socket: %v, %v", none, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Holders(cancelled, HolderFilter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The BPF program goes with its query.
func TestNothingStaysInTheKernel(t *testing.T) {
	programs := func() map[ebpf.ProgramID]bool {
		all := map[ebpf.ProgramID]bool{}
		for id := ebpf.ProgramID(0); ; {
			next, err := ebpf.ProgramGetNextID(id)
			if errors.Is(err, fs.ErrNotExist) {
				return all
			}
			if err != nil {
				skipOrFail(t, err)
			}
			id = next
			all[id] = true
		}
	}
	before := programs()
	for range 3 {
		if err := taskFiles(t.Context(), func(Holder) {}); err != nil {
			skipOrFail(t, err)
		}
	}
	var left int
	for range 100 { // the kernel frees them a moment later
		left = 0
		for id := range programs() {
			if p, err := ebpf.NewProgramFromID(id); !before[id] && err == nil {
				if info, err := p.Info(); err == nil && info.Name == "holders" {
					left++
				}
				p.Close()
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d programs are left", left)
}
