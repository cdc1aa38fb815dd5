package osquery

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/hashicorp/go-hclog"
)

const (
	// bufferSize is that of the wire's buffers. Without one thrift does a
	// system call for each string.
	bufferSize = 64 << 10
	// idleTimeout ends a connection on which nothing has moved for so long.
	// osquery makes one for each call.
	idleTimeout = time.Minute
	// answerTimeout is how long a client may take to read the next part of its
	// answer, which holds memory and a turn.
	answerTimeout = 10 * time.Second
	// maxRequest is the size in bytes of the largest request: one that lists
	// the values of an IN.
	maxRequest = 16 << 20
	// maxUnanswered is how many bytes of requests, of all connections, may be held
	// until they are answered. One connection may always have smallRequest.
	maxUnanswered = 64 << 20
	smallRequest  = 1 << 20
	// maxConnections is how many connections are served at a time. osquery has one
	// for each call that it makes at the time, and few of those.
	maxConnections = 256
	// maxEntries is how many entries a map of a request may claim to have:
	// osquery's has two, and memory is taken for as many as are claimed.
	maxEntries = 256
)

// listener answers calls on a unix socket.
type listener struct {
	path   string
	core   int32      // the process of osquery
	failed chan error // gets what ended the listener, if not close

	log       hclog.Logger
	processor thrift.TProcessor
	socket    *net.UnixListener
	ctx       context.Context // ends the calls that are under way
	cancel    context.CancelFunc

	mu      sync.Mutex
	conns   map[*conn]struct{}
	closing bool
	running sync.WaitGroup

	buffers    sync.Pool    // of connections that have ended
	unanswered atomic.Int64 // bytes of requests
}

// conn is a connection that knows whether a call is under way on it: from its
// first byte until its answer is written.
type conn struct {
	*net.UnixConn      // keeps thrift's check whether the client is still there
	ofCore        bool // the client is osquery itself
	busy          atomic.Bool
	unanswered    *atomic.Int64 // the listener's
	request       int64         // bytes of the request that is under way
	writing       atomic.Int64  // since when a write is under way, in ns; 0 is none
}

// Read notes that a call has begun. It fails where requests that are not answered
// take too much memory.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.UnixConn.Read(b)
	if n > 0 {
		c.busy.Store(true)
		c.request += int64(n)
		if all := c.unanswered.Add(int64(n)); all > maxUnanswered && c.request > smallRequest {
			return 0, fmt.Errorf("requests of %d bytes are unanswered: ask again", all)
		}
	}
	return n, err
}

// Write ends the connection of a client that does not read its answer.
func (c *conn) Write(b []byte) (int, error) {
	now := time.Now()
	c.writing.Store(now.UnixNano())
	defer c.writing.Store(0)
	if err := c.SetWriteDeadline(now.Add(answerTimeout)); err != nil {
		return 0, err
	}
	return c.UnixConn.Write(b)
}

// stalled reports whether the client does not read its answer.
func (c *conn) stalled() bool {
	began := c.writing.Load()
	return began != 0 && time.Since(time.Unix(0, began)) > stallTimeout
}

// answered notes that no call is under way.
func (c *conn) answered() {
	c.unanswered.Add(-c.request)
	c.request = 0
	c.busy.Store(false)
}

