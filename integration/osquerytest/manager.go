package osquerytest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// waitTimeout bounds every wait for an extension.
const waitTimeout = 30 * time.Second

// UUID identifies a registration. An extension listens on the manager's socket
// path with a dot and this number behind it.
type UUID = osquery.ExtensionRouteUUID

// T is what the package needs of a [*testing.T], a [*testing.B] or whatever runs
// the tests. Functions that take it are for the test's own goroutine.
type T interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Osquery is what a test needs of osquery to register an extension and to run
// statements. [Manager] and [Real] implement it.
type Osquery interface {
	// Socket returns the path for an extension's flag --socket.
	Socket() string
	// WaitFor waits until the named extension is registered and answers a
	// ping. It fails the test after 30 seconds.
	WaitFor(name string) UUID
	// Query runs SQL statements and returns the rows of the last.
	Query(ctx context.Context, sql string) (*Answer, error)

	waitFor(ctx context.Context, name string) (UUID, error)
}

// Manager is osquery's extension manager: it listens on a unix socket, takes
// registrations, and plans and runs statements over the registered tables. It
// is safe for concurrent use.
type Manager struct {
	t            T
	socket       string
	defaultIndex bool
	stopped      bool // at first
	watchEvery   time.Duration
	flags        map[string]string
	core         map[string]*Table
	faults       faults
	db           *database // the primary one
	plans        atomic.Int32

	registering sync.Mutex // one registration or deregistration at a time

	mu         sync.Mutex
	changed    chan struct{} // closed and made anew when the extensions change
	extensions map[UUID]*extension
	routes     map[string]UUID // tables to extensions
	tainted    map[string]bool // tables whose registration failed half-way
	pending    map[string]bool // tables that are being registered
	last       UUID
	listener   *net.UnixListener
	conns      map[net.Conn]struct{}
	alive      context.Context // ends with the manager
	kill       context.CancelFunc
	running    sync.WaitGroup
	calls      []Call
}

type extension struct {
	info     osquery.InternalExtensionInfo
	registry osquery.ExtensionRegistry
	answered bool // a ping
}

// Option changes a manager that [New] makes.
type Option func(*Manager)

// Core adds tables to osquery's own.
func Core(tables ...Table) Option {
	return func(m *Manager) {
		for _, table := range tables {
			m.core[table.Name] = &table
		}
	}
}

// NoDefaultIndex is osquery's flag --extensions_default_index=false: a column
// without options is no index.
func NoDefaultIndex() Option { return func(m *Manager) { m.defaultIndex = false } }

// NotStarted makes a manager that listens when [Manager.Start] is called: an
// extension that starts before finds no socket.
func NotStarted() Option { return func(m *Manager) { m.stopped = true } }

// WatchEvery makes the manager ping its extensions at this interval, as
// osqueryd does every 3 seconds, and drop those that do not answer.
func WatchEvery(interval time.Duration) Option {
	return func(m *Manager) { m.watchEvery = interval }
}

// Flag sets what the Thrift call options reports for a flag of osquery.
func Flag(name, value string) Option { return func(m *Manager) { m.flags[name] = value } }

