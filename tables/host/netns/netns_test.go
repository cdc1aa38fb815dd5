package netns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

const tcpHeader = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// listener is the line of a socket that listens on 127.0.0.1.
func listener(port int) string {
	return fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0\n", port)
}

// newSet returns the namespaces that a proc filesystem shows, and counts the walks.
func newSet(proc string) (s *Set, walks *int) {
	s, walks = New(Options{Proc: proc, Lists: []string{"tcp"}, Uses: usage.NewLog(hclog.NewNullLogger()), Log: hclog.NewNullLogger()}), new(int)
	s.processes = func(proc string) ([]int32, error) { *walks++; return process.List(proc) }
	return s, walks
}

// sockets streams the TCP sockets of the selected namespaces.
func sockets(ctx context.Context, s *Set, selection Selection) iter.Seq2[sock.TCP, error] {
	return Each(ctx, s, selection, func(in *Handle) iter.Seq2[sock.TCP, error] {
		return func(yield func(sock.TCP, error) bool) {
			file, err := in.Open("tcp")
			if err != nil {
				yield(sock.TCP{}, err)
				return
			}
			defer file.Close()
			for tcp, err := range procnet.TCP(file, sock.INET, binary.NativeEndian) {
				tcp.Namespace = in.Inode
				if !yield(tcp, err) {
					return
				}
			}
		}
	})
}

