package osquery

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The calls that wait come in their order, and other processes leave one turn to
// osquery.
func TestTurns(t *testing.T) {
	for _, c := range []struct {
		name  string
		most  int
		calls string // o is osquery's call, x another's
		begun string // the positions of those that begin at once
		then  string // those that begin as each of these ends
	}{
		{"osquery alone", 2, "oooo", "01", "23"},
		{"others alone", 3, "xxxx", "01", "23"},
		{"others leave a turn", 3, "xxxoo", "013", "24"},
		{"osquery takes all", 2, "oox", "01", "2"},
		{"one turn for all", 1, "xox", "0", "12"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &turns{most: c.most}
				var order []string
				var running []*turn
				for i, who := range c.calls {
					call := &turn{conn: &conn{ofCore: who == 'o'}}
					go func() {
						if err := s.take(t.Context(), call); err != nil {
							t.Error(err)
						}
						order = append(order, string(rune('0'+i)))
						running = append(running, call)
					}()
					synctest.Wait()
				}
				got := []string{strings.Join(order, "")}
				order = nil
				for len(running) > 0 {
					next := running[0]
					running = running[1:]
					next.end()
					next.end() // which a turn that has ended may
					synctest.Wait()
				}
				if diff := cmp.Diff([]string{c.begun, c.then}, append(got, strings.Join(order, ""))); diff != "" {
					t.Errorf("want (-), got (+):\n%s", diff)
				}
			})
		})
	}
}

// A call that has waited too long, or whose query has ended, is given up and takes
// no turn.
func TestTurnIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		end  time.Duration // of the context
		want string
	}{
		"no turn":            {time.Hour, "had no turn for 30s"},
		"the extension ends": {time.Second, "the extension ends"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &turns{most: 1}
				first, second := &turn{}, &turn{}
				if err := s.take(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.end)
				defer cancel()
				if err := s.take(ctx, second); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
				second.end()
				first.end()
				if err := s.take(t.Context(), &turn{}); err != nil || len(s.held) != 1 || len(s.waiting) != 0 {
					t.Errorf("%v, %d held, %d waiting", err, len(s.held), len(s.waiting))
				}
			})
		})
	}
}

// A client that does not read its answer loses its connection when another call
// waits for the turn, and only then.
func TestStalledClient(t *testing.T) {
	ours, theirs := unixPair(t)
	s := &turns{most: 1}
	c := &conn{UnixConn: ours}
	if err := s.take(t.Context(), &turn{conn: c}); err != nil {
		t.Fatal(err)
	}
	c.writing.Store(time.Now().Add(-2 * stallTimeout).UnixNano())
	if err := theirs.SetReadDeadline(time.Now().Add(stallTimeout / 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Read(make([]byte, 1)); err == nil || !err.(net.Error).Timeout() {
		t.Errorf("nobody waits, and the connection ends: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), stallTimeout)
	defer cancel()
	_ = s.take(ctx, &turn{}) // the connection's goroutine would end the turn
	theirs.SetReadDeadline(time.Now().Add(stallTimeout))
	if _, err := theirs.Read(make([]byte, 1)); err == nil || err.Error() != "EOF" {
		t.Errorf("got %v", err)
	}
}

// unixPair returns the ends of a connection.
func unixPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if b, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr)); err != nil {
		t.Fatal(err)
	}
	if a, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}
