package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// The numbers of a netlink header's fields that the tests change.
const (
	headerSize   = 16
	typeDone     = 3
	typeByFamily = 20
	flagDumpIntr = 0x10
)

// sockets returns the messages of a capture, as if the first request had been
// answered so, without its end.
func sockets(t testing.TB) (messages [][]byte) {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		skipOrFail(t, fmt.Errorf("the capture is of a little-endian machine: %w", errors.ErrUnsupported))
	}
	b, err := os.ReadFile("../../parser/sockdiag/testdata/tcp.diag")
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		size := binary.LittleEndian.Uint32(b)
		m := b[:size:size]
		binary.LittleEndian.PutUint32(m[8:], 1)
		if binary.LittleEndian.Uint16(m[4:]) == typeByFamily {
			messages = append(messages, m)
		}
		b = b[(size+3)&^3:]
	}
	return messages
}

// end is the message that ends a list, with an errno.
func end(errno syscall.Errno, flags uint16) []byte {
	b := make([]byte, headerSize+4)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], typeDone)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], 1)
	binary.NativeEndian.PutUint32(b[headerSize:], uint32(-int32(errno)))
	return b
}

// answer is what a fake kernel sends, an error last if there is one.
type answer struct {
	messages [][]byte
	err      error
}

// kernel answers the first request with the first answer, and so on; the last
// one again and again.
func kernel(requests *[][]byte, answers ...answer) exchange {
	return func(_ context.Context, _ *place, _ int, request []byte) iter.Seq2[[]byte, error] {
		*requests = append(*requests, request)
		a := answers[min(len(*requests), len(answers))-1]
		return func(yield func([]byte, error) bool) {
			for _, m := range a.messages {
				if !yield(m, nil) {
					return
				}
			}
			if a.err != nil {
				yield(nil, a.err)
			}
		}
	}
}

// read returns how many IPv4 TCP sockets a host with that kernel gives.
func read(t testing.TB, f InetFilter, answers ...answer) (n int, requests [][]byte, use usage.Usage, err error) {
	t.Helper()
	h := New(Options{})
	h.exchange = kernel(&requests, answers...)
	h.wouldLoad = func(string) bool { return false }
	f.Families = []sock.Family{sock.INET}
	for _, e := range h.TCP(t.Context(), f) {
		if e != nil {
			err = e
			break
		}
		n++
	}
	return n, requests, lastUse(h, "tcp"), err
}

func TestConversation(t *testing.T) {
	all := sockets(t)
	one, done := all[0], end(0, 0)
	interrupted := end(0, flagDumpIntr)
	stale := append([]byte(nil), one...)
	binary.NativeEndian.PutUint32(stale[8:], 99)
	var joined []byte // several in one receive
	for _, m := range all {
		joined = append(joined, m...)
		joined = append(joined, make([]byte, (4-len(m)%4)%4)...)
	}
	ports := InetFilter{LocalPorts: []sock.PortRange{{Low: 22, High: 22}}}
	type answers = []answer
	for _, c := range []struct {
		name     string
		filter   InetFilter
		answers  answers
		n        int
		requests int
		source   usage.Source
		want     string // in the error
	}{
		{"a list", InetFilter{}, answers{{append(append([][]byte{}, all...), done), nil}}, len(all), 1, usage.SockDiag, ""},
		{"in one message", InetFilter{}, answers{{[][]byte{append(joined, done...)}, nil}}, len(all), 1, usage.SockDiag, ""},
		{"nothing", InetFilter{}, answers{{[][]byte{done}, nil}}, 0, 1, usage.SockDiag, ""},
		{"an answer to another request", InetFilter{}, answers{{[][]byte{stale, one, stale, done}, nil}}, 1, 1, usage.SockDiag, ""},
		{"a state that was not asked for", InetFilter{States: 1 << sock.Closing}, answers{{[][]byte{one, done}, nil}}, 0, 1, usage.SockDiag, ""},

		{"no end", InetFilter{}, answers{{[][]byte{one}, nil}}, 1, 1, usage.SockDiag, "no end"},
		{"an error at the end", InetFilter{}, answers{{[][]byte{one, end(syscall.ENOMEM, 0)}, nil}}, 1, 1, usage.SockDiag, "cannot allocate"},
		{"a refusal in the middle", InetFilter{}, answers{{[][]byte{one, end(syscall.EPERM, 0)}, nil}}, 1, 1, usage.SockDiag, "not permitted"},
		{"lost messages", InetFilter{}, answers{{[][]byte{one}, syscall.ENOBUFS}}, 1, 1, usage.SockDiag, "no buffer space"},
		{"half a header", InetFilter{}, answers{{[][]byte{one, one[:10]}, nil}}, 1, 1, usage.SockDiag, "too short"},
		{"half a socket", InetFilter{}, answers{{[][]byte{one, one[:60]}, nil}}, 1, 1, usage.SockDiag, "too short"},
		{"silence", InetFilter{}, answers{{nil, os.ErrDeadlineExceeded}}, 0, 1, usage.SockDiag, "timeout"},

		{"interrupted once, before a socket", InetFilter{}, answers{{[][]byte{interrupted}, nil}, {[][]byte{one, done}, nil}}, 1, 2, usage.SockDiag, ""},
		{"interrupted for ever", InetFilter{}, answers{{[][]byte{interrupted}, nil}}, 0, maxTries, usage.SockDiag, "ask again"},
		{"interrupted after a socket", InetFilter{}, answers{{[][]byte{one, interrupted}, nil}}, 1, 1, usage.SockDiag, "ask again"},

		{"a filter that the kernel does not know", ports, answers{{[][]byte{end(syscall.EINVAL, 0)}, nil}, {[][]byte{one, done}, nil}}, 1, 2, usage.SockDiag, ""},
	} {
		n, requests, use, err := read(t, c.filter, c.answers...)
		if n != c.n || len(requests) != c.requests || use.Source != c.source || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d sockets after %d requests from %s, %v; want %d after %d from %s, %q", c.name, n, len(requests), use.Source, err, c.n, c.requests, c.source, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "sock_diag of tcp: ") {
			t.Errorf("%s: %v does not name its source", c.name, err)
		}
		if strings.HasPrefix(c.name, "interrupted") != use.Interrupted {
			t.Errorf("%s: interrupted is %v", c.name, use.Interrupted)
		}
	}
}

