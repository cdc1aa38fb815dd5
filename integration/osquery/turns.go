package osquery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// turnTimeout is how long a call waits for its turn.
	turnTimeout = 30 * time.Second
	// stallTimeout is how long a client may leave its answer unread while another
	// call waits for the turn.
	stallTimeout = time.Second
)

// turns bounds how many calls are answered at a time. Those that wait come in their
// order. One turn is kept for osquery, so that no other process keeps it waiting.
type turns struct {
	most int

	mu      sync.Mutex
	held    []*turn
	waiting []*turn
}

// turn is one of the calls that are answered at a time. It lasts until the answer is
// written, since the answer takes memory until then.
type turn struct {
	conn  *conn // nil if the call came over none
	of    *turns
	begun chan struct{} // is closed when it begins, if the call had to wait
}

// turnKey is the key of the turn in the context of a call that came over a
// listener.
type turnKey struct{}

// take waits for the turn.
func (s *turns) take(ctx context.Context, t *turn) error {
	t.of = s
	s.mu.Lock()
	if s.free(t) {
		s.held = append(s.held, t)
		s.mu.Unlock()
		return nil
	}
	t.begun = make(chan struct{})
	s.waiting = append(s.waiting, t)
	s.mu.Unlock()
	end := time.NewTimer(turnTimeout)
	defer end.Stop()
	look := time.NewTicker(stallTimeout / 3)
	defer look.Stop()
	for {
		var err error
		select {
		case <-t.begun:
			return nil
		case <-look.C:
			s.breakStalled()
			continue
		case <-end.C:
			err = fmt.Errorf("%d other queries are answered at a time, and this one had no turn for %v: ask again, or ask for less at a time", s.most, turnTimeout)
		case <-ctx.Done():
			err = errors.New("the extension ends")
		}
		s.mu.Lock()
		at := slices.Index(s.waiting, t)
		if at < 0 { // it has just begun
			err = nil
		} else {
			s.waiting = slices.Delete(s.waiting, at, at+1)
		}
		s.mu.Unlock()
		return err
	}
}

// end gives the turn to another call, if this one had it.
func (t *turn) end() {
	s := t.of
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.held, t)
	if at < 0 {
		return
	}
	s.held = slices.Delete(s.held, at, at+1)
	first := slices.IndexFunc(s.waiting, s.free)
	if first < 0 {
		return
	}
	next := s.waiting[first]
	s.waiting = slices.Delete(s.waiting, first, first+1)
	s.held = append(s.held, next)
	close(next.begun)
}

// free reports whether a call need not wait.
func (s *turns) free(t *turn) bool {
	if t.conn == nil || t.conn.ofCore || s.most == 1 {
		return len(s.held) < s.most
	}
	others := 0
	for _, t := range s.held {
		if t.conn != nil && !t.conn.ofCore {
			others++
		}
	}
	return others < s.most-1 && len(s.held) < s.most
}

// breakStalled ends the connections of clients that do not read their answers.
func (s *turns) breakStalled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.held {
		if t.conn != nil && t.conn.stalled() {
			t.conn.Close()
		}
	}
}
