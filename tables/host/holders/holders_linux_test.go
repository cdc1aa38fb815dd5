package holders

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	theirs "github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/parser/btf"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
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

// newFinder returns a finder of this host's holders and the log of its searches.
func newFinder() (*Finder, *usage.Log) {
	uses := usage.NewLog(hclog.NewNullLogger())
	return New(process.DefaultProc, uses), uses
}

// newFinderIn returns a finder of the holders in a saved proc filesystem.
func newFinderIn(proc string) *Finder {
	return New(proc, usage.NewLog(hclog.NewNullLogger()))
}

// skipOrFail skips a test for want of a privilege or of support. Any other error
// fails it.
func skipOrFail(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ebpf.ErrNotSupported) {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	netnstest.SkipOrFailOn(t, err)
}

// The kernel's iterator and the walk of /proc see the same.
func TestBothWays(t *testing.T) {
	listeners(t, 100)
	finder, _ := newFinder()
	self := int32(os.Getpid())
	for name, filter := range map[string]Filter{"all": {}, "lowest": {Lowest: true}, "of one process": {PIDs: []int32{self}}} {
		t.Run(name, func(t *testing.T) {
			walked, _, err := finder.walk(t.Context(), &filter)
			if err != nil {
				t.Fatal(err)
			}
			iterated, err := finder.iterate(t.Context(), &filter)
			if err != nil {
				skipOrFail(t, err)
			}
			if filter.PIDs == nil { // other processes open and close files meanwhile
				walked, iterated = of(self, walked), of(self, iterated)
			}
			if !slices.Equal(walked, iterated) || len(walked) < 100 {
				t.Errorf("the walk found %d holders, the iterator %d", len(walked), len(iterated))
			}
		})
	}
}

// of returns the holders that are files of a process.
func of(pid int32, all []Holder) []Holder {
	return slices.DeleteFunc(all, func(h Holder) bool { return h.PID != pid })
}

// A thread with files of its own is seen by neither way.
func TestHoldersOfThreads(t *testing.T) {
	finder, _ := newFinder()
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
	walked, _, err := finder.walk(t.Context(), &Filter{})
	if err != nil {
		t.Fatal(err)
	}
	iterated, err := finder.iterate(t.Context(), &Filter{})
	if err != nil {
		skipOrFail(t, err)
	}
	self := int32(os.Getpid())
	if walked, iterated = of(self, walked), of(self, iterated); !slices.Equal(walked, iterated) {
		t.Errorf("the walk found %v, the iterator %v", walked, iterated)
	}
}

// A process holds the files of all its threads, also if the first one has ended.
func TestFilesOfThreads(t *testing.T) {
	for _, c := range []struct {
		name  string
		pid   string
		files map[string]string // links by their paths below the process
		state string
		want  []Holder
	}{
		{"pthread_exit of main", "999", map[string]string{"task/1203/fd/4": "socket:[5]"}, "Z", []Holder{{5, 999, 4}}},
		{"of several threads all", "99", map[string]string{"task/100/fd/4": "socket:[5]", "task/1000/fd/3": "socket:[5]"}, "Z", []Holder{{5, 99, 3}, {5, 99, 4}}},
		{"the first thread has no files", "99", map[string]string{"task/100/fd/4": "socket:[5]"}, "S", []Holder{{5, 99, 4}}},
		{"the first thread has others", "99", map[string]string{"fd/1": "socket:[6]", "task/100/fd/4": "socket:[5]"}, "S", []Holder{{5, 99, 4}, {6, 99, 1}}},
		{"the first thread has no sockets", "99", map[string]string{"fd/1": "pipe:[6]", "task/100/fd/4": "socket:[5]"}, "S", []Holder{{5, 99, 4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			proc := t.TempDir()
			dir := filepath.Join(proc, c.pid)
			for path, target := range c.files {
				path = filepath.Join(dir, path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, "fd"), 0o755), os.MkdirAll(filepath.Join(dir, "task", c.pid, "fd"), 0o755),
				os.WriteFile(filepath.Join(dir, "stat"), []byte(c.pid+" (a) "+c.state+" 1"), 0o644)); err != nil {
				t.Fatal(err)
			}
			got, err := newFinderIn(proc).Find(t.Context(), Filter{})
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v, want (-), got (+):\n%s", err, diff)
			}
		})
	}
}

