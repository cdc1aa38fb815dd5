package host

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
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

// The kernel's iterator and the walk of /proc see the same.
func TestHoldersBothWays(t *testing.T) {
	listeners(t, 100)
	h := New(Options{})
	// Other processes open and close files meanwhile.
	ours := func(all []Holder) []Holder {
		return slices.DeleteFunc(all, func(h Holder) bool { return h.PID != int32(os.Getpid()) })
	}
	for _, f := range []HolderFilter{{}, {Lowest: true}} {
		walked, err := h.walk(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		iterated, err := h.iterate(t.Context(), f)
		if err != nil {
			if os.Getenv("SOCKETS_MUST_RUN") != "1" && (runtime.GOOS != "linux" || os.Geteuid() != 0) {
				t.Skip(errors.Join(err, errors.ErrUnsupported))
			}
			t.Fatal(err)
		}
		if len(walked) == 0 || len(iterated) == 0 {
			t.Fatalf("%+v: the walk found %d holders, the iterator %d", f, len(walked), len(iterated))
		}
		walked, iterated = ours(walked), ours(iterated)
		if !slices.Equal(walked, iterated) || len(walked) < 100 {
			t.Errorf("%+v: the walk found %d holders, the iterator %d", f, len(walked), len(iterated))
		}
	}
}

// With many files the iterator is asked; where it does not work /proc is walked,
// and the iterator is not tried again.
func TestHoldersFallBack(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip(errors.ErrUnsupported)
	}
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
		if works && asked != 2 || !works && (asked != 1 || !strings.Contains(h.whyNotBPF(), "not permitted")) {
			t.Errorf("works %v: asked %d times, %q", works, asked, h.whyNotBPF())
		}
	}
}

func TestOpenFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip(errors.ErrUnsupported)
	}
	before := openFiles()
	listeners(t, 500)
	if n := openFiles(); before == 0 || n < 500 {
		t.Errorf("%d files before, %d with 500 sockets more", before, n)
	}
}

func TestHoldersOfSome(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip(errors.ErrUnsupported)
	}
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
	if none, err := h.Holders(t.Context(), HolderFilter{Inodes: []uint64{}}); err != nil || len(none) > 0 {
		t.Errorf("of no socket: %v, %v", none, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Holders(cancelled, HolderFilter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSocketLink(t *testing.T) {
	for link, want := range map[string]uint64{
		"socket:[4242]": 4242, "socket:[4294967295]": 4294967295, "socket:[]": 0, "socket:[x]": 0, "socket:[12": 0, "pipe:[12]": 0, "": 0, "/dev/null": 0, "socket:[99999999999999999999]": 0,
	} {
		if inode, ok := socketLink([]byte(link)); inode != want && ok || ok != (want != 0) {
			t.Errorf("%q is socket %d, %v", link, inode, ok)
		}
	}
}

func FuzzSocketLink(f *testing.F) {
	f.Add([]byte("socket:[4242]"))
	f.Fuzz(func(t *testing.T, link []byte) {
		if inode, ok := socketLink(link); ok && !strings.HasPrefix(string(link), "socket:[") {
			t.Errorf("%q is socket %d", link, inode)
		}
	})
}
