package osquery_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// With Reconnect the end of osquery is waited through, however long it takes.
func TestReconnects(t *testing.T) {
	m := osquerytest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	var registered atomic.Int32
	ended := make(chan error, 1)
	go func() {
		ended <- sockets.Serve(ctx, sockets.Options{
			Socket: m.Socket(), Name: "test", Timeout: 50 * time.Millisecond, Interval: 10 * time.Millisecond, Reconnect: true,
			Registered: func() { registered.Add(1) },
		}, constant("a"))
	}()
	lift := func() {}
	for round := range 3 {
		m.WaitFor("test")
		if n := registered.Load(); n != int32(round)+1 {
			t.Errorf("registered %d times, want %d", n, round+1)
		}
		uuid, _ := m.Find("test")
		m.Kill()
		time.Sleep(200 * time.Millisecond) // longer than its timeout
		if !missing(m.ExtensionSocket(uuid)) {
			t.Error("the socket of the lost registration is still there")
		}
		if round == 1 {
			lift = m.RefuseRegistration("not yet")
		}
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		if round == 1 {
			time.Sleep(100 * time.Millisecond)
			lift()
		}
	}
	m.WaitFor("test")
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Serve returned %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Serve does not end")
	}
}

// Being asked to end while osquery is lost ends.
func TestEndsWhileOsqueryIsLost(t *testing.T) {
	m := osquerytest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- sockets.Serve(ctx, sockets.Options{Socket: m.Socket(), Name: "test", Timeout: 20 * time.Millisecond, Interval: 10 * time.Millisecond, Reconnect: true}, constant("a"))
	}()
	m.WaitFor("test")
	m.Kill()
	time.Sleep(100 * time.Millisecond)
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Serve returned %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Serve does not end")
	}
}

func TestEndsWithItsParent(t *testing.T) {
	m := osquerytest.New(t)
	err := sockets.Serve(t.Context(), sockets.Options{Socket: m.Socket(), Name: "test", Interval: 10 * time.Millisecond, Parent: os.Getppid() + 1}, constant("a"))
	if err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("got %v", err)
	}
	if _, found := m.Find("test"); found {
		t.Error("it is still registered")
	}
}

// What may not be osquery's socket is told nothing.
func TestTrustsOnlyItsOwn(t *testing.T) {
	m := osquerytest.New(t)
	dir := t.TempDir()
	link, file, foreign := filepath.Join(dir, "link"), filepath.Join(dir, "file"), filepath.Join(dir, "foreign")
	if err := os.Symlink(m.Socket(), link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{link: "symbolic link", file: "no socket"}
	if os.Geteuid() == 0 {
		l, err := net.Listen("unix", foreign)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := os.Chown(foreign, 12345, -1); err != nil {
			t.Fatal(err)
		}
		paths[foreign] = "belongs to user 12345"
	}
	for path, want := range paths {
		err := sockets.Serve(t.Context(), sockets.Options{Socket: path, Name: "test", Timeout: 10 * time.Second}, constant("a"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// No more calls are answered at a time than is allowed; the others have their
// turn later.
func TestMaxCalls(t *testing.T) {
	m := osquerytest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var now, most atomic.Int32
	slow := &plugin{"a", func(context.Context) osquery.ExtensionResponse {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			old := most.Load()
			if n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		time.Sleep(10 * time.Millisecond)
		return ok(map[string]string{"x": "1"})
	}}
	ended := make(chan error, 1)
	go func() {
		ended <- sockets.Serve(ctx, sockets.Options{Socket: m.Socket(), Name: "test", MaxCalls: 2}, slow)
	}()
	m.WaitFor("test")
	var clients sync.WaitGroup
	for range 12 {
		clients.Go(func() {
			if rows, err := m.Generate(t.Context(), "a", "{}"); err != nil || len(rows) != 1 {
				t.Errorf("%v, %v", rows, err)
			}
		})
	}
	clients.Wait()
	if most.Load() != 2 {
		t.Errorf("%d calls were answered at a time, want 2", most.Load())
	}
	cancel()
	<-ended
}
