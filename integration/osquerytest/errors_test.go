package osquerytest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// both runs a test in the kit and, where OSQUERYI names one, in a real osqueryi.
func both(t *testing.T, test func(*testing.T, osquerytest.Osquery)) {
	t.Run("kit", func(t *testing.T) { test(t, osquerytest.New(t, osquerytest.Core(coreUsers()))) })
	if osqueryi := os.Getenv("OSQUERYI"); osqueryi != "" {
		t.Run("real", func(t *testing.T) { test(t, osquerytest.StartReal(t, osqueryi)) })
	}
}

// An answer that is too large, by Thrift's way of counting: a real osqueryi read
// 442,650 of these rows, and not 443,092.
func TestLargeAnswers(t *testing.T) {
	test := func(t *testing.T, o osquerytest.Osquery, scale int) {
		p := &plugin{name: "large"}
		r := row{}
		for i := range 20 {
			name := fmt.Sprintf("c%03d", i)
			p.routes = append(p.routes, column(name, "TEXT", 8))
			r[name] = "12345678"
		}
		var rows []map[string]string
		p.generate = func(context.Context, string) ([]map[string]string, error) { return rows, nil }
		osquerytest.Serve(t, o, p)
		count := func(n int, r row) error {
			rows = slices.Repeat([]map[string]string{r}, n)
			a, err := o.Query(t.Context(), "SELECT count(*) AS n FROM large")
			if err == nil && a.Lines()[0] != fmt.Sprint(n) {
				t.Errorf("%d rows are %v", n, a)
			}
			return err
		}
		if err := count(442_000/scale, r); err != nil {
			t.Errorf("just below the limit: %v", err)
		}
		if err := count(444_000/scale, r); err == nil || err.Error() != "Extension call failed: MaxMessageSize reached" {
			t.Errorf("just above the limit: %v", err)
		}
		if err := count(110, row{"c000": strings.Repeat("x", 1<<20/scale)}); err != nil {
			t.Errorf("110 %% of the limit in long texts: %v", err)
		}
	}
	t.Run("kit", func(t *testing.T) {
		m := osquerytest.New(t)
		const scale = 100
		lift := m.LimitMessages(osquerytest.MaxMessage / scale)
		test(t, m, scale)
		lift()
	})
	if osqueryi := os.Getenv("OSQUERYI"); osqueryi != "" {
		t.Run("real", func(t *testing.T) { test(t, osquerytest.StartReal(t, osqueryi), 1) })
	}
}

// An extension that breaks the connection in a call.
func TestBrokenConnection(t *testing.T) {
	both(t, func(t *testing.T, o osquerytest.Osquery) {
		client, err := osquerygo.NewClient(o.Socket(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		s, err := client.RegisterExtension(&osquery.InternalExtensionInfo{Name: "breaks"}, osquery.ExtensionRegistry{"table": {"breaks": {column("x", "TEXT", 0)}}})
		if err != nil || s.Code != 0 {
			t.Fatal(s, err)
		}
		listener, err := net.Listen("unix", fmt.Sprint(o.Socket(), ".", s.UUID))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				request := make([]byte, 4096)
				if n, _ := conn.Read(request); n > 16 && string(request[8:12]) == "ping" {
					// The reply is of the same name and number, with status 0.
					reply := append([]byte("\x80\x01\x00\x02"), request[4:16]...)
					conn.Write(append(reply, "\x0c\x00\x00\x08\x00\x01\x00\x00\x00\x00\x00\x00"...))
				}
				conn.Close()
			}
		}()
		_, err = o.Query(t.Context(), "SELECT * FROM breaks")
		if err == nil || err.Error() != "Extension call failed: No more data to read." {
			t.Errorf("got %v", err)
		}
	})
}

// A query that an extension makes while osquery asks it.
func TestQueryInside(t *testing.T) {
	both(t, func(t *testing.T, o osquerytest.Osquery) {
		inner := func(sql string) (row, error) {
			client, err := osquerygo.NewClient(o.Socket(), 5*time.Second)
			if err != nil {
				return nil, err
			}
			defer client.Close()
			return client.QueryRow(sql)
		}
		osquerytest.Serve(t, o, &plugin{name: "outer", routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 8), column("y", "BIGINT", 8)},
			generate: func(context.Context, string) ([]map[string]string, error) {
				r, err := inner("SELECT username AS x FROM users WHERE uid = 1")
				return []map[string]string{r}, err
			}})
		a, err := o.Query(t.Context(), "SELECT x FROM outer")
		if err != nil || a.String() != "x\ndaemon" {
			t.Errorf("%v, %v", a, err)
		}
	})
}

func TestNoDefaultIndex(t *testing.T) {
	test := func(t *testing.T, o osquerytest.Osquery) {
		p := &plugin{name: "t", routes: osquery.ExtensionPluginResponse{column("a", "TEXT", 0), column("n", "BIGINT", 1)}, generate: always(row{"a": "x", "n": "1"})}
		osquerytest.Serve(t, o, p)
		p.take()
		if _, err := o.Query(t.Context(), "SELECT n FROM t WHERE a = 'x' AND n = 1 LIMIT 1"); err != nil {
			t.Fatal(err)
		}
		if got := describe("t", p.take()[0]); got != `  asks t(a n) bits 3, n = "1"` {
			t.Errorf("got %s", got)
		}
	}
	t.Run("kit", func(t *testing.T) { test(t, osquerytest.New(t, osquerytest.NoDefaultIndex())) })
	if osqueryi := os.Getenv("OSQUERYI"); osqueryi != "" {
		t.Run("real", func(t *testing.T) {
			test(t, osquerytest.StartReal(t, osqueryi, "--extensions_default_index=false"))
		})
	}
}

// The caller's context ends a query, whatever an extension does.
func TestQueryIsCancelled(t *testing.T) {
	m := osquerytest.New(t)
	started := make(chan struct{})
	osquerytest.Serve(t, m, &plugin{name: "stuck", routes: osquery.ExtensionPluginResponse{column("x", "TEXT", 0)},
		generate: func(ctx context.Context, _ string) ([]map[string]string, error) {
			close(started)
			<-ctx.Done() // Thrift's, which ends with the connection
			return nil, ctx.Err()
		}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	if _, err := m.Query(ctx, "SELECT * FROM stuck"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}
