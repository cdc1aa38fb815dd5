package osquery

import (
	"context"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// watchInterval is the time between two looks at whether the client of a call is
// still there.
const watchInterval = 5 * time.Millisecond

// watcher ends a call whose client is gone.
type watcher struct {
	transport thrift.TTransport
	cancel    context.CancelFunc

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// watch looks after each interval, in no goroutine until then: most calls are
// over before.
func watch(transport thrift.TTransport, cancel context.CancelFunc) *watcher {
	w := &watcher{transport: transport, cancel: cancel}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(watchInterval, w.look)
	return w
}

func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.stopped:
	case !w.transport.IsOpen():
		w.cancel()
	default:
		w.timer.Reset(watchInterval)
	}
}

// stop ends the watch; the transport is not looked at any more.
func (w *watcher) stop() {
	w.timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}
