// Package managertest is test support: an extension manager as osquery's core
// has one, in Go, speaking osquery's own Thrift over a unix socket. Extensions
// register with it, and tests ask their tables through it.
//
//	m := managertest.New(t)
//	// start an extension with --socket m.Path
//	uuid := m.WaitFor(t, "sockets")
//	rows, err := m.Generate(ctx, "tcp_sockets", `{"constraints":[],"colsUsed":["state"]}`)
package managertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// callTimeout bounds every call to an extension.
const callTimeout = 30 * time.Second

// Manager is the core to which extensions register. It takes one extension a
// table name, as osquery does.
type Manager struct {
	// Path of the manager's socket.
	Path string

	mu         sync.Mutex
	changed    chan struct{} // closed and made anew at each change of extensions
	extensions map[osquery.ExtensionRouteUUID]*extension
	last       osquery.ExtensionRouteUUID
	refuse     string
	hang       chan struct{} // is sent to by each ping, which then hangs
	listener   net.Listener
	conns      map[net.Conn]struct{}
	running    sync.WaitGroup
}

type extension struct {
	info     osquery.InternalExtensionInfo
	registry osquery.ExtensionRegistry
}

// New starts a manager that ends with the test.
func New(t testing.TB) *Manager {
	t.Helper()
	// t.TempDir may be longer than what a socket's path can be.
	dir, err := os.MkdirTemp("", "osq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := At(filepath.Join(dir, "osquery.em"))
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

// At returns a manager that will listen at the path when it is started.
func At(path string) *Manager {
	return &Manager{Path: path, changed: make(chan struct{}), extensions: make(map[osquery.ExtensionRouteUUID]*extension), last: 4000}
}

// Start listens, also again after Stop. What was registered before is gone.
func (m *Manager) Start() error {
	listener, err := net.Listen("unix", m.Path)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listener, m.conns = listener, make(map[net.Conn]struct{})
	clear(m.extensions)
	m.noteChange()
	m.running.Add(1)
	go m.accept(listener)
	return nil
}

// Stop ends the manager as a kill would: every connection breaks.
func (m *Manager) Stop() {
	m.mu.Lock()
	if m.listener != nil {
		m.listener.Close()
		m.listener = nil
	}
	for c := range m.conns {
		c.Close()
	}
	m.mu.Unlock()
	m.running.Wait()
}

func (m *Manager) accept(listener net.Listener) {
	defer m.running.Done()
	processor := osquery.NewExtensionManagerProcessor(&handler{m})
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

// Refuse makes the manager answer every registration with an error; an empty
// text ends that.
func (m *Manager) Refuse(message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = message
}

// Hang makes pings wait until the manager stops. What it returns can be
// received from when one does.
func (m *Manager) Hang() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hang = make(chan struct{}, 1)
	return m.hang
}

// Forget drops an extension behind its back, as osquery does after one ping
// that failed.
func (m *Manager) Forget(uuid osquery.ExtensionRouteUUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.extensions, uuid)
	m.noteChange()
}

// noteChange wakes those who wait; m.mu is held.
func (m *Manager) noteChange() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Find returns the identity of the registered extension with that name.
func (m *Manager) Find(name string) (osquery.ExtensionRouteUUID, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for uuid, e := range m.extensions {
		if e.info.Name == name {
			return uuid, true
		}
	}
	return 0, false
}

// WaitFor waits until an extension with that name is registered and answers.
func (m *Manager) WaitFor(t testing.TB, name string) osquery.ExtensionRouteUUID {
	t.Helper()
	var found osquery.ExtensionRouteUUID
	m.Wait(t, "the extension "+name+" registers", func() (ok bool) {
		found, ok = m.Find(name)
		return ok
	})
	client, close, err := m.Dial(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	defer close()
	if _, err := client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return found
}

// Wait waits until a change of the registered extensions makes done true.
func (m *Manager) Wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.After(callTimeout)
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("not within %v: %s", callTimeout, what)
		}
	}
}

// Routes returns the columns that the extension registered for a table.
func (m *Manager) Routes(table string) osquery.ExtensionPluginResponse {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.extensions {
		if routes, ok := e.registry["table"][table]; ok {
			return routes
		}
	}
	return nil
}

// ExtensionPath returns the path of an extension's own socket.
func (m *Manager) ExtensionPath(uuid osquery.ExtensionRouteUUID) string {
	return fmt.Sprintf("%s.%d", m.Path, uuid)
}

