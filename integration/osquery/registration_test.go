package osquery_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/gen/osquery"

	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// A refusal says what stands in the way: another copy of the extension, or
// another extension's table.
func TestRefusalsAreExplained(t *testing.T) {
	const prefix, copies = "--table-prefix", "another copy of this extension already serves this osquery"
	// refused serves the table a as the extension "test", which m refuses.
	refused := func(t *testing.T, m *osquerytest.Manager) string {
		t.Helper()
		err := serve(t, m, constant("a")).wait(t)
		if err == nil || !strings.Contains(err.Error(), "refuses the registration") {
			t.Fatalf("got %v", err)
		}
		return err.Error()
	}
	expect := func(t *testing.T, text string, wanted []string, unwanted ...string) {
		t.Helper()
		for _, want := range wanted {
			if !strings.Contains(text, want) {
				t.Errorf("got %q, want %q in it", text, want)
			}
		}
		for _, want := range unwanted {
			if strings.Contains(text, want) {
				t.Errorf("got %q, want nothing of %q in it", text, want)
			}
		}
	}
	t.Run("another copy", func(t *testing.T) {
		m := osquerytest.New(t)
		serve(t, m, constant("a"))
		uuid := m.WaitFor("test")
		expect(t, refused(t, m), []string{copies, fmt.Sprintf("UUID %d", uuid), "version 1"}, prefix)
	})
	t.Run("a copy that has ended", func(t *testing.T) {
		m := osquerytest.New(t)
		conn, err := net.Dial("unix", m.Socket())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		core := osquery.NewExtensionManagerClientFactory(thrift.NewTSocketFromConnConf(conn, nil), thrift.NewTBinaryProtocolFactoryConf(nil))
		status, err := core.RegisterExtension(t.Context(), &osquery.InternalExtensionInfo{Name: "test"},
			osquery.ExtensionRegistry{"table": {"a": constant("a").Routes()}})
		if err != nil || status.Code != 0 {
			t.Fatalf("%+v, %v", status, err)
		}
		expect(t, refused(t, m), []string{fmt.Sprintf("UUID %d", status.UUID), "nothing answers there"}, prefix, copies)
	})
	t.Run("another extension's table", func(t *testing.T) {
		m := osquerytest.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- sockets.Serve(ctx, sockets.Options{Socket: m.Socket(), Name: "other"}, constant("a"))
		}()
		m.WaitFor("other")
		expect(t, refused(t, m), []string{"has a table a", prefix}, copies)
		cancel()
		<-ended
	})
	for _, c := range []struct {
		name, message string
		wanted        []string
		unwanted      []string
	}{
		{"a table, in osquery's words", "Failed adding registry: Registry item a conflicts with another item of the same name.", []string{"has a table a", prefix}, []string{copies}},
		{"a table, in an older osquery's words", "Duplicate registry item exists: a", []string{"has a table a", prefix}, []string{copies}},
		{"a copy that has gone meanwhile", "Duplicate extension registered", []string{copies}, []string{prefix}},
		{"something else", "Incompatible extension SDK version", nil, []string{prefix, copies}},
		{"something else about a table", "Failed adding registry: a: Invalid route info", nil, []string{prefix, copies}},
		{"a table that is not ours", "Registry item aa conflicts with another item of the same name.", nil, []string{prefix, copies}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := osquerytest.New(t)
			m.RefuseRegistration(c.message)
			expect(t, refused(t, m), append(c.wanted, c.message), c.unwanted...)
		})
	}
}

// lines is a log that tests can read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.text.String(), "\n"), "\n")
}

func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not come")
	}
	return v
}

