package nlconn

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// here is the program's own network namespace.
type here struct{}

func (here) Do(f func()) error { f(); return nil }

// nowhere is one that cannot be entered.
type nowhere struct{ error }

func (n nowhere) Do(func()) error { return n.error }

// text is a request as it stands.
type text []byte

func (r text) Append(b []byte, _ binary.ByteOrder, _ uint32) []byte { return append(b, r...) }

// linkRequest asks rtnetlink for all interfaces: RTM_GETLINK with struct
// ifinfomsg.
type linkRequest struct{}

func (linkRequest) Append(b []byte, order binary.ByteOrder, seq uint32) []byte {
	b = netlink.AppendHeader(b, order, 18, netlink.FlagRequest|netlink.FlagDump, seq, 16)
	return append(b, make([]byte, 16)...)
}

// A kernel that says nothing is not waited for longer than the context lets.
func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	conn := New(SockDiag, usage.SockDiag, Kernel)
	// Half a header is no request: the kernel does not answer it.
	_, err := conn.Get(ctx, here{}, text{1, 2, 3, 4}, &usage.Usage{})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

func TestNamespaceCannotBeEntered(t *testing.T) {
	closed := errors.New("closed")
	_, err := New(SockDiag, usage.SockDiag, Kernel).Get(t.Context(), nowhere{closed}, linkRequest{}, &usage.Usage{})
	if !errors.Is(err, ErrRefused) || !errors.Is(err, closed) || !strings.Contains(err.Error(), "sock_diag is refused: closed") {
		t.Errorf("got %v", err)
	}
}

// list returns how many messages there were, and what ended them.
func list(t *testing.T, messages iter.Seq2[Message, error]) (n int, err error) {
	t.Helper()
	for _, err := range messages {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// A message that does not fit the buffer is cut off. The list is asked for again
// with a larger one, which later requests have from the start.
func TestLargeMessages(t *testing.T) {
	requests := 0
	conn := New(Route, usage.RTNetlink, func(ctx context.Context, in Enterer, call Call) iter.Seq2[[]byte, error] {
		requests++
		return Kernel(ctx, in, call)
	})
	want, err := list(t, conn.List(t.Context(), here{}, linkRequest{}, &usage.Usage{}))
	if err != nil || want == 0 || requests != 1 {
		t.Fatalf("%d interfaces after %d requests, %v", want, requests, err)
	}
	conn.buffer.Store(100) // one interface takes more
	requests = 0
	if got, err := list(t, conn.List(t.Context(), here{}, linkRequest{}, &usage.Usage{})); err != nil || got != want || requests < 2 {
		t.Errorf("%d of %d interfaces after %d requests, %v", got, want, requests, err)
	}
	requests = 0
	if got, err := list(t, conn.List(t.Context(), here{}, linkRequest{}, &usage.Usage{})); err != nil || got != want || requests != 1 {
		t.Errorf("%d of %d interfaces after %d more requests, %v", got, want, requests, err)
	}

	// A list that is partly read cannot begin again, one that is held can.
	second := func(size int) (*Conn, *int) {
		requests := new(int)
		return New(Route, usage.RTNetlink, func(_ context.Context, _ Enterer, call Call) iter.Seq2[[]byte, error] {
			*requests++
			return func(yield func([]byte, error) bool) {
				one := append(netlink.AppendHeader(nil, binary.NativeEndian, 20, 0, 1, 4), 1, 2, 3, 4)
				end := append(netlink.AppendHeader(nil, binary.NativeEndian, 3, 0, 1, 4), 0, 0, 0, 0)
				if !yield(one, nil) {
					return
				}
				if size > call.Buffer {
					yield(nil, &cutOff{size, call.Buffer})
					return
				}
				_ = yield(one, nil) && yield(end, nil)
			}
		}), requests
	}
	for _, c := range []struct {
		name         string
		size         int
		dumped, held int
		fails        string // what Dump says
	}{
		{"fits", 1000, 2, 2, ""},
		{"large", 100_000, 1, 2, "cut off at 65536"},
		{"larger than any", maxBuffer + 1, 1, 0, "cut off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, _ := second(c.size)
			n, err := list(t, conn.Dump(t.Context(), here{}, linkRequest{}, &usage.Usage{}))
			if n != c.dumped || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("Dump: %d messages, %v", n, err)
			}
			conn, requests := second(c.size)
			n, err = list(t, conn.List(t.Context(), here{}, linkRequest{}, &usage.Usage{}))
			if n != c.held || (err == nil) != (c.held == 2) || *requests > 2 {
				t.Errorf("List: %d messages after %d requests, %v", n, *requests, err)
			}
		})
	}
}

// What ends early leaves nothing open.
func TestNothingIsLeftOpen(t *testing.T) {
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	conn := New(Route, usage.RTNetlink, Kernel)
	before := open()
	for range 50 {
		for range conn.Dump(t.Context(), here{}, linkRequest{}, &usage.Usage{}) {
			break
		}
	}
	if now := open(); now > before {
		t.Errorf("%d files before, %d after", before, now)
	}
}
