// Package osquery serves plugins, such as the tables of package schema, to an
// osquery process over its extension socket.
//
// It stands in for ExtensionManagerServer of osquery-go where a fleet depends
// on more: it waits for the socket no longer than it takes to appear, asks
// osquery whether it still lists the extension and registers again if not,
// answers what is under way before it ends, and has a deadline on every wait.
package osquery

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/gen/osquery"
)

// The values that Options stand for where they are zero.
const (
	DefaultTimeout  = 3 * time.Second
	DefaultInterval = 3 * time.Second
)

// Plugin is OsqueryPlugin of osquery-go, so that each plugin of that package is
// one. The package itself is not imported: a tracing library behind it adds two
// milliseconds to every start of a program, which is most of a short query.
type Plugin interface {
	Name() string
	RegistryName() string
	Routes() osquery.ExtensionPluginResponse
	Ping() osquery.ExtensionStatus
	Call(context.Context, osquery.ExtensionPluginRequest) osquery.ExtensionResponse
	Shutdown()
}

// maxSocketPath is the length of osquery's socket path, in bytes, that leaves
// room for the suffix of an extension's own (sun_path of unix(7) has 108).
const maxSocketPath = 97

// Options say which osquery to serve, and as whom.
type Options struct {
	// Socket is the path of osquery's extension socket, of at most 97 bytes.
	Socket string
	// Name and Version of the extension, as in the table osquery_extensions.
	Name, Version string
	// Timeout bounds the wait for the socket and for each of osquery's answers.
	Timeout time.Duration
	// Interval is the time between two looks at whether osquery is there and
	// lists us.
	Interval time.Duration
	Log      hclog.Logger
}

// The bounds of what is waited for at the end: queries that are under way, and
// osquery's answer to the deregistration.
const (
	endTimeout        = 5 * time.Second
	deregisterTimeout = time.Second
)

// Serve registers the plugins with osquery and answers its calls until ctx
// ends or osquery asks the extension to shut down, and then returns nil. It
// returns an error when osquery refuses the registration or has gone away.
func Serve(ctx context.Context, o Options, plugins ...Plugin) error {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if n := len(o.Socket); n > maxSocketPath {
		return fmt.Errorf("socket path %s: %d bytes are too long, the kernel's limit leaves %d for it", o.Socket, n, maxSocketPath)
	}
	s := &server{Options: o, handler: newHandler(o.Log, plugins)}
	return s.run(ctx)
}

// server is the one goroutine that talks to osquery's core; the goroutines of
// its listener answer osquery's calls.
type server struct {
	Options
	handler *handler
	core    *coreClient
	uuid    osquery.ExtensionRouteUUID
	calls   *listener // nil if not registered
}

func (s *server) run(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return s.unlessAsked(ctx, err)
	}
	defer func() { s.core.Close() }()
	if err := s.register(); err != nil {
		return s.unlessAsked(ctx, err)
	}
	defer s.end()
	tick := time.NewTicker(s.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Log.Info("ending", "reason", context.Cause(ctx))
			return nil
		case <-s.handler.shutdown:
			s.Log.Info("ending", "reason", "osquery asked for it")
			return nil
		case err := <-s.calls.failed:
			return fmt.Errorf("socket %s: %w", s.calls.path, err)
		case <-tick.C:
			// Being asked to end must not wait for an osquery that hangs.
			stop := context.AfterFunc(ctx, s.core.Close)
			err := s.check(ctx)
			stop()
			if err != nil {
				return s.unlessAsked(ctx, err)
			}
		}
	}
}

// unlessAsked drops an error that came of being asked to end.
func (s *server) unlessAsked(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// check makes sure that osquery is there and lists us.
func (s *server) check(ctx context.Context) error {
	listed, err := s.listed()
	if err != nil {
		// The connection may have broken where osquery has not.
		s.Log.Warn("osquery does not answer, connecting again", "error", err)
		s.core.Close()
		if err := s.connect(ctx); err != nil {
			return fmt.Errorf("osquery has gone away: %w", err)
		}
		if listed, err = s.listed(); err != nil {
			return fmt.Errorf("osquery has gone away: %w", err)
		}
	}
	if listed {
		return nil
	}
	s.Log.Warn("osquery no longer lists this extension, registering again", "uuid", s.uuid)
	s.calls.close(endTimeout)
	s.calls = nil
	return s.register()
}

// listed asks osquery whether it is well and knows us.
func (s *server) listed() (bool, error) {
	ctx := context.Background() // the socket has its own timeout
	status, err := s.core.Ping(ctx)
	if err != nil {
		return false, err
	}
	if status.Code != 0 {
		return false, fmt.Errorf("its ping answers %d: %s", status.Code, status.Message)
	}
	extensions, err := s.core.Extensions(ctx)
	if err != nil {
		return false, err
	}
	info, ok := extensions[s.uuid]
	return ok && info != nil && info.Name == s.Name, nil
}

// register makes our plugins known to osquery and listens for its calls.
func (s *server) register() error {
	status, err := s.core.RegisterExtension(context.Background(),
		&osquery.InternalExtensionInfo{Name: s.Name, Version: s.Version}, s.handler.registry())
	if err != nil {
		return fmt.Errorf("register with osquery at %s: %w", s.Socket, err)
	}
	if status.Code != 0 {
		return fmt.Errorf("osquery at %s refuses the registration: %s (status %d)", s.Socket, status.Message, status.Code)
	}
	s.uuid = status.UUID
	s.calls, err = listen(fmt.Sprintf("%s.%d", s.Socket, s.uuid), osquery.NewExtensionProcessor(s.handler), s.Log)
	if err != nil {
		s.deregister()
		return err
	}
	s.Log.Info("registered", "uuid", s.uuid, "socket", s.calls.path)
	return nil
}

// deregister takes the registration back, over a connection of its own: the
// other one may be in the middle of a call.
func (s *server) deregister() {
	conn, err := net.DialTimeout("unix", s.Socket, deregisterTimeout)
	if err == nil {
		core := newCoreClient(conn, deregisterTimeout)
		_, err = core.DeregisterExtension(context.Background(), s.uuid)
		core.Close()
	}
	if err != nil {
		s.Log.Debug("deregistration failed", "error", err)
	}
}

// end takes back what register did.
func (s *server) end() {
	if s.calls != nil {
		s.deregister()
		s.calls.close(endTimeout)
	}
}

// coreClient is a connection to osquery's core. It is for one goroutine.
type coreClient struct {
	*osquery.ExtensionManagerClient
	socket *thrift.TSocket
}

// Close ends the connection.
func (c *coreClient) Close() { _ = c.socket.Close() }

// The waits between two tries to connect: short at first, since osquery starts
// its extensions just before it opens the socket.
const (
	firstRetry = time.Millisecond
	lastRetry  = 100 * time.Millisecond
)

// connect waits for osquery's socket and connects to it.
func (s *server) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	retry := firstRetry
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.Socket)
		if err == nil {
			s.core = newCoreClient(conn, s.Timeout)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no osquery at the socket within %v: %w", s.Timeout, err)
		case <-time.After(retry):
			retry = min(2*retry, lastRetry)
		}
	}
}

func newCoreClient(conn net.Conn, timeout time.Duration) *coreClient {
	config := &thrift.TConfiguration{ConnectTimeout: timeout, SocketTimeout: timeout}
	socket := thrift.NewTSocketFromConnConf(conn, config)
	transport := thrift.NewTBufferedTransport(socket, bufferSize)
	return &coreClient{osquery.NewExtensionManagerClientFactory(transport, thrift.NewTBinaryProtocolFactoryConf(config)), socket}
}