// A loss is one warning, and its end is one: with the reason and with how long
// the tables were gone.
func TestLossIsOneWarning(t *testing.T) {
	for name, c := range map[string]struct {
		lose   func(*testing.T, *osquerytest.Manager, osquery.ExtensionRouteUUID)
		end    func(*testing.T, *osquerytest.Manager)
		reason string
	}{
		"osquery goes away": {
			func(_ *testing.T, m *osquerytest.Manager, _ osquery.ExtensionRouteUUID) { m.Kill() },
			func(t *testing.T, m *osquerytest.Manager) {
				m.RefuseRegistration("not yet") // several tries fail, in both ways
				time.Sleep(300 * time.Millisecond)
				if err := m.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(300 * time.Millisecond)
				m.RefuseRegistration("")
			},
			"osquery has gone away",
		},
		"osquery drops it": {
			func(_ *testing.T, m *osquerytest.Manager, uuid osquery.ExtensionRouteUUID) { m.Forget(uuid) },
			func(*testing.T, *osquerytest.Manager) {},
			"osquery no longer lists this extension",
		},
		"osquery drops it and refuses it": {
			func(_ *testing.T, m *osquerytest.Manager, uuid osquery.ExtensionRouteUUID) {
				m.RefuseRegistration("not yet")
				m.Forget(uuid)
			},
			func(_ *testing.T, m *osquerytest.Manager) {
				time.Sleep(300 * time.Millisecond)
				m.RefuseRegistration("")
			},
			"osquery no longer lists this extension",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := osquerytest.New(t)
			var log lines
			lost, registered := make(chan time.Time, 10), make(chan time.Time, 10)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- sockets.Serve(ctx, sockets.Options{
					Socket: m.Socket(), Name: "test", Timeout: 50 * time.Millisecond, Interval: 10 * time.Millisecond, Reconnect: true,
					Registered: func() { registered <- time.Now() },
					Lost:       func(last time.Time) { lost <- last },
					Log:        hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn}),
				}, constant("a"))
			}()
			uuid := m.WaitFor("test")
			first := receive(t, registered)
			c.lose(t, m, uuid)
			after := time.Now()
			last := receive(t, lost)
			c.end(t, m)
			receive(t, registered)
			m.WaitFor("test")
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Serve returned %v", err)
			}
			if last.Before(first) || last.After(after) {
				t.Errorf("the loss is said to be from %v; it was registered at %v and lost before %v", last, first, after)
			}
			if got := log.all(); len(got) != 2 || !strings.Contains(got[0], "is lost") || !strings.Contains(got[0], c.reason) ||
				!strings.Contains(got[1], "registered with osquery again") || !strings.Contains(got[1], "tables_gone_at_most=") {
				t.Errorf("the log is %q", got)
			}
			if len(lost) != 0 || len(registered) != 0 {
				t.Errorf("%d more losses and %d more registrations", len(lost), len(registered))
			}
		})
	}
}

// osquery may ask for the end while its loss is being noticed, and be there again
// at once.
func TestShutdownWhileOsqueryIsLost(t *testing.T) {
	for range 8 { // a select chose one of two ways, of which one failed
		m := osquerytest.New(t)
		ended := make(chan error, 1)
		var registered atomic.Int32
		go func() {
			ended <- sockets.Serve(t.Context(), sockets.Options{
				Socket: m.Socket(), Name: "test", Timeout: 50 * time.Millisecond, Interval: time.Millisecond, Reconnect: true,
				Registered: func() { registered.Add(1) },
			}, constant("a"))
		}()
		uuid := m.WaitFor("test")
		conn, err := net.Dial("unix", m.ExtensionSocket(uuid))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var request bytes.Buffer
		client := osquery.NewExtensionClientFactory(thrift.NewStreamTransport(strings.NewReader(""), &request), thrift.NewTBinaryProtocolFactoryConf(nil))
		client.Shutdown(t.Context()) // which is written, and not answered
		// A call that has begun is waited for, by the loss too.
		if _, err := conn.Write(request.Next(4)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		m.Kill()
		for deadline := time.Now().Add(20 * time.Second); !missing(m.ExtensionSocket(uuid)); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it does not notice the loss")
			}
		}
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(request.Bytes()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve returned %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Serve does not end")
		}
		if _, found := m.Find("test"); found || registered.Load() != 1 {
			t.Errorf("still registered: %v; it registered %d times", found, registered.Load())
		}
	}
}
