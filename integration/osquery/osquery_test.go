package osquery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// plugin is a table whose rows a function makes.
type plugin struct {
	name string
	call func(context.Context) osquery.ExtensionResponse
}

func (p *plugin) Name() string         { return p.name }
func (p *plugin) RegistryName() string { return "table" }
func (p *plugin) Routes() osquery.ExtensionPluginResponse {
	return osquery.ExtensionPluginResponse{{"id": "column", "name": "x", "type": "TEXT", "op": "8"}}
}
func (p *plugin) Ping() osquery.ExtensionStatus { return osquery.ExtensionStatus{} }
func (p *plugin) Shutdown()                     {}
func (p *plugin) Call(ctx context.Context, _ osquery.ExtensionPluginRequest) osquery.ExtensionResponse {
	return p.call(ctx)
}

func ok(rows ...map[string]string) osquery.ExtensionResponse {
	return osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Message: "OK"}, Response: rows}
}

func constant(name string) *plugin {
	return &plugin{name, func(context.Context) osquery.ExtensionResponse { return ok(map[string]string{"x": "1"}) }}
}

// served is a run of Serve.
type served struct {
	end context.CancelFunc
	err chan error
}

func serve(t testing.TB, m osquerytest.Osquery, plugins ...sockets.Plugin) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &served{cancel, make(chan error, 1)}
	o := sockets.Options{Socket: m.Socket(), Name: "test", Version: "1", Timeout: time.Second, Interval: 10 * time.Millisecond}
	go func() { s.err <- sockets.Serve(ctx, o, plugins...) }()
	t.Cleanup(func() {
		cancel()
		s.wait(t)
	})
	return s
}