// With many files the iterator is asked; where it does not work /proc is walked, and
// it is tried again only if the reason may pass.
func TestFallBack(t *testing.T) {
	listeners(t, 10)
	fake := []Holder{{1, 2, 3}}
	for _, c := range []struct {
		name    string
		refusal error
		asked   int // how often, by two searches
		source  usage.Source
		reason  string
	}{
		{"it works", nil, 2, usage.BPF, ""},
		{"not permitted", syscall.EPERM, 1, usage.ProcFS, "the BPF iterator is refused: it needs root, or CAP_BPF and CAP_PERFMON"},
		{"not supported", errors.ErrUnsupported, 1, usage.ProcFS, "the BPF iterator is refused: unsupported operation"},
		{"a program that the kernel does not take", syscall.EINVAL, 1, usage.ProcFS, "the BPF iterator is refused: invalid argument"},
		{"no memory", fmt.Errorf("read: %w", syscall.ENOMEM), 2, usage.ProcFS, "the BPF iterator failed: read: cannot allocate memory"},
		{"no memory to load", fmt.Errorf("load program: %w", syscall.ENOBUFS), 2, usage.ProcFS, "the BPF iterator failed: load program: no buffer space available"},
		{"no files", syscall.EMFILE, 2, usage.ProcFS, "the BPF iterator failed: too many open files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			finder, uses := newFinder()
			asked := 0
			finder.taskFiles = func(_ context.Context, visit func(Holder)) error {
				asked++
				visit(fake[0])
				return c.refusal
			}
			finder.openFiles = func() int { return manyFiles }
			for range 2 {
				holders, err := finder.Find(t.Context(), Filter{})
				if iterated := slices.Equal(holders, fake); err != nil || iterated != (c.refusal == nil) || !iterated && len(holders) < 10 {
					t.Errorf("got %v, %v", holders, err)
				}
				if use, _ := uses.Last(List); use.Source != c.source || use.Reason != c.reason || use.Sockets != int64(len(holders)) {
					t.Errorf("noted is %+v", use)
				}
			}
			if asked != c.asked {
				t.Errorf("the iterator was asked %d times, not %d", asked, c.asked)
			}
		})
	}
}

// reads is a file each of whose reads gives what is next.
type reads []func(b []byte) (int, error)

func (r *reads) Read(b []byte) (int, error) {
	next := (*r)[0]
	*r = (*r)[1:]
	return next(b)
}

// The kernel's read is repeated where it asks for that, until the query ends; any
// other error ends it.
func TestReadsOfIterator(t *testing.T) {
	gives := func(n int, err error) func([]byte) (int, error) {
		return func(b []byte) (int, error) {
			for i := range n {
				binary.NativeEndian.PutUint64(b[i*recordSize:], uint64(i)+7)
				binary.NativeEndian.PutUint32(b[i*recordSize+8:], 1)
				binary.NativeEndian.PutUint32(b[i*recordSize+12:], 3)
			}
			return n * recordSize, err
		}
	}
	again := &fs.PathError{Op: "read", Path: "bpf_iter", Err: syscall.EAGAIN}
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		name  string
		reads reads
		want  []Holder
		err   error
	}{
		{"at once", reads{gives(2, nil), gives(0, io.EOF)}, []Holder{{7, 1, 3}, {8, 1, 3}}, nil},
		{"a million files without a socket", reads{gives(0, again), gives(1, nil), gives(0, again), gives(0, again), gives(0, io.EOF)}, []Holder{{7, 1, 3}}, nil},
		{"no memory", reads{gives(1, nil), gives(0, syscall.ENOMEM)}, []Holder{{7, 1, 3}}, syscall.ENOMEM},
		{"the query ends", reads{func([]byte) (int, error) { cancel(); return 0, again }}, nil, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []Holder
			err := records(ctx, &c.reads, func(h Holder) { got = append(got, h) })
			if diff := cmp.Diff(c.want, got); !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || diff != "" {
				t.Errorf("%v, want (-), got (+):\n%s", err, diff)
			}
		})
	}
}

// Where the kernel counts programs as locked memory, the limit is raised as far as
// is permitted.
func TestLockedMemory(t *testing.T) {
	limit := func() (l unix.Rlimit) {
		if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	before := limit()
	defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &before)
	lower := unix.Rlimit{Cur: 4096, Max: before.Max}
	for _, c := range []struct {
		name  string
		errs  []error // of each load
		raise bool
	}{
		{"a load that works", []error{nil}, false},
		{"a load that fails", []error{unix.EINVAL}, false},
		{"locked memory", []error{unix.EPERM, nil}, true},
		{"not permitted", []error{unix.EPERM, unix.EPERM}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &lower); err != nil {
				t.Fatal(err)
			}
			loads := 0
			err := withLockedMemory(func() error { loads++; return c.errs[loads-1] })
			if want := c.errs[len(c.errs)-1]; loads != len(c.errs) || err != want {
				t.Errorf("%d loads, %v", loads, err)
			}
			if got := limit(); (got.Cur > lower.Cur) != c.raise || c.raise && got.Cur != got.Max {
				t.Errorf("the limit is %+v", got)
			}
		})
	}
}