// New starts a manager that ends with the test.
func New(t T, options ...Option) *Manager {
	t.Helper()
	// The path of a socket has at most 107 bytes; t.TempDir may be longer.
	dir, err := os.MkdirTemp("", "osq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &Manager{
		t: t, socket: filepath.Join(dir, "osquery.em"), defaultIndex: true,
		flags: make(map[string]string), core: make(map[string]*Table),
		changed: make(chan struct{}), last: 4000,
	}
	for _, o := range options {
		o(m)
	}
	if !m.stopped {
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(m.Stop)
	return m
}

// Socket returns the path of the manager's socket.
func (m *Manager) Socket() string { return m.socket }

// ExtensionSocket returns the path of an extension's own socket.
func (m *Manager) ExtensionSocket(uuid UUID) string {
	return fmt.Sprintf("%s.%d", m.socket, uuid)
}

// Start listens, also again after [Manager.Stop] or [Manager.Kill]. Nothing is
// registered then, and the sockets of earlier extensions are removed, as
// osquery does.
func (m *Manager) Start() error {
	db, err := openDatabase(m)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener != nil {
		db.close()
		return errors.New("the manager is running")
	}
	m.removeSockets()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: m.socket, Net: "unix"})
	if err != nil {
		db.close()
		return err
	}
	m.db, m.listener, m.conns = db, listener, make(map[net.Conn]struct{})
	m.extensions, m.routes, m.tainted = make(map[UUID]*extension), make(map[string]UUID), make(map[string]bool)
	m.noteChange()
	m.running.Add(1)
	go m.accept(listener)
	m.alive, m.kill = context.WithCancel(context.Background())
	if m.watchEvery > 0 {
		alive := m.alive
		m.running.Go(func() { m.watch(alive) })
	}
	return nil
}

func (m *Manager) removeSockets() {
	left, _ := filepath.Glob(m.socket + ".*")
	for _, path := range append(left, m.socket) {
		os.Remove(path)
	}
}

// Stop ends the manager as osquery ends: it asks every extension to shut down
// and removes the sockets.
func (m *Manager) Stop() {
	for uuid := range m.Extensions() {
		// A frozen extension does not keep osquery.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if client, err := m.Dial(ctx, uuid); err == nil {
			client.Shutdown(ctx)
			client.Close()
		}
		cancel()
	}
	if m.end(true) {
		m.removeSockets()
	}
}

// Kill ends the manager as SIGKILL ends osquery: every connection breaks, the
// socket's file stays, and no extension hears of it.
func (m *Manager) Kill() { m.end(false) }

// Restart is [Manager.Kill] and [Manager.Start].
func (m *Manager) Restart() error {
	m.Kill()
	return m.Start()
}

// end reports whether the manager was running.
func (m *Manager) end(unlink bool) bool {
	m.mu.Lock()
	listener := m.listener
	if listener == nil {
		m.mu.Unlock()
		return false
	}
	listener.SetUnlinkOnClose(unlink)
	listener.Close()
	for c := range m.conns {
		c.Close()
	}
	m.kill()
	m.listener, m.extensions, m.routes = nil, nil, nil
	db := m.db
	m.noteChange()
	m.mu.Unlock()
	m.running.Wait()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.close()
	return true
}

func (m *Manager) accept(listener net.Listener) {
	defer m.running.Done()
	processor := osquery.NewExtensionManagerProcessor(&service{m})
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		if m.listener != listener {
			m.mu.Unlock()
			conn.Close()
			return
		}
		m.conns[conn] = struct{}{}
		m.running.Add(1)
		m.mu.Unlock()
		go func() {
			defer m.running.Done()
			defer func() {
				m.mu.Lock()
				delete(m.conns, conn)
				m.mu.Unlock()
				conn.Close()
			}()
			transport := thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(conn, &thrift.TConfiguration{}), 1<<16)
			protocol := thrift.NewTBinaryProtocolConf(transport, nil)
			for {
				if ok, err := processor.Process(context.Background(), protocol, protocol); !ok || err != nil {
					return
				}
			}
		}()
	}
}

// noteChange wakes the waiters; m.mu is held.
func (m *Manager) noteChange() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Extensions returns the names of the registered extensions.
func (m *Manager) Extensions() map[UUID]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := make(map[UUID]string)
	for uuid, e := range m.extensions {
		names[uuid] = e.info.Name
	}
	return names
}

// Find returns the registration of the extension with that name.
func (m *Manager) Find(name string) (uuid UUID, found bool) {
	for uuid, n := range m.Extensions() {
		if n == name {
			return uuid, true
		}
	}
	return 0, false
}