// Where netlink is refused /proc has the sockets, and the reason is told.
func TestFallBack(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENOENT, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.ENOSYS, syscall.EINVAL} {
		for name, a := range map[string]answer{
			"by a system call": {nil, os.NewSyscallError("socket", errno)},
			"by the kernel":    {[][]byte{end(errno, 0)}, nil},
		} {
			_, _, use, err := read(t, InetFilter{}, a)
			if err != nil || use.Source != usage.ProcFS || !strings.Contains(use.Reason, errno.Error()) || !strings.Contains(use.Reason, "refused") {
				t.Errorf("%v %s: %+v, %v", errno, name, use, err)
			}
		}
	}
	h := New(Options{})
	h.exchange = func(context.Context, *place, int, []byte) iter.Seq2[[]byte, error] {
		panic("asked although a module would be loaded")
	}
	h.wouldLoad = func(module string) bool { return module == "tcp_diag" }
	for _, err := range h.TCP(t.Context(), InetFilter{}) {
		if err != nil {
			t.Error(err)
		}
	}
	if use := lastUse(h, "tcp"); use.Source != usage.ProcFS || !strings.Contains(use.Reason, "modprobe tcp_diag") {
		t.Errorf("%+v", use)
	}
}

// A connection that is looked up is asked for by each interface, and only
// what answers to it counts.
func TestLookUp(t *testing.T) {
	var connected, listener []byte
	var s sock.TCP
	for _, m := range sockets(t) {
		if err := sockdiag.TCP(m[headerSize:], binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		switch s.State {
		case sock.Established:
			connected = m
		case sock.Listen:
			listener = m
		}
	}
	sockdiag.TCP(connected[headerSize:], binary.LittleEndian, &s)
	port := func(p uint16) []sock.PortRange { return []sock.PortRange{{Low: p, High: p}} }
	f := InetFilter{
		LocalAddrs: []netip.Addr{s.Local.Addr()}, LocalPorts: port(s.Local.Port()),
		RemoteAddrs: []netip.Addr{s.Remote.Addr()}, RemotePorts: port(s.Remote.Port()),
	}
	for _, c := range []struct {
		name   string
		answer []byte // to each look-up
		n      int
		dumps  int
	}{
		{"found, by every interface", connected, 1, 0},
		{"found nowhere", end(syscall.ENOENT, 0), 0, 1},
		{"who would take it", listener, 0, 1},
		{"not allowed", end(syscall.EPERM, 0), 0, 1},
	} {
		h := New(Options{})
		h.wouldLoad = func(string) bool { return false }
		dumps, n := 0, 0
		h.exchange = func(_ context.Context, _ *place, _ int, request []byte) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				if flags := binary.NativeEndian.Uint16(request[6:]); flags == 1 {
					yield(c.answer, nil)
					return
				}
				dumps++
				yield(end(0, 0), nil)
			}
		}
		for _, err := range h.TCP(t.Context(), f) {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			n++
		}
		if n != c.n || dumps != c.dumps {
			t.Errorf("%s: %d sockets and %d dumps, want %d and %d", c.name, n, dumps, c.n, c.dumps)
		}
	}

	// With one found it is too late for a dump: what else there is is not known.
	h := New(Options{})
	h.wouldLoad = func(string) bool { return false }
	answers := [][]byte{connected, end(syscall.EPERM, 0)}
	h.exchange = func(context.Context, *place, int, []byte) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			answer := answers[0]
			answers = answers[1:]
			yield(answer, nil)
		}
	}
	var err error
	for _, err = range h.TCP(t.Context(), f) {
	}
	if !errors.Is(err, syscall.EPERM) || len(answers) > 0 {
		t.Errorf("a refusal after a connection was found gave %v", err)
	}
}