// listen opens the socket and answers on it until it is closed. A turn is kept for
// the calls of the process core.
func listen(path string, core int32, processor thrift.TProcessor, log hclog.Logger) (*listener, error) {
	socket, err := listenPrivately(path)
	if errors.Is(err, syscall.EADDRINUSE) {
		// An extension that was killed left its file behind.
		if err = trusted(path); err == nil && abandoned(path) {
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("socket for osquery's calls: %w", err)
			}
		}
		if err == nil {
			socket, err = listenPrivately(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("socket for osquery's calls: %w", err)
	}
	l := &listener{path: path, core: core, failed: make(chan error, 1), log: log, processor: processor, socket: socket, conns: make(map[*conn]struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.running.Add(1)
	go l.accept()
	return l, nil
}

// listenPrivately listens on a socket file that only our own user may connect to,
// whatever the umask is: the file gets the mode that the socket has when it is
// bound (unix_bind_bsd, net/unix/af_unix.c).
func listenPrivately(path string) (*net.UnixListener, error) {
	private := func(_, _ string, socket syscall.RawConn) error {
		var changed error
		if err := socket.Control(func(fd uintptr) { changed = syscall.Fchmod(int(fd), 0o600) }); err != nil {
			return err
		}
		return os.NewSyscallError("fchmod", changed)
	}
	l, err := (&net.ListenConfig{Control: private}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// abandoned reports whether nobody listens at a socket file.
func abandoned(path string) bool {
	c, err := net.DialTimeout("unix", path, deregisterTimeout)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func (l *listener) accept() {
	defer l.running.Done()
	for {
		socket, err := l.socket.AcceptUnix()
		if err != nil {
			l.mu.Lock()
			closing := l.closing
			l.mu.Unlock()
			switch {
			case closing:
				return
			case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.ENOMEM):
				l.log.Warn("a connection could not be taken", "error", err)
				time.Sleep(10 * time.Millisecond) // others have to end first
				continue
			}
			l.failed <- err
			return
		}
		peer, err := ownPeer(socket)
		if err != nil {
			l.log.Warn("a connection is refused", "error", err)
			socket.Close()
			continue
		}
		c := &conn{UnixConn: socket, ofCore: peer == l.core, unanswered: &l.unanswered}
		l.mu.Lock()
		if l.closing {
			l.mu.Unlock()
			c.Close()
			return
		}
		if len(l.conns) >= maxConnections {
			l.mu.Unlock()
			c.Close() // whoever holds the others may have one back
			continue
		}
		l.conns[c] = struct{}{}
		l.running.Add(1)
		l.mu.Unlock()
		go l.serve(c)
	}
}

// serve answers the calls of one client.
func (l *listener) serve(c *conn) {
	defer l.running.Done()
	defer func() {
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
		c.Close()
		c.answered()
	}()
	config := &thrift.TConfiguration{SocketTimeout: idleTimeout, MaxMessageSize: maxRequest, TBinaryStrictRead: thrift.BoolPtr(true)}
	transport := l.transport(thrift.NewTSocketFromConnConf(c, config))
	defer l.putBuffers(transport.buffers)
	protocol := &protocol{thrift.NewTBinaryProtocolConf(transport, config)}
	for {
		t := &turn{conn: c}
		ok, err := l.processor.Process(context.WithValue(l.ctx, turnKey{}, t), protocol, protocol)
		t.end()
		var unknown thrift.TApplicationException
		if errors.As(err, &unknown) && unknown.TypeId() == thrift.UNKNOWN_METHOD {
			ok = true // it was answered so
		}
		if !ok || errors.As(err, new(thrift.TTransportException)) {
			return
		}
		c.answered()
		l.mu.Lock()
		closing := l.closing
		l.mu.Unlock()
		if closing {
			return
		}
	}
}

// protocol is thrift's binary one, but refuses collections that claim more entries
// than any request of osquery has.
type protocol struct{ *thrift.TBinaryProtocol }

// ReadMapBegin reads how many entries a map has.
func (p *protocol) ReadMapBegin(ctx context.Context) (key, value thrift.TType, size int, err error) {
	if key, value, size, err = p.TBinaryProtocol.ReadMapBegin(ctx); err == nil && size > maxEntries {
		err = thrift.NewTProtocolExceptionWithType(thrift.SIZE_LIMIT, fmt.Errorf("a map of %d entries, where a request of osquery has %d at most", size, maxEntries))
	}
	return key, value, size, err
}

// buffers serve one connection after another.
type buffers struct {
	*bufio.Reader
	*bufio.Writer
}

// transport is thrift's TBufferedTransport, but for buffers that come from other
// connections. It stays as it is when its connection ends: thrift's check whether
// the client is still there may then ask it once more whether it is open.
type transport struct {
	*buffers
	socket *thrift.TSocket
}

func (l *listener) transport(socket *thrift.TSocket) *transport {
	b, ok := l.buffers.Get().(*buffers)
	if !ok {
		return &transport{&buffers{bufio.NewReaderSize(socket, bufferSize), bufio.NewWriterSize(socket, bufferSize)}, socket}
	}
	b.Reader.Reset(socket)
	b.Writer.Reset(socket)
	return &transport{b, socket}
}

func (l *listener) putBuffers(b *buffers) {
	b.Reader.Reset(nil)
	b.Writer.Reset(nil)
	l.buffers.Put(b)
}

func (t *transport) Open() error            { return t.socket.Open() }
func (t *transport) IsOpen() bool           { return t.socket.IsOpen() }
func (t *transport) Close() error           { return t.socket.Close() }
func (t *transport) RemainingBytes() uint64 { return t.socket.RemainingBytes() }

func (t *transport) Flush(context.Context) error { return t.Writer.Flush() }

// close takes no more calls, removes the socket file and waits until the calls
// under way are answered. When the timeout is over it cancels them, soon after
// it breaks their connections, and then leaves them behind.
func (l *listener) close(timeout time.Duration) {
	l.mu.Lock()
	l.closing = true
	l.socket.Close()
	for c := range l.conns {
		if !c.busy.Load() {
			c.Close()
		}
	}
	l.mu.Unlock()
	defer l.cancel()
	ended := make(chan struct{})
	go func() {
		l.running.Wait()
		close(ended)
	}()
	for _, end := range []func(){l.cancel, l.breakConns, func() { l.log.Error("a call does not end", "socket", l.path) }} {
		select {
		case <-ended:
			return
		case <-time.After(timeout):
			end()
			timeout = time.Second
		}
	}
}

func (l *listener) breakConns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close()
	}
}