// addProcess makes the directory of a process in a namespace of a saved /proc, in
// which one socket listens.
func addProcess(t testing.TB, proc string, pid int, namespace uint32, port int) (dir string) {
	t.Helper()
	dir = filepath.Join(proc, strconv.Itoa(pid))
	for _, sub := range []string{"ns", "net"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(fmt.Sprintf("net:[%d]", namespace), filepath.Join(dir, "ns", "net")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "net", "tcp"), []byte(tcpHeader+listener(port)), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// portsOf returns the local ports of TCP sockets, and in which namespace each is.
func portsOf(t testing.TB, set *Set, namespaces ...string) map[uint16]uint32 {
	t.Helper()
	return portsIn(t, set, Selection{All: namespaces != nil, In: namespaces})
}

func portsIn(t testing.TB, set *Set, selection Selection) map[uint16]uint32 {
	t.Helper()
	ports := make(map[uint16]uint32)
	for s, err := range sockets(t.Context(), set, selection) {
		if err != nil {
			t.Fatal(err)
		}
		ports[s.Local.Port()] = s.Namespace
	}
	return ports
}

// However many namespaces a query reads, the processes are looked at once; and
// once more for a namespace that is not among those that were seen.
func TestOneWalkForAllNamespaces(t *testing.T) {
	const n, first = 200, uint32(4026532000)
	proc := t.TempDir()
	var all []string
	want := make(map[uint16]uint32)
	for i := range n {
		inode := first + uint32(i)
		addProcess(t, proc, i+1, inode, 1000+i)
		addProcess(t, proc, i+10_000, inode, 1000+i)
		all = append(all, fmt.Sprint(inode))
		want[uint16(1000+i)] = inode
	}
	set, walks := newSet(proc)
	if got := portsOf(t, set, all...); !maps.Equal(got, want) || *walks != 1 {
		t.Errorf("IN: %d walks, got %v", *walks, got)
	}

	set, walks = newSet(proc)
	if got := portsIn(t, set, Selection{All: true}); !maps.Equal(got, want) || *walks != 1 {
		t.Errorf("the whole host: %d walks, got %v", *walks, got)
	}
	set.All = true
	if got := portsIn(t, set, Selection{}); !maps.Equal(got, want) {
		t.Errorf("All: got %v", got)
	}
	if got := portsIn(t, set, Selection{In: all[3:5]}); len(got) != 2 {
		t.Errorf("All, narrowed: got %v", got)
	}

	// As the inner side of a join each namespace is a scan of its own.
	set, walks = newSet(proc)
	seen, err := set.List(t.Context())
	if err != nil || len(seen) != n || seen[7].Processes != 2 || seen[7].PID != 8 || seen[7].Own || !seen[0].Own {
		t.Fatalf("%+v, %v", seen, err)
	}
	joined := make(map[uint16]uint32)
	for _, ns := range seen {
		for port, in := range portsOf(t, set, strconv.FormatUint(uint64(ns.Inode), 10)) {
			joined[port] = in
		}
	}
	if !maps.Equal(joined, want) || *walks != 1 {
		t.Errorf("join: %d walks, got %v", *walks, joined)
	}

	// One that is new is found by another walk; its number may be given twice.
	addProcess(t, proc, 5000, first+n, 2000)
	if got := portsOf(t, set, all[0], fmt.Sprint(first+n), "0"+fmt.Sprint(first+n)); len(got) != 2 || got[2000] != first+n || *walks != 2 {
		t.Errorf("new: %d walks, got %v", *walks, got)
	}
	// One that never was costs a walk, and hides no other.
	if got := portsOf(t, set, all[0], "77", all[1]); len(got) != 2 || *walks != 3 {
		t.Errorf("unknown: %d walks, got %v", *walks, got)
	}
}

// A process may end, or enter another namespace, after it was seen: what it shows
// then must not pass for the sockets of the one that was asked for.
func TestProcessLeaves(t *testing.T) {
	const one, two = "4026532001", "4026532002"
	proc := t.TempDir()
	addProcess(t, proc, 1, 4026532000, 1000)
	a := addProcess(t, proc, 11, 4026532001, 1001)
	addProcess(t, proc, 12, 4026532001, 1001)
	b := addProcess(t, proc, 20, 4026532002, 1002)
	set, _ := newSet(proc)
	if got := portsOf(t, set, one, two); len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	move := func(dir string, to string) {
		t.Helper()
		link := filepath.Join(dir, "ns", "net")
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("net:["+to+"]", link); err != nil {
			t.Fatal(err)
		}
	}
	// The other process that is there is found.
	move(a, two)
	if got := portsOf(t, set, one); len(got) != 1 || got[1001] != 4026532001 {
		t.Errorf("got %v", got)
	}
	// It ends between the look at it and the opening of its list.
	p := set.known(4026532002)
	if err := os.RemoveAll(a); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Open("tcp6"); err == nil || errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "process 11 has left it or ended") {
		t.Errorf("the list of a process that ended: %v", err)
	}
	// Nobody is left in it: that is told until it can be read again.
	if err := os.RemoveAll(b); err != nil {
		t.Fatal(err)
	}
	if got := portsOf(t, set, one, two); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	refused := func() (inodes []uint32) {
		for inode, reason := range set.Refused() {
			if reason == ErrNotFound.Error() {
				inodes = append(inodes, inode)
			}
		}
		return inodes
	}
	if got := refused(); !slices.Equal(got, []uint32{4026532002}) {
		t.Errorf("told are %v", got)
	}
	addProcess(t, proc, 20, 4026532002, 1002)
	if got := portsOf(t, set, two); len(got) != 1 || refused() != nil {
		t.Errorf("got %v, told are %v", got, refused())
	}
}

// While the whole host is read processes end and namespaces with them. One with
// another process is read all the same, one that has ended is no fault.
func TestProcessesEndWhileTheHostIsRead(t *testing.T) {
	proc := t.TempDir()
	addProcess(t, proc, 1, 4026532000, 1000)
	first := addProcess(t, proc, 11, 4026532001, 1001)
	addProcess(t, proc, 12, 4026532001, 1001)
	last := addProcess(t, proc, 20, 4026532002, 1002)
	addProcess(t, proc, 30, 4026532003, 1003)
	set, _ := newSet(proc)
	got := make(map[uint16]uint32)
	for s, err := range sockets(t.Context(), set, Selection{All: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Local.Port() == 1000 { // the others were found and not read yet
			if err := errors.Join(os.RemoveAll(first), os.RemoveAll(last)); err != nil {
				t.Fatal(err)
			}
		}
		got[s.Local.Port()] = s.Namespace
	}
	if diff := cmp.Diff(map[uint16]uint32{1000: 4026532000, 1001: 4026532001, 1003: 4026532003}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if len(set.refused) != 0 {
		t.Errorf("refused are %v", set.refused)
	}
}

// A namespace that ends after its first rows were read fails nothing; one that
// is still there, and whose rows are not whole, fails all.
func TestNamespaceEndsWhileItIsRead(t *testing.T) {
	for name, left := range map[string]bool{"it has ended": false, "another process is in it": true} {
		t.Run(name, func(t *testing.T) {
			proc := t.TempDir()
			addProcess(t, proc, 1, 4026532000, 1000)
			dying := addProcess(t, proc, 11, 4026532001, 1001)
			if left {
				addProcess(t, proc, 12, 4026532001, 1001)
			}
			addProcess(t, proc, 30, 4026532003, 1003)
			set, _ := newSet(proc)
			read := func(h *Handle) iter.Seq2[uint32, error] {
				return func(yield func(uint32, error) bool) {
					if !yield(h.Inode, nil) || h.Inode != 4026532001 {
						return
					}
					if err := os.RemoveAll(dying); err != nil {
						t.Fatal(err)
					}
					_, err := h.Open("tcp")
					yield(0, err)
				}
			}
			var got []uint32
			var failed error
			for inode, err := range Each(t.Context(), set, Selection{All: true}, read) {
				if failed = err; err != nil {
					break
				}
				got = append(got, inode)
			}
			want := []uint32{4026532000, 4026532001, 4026532003}
			if left {
				want = want[:2]
			}
			if !slices.Equal(got, want) || (failed != nil) != left {
				t.Errorf("got %v, error %v", got, failed)
			}
		})
	}
}

// Where the own namespace is not known the others may repeat it.
func TestOwnNamespaceUnknown(t *testing.T) {
	proc := t.TempDir()
	own := addProcess(t, proc, 1, 4026532000, 1000)
	addProcess(t, proc, 20, 4026532000, 1000)
	if err := os.Remove(filepath.Join(own, "ns", "net")); err != nil {
		t.Fatal(err)
	}
	set, _ := newSet(proc)
	n := 0
	for _, err := range sockets(t.Context(), set, Selection{All: true}) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 || set.refused[4026532000] != ErrOwnUnknown.Error() {
		t.Errorf("%d sockets, refused are %v", n, set.refused)
	}
}

// Of many that cannot be read the memory is bounded, and the last are told.
func TestManyRefused(t *testing.T) {
	proc := t.TempDir()
	addProcess(t, proc, 1, 4026532000, 1000)
	set, _ := newSet(proc)
	var never []string
	for i := range 3 * maxRefused {
		never = append(never, strconv.Itoa(i+1))
	}
	if got := portsOf(t, set, append(never, "4026532000")...); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	portsOf(t, set, "9999")
	if len(set.refused) > maxRefused || set.refused[9999] == "" {
		t.Errorf("%d are told, of 9999 %q", len(set.refused), set.refused[9999])
	}
}

func TestNamespaceMounts(t *testing.T) {
	proc := t.TempDir()
	addProcess(t, proc, 1, 4026532000, 1000)
	set, _ := newSet(proc)
	if all, err := set.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("a copy without mountinfo: %v, %v", all, err)
	}
	mountinfo := filepath.Join(proc, "1", "mountinfo")
	text := "22 1 0:20 / / rw - overlay overlay rw,lowerdir=" + strings.Repeat("/x:", 30_000) + "\n" +
		"36 22 0:4 net:[4026532177] /run/netns/blue rw shared:20 - nsfs nsfs rw\n" +
		"37 22 0:4 net:[4026532177] /run/netns/blue rw shared:20 - nsfs nsfs rw\n" +
		"38 22 0:4 net:[4026532177] /run/netns/a\\040b\\134c\r\u3000d rw - nsfs nsfs rw\n" +
		"39 22 0:4 mnt:[4026532178] /run/snapd/ns/x.mnt rw - nsfs nsfs rw\n" +
		"40 22 0:4 net:[4026532000] /run/netns/host rw - nsfs nsfs rw\n"
	if err := os.WriteFile(mountinfo, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []Namespace{
		{Inode: 4026532000, Own: true, PID: 1, Processes: 1, Files: []string{"/run/netns/host"}},
		{Inode: 4026532177, Files: []string{"/run/netns/blue", "/run/netns/a b\\c\r\u3000d"}},
	}
	all, err := set.List(t.Context())
	if diff := cmp.Diff(want, all, cmp.AllowUnexported(Namespace{})); diff != "" || err != nil {
		t.Errorf("%v, want (-), got (+):\n%s", err, diff)
	}
	// Of another host's namespace without a process there is nothing to read.
	if got := portsOf(t, set, "4026532177"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if set.MayEnter(&want[0]) || set.MayEnter(&want[1]) {
		t.Error("another host's namespace may be entered")
	}
	// What cannot be read may have named some.
	if err := os.Remove(mountinfo); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mountinfo, 0o755); err != nil {
		t.Fatal(err)
	}
	if all, err := set.List(t.Context()); err == nil || !strings.Contains(err.Error(), "mountinfo") {
		t.Errorf("got %v, %v", all, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if all, err := set.List(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", all, err)
	}
}