// Scans that end early, by their reader or their context, leave nothing open.
func TestNothingIsLeftOpen(t *testing.T) {
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	h := New(Options{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	files, goroutines := open(), runtime.NumGoroutine()
	for range 200 {
		for range h.TCP(t.Context(), InetFilter{}) {
			break
		}
		for range h.UDP(t.Context(), InetFilter{}) {
		}
		for range h.TCP(cancelled, InetFilter{}) {
		}
		h.Sources(t.Context())
	}
	if now := open(); now > files {
		t.Errorf("%d files before, %d after", files, now)
	}
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines before, %d after", goroutines, now)
	}
}

// A kernel that says nothing is not waited for longer than the context lets.
func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	var last error
	// Half a header is no request: the kernel does not answer it.
	for _, err := range converse(ctx, &place{own: true}, netlinkSockDiag, []byte{1, 2, 3, 4}) {
		last = err
	}
	if !errors.Is(last, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", last, time.Since(start))
	}
}

// Where sock_diag does not list MPTCP sockets the kernel's count decides, and
// never is a kernel asked that would load a module for it or has no MPTCP.
func TestMPTCPRefused(t *testing.T) {
	if _, ok, err := New(Options{}).registered(&place{own: true}, "MPTCP"); err != nil || !ok {
		skipOrFail(t, fmt.Errorf("this kernel has no MPTCP: %v: %w", err, errors.ErrUnsupported))
	}
	var requests [][]byte
	h := New(Options{})
	h.exchange = kernel(&requests, answer{[][]byte{end(syscall.ENOENT, 0)}, nil})
	h.wouldLoad = func(string) bool { return false }
	for _, err := range h.MPTCP(t.Context(), InetFilter{}) {
		if err != nil && !strings.Contains(err.Error(), "which only sock_diag lists: sock_diag is refused: no such file") {
			t.Error(err)
		}
	}
	if use := lastUse(h, "mptcp"); use.Source != "" || !strings.Contains(use.Reason, "refused") || len(requests) == 0 {
		t.Errorf("%+v after %d requests", use, len(requests))
	}
	asked := len(requests)
	h.wouldLoad = func(module string) bool { return module == "mptcp_diag" }
	for range h.MPTCP(t.Context(), InetFilter{}) {
	}
	if use := lastUse(h, "mptcp"); use.Source != "" || !strings.Contains(use.Reason, "modprobe mptcp_diag") || len(requests) != asked {
		t.Errorf("%+v after %d requests", use, len(requests)-asked)
	}
}

// Sockets of AF_VSOCK come from sock_diag or not at all; the kernel is asked for
// the states that are wanted.
func TestVsock(t *testing.T) {
	if _, ok, err := New(Options{}).registered(&place{own: true}, "AF_VSOCK"); err != nil || !ok {
		skipOrFail(t, fmt.Errorf("this kernel has no AF_VSOCK: %v: %w", err, errors.ErrUnsupported))
	}
	b, err := os.ReadFile("../../parser/sockdiag/testdata/vsock.diag")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += int(binary.LittleEndian.Uint32(b[i:])) {
		binary.LittleEndian.PutUint32(b[i+8:], 1)
	}
	for _, c := range []struct {
		name   string
		answer answer
		n      int
		fails  string
	}{
		{"a list", answer{[][]byte{b}, nil}, 8, ""},
		{"refused", answer{[][]byte{end(syscall.ENOENT, 0)}, nil}, 0, "there may be vsock sockets, which only sock_diag lists: "},
		{"cut off", answer{[][]byte{b[:60]}, nil}, 1, "too short"},
		{"another family", answer{[][]byte{sockets(t)[0]}, nil}, 0, "address family 2"},
	} {
		h := New(Options{})
		var requests [][]byte
		h.exchange = kernel(&requests, c.answer)
		h.wouldLoad = func(string) bool { return false }
		n, failure := 0, ""
		for s, err := range h.Vsock(t.Context(), VsockFilter{States: 1 << sock.Listen}) {
			if err != nil {
				failure = err.Error()
				break
			}
			if n++; s.Namespace == 0 || s.Namespace != h.ownNamespace() {
				t.Errorf("%s: %+v", c.name, s)
			}
		}
		if n != c.n || (failure == "") != (c.fails == "") || !strings.Contains(failure, c.fails) {
			t.Errorf("%s: %d sockets, %q", c.name, n, failure)
		}
		if states := binary.NativeEndian.Uint32(requests[0][headerSize+4:]); states != 1<<sock.Listen {
			t.Errorf("%s: asked for the states %b", c.name, states)
		}
	}
}

// lastUse is how a list was last read.
func lastUse(h *Host, list string) usage.Usage {
	use, _ := h.uses.Last(list)
	return use
}