// WaitFor waits until the named extension is registered and answers a ping. It
// fails the test after 30 seconds.
func (m *Manager) WaitFor(name string) UUID {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	uuid, err := m.waitFor(ctx, name)
	if err != nil {
		m.t.Fatalf("not within %v: %v", waitTimeout, err)
	}
	return uuid
}

func (m *Manager) waitFor(ctx context.Context, name string) (uuid UUID, err error) {
	for {
		err := m.wait(ctx, func() (found bool) {
			uuid, found = m.Find(name)
			return found
		})
		if err != nil {
			return 0, fmt.Errorf("the extension %s is not registered", name)
		}
		// An extension listens only after it knows its UUID.
		if m.ping(ctx, uuid) == nil {
			return uuid, nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("the extension %s does not answer", name)
		}
	}
}

// Wait waits until done returns true; it asks again at each registration and
// deregistration, and fails the test with what after 30 seconds.
func (m *Manager) Wait(what string, done func() bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	if m.wait(ctx, done) != nil {
		m.t.Fatalf("not within %v: %s", waitTimeout, what)
	}
}

func (m *Manager) wait(ctx context.Context, done func() bool) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Routes returns what an extension registered for a table: columns, column
// aliases, attributes.
func (m *Manager) Routes(table string) osquery.ExtensionPluginResponse {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.extensions[m.routes[table]]; e != nil {
		return e.registry["table"][table]
	}
	return nil
}

// register is RegistryFactory::addBroadcast, osquery/registry/registry_factory.cpp.
func (m *Manager) register(info osquery.InternalExtensionInfo, registry osquery.ExtensionRegistry) (UUID, error) {
	m.registering.Lock()
	defer m.registering.Unlock()
	if _, found := m.Find(info.Name); found {
		return 0, said("Duplicate extension registered")
	}
	if !modernSDK(info.SdkVersion) {
		return 0, said("Incompatible extension SDK version")
	}
	m.mu.Lock()
	if m.listener == nil {
		m.mu.Unlock()
		return 0, errors.New("the manager has ended")
	}
	var taken []string
	for table := range registry["table"] {
		if m.core[table] != nil || m.routes[table] != 0 || m.tainted[table] {
			taken = append(taken, table)
		}
	}
	db := m.db
	m.mu.Unlock()
	if len(taken) > 0 {
		return 0, said("Failed adding registry: Registry item " + slices.Min(taken) + " conflicts with another item of the same name.")
	}
	for name := range registry {
		if !slices.Contains(registries, name) {
			return 0, said("Failed adding registry: Unknown registry: " + name)
		}
	}
	m.mu.Lock()
	m.pending = make(map[string]bool)
	for table := range registry["table"] {
		m.pending[table] = true
	}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.pending = nil
	}()
	for _, table := range sortedKeys(registry["table"]) {
		if err := db.attach(table, registry["table"][table]); err != nil {
			db.detach(sortedKeys(registry["table"])...)
			m.mu.Lock()
			// osquery keeps the route of the table that failed.
			m.tainted[table] = true
			m.mu.Unlock()
			return 0, said("Failed adding registry: " + err.Error())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener == nil {
		return 0, errors.New("the manager has ended")
	}
	m.last++
	m.extensions[m.last] = &extension{info: info, registry: registry}
	for table := range registry["table"] {
		m.routes[table] = m.last
	}
	m.noteChange()
	return m.last, nil
}

// remove is RegistryFactory::removeBroadcast. It does not wait for a statement
// that runs: its tables leave the database before the next one.
func (m *Manager) remove(uuid UUID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.extensions[uuid]
	if e == nil {
		return false
	}
	delete(m.extensions, uuid)
	for table := range e.registry["table"] {
		delete(m.routes, table)
	}
	m.noteChange()
	return true
}

// registries are those of osquery's core.
var registries = []string{
	"config", "config_parser", "database", "distributed", "enroll", "event_publisher", "event_subscriber",
	"logger", "numeric_monitoring", "sql", "table",
}