// A search of a cancelled query ends, and refuses the iterator for no later one.
func TestCancelledIterator(t *testing.T) {
	finder, uses := newFinder()
	ctx, cancel := context.WithCancel(t.Context())
	finder.taskFiles = func(ctx context.Context, _ func(Holder)) error { cancel(); return ctx.Err() }
	finder.openFiles = func() int { return manyFiles }
	if _, err := finder.Find(ctx, Filter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if use, _ := uses.Last(List); use.Source != usage.BPF || finder.Source().Source != usage.BPF {
		t.Errorf("noted is %+v, now %+v", use, finder.Source())
	}
}

func TestAvailable(t *testing.T) {
	pids := &Filter{PIDs: []int32{1}}
	for _, c := range []struct {
		name    string
		proc    string
		files   int
		denied  bool
		refused string
		filter  *Filter
		want    string // the reason; empty if it is available
	}{
		{"many files", "/proc", manyFiles, false, "", &Filter{}, ""},
		{"few files", "/proc", manyFiles - 1, false, "", &Filter{}, "fewer than 2000 files are open on this host, so that a walk is faster"},
		{"few files and denied", "/proc", 0, true, "", &Filter{}, ""},
		{"some processes", "/proc", manyFiles, false, "", pids, "only some processes are asked about"},
		{"some processes and denied", "/proc", manyFiles, true, "", pids, ""},
		{"refused", "/proc", manyFiles, true, "no BTF", &Filter{}, "the BPF iterator is refused: no BTF"},
		{"another host", "/host/proc", manyFiles, true, "no BTF", &Filter{}, "/host/proc is read in place of this host's /proc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			finder, _ := newFinder()
			finder.proc, finder.openFiles, finder.denied, finder.refused = c.proc, func() int { return c.files }, c.denied, c.refused
			got := ""
			if err := finder.available(c.filter); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A walk that stops with the last socket found has found the lowest holder of
// each. In the fixture one socket is held twice by a process and one by two.
func TestLowestHolders(t *testing.T) {
	finder := newFinderIn("../../testdata/proc")
	want := []Holder{{13878, 250, 6}, {13894, 90000, 11}, {13951, 100, 4}, {14631, 100, 3}}
	var inodes []uint64
	for _, holder := range want {
		inodes = append(inodes, holder.Inode)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i := range 20 {
		runtime.GOMAXPROCS(1 + i%4) // as many walk together
		got, err := finder.Find(t.Context(), Filter{Inodes: inodes, Lowest: true})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	}
	all, err := finder.Find(t.Context(), Filter{Inodes: []uint64{13951, 14631}})
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
	all := newFinderIn(proc)
	one, _ := newFinder()
	one.openFiles = func() int { return manyFiles }
	one.taskFiles = func(_ context.Context, visit func(Holder)) error {
		for _, h := range want {
			visit(h)
		}
		return nil
	}
	sorted := (&Filter{}).arrange(slices.Clone(want))
	for name, finder := range map[string]*Finder{"walk": all, "iterator": one} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := finder.Find(t.Context(), Filter{})
			runtime.ReadMemStats(&after)
			if err != nil || !slices.Equal(got, sorted) {
				t.Fatalf("%d holders, %v", len(got), err)
			}
			bytes := after.TotalAlloc - before.TotalAlloc
			t.Logf("%.1f bytes a socket", float64(bytes)/n)
			if bytes > 24*n+fixed {
				t.Errorf("%d sockets take %d bytes, %.1f each", n, bytes, float64(bytes)/n)
			}
		})
	}
}

func TestOpenFiles(t *testing.T) {
	before := openFiles()
	listeners(t, 500)
	// Each processor counts on its own and adds some at a time (struct percpu_counter).
	if n := openFiles(); n < 400 {
		t.Errorf("%d files before, %d with 500 sockets more", before, n)
	}
}

func TestHoldersOfSome(t *testing.T) {
	listeners(t, 3)
	finder, _ := newFinder()
	self := int32(os.Getpid())
	ours, err := finder.Find(t.Context(), Filter{PIDs: []int32{self, self, 1 << 30}})
	if err != nil || len(ours) < 3 || slices.ContainsFunc(ours, func(h Holder) bool { return h.PID != self }) {
		t.Fatalf("%v, %v", ours, err)
	}
	for _, lowest := range []bool{false, true} {
		t.Run(fmt.Sprint("lowest ", lowest), func(t *testing.T) {
			one, err := finder.Find(t.Context(), Filter{Inodes: []uint64{ours[0].Inode, 1 << 40}, Lowest: lowest})
			if err != nil || !slices.Contains(one, ours[0]) || lowest && len(one) != 1 {
				t.Errorf("lowest %v: %v, %v; want %v", lowest, one, err, ours[0])
			}
		})
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
		if theirs, err := finder.Find(t.Context(), Filter{PIDs: []int32{int32(tid)}}); err != nil || len(theirs) > 0 {
			t.Errorf("thread %d holds %v, %v", tid, theirs, err)
		}
	}
	if none, err := finder.Find(t.Context(), Filter{Inodes: []uint64{}}); err != nil || len(none) > 0 {
		t.Errorf("of no socket: %v, %v", none, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := finder.Find(cancelled, Filter{}); !errors.Is(err, context.Canceled) {
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

// The program reads where an independent decoder of the kernel's types says that
// things are.
func TestPlacesInTheKernel(t *testing.T) {
	raw, release, err := kernelTypes()
	if err != nil {
		skipOrFail(t, fmt.Errorf("%w: %w", errors.ErrUnsupported, err))
	}
	defer release()
	spec, err := theirs.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	members := map[string][]string{
		"inode": {"i_mode", "i_ino"}, "file": {"f_inode"}, "task_struct": {"tgid"},
		"bpf_iter__task_file": {"fd", "meta", "task", "file"}, "bpf_iter_meta": {"seq"},
	}
	types, err := btf.Parse(raw, binary.NativeEndian, append(slices.Collect(maps.Keys(members)), "bpf_iter_task_file")...)
	if err != nil {
		t.Fatal(err)
	}
	for structure, names := range members {
		for _, name := range names {
			t.Run(structure+"."+name, func(t *testing.T) {
				var of *theirs.Struct
				if err := spec.TypeByName(structure, &of); err != nil {
					t.Fatal(err)
				}
				want, ok := place(of.Members, name)
				got, err := types.Member(structure, name)
				if diff := cmp.Diff(want, got); !ok || err != nil || diff != "" {
					t.Errorf("%v, want (-), got (+):\n%s", err, diff)
				}
			})
		}
	}
	t.Run("the function", func(t *testing.T) {
		var function *theirs.Func
		if err := spec.TypeByName("bpf_iter_task_file", &function); err != nil {
			t.Fatal(err)
		}
		want, err := spec.TypeID(function)
		got, err2 := types.Func("bpf_iter_task_file")
		if err := errors.Join(err, err2); err != nil || got != uint32(want) {
			t.Errorf("%d, %v, want %d", got, err, want)
		}
	})
}

// place finds a member, also in anonymous ones.
func place(members []theirs.Member, name string) (m btf.Member, ok bool) {
	for _, member := range members {
		offset := member.Offset.Bytes()
		var inner []theirs.Member
		switch of := theirs.UnderlyingType(member.Type).(type) {
		case *theirs.Struct:
			inner = of.Members
		case *theirs.Union:
			inner = of.Members
		}
		if member.Name == name {
			size, err := theirs.Sizeof(member.Type)
			return btf.Member{Offset: offset, Size: uint32(size)}, err == nil
		}
		if member.Name == "" {
			if m, ok := place(inner, name); ok {
				return btf.Member{Offset: offset + m.Offset, Size: m.Size}, true
			}
		}
	}
	return m, false
}

func BenchmarkFind(b *testing.B) {
	listeners(b, 500)
	finder, _ := newFinder()
	for name, find := range map[string]func() error{
		"walk":    func() error { _, _, err := finder.walk(b.Context(), &Filter{}); return err },
		"iterate": func() error { _, err := finder.iterate(b.Context(), &Filter{}); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := find(); err != nil {
					skipOrFail(b, err)
				}
			}
		})
	}
}

// A link that cannot be read hides no other of its process.
func TestLinkThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	for fd := range 50 {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(fd)), nil, 0o600); err != nil { // no link: EINVAL
			t.Fatal(err)
		}
	}
	if err := os.Symlink("socket:[4242]", filepath.Join(dir, "50")); err != nil {
		t.Fatal(err)
	}
	var found []uint64
	var r fdReader
	files, unread, err := r.sockets(dir, func(inode uint64, _ int32) { found = append(found, inode) })
	if files != 51 || !errors.Is(unread, unix.EINVAL) || err != nil || !slices.Equal(found, []uint64{4242}) {
		t.Errorf("%d files, sockets %v, unread %v, %v", files, found, unread, err)
	}
}