// Dial connects to an extension as osquery does for each call. The client is
// for one goroutine; close ends it.
func (m *Manager) Dial(ctx context.Context, uuid osquery.ExtensionRouteUUID) (client *osquery.ExtensionClient, close func(), err error) {
	// An extension listens a moment after it is told its identity.
	var conn net.Conn
	for retry := time.Millisecond; ; retry *= 2 {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", m.ExtensionPath(uuid))
		if err == nil {
			break
		}
		if retry > 500*time.Millisecond || ctx.Err() != nil {
			return nil, nil, err
		}
		time.Sleep(retry)
	}
	config := &thrift.TConfiguration{SocketTimeout: callTimeout}
	transport := thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(conn, config), 1<<16)
	return osquery.NewExtensionClientFactory(transport, thrift.NewTBinaryProtocolFactoryConf(config)), func() { conn.Close() }, nil
}

// Generate asks the extension that has the table for rows, with osquery's
// JSON of columns and constraints.
func (m *Manager) Generate(ctx context.Context, table, queryContext string) ([]map[string]string, error) {
	response, err := m.Call(ctx, table, osquery.ExtensionPluginRequest{"action": "generate", "context": queryContext})
	if err != nil {
		return nil, err
	}
	if response.Status.Code != 0 {
		return nil, fmt.Errorf("status %d: %s", response.Status.Code, response.Status.Message)
	}
	return response.Response, nil
}

// Call sends a request to the extension that has the table.
func (m *Manager) Call(ctx context.Context, table string, request osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	m.mu.Lock()
	var uuid osquery.ExtensionRouteUUID
	for u, e := range m.extensions {
		if _, ok := e.registry["table"][table]; ok {
			uuid = u
		}
	}
	m.mu.Unlock()
	if uuid == 0 {
		return nil, fmt.Errorf("no extension has the table %s", table)
	}
	client, close, err := m.Dial(ctx, uuid)
	if err != nil {
		return nil, err
	}
	defer close()
	return client.Call(ctx, "table", table, request)
}

// handler answers what extensions ask of the core.
type handler struct{ m *Manager }

func status(code int32, message string) *osquery.ExtensionStatus {
	return &osquery.ExtensionStatus{Code: code, Message: message}
}

func (h *handler) Ping(ctx context.Context) (*osquery.ExtensionStatus, error) {
	h.m.mu.Lock()
	hang := h.m.hang
	h.m.mu.Unlock()
	if hang != nil {
		select {
		case hang <- struct{}{}:
		default:
		}
		<-ctx.Done() // thrift ends it with the connection
	}
	return status(0, "OK"), nil
}

func (h *handler) Shutdown(context.Context) error { return nil }

func (h *handler) Call(context.Context, string, string, osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	return &osquery.ExtensionResponse{Status: status(1, "this manager has no plugins of its own")}, nil
}

func (h *handler) Extensions(context.Context) (osquery.InternalExtensionList, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	list := make(osquery.InternalExtensionList)
	for uuid, e := range h.m.extensions {
		info := e.info
		list[uuid] = &info
	}
	return list, nil
}

func (h *handler) Options(context.Context) (osquery.InternalOptionList, error) {
	return osquery.InternalOptionList{}, nil
}

func (h *handler) RegisterExtension(_ context.Context, info *osquery.InternalExtensionInfo, registry osquery.ExtensionRegistry) (*osquery.ExtensionStatus, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if h.m.refuse != "" {
		return status(1, h.m.refuse), nil
	}
	for _, e := range h.m.extensions {
		if e.info.Name == info.Name {
			return status(1, "Duplicate extension registered"), nil
		}
		for table := range registry["table"] {
			if slices.Contains(tableNames(e), table) {
				return status(1, "Failed adding registry: Registry item "+table+" conflicts with another item of the same name."), nil
			}
		}
	}
	h.m.last++
	h.m.extensions[h.m.last] = &extension{*info, registry}
	h.m.noteChange()
	s := status(0, "OK")
	s.UUID = h.m.last
	return s, nil
}

func tableNames(e *extension) (names []string) {
	for name := range e.registry["table"] {
		names = append(names, name)
	}
	return names
}

func (h *handler) DeregisterExtension(_ context.Context, uuid osquery.ExtensionRouteUUID) (*osquery.ExtensionStatus, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if _, ok := h.m.extensions[uuid]; !ok {
		return status(1, "No extension UUID registered"), nil
	}
	delete(h.m.extensions, uuid)
	h.m.noteChange()
	return status(0, "OK"), nil
}

func (h *handler) Query(context.Context, string) (*osquery.ExtensionResponse, error) {
	return &osquery.ExtensionResponse{Status: status(1, "this manager runs no SQL")}, nil
}

func (h *handler) GetQueryColumns(ctx context.Context, sql string) (*osquery.ExtensionResponse, error) {
	return h.Query(ctx, sql)
}
