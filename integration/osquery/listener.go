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
	// maxRequest is the size in bytes of the largest request: one that lists
	// the values of an IN.
	maxRequest = 16 << 20
)

// listener answers calls on a unix socket.
type listener struct {
	path   string
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

	buffers sync.Pool // of connections that have ended
}

// conn is a connection that knows whether a call is under way on it: from its
// first byte until its answer is written.
type conn struct {
	*net.UnixConn // keeps thrift's check whether the client is still there
	busy          atomic.Bool
}

// Read notes that a call has begun.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.UnixConn.Read(b)
	if n > 0 {
		c.busy.Store(true)
	}
	return n, err
}

// listen opens the socket and answers on it until it is closed.
func listen(path string, processor thrift.TProcessor, log hclog.Logger) (*listener, error) {
	address := &net.UnixAddr{Name: path, Net: "unix"}
	socket, err := net.ListenUnix("unix", address)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(address) {
		// An extension that was killed left its file behind.
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("socket for osquery's calls: %w", err)
		}
		socket, err = net.ListenUnix("unix", address)
	}
	if err != nil {
		return nil, fmt.Errorf("socket for osquery's calls: %w", err)
	}
	l := &listener{path: path, failed: make(chan error, 1), log: log, processor: processor, socket: socket, conns: make(map[*conn]struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.running.Add(1)
	go l.accept()
	return l, nil
}

// abandoned reports whether nobody listens at a socket file.
func abandoned(address *net.UnixAddr) bool {
	c, err := net.DialUnix("unix", nil, address)
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
		c := &conn{UnixConn: socket}
		l.mu.Lock()
		if l.closing {
			l.mu.Unlock()
			c.Close()
			return
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
	}()
	config := &thrift.TConfiguration{SocketTimeout: idleTimeout, MaxMessageSize: maxRequest, TBinaryStrictRead: thrift.BoolPtr(true)}
	transport := l.transport(thrift.NewTSocketFromConnConf(c, config))
	defer l.putBuffers(transport.buffers)
	protocol := thrift.NewTBinaryProtocolConf(transport, config)
	for {
		ok, err := l.processor.Process(l.ctx, protocol, protocol)
		var unknown thrift.TApplicationException
		if errors.As(err, &unknown) && unknown.TypeId() == thrift.UNKNOWN_METHOD {
			ok = true // it was answered so
		}
		if !ok || errors.As(err, new(thrift.TTransportException)) {
			return
		}
		c.busy.Store(false)
		l.mu.Lock()
		closing := l.closing
		l.mu.Unlock()
		if closing {
			return
		}
	}
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
