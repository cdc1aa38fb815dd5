package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn/nlconntest"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// The numbers of a netlink header that the tests use.
const (
	headerSize   = 16
	typeByFamily = 20
)

// captured returns the messages of a capture of netlink, without its end.
func captured(t testing.TB, file string) [][]byte {
	t.Helper()
	messages, err := nlconntest.Capture("../../parser/" + file)
	if err != nil {
		skipOrFail(t, err)
	}
	return messages
}

// sockets returns the messages of a capture of TCP sockets, without its end.
func sockets(t testing.TB) [][]byte { return captured(t, "sockdiag/testdata/tcp.diag") }

// answer is nlconntest.Answer.
type answer struct {
	Received [][]byte
	Err      error
}

// kernel answers the first request with the first answer, and so on; the last
// one again and again.
func kernel(requests *[][]byte, answers ...answer) nlconn.Exchange {
	var all []nlconntest.Answer
	for _, a := range answers {
		all = append(all, nlconntest.Answer(a))
	}
	return nlconntest.Answers(requests, all...).Exchange
}

// neverAsked is a kernel that must not be asked.
func neverAsked(context.Context, nlconn.Enterer, nlconn.Call) iter.Seq2[[]byte, error] {
	panic("asked although a module would be loaded")
}

// read returns how many IPv4 TCP sockets a host with that kernel gives.
func read(t testing.TB, f InetFilter, answers ...answer) (n int, requests [][]byte, use usage.Usage, err error) {
	t.Helper()
	h := New(Options{})
	h.askBy(kernel(&requests, answers...))
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

// What the kernel answers becomes sockets, or an error that names the list and its
// source. Package nlconn tests the conversation itself.
func TestSockDiag(t *testing.T) {
	all := sockets(t)
	one, done := all[0], nlconntest.End(0)
	ports := InetFilter{LocalPorts: []sock.PortRange{{Low: 22, High: 22}}}
	type answers = []answer
	for _, c := range []struct {
		name     string
		filter   InetFilter
		answers  answers
		n        int
		requests int
		want     string // in the error
	}{
		{"a list", InetFilter{}, answers{{append(append([][]byte{}, all...), done), nil}}, len(all), 1, ""},
		{"nothing", InetFilter{}, answers{{[][]byte{done}, nil}}, 0, 1, ""},
		{"a state that was not asked for", InetFilter{States: 1 << sock.Closing}, answers{{[][]byte{one, done}, nil}}, 0, 1, ""},
		{"no end", InetFilter{}, answers{{[][]byte{one}, nil}}, 1, 1, "no end"},
		{"a refusal in the middle", InetFilter{}, answers{{[][]byte{one, nlconntest.End(syscall.EPERM)}, nil}}, 1, 1, "not permitted"},
		{"half a socket", InetFilter{}, answers{{[][]byte{one, one[:60]}, nil}}, 1, 1, "too short"},
		{"interrupted once, before a socket", InetFilter{}, answers{{[][]byte{nlconntest.Interrupted()}, nil}, {[][]byte{one, done}, nil}}, 1, 2, ""},
		{"interrupted after a socket", InetFilter{}, answers{{[][]byte{one, nlconntest.Interrupted()}, nil}}, 1, 1, "ask again"},
		{"a filter that the kernel does not know", ports, answers{{[][]byte{nlconntest.End(syscall.EINVAL)}, nil}, {[][]byte{one, done}, nil}}, 1, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, requests, use, err := read(t, c.filter, c.answers...)
			if n != c.n || len(requests) != c.requests || use.Source != usage.SockDiag || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d sockets after %d requests from %s, %v; want %d after %d, %q", n, len(requests), use.Source, err, c.n, c.requests, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), "sock_diag of tcp: ") {
				t.Errorf("%v does not name its source", err)
			}
			if strings.HasPrefix(c.name, "interrupted") != use.Interrupted {
				t.Errorf("interrupted is %v", use.Interrupted)
			}
		})
	}
}

// Where netlink is refused /proc has the sockets, and the reason is told.
func TestFallBack(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENOENT, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.ENOSYS, syscall.EINVAL} {
		t.Run(fmt.Sprint(errno), func(t *testing.T) {
			for name, a := range map[string]answer{
				"by a system call": {nil, os.NewSyscallError("socket", errno)},
				"by the kernel":    {[][]byte{nlconntest.End(errno)}, nil},
			} {
				_, _, use, err := read(t, InetFilter{}, a)
				if err != nil || use.Source != usage.ProcFS || !strings.Contains(use.Reason, errno.Error()) || !strings.Contains(use.Reason, "refused") {
					t.Errorf("%v %s: %+v, %v", errno, name, use, err)
				}
			}
		})
	}
	h := New(Options{})
	h.askBy(neverAsked)
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

// Where sock_diag does not list MPTCP sockets the kernel's count decides, and
// never is a kernel asked that would load a module for it or has no MPTCP.
func TestMPTCPRefused(t *testing.T) {
	if _, ok, err := registered(New(Options{}).netns.Own(), "MPTCP"); err != nil || !ok {
		skipOrFail(t, fmt.Errorf("this kernel has no MPTCP: %v: %w", err, errors.ErrUnsupported))
	}
	var requests [][]byte
	h := New(Options{})
	h.askBy(kernel(&requests, answer{[][]byte{nlconntest.End(syscall.ENOENT)}, nil}))
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
	if _, ok, err := registered(New(Options{}).netns.Own(), "AF_VSOCK"); err != nil || !ok {
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
		{"refused", answer{[][]byte{nlconntest.End(syscall.ENOENT)}, nil}, 0, "there may be vsock sockets, which only sock_diag lists: "},
		{"cut off", answer{[][]byte{b[:60]}, nil}, 1, "too short"},
		{"another family", answer{[][]byte{sockets(t)[0]}, nil}, 0, "address family 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := New(Options{})
			var requests [][]byte
			h.askBy(kernel(&requests, c.answer))
			h.wouldLoad = func(string) bool { return false }
			n, failure := 0, ""
			for s, err := range h.Vsock(t.Context(), VsockFilter{States: 1 << sock.Listen}) {
				if err != nil {
					failure = err.Error()
					break
				}
				if n++; s.Namespace == 0 || s.Namespace != h.netns.Own().Inode {
					t.Errorf("%+v", s)
				}
			}
			if n != c.n || (failure == "") != (c.fails == "") || !strings.Contains(failure, c.fails) {
				t.Errorf("%d sockets, %q", n, failure)
			}
			if states := binary.NativeEndian.Uint32(requests[0][headerSize+4:]); states != 1<<sock.Listen {
				t.Errorf("asked for the states %b", states)
			}
		})
	}
}

// lastUse is how a list was last read.
func lastUse(h *Host, list string) usage.Usage {
	use, _ := h.uses.Last(list)
	return use
}
