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
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/memlimit"
)

// The values that Options stand for where they are zero.
const (
	DefaultTimeout  = 3 * time.Second
	DefaultInterval = 3 * time.Second
	DefaultMaxCalls = 4
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
	// Reconnect says to look for osquery again, for ever, when it has gone away
	// or refuses us after it had taken us. Else Serve returns the error: osquery
	// starts anew the extensions that it had started.
	Reconnect bool
	// Parent is the process whose end ends Serve with an error; 0 is none.
	Parent int
	// MaxCalls is how many of osquery's calls are answered at a time; others
	// wait for their turn. 0 means DefaultMaxCalls.
	MaxCalls int
	// Memory is what the program may take, above which the calls under way fail;
	// nil is no limit.
	Memory *memlimit.Limit
	// Registered, if it is not nil, is called whenever osquery has taken us.
	Registered func()
	// Lost, if it is not nil, is called when a registration is lost, before it is
	// sought again: with the last time at which osquery was known to list us. The
	// next call of Registered ends the loss.
	Lost func(last time.Time)
	Log  hclog.Logger
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
	if o.MaxCalls <= 0 {
		o.MaxCalls = DefaultMaxCalls
	}
	s := &server{Options: o, handler: newHandler(o.Log, o.MaxCalls, plugins)}
	s.handler.memory = o.Memory
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
	listing time.Time // when osquery was last known to list us
	lost    bool      // the registration, and it was said
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
		case err := <-s.failed():
			return fmt.Errorf("socket %s: %w", s.calls.path, err)
		case <-tick.C:
			if s.Parent != 0 && os.Getppid() != s.Parent {
				return fmt.Errorf("process %d, which started this one, has ended", s.Parent)
			}
			// Being asked to end must not wait for an osquery that hangs.
			stop := context.AfterFunc(ctx, s.core.Close)
			err := s.check(ctx)
			stop()
			if err != nil && s.Reconnect && !s.asked(ctx) {
				err = s.recover(ctx, err)
			}
			if err != nil {
				return s.unlessAsked(ctx, err)
			}
		}
	}
}

// failed returns what gets the error of the listener, if there is one.
func (s *server) failed() <-chan error {
	if s.calls == nil {
		return nil
	}
	return s.calls.failed
}

// The waits between two tries to register again, of which each is cut by up to a
// half so that the extensions of a fleet do not come all at once.
const (
	firstBackOff = 100 * time.Millisecond
	lastBackOff  = 30 * time.Second
)

// errShutdown is that osquery asked us to end.
var errShutdown = errors.New("osquery asked the extension to end")

// recover looks for osquery until it takes us again. Only the end of ctx or of
// the parent, or osquery's request to end, ends it with an error.
func (s *server) recover(ctx context.Context, reason error) error {
	s.lose(reason)
	s.core.Close()
	for backOff := firstBackOff; ; backOff = min(2*backOff, lastBackOff) {
		wait := backOff - rand.N(backOff/2)
		s.Log.Debug("not registered yet", "reason", reason, "next try in", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.handler.shutdown:
			return errShutdown
		case <-time.After(wait):
		}
		if s.Parent != 0 && os.Getppid() != s.Parent {
			return fmt.Errorf("process %d, which started this one, has ended", s.Parent)
		}
		if reason = s.connect(ctx); reason != nil {
			continue
		}
		stop := context.AfterFunc(ctx, s.core.Close)
		reason = s.register()
		stop()
		if reason == nil {
			return nil
		}
		s.core.Close()
	}
}

// lose forgets a registration that is no more, and says so once for each loss.
func (s *server) lose(reason error) {
	if !s.lost {
		s.lost = true
		s.Log.Warn("the registration with osquery is lost", "reason", reason)
		if s.Lost != nil {
			s.Lost(s.listing)
		}
	}
	if s.calls != nil {
		s.calls.close(endTimeout)
		s.calls = nil
	}
}

// asked reports whether ctx has ended or osquery has asked us to end.
func (s *server) asked(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-s.handler.shutdown:
		return true
	default:
		return false
	}
}

// unlessAsked drops an error that came of being asked to end.
func (s *server) unlessAsked(ctx context.Context, err error) error {
	if s.asked(ctx) {
		return nil
	}
	return err
}

