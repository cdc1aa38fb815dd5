package osquerytest_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

func dial(t *testing.T, m *osquerytest.Manager) *osquerygo.ExtensionManagerClient {
	t.Helper()
	client, err := osquerygo.NewClient(m.Socket(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func oneTable(name string) *plugin {
	return &plugin{name: name, routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 0)}, generate: always(row{"x": strings.Repeat("x", 1000)})}
}

func TestForget(t *testing.T) {
	m := osquerytest.New(t)
	s := osquerytest.Serve(t, m, oneTable("t"))
	if !m.Forget(s.UUID) || m.Forget(s.UUID) {
		t.Error("it is not forgotten once")
	}
	if _, found := m.Find(s.Name); found {
		t.Error("it is still registered")
	}
	if _, err := m.Query(t.Context(), "SELECT * FROM t"); err == nil || err.Error() != "vtable constructor failed: t" {
		t.Errorf("its table: %v", err)
	}
	if _, err := os.Stat(m.ExtensionSocket(s.UUID)); err != nil {
		t.Errorf("it was told: %v", err)
	}
}

func TestPingExtensions(t *testing.T) {
	m := osquerytest.New(t)
	lives, dies := osquerytest.Serve(t, m, oneTable("a")), osquerytest.Serve(t, m, oneTable("b"))
	if dropped := m.PingExtensions(t.Context()); len(dropped) != 0 {
		t.Errorf("dropped %v", dropped)
	}
	// What listens there now takes the connection and gives no answer.
	path := m.ExtensionSocket(dies.UUID)
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	listener := listen(t, path)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	if dropped := m.PingExtensions(t.Context()); len(dropped) != 1 || dropped[0] != dies.Name {
		t.Errorf("dropped %v", dropped)
	}
	if names := m.Extensions(); len(names) != 1 || names[lives.UUID] != lives.Name {
		t.Errorf("left: %v", names)
	}
}

func TestPings(t *testing.T) {
	m := osquerytest.New(t)
	client := dial(t, m)
	lift := m.FailPings("not well")
	if s, err := client.Ping(); err != nil || s.Code != 1 || s.Message != "not well" {
		t.Errorf("%v, %v", s, err)
	}
	lift()
	if s, err := client.Ping(); err != nil || s.Code != 0 {
		t.Errorf("%v, %v", s, err)
	}
	hung, lift := m.HangPings()
	answered := make(chan error, 1)
	go func() {
		_, err := client.Ping()
		answered <- err
	}()
	<-hung
	lift()
	if s, err := dial(t, m).Ping(); err != nil || s.Code != 0 {
		t.Errorf("after the fault: %v, %v", s, err)
	}
	select {
	case err := <-answered:
		t.Errorf("the ping that hung was answered: %v", err)
	default:
	}
	m.Kill()
	if <-answered == nil {
		t.Error("the ping that hung was answered")
	}
}

func TestRefuseRegistration(t *testing.T) {
	m := osquerytest.New(t)
	client := dial(t, m)
	register := func() string {
		s, err := client.RegisterExtension(&osquery.InternalExtensionInfo{Name: "x"}, osquery.ExtensionRegistry{})
		if err != nil {
			t.Fatal(err)
		}
		return s.Message
	}
	lift := m.RefuseRegistration("no")
	if got := register(); got != "no" {
		t.Errorf("got %s", got)
	}
	lift()
	if got := register(); got != "OK" {
		t.Errorf("got %s", got)
	}
}

// Slow to start: first there is no socket, then nobody answers.
func TestSlowStart(t *testing.T) {
	m := osquerytest.New(t, osquerytest.NotStarted())
	if _, err := os.Stat(m.Socket()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the start: %v", err)
	}
	if _, err := m.Query(t.Context(), "SELECT 1"); err == nil {
		t.Error("it answers before the start")
	}
	thaw := m.Freeze()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	if m.Start() == nil {
		t.Error("it starts twice")
	}
	answered := make(chan error, 1)
	client := dial(t, m)
	go func() {
		_, err := client.Options()
		answered <- err
	}()
	select {
	case <-answered:
		t.Error("it answers while frozen")
	case <-time.After(20 * time.Millisecond):
	}
	thaw()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestStopAndKill(t *testing.T) {
	m := osquerytest.New(t)
	s := osquerytest.Serve(t, m, oneTable("t"))
	m.Kill()
	if len(m.Extensions()) != 0 {
		t.Errorf("dead it knows %v", m.Extensions())
	}
	for _, path := range []string{m.Socket(), m.ExtensionSocket(s.UUID)} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("after a kill: %v", err)
		}
	}
	if _, err := m.Query(t.Context(), "SELECT 1"); err == nil {
		t.Error("it answers after its death")
	}
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.ExtensionSocket(s.UUID)); err == nil {
		t.Error("the start leaves the sockets of earlier extensions")
	}
	again := osquerytest.Serve(t, m, oneTable("t"))
	if again.UUID == s.UUID {
		t.Error("a UUID comes twice")
	}
	m.Stop() // the extension is asked to end, so that this returns
	again.Stop()
	for _, path := range []string{m.Socket(), m.ExtensionSocket(again.UUID)} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after a stop: %s is there", path)
		}
	}
}

// A statement that waits for an extension ends with the manager.
func TestKillEndsStatements(t *testing.T) {
	m := osquerytest.New(t)
	started := make(chan struct{})
	osquerytest.Serve(t, m, &plugin{name: "stuck", routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 0)},
		generate: func(ctx context.Context, _ string) ([]map[string]string, error) {
			close(started)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	ended := make(chan error, 1)
	go func() {
		_, err := m.Query(context.Background(), "SELECT * FROM stuck")
		ended <- err
	}()
	<-started
	m.Kill()
	if <-ended == nil {
		t.Error("no error")
	}
}

func TestReadSlowly(t *testing.T) {
	m := osquerytest.New(t)
	osquerytest.Serve(t, m, oneTable("t"))
	lift := m.ReadSlowly(20_000)
	start := time.Now()
	if _, err := m.Query(t.Context(), "SELECT * FROM t"); err != nil {
		t.Fatal(err)
	}
	// 1,000 bytes at 20,000 a second.
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if n := m.Calls()[0].Bytes; n < 1000 || n > 1100 {
		t.Errorf("%d bytes", n)
	}
	lift()
}