// wait returns what Serve returned.
func (s *served) wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.err:
		s.err <- err
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("Serve does not end")
		return nil
	}
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func TestServesAndEnds(t *testing.T) {
	m := osquerytest.New(t)
	s := serve(t, m, constant("a"), constant("b"))
	uuid := m.WaitFor("test")
	for _, table := range []string{"a", "b"} {
		t.Run(table, func(t *testing.T) {
			rows, err := m.Generate(t.Context(), table, "{}")
			if err != nil || fmt.Sprint(rows) != "[map[x:1]]" {
				t.Errorf("%v, %v", rows, err)
			}
		})
	}
	s.end()
	if err := s.wait(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if _, found := m.Find("test"); found || !missing(m.ExtensionSocket(uuid)) {
		t.Errorf("after the end: registered %v, socket file gone %v", found, missing(m.ExtensionSocket(uuid)))
	}
}

func TestWaitsForTheSocket(t *testing.T) {
	m := osquerytest.New(t)
	m.Kill()
	s := serve(t, m, constant("a"))
	time.Sleep(50 * time.Millisecond) // it has begun to wait
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	m.WaitFor("test")
	s.end()
	if err := s.wait(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestGivesUpWithoutASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	err := sockets.Serve(t.Context(), sockets.Options{Socket: path, Timeout: 20 * time.Millisecond}, constant("a"))
	if err == nil || !strings.Contains(err.Error(), "no osquery at the socket within 20ms") || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	err = sockets.Serve(t.Context(), sockets.Options{Socket: "/tmp/" + strings.Repeat("x", 93)})
	if err == nil || !strings.Contains(err.Error(), "98 bytes are too long") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sockets.Serve(ctx, sockets.Options{Socket: path}); err != nil {
		t.Errorf("asked to end while it waits it returned %v", err)
	}
}

func TestShutdownCall(t *testing.T) {
	m := osquerytest.New(t)
	s := serve(t, m, constant("a"))
	uuid := m.WaitFor("test")
	client, err := m.Dial(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Shutdown(t.Context()); err != nil {
		t.Errorf("the call was not answered: %v", err)
	}
	if err := s.wait(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if _, found := m.Find("test"); found || !missing(m.ExtensionSocket(uuid)) {
		t.Errorf("after the end: registered %v, socket file gone %v", found, missing(m.ExtensionSocket(uuid)))
	}
}

func TestRefusedRegistration(t *testing.T) {
	m := osquerytest.New(t)
	m.RefuseRegistration("Failed adding registry: Registry item a conflicts with another item of the same name.")
	s := serve(t, m, constant("a"))
	if err := s.wait(t); err == nil || !strings.Contains(err.Error(), "refuses") || !strings.Contains(err.Error(), "item a conflicts") {
		t.Errorf("got %v", err)
	}
}

func TestRegistersAgainWhenForgotten(t *testing.T) {
	m := osquerytest.New(t)
	serve(t, m, constant("a"))
	for range 3 {
		uuid := m.WaitFor("test")
		m.Forget(uuid)
		m.Wait("it registers again", func() bool { u, found := m.Find("test"); return found && u != uuid })
		m.WaitFor("test") // and listens
		if rows, err := m.Generate(t.Context(), "a", "{}"); err != nil || len(rows) != 1 {
			t.Errorf("%v, %v", rows, err)
		}
		if !missing(m.ExtensionSocket(uuid)) {
			t.Error("the old socket file is still there")
		}
	}
}

func TestManagerRestarts(t *testing.T) {
	m := osquerytest.New(t)
	serve(t, m, constant("a"))
	m.WaitFor("test")
	m.Kill()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	m.WaitFor("test")
	if rows, err := m.Generate(t.Context(), "a", "{}"); err != nil || len(rows) != 1 {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestManagerGone(t *testing.T) {
	m := osquerytest.New(t)
	s := serve(t, m, constant("a"))
	uuid := m.WaitFor("test")
	m.Kill()
	if err := s.wait(t); err == nil || !strings.Contains(err.Error(), "osquery has gone away") {
		t.Errorf("got %v", err)
	}
	if !missing(m.ExtensionSocket(uuid)) {
		t.Error("the socket file is still there")
	}
}

func TestPanicsAndStrangers(t *testing.T) {
	m := osquerytest.New(t)
	serve(t, m, &plugin{"a", func(context.Context) osquery.ExtensionResponse { panic("oh") }},
		&plugin{"b", func(context.Context) osquery.ExtensionResponse { return osquery.ExtensionResponse{} }})
	uuid := m.WaitFor("test")
	if _, err := m.Generate(t.Context(), "a", "{}"); err == nil || !strings.Contains(err.Error(), "table a: panic: oh") {
		t.Errorf("a panic gave %v", err)
	}
	if _, err := m.Generate(t.Context(), "b", "{}"); err == nil || !strings.Contains(err.Error(), "no status") {
		t.Errorf("no status gave %v", err)
	}
	client, err := m.Dial(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r, err := client.Call(t.Context(), "table", "nosuch", nil)
	if err != nil || r.Status.Code == 0 || !strings.Contains(r.Status.Message, `"nosuch"`) {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = client.Call(t.Context(), "logger", "a", nil)
	if err != nil || r.Status.Code == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if s, err := client.Ping(t.Context()); err != nil || s.Code != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	// Garbage ends its connection and nothing else.
	c, err := net.Dial("unix", m.ExtensionSocket(uuid))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("garbage was answered with %d bytes, %v", n, err)
	}
	if s, err := client.Ping(t.Context()); err != nil || s.Code != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A query that is under way at the end is answered; a client that says nothing
// is not waited for.
func TestEndWaitsForAnswers(t *testing.T) {
	m := osquerytest.New(t)
	started, release := make(chan struct{}), make(chan struct{})
	s := serve(t, m, &plugin{"a", func(context.Context) osquery.ExtensionResponse {
		close(started)
		<-release
		return ok(map[string]string{"x": "late"})
	}})
	uuid := m.WaitFor("test")
	silent, err := m.Dial(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answer := make(chan string, 1)
	go func() {
		rows, err := m.Generate(context.Background(), "a", "{}")
		answer <- fmt.Sprint(rows, err)
	}()
	<-started
	s.end()
	m.Wait("it deregisters", func() bool { _, found := m.Find("test"); return !found })
	close(release)
	if got := <-answer; got != "[map[x:late]] <nil>" {
		t.Errorf("the query got %s", got)
	}
	if err := s.wait(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

// A plugin that never returns must not keep the extension alive.
func TestEndLeavesAStuckCallBehind(t *testing.T) {
	m := osquerytest.New(t)
	started, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	s := serve(t, m, &plugin{"a", func(context.Context) osquery.ExtensionResponse {
		close(started)
		<-release
		return ok()
	}})
	m.WaitFor("test")
	go m.Generate(context.Background(), "a", "{}")
	<-started
	s.end()
	if err := s.wait(t); err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

// An osquery that hangs must not keep the extension from ending.
func TestEndWhileOsqueryHangs(t *testing.T) {
	m := osquerytest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- sockets.Serve(ctx, sockets.Options{Socket: m.Socket(), Name: "test", Timeout: time.Hour, Interval: 10 * time.Millisecond}, constant("a"))
	}()
	m.WaitFor("test")
	hung, _ := m.HangPings()
	<-hung // a ping is in it
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Serve returned %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Serve does not end")
	}
}

// A client that goes away cancels its query.
func TestClientGoesAway(t *testing.T) {
	m := osquerytest.New(t)
	started, cancelled := make(chan struct{}), make(chan struct{})
	serve(t, m, &plugin{"a", func(ctx context.Context) osquery.ExtensionResponse {
		close(started)
		<-ctx.Done()
		close(cancelled)
		return ok()
	}})
	uuid := m.WaitFor("test")
	client, err := m.Dial(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	go client.Call(context.Background(), "table", "a", nil)
	<-started
	client.Close()
	select {
	case <-cancelled:
	case <-time.After(10 * time.Second):
		t.Error("the query goes on")
	}
}

// An extension that was killed leaves a socket file behind; one that lives
// must not lose its own.
func TestAbandonedSocketFile(t *testing.T) {
	m := osquerytest.New(t)
	next := m.ExtensionSocket(4001)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: next, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, m, constant("a"))
	if err := s.wait(t); err == nil || !strings.Contains(err.Error(), next) {
		t.Errorf("with a live owner: %v", err)
	}
	next = m.ExtensionSocket(4002)
	abandoned, err := net.ListenUnix("unix", &net.UnixAddr{Name: next, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	abandoned.SetUnlinkOnClose(false)
	abandoned.Close()
	l.Close()
	serve(t, m, constant("a"))
	m.WaitFor("test")
	if rows, err := m.Generate(t.Context(), "a", "{}"); err != nil || len(rows) != 1 {
		t.Errorf("%v, %v", rows, err)
	}
}

func TestManyClients(t *testing.T) {
	before := runtime.NumGoroutine()
	m := osquerytest.New(t)
	s := serve(t, m, constant("a"))
	m.WaitFor("test")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 20 {
				if rows, err := m.Generate(context.Background(), "a", "{}"); err != nil || len(rows) != 1 {
					t.Errorf("%v, %v", rows, err)
				}
			}
		})
	}
	all.Wait()
	s.end()
	s.wait(t)
	m.Kill()
	for range 100 {
		if runtime.NumGoroutine() <= before+2 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}