// check makes sure that osquery is there and lists us.
func (s *server) check(ctx context.Context) error {
	listed, err := s.listed()
	if err != nil {
		// The connection may have broken where osquery has not.
		s.Log.Debug("osquery does not answer, connecting again", "error", err)
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
	s.lose(fmt.Errorf("osquery no longer lists this extension (UUID %d)", s.uuid))
	return s.register()
}

// listed asks osquery whether it is well and knows us.
func (s *server) listed() (bool, error) {
	ctx := context.Background() // the socket has its own timeout
	asked := time.Now()
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
	if info := extensions[s.uuid]; info == nil || info.Name != s.Name {
		return false, nil
	}
	s.listing = asked
	return true, nil
}

// register makes our plugins known to osquery and listens for its calls.
func (s *server) register() error {
	status, err := s.core.RegisterExtension(context.Background(),
		&osquery.InternalExtensionInfo{Name: s.Name, Version: s.Version}, s.handler.registry())
	if err != nil {
		return fmt.Errorf("register with osquery at %s: %w", s.Socket, err)
	}
	if status.Code != 0 {
		return fmt.Errorf("osquery at %s refuses the registration: %s (status %d)%s", s.Socket, status.Message, status.Code, s.explain(status.Message))
	}
	s.uuid = status.UUID
	s.calls, err = listen(s.callsPath(s.uuid), s.core.process, s.handler.processor(), s.Log)
	if err != nil {
		s.deregister()
		return err
	}
	if s.Registered != nil {
		s.Registered()
	}
	s.Log.Info("registered", "uuid", s.uuid, "socket", s.calls.path)
	if s.lost {
		s.Log.Warn("registered with osquery again", "uuid", s.uuid, "tables_gone_at_most", time.Since(s.listing).Round(time.Millisecond))
	}
	s.lost, s.listing = false, time.Now()
	return nil
}

// duplicateName is what osquery answers when it lists an extension of that name
// (ExtensionManagerInterface::registerExtension in its extensions/interface.cpp).
const duplicateName = "Duplicate extension registered"

// explain returns what to do about a refusal, to be put behind it, or nothing.
// osquery compares the names of extensions first, those of tables then.
func (s *server) explain(message string) string {
	extensions, err := s.core.Extensions(context.Background())
	if err != nil {
		s.Log.Debug("osquery does not list its extensions", "error", err)
	}
	for uuid, info := range extensions {
		if info == nil || info.Name != s.Name {
			continue
		}
		if !s.answers(uuid) {
			return fmt.Sprintf("; it lists this extension already (UUID %d), but nothing answers there: if that one has ended, osquery drops it at its next check (--extensions_interval)", uuid)
		}
		return fmt.Sprintf("; another copy of this extension already serves this osquery (UUID %d, version %s): end one of the two", uuid, info.Version)
	}
	if message == duplicateName {
		return "; another copy of this extension already serves this osquery: end one of the two"
	}
	// "Registry item NAME conflicts with another item of the same name." or, from
	// older ones, "Duplicate registry item exists: NAME".
	if text := strings.ToLower(message); strings.Contains(text, "conflicts") || strings.Contains(text, "duplicate") {
		for _, word := range strings.FieldsFunc(message, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if _, ours := s.handler.plugins["table"][word]; ours {
				return fmt.Sprintf("; another extension, or osquery itself, has a table %s: --table-prefix gives ours other names", word)
			}
		}
	}
	return ""
}

// answers reports whether an extension that osquery lists listens.
func (s *server) answers(uuid osquery.ExtensionRouteUUID) bool {
	conn, err := net.DialTimeout("unix", s.callsPath(uuid), deregisterTimeout)
	if err == nil {
		conn.Close()
	}
	return !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist)
}

// callsPath returns the path of the socket on which an extension takes osquery's
// calls.
func (s *server) callsPath(uuid osquery.ExtensionRouteUUID) string {
	return fmt.Sprintf("%s.%d", s.Socket, uuid)
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
	socket  *thrift.TSocket
	process int32 // of osquery
}

// Close ends the connection.
func (c *coreClient) Close() { _ = c.socket.Close() }

// The waits between two tries to connect: short at first, since osquery starts
// its extensions just before it opens the socket.
const (
	firstRetry = time.Millisecond
	lastRetry  = 100 * time.Millisecond
)

// trusted fails for what cannot be the socket of an osquery that is root's or our
// own user's: whoever made it would be told what the tables show.
func trusted(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner, known := uint32(os.Geteuid()), false
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		owner, known = stat.Uid, true
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link: give the path of osquery's socket itself", path)
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is no socket", path)
	case known && owner != 0 && owner != uint32(os.Geteuid()):
		return fmt.Errorf("%s belongs to user %d: only an osquery of root's or of this user's own is served", path, owner)
	}
	return nil
}

// connect waits for osquery's socket and connects to it.
func (s *server) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	retry := firstRetry
	for {
		err := trusted(s.Socket)
		if err == nil {
			var conn net.Conn
			if conn, err = (&net.Dialer{}).DialContext(ctx, "unix", s.Socket); err == nil {
				// The file may have been another one when it was looked at.
				process, err := ownPeer(conn)
				if err != nil {
					conn.Close()
					return fmt.Errorf("%s: %w", s.Socket, err)
				}
				s.core = newCoreClient(conn, s.Timeout)
				s.core.process = process
				return nil
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
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
	return &coreClient{ExtensionManagerClient: osquery.NewExtensionManagerClientFactory(transport, thrift.NewTBinaryProtocolFactoryConf(config)), socket: socket}
}

// ParentIfOsquery returns the process that started this one if its name begins
// with osquery, else 0.
func ParentIfOsquery() int {
	parent := os.Getppid()
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil || !strings.HasPrefix(string(name), "osquery") {
		return 0
	}
	return parent
}
