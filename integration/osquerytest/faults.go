package osquerytest

import (
	"context"
	"sync"
	"time"
)

// faults are what is wrong with a manager.
type faults struct {
	mu         sync.Mutex
	refuse     string
	pingFails  string
	pingHangs  chan struct{} // receives at each ping that hangs
	frozen     chan struct{} // closed when the manager thaws
	maxMessage int
	perSecond  int
}

// set changes the faults and returns a function that takes the change back.
func (f *faults) set(change, back func()) (lift func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		back()
	}
}

// RefuseRegistration makes the manager refuse every registration with this
// message, until lift is called. An empty message refuses none.
func (m *Manager) RefuseRegistration(message string) (lift func()) {
	f := &m.faults
	return f.set(func() { f.refuse = message }, func() { f.refuse = "" })
}

// FailPings makes the manager answer pings with status 1 and this message,
// until lift is called.
func (m *Manager) FailPings(message string) (lift func()) {
	f := &m.faults
	return f.set(func() { f.pingFails = message }, func() { f.pingFails = "" })
}

// HangPings makes pings wait until the manager ends; lift spares later ones.
// hung receives a value when a ping hangs.
func (m *Manager) HangPings() (hung <-chan struct{}, lift func()) {
	f := &m.faults
	c := make(chan struct{}, 1)
	return c, f.set(func() { f.pingHangs = c }, func() { f.pingHangs = nil })
}

// Freeze makes every call of an extension wait until thaw is called: the
// manager has started and is not ready.
func (m *Manager) Freeze() (thaw func()) {
	f := &m.faults
	c := make(chan struct{})
	var once sync.Once
	f.set(func() { f.frozen = c }, nil)
	return func() { once.Do(func() { close(c) }) }
}

// ReadSlowly makes the manager read the answers of extensions at this rate,
// until lift is called.
func (m *Manager) ReadSlowly(bytesPerSecond int) (lift func()) {
	f := &m.faults
	return f.set(func() { f.perSecond = bytesPerSecond }, func() { f.perSecond = 0 })
}

// LimitMessages puts a limit of this many bytes in the place of [MaxMessage],
// until lift is called: a small answer is too large.
func (m *Manager) LimitMessages(bytes int) (lift func()) {
	f := &m.faults
	return f.set(func() { f.maxMessage = bytes }, func() { f.maxMessage = 0 })
}

// Forget drops a registration and says nothing to the extension, as osquery
// does after a ping that the extension did not answer. It reports whether
// there was one.
func (m *Manager) Forget(uuid UUID) bool { return m.remove(uuid) }

// PingExtensions is one round of osquery's health check: it drops the
// extensions that do not answer a ping and returns their names.
func (m *Manager) PingExtensions(ctx context.Context) (dropped []string) {
	for uuid, name := range m.Extensions() {
		if m.healthy(ctx, uuid) || ctx.Err() != nil {
			continue
		}
		if m.remove(uuid) {
			dropped = append(dropped, name)
		}
	}
	return dropped
}

func (m *Manager) healthy(ctx context.Context, uuid UUID) bool {
	// An extension that has never answered is given three seconds to begin.
	m.mu.Lock()
	e := m.extensions[uuid]
	answered := e != nil && e.answered
	m.mu.Unlock()
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if m.answers(ctx, uuid) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if e != nil {
				e.answered = true
			}
			return true
		}
		if answered || ctx.Err() != nil || time.Now().After(end) {
			return false
		}
	}
}

// answers pings an extension, which fails with status 1 alone.
func (m *Manager) answers(ctx context.Context, uuid UUID) bool {
	client, err := m.Dial(ctx, uuid)
	if err != nil {
		return false
	}
	defer client.Close()
	client.conn.SetDeadline(time.Now().Add(callTimeout))
	defer context.AfterFunc(ctx, func() { client.Close() })()
	s, err := client.Ping(ctx)
	return err == nil && s.Code != 1
}

func (m *Manager) watch(ctx context.Context) {
	tick := time.NewTicker(m.watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			m.PingExtensions(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// call waits while the manager is frozen. Thrift ends ctx with the connection.
func (f *faults) call(ctx context.Context) {
	f.mu.Lock()
	frozen := f.frozen
	f.mu.Unlock()
	if frozen != nil {
		select {
		case <-frozen:
		case <-ctx.Done():
		}
	}
}

// ping returns the message of a ping that fails.
func (f *faults) ping(ctx context.Context) (message string) {
	f.call(ctx)
	f.mu.Lock()
	hung, message := f.pingHangs, f.pingFails
	f.mu.Unlock()
	if hung != nil {
		select {
		case hung <- struct{}{}:
		default:
		}
		<-ctx.Done()
	}
	return message
}

func (f *faults) refusal() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refuse
}

// reading returns how an answer is read.
func (f *faults) reading() (maxMessage, perSecond int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maxMessage, perSecond = f.maxMessage, f.perSecond
	if maxMessage == 0 {
		maxMessage = MaxMessage
	}
	return maxMessage, perSecond
}
