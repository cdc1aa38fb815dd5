package osquerytest_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// What a real osqueryi answers to the calls of its Thrift service, and the kit
// too. With OSQUERYI a real one is asked again.
func TestService(t *testing.T) {
	t.Run("kit", func(t *testing.T) {
		testService(t, osquerytest.New(t, osquerytest.Core(coreUsers())))
	})
	if osqueryi := os.Getenv("OSQUERYI"); osqueryi != "" {
		t.Run("real", func(t *testing.T) { testService(t, osquerytest.StartReal(t, osqueryi)) })
	}
}

func testService(t *testing.T, o osquerytest.Osquery) {
	client, err := osquerygo.NewClient(o.Socket(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	one := osquery.ExtensionPluginResponse{column("x", "TEXT", 0)}
	tables := func(tables ...string) osquery.ExtensionRegistry {
		routes := osquery.ExtensionRouteTable{}
		for _, name := range tables {
			routes[name] = one
		}
		return osquery.ExtensionRegistry{"table": routes}
	}
	var first osquerytest.UUID
	for _, c := range []struct {
		name, sdk string
		registry  osquery.ExtensionRegistry
		want      string
	}{
		{"first", "", tables("a", "b"), "0 OK"},
		{"first", "", tables("c"), "1 Duplicate extension registered"},
		{"old", "1.7.6", tables("d"), "1 Incompatible extension SDK version"},
		{"new", "5.0.0", tables("d"), "0 OK"},
		{"clash", "", tables("e", "b"), "1 Failed adding registry: Registry item b conflicts with another item of the same name."},
		{"core", "", tables("users"), "1 Failed adding registry: Registry item users conflicts with another item of the same name."},
		{"stranger", "", osquery.ExtensionRegistry{"nosuch": {"x": one}}, "1 Failed adding registry: Unknown registry: nosuch"},
		{"empty", "", osquery.ExtensionRegistry{"table": {"f": {}}}, "1 Failed adding registry: Invalid route info"},
		{"empty", "", tables("f"), "1 Failed adding registry: Registry item f conflicts with another item of the same name."},
		{"nothing", "", osquery.ExtensionRegistry{}, "0 OK"},
	} {
		s, err := client.RegisterExtension(&osquery.InternalExtensionInfo{Name: c.name, Version: "1", SdkVersion: c.sdk}, c.registry)
		if err != nil {
			t.Fatal(err)
		}
		if c.name == "first" && s.Code == 0 {
			first = s.UUID
		}
		if got := fmt.Sprint(s.Code, " ", s.Message); got != c.want {
			t.Errorf("registration %s: got %q, want %q", c.name, got, c.want)
		}
		if (s.Code == 0) != (s.UUID != 0) {
			t.Errorf("registration %s: UUID %d with status %d", c.name, s.UUID, s.Code)
		}
	}
	list, err := client.Extensions()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name+e.SdkVersion)
	}
	slices.Sort(names)
	if got := fmt.Sprint(names); got != "[first new5.0.0 nothing]" {
		t.Errorf("extensions: %s", got)
	}
	// Nobody listens behind these registrations.
	for _, sql := range []string{"SELECT * FROM a", "SELECT * FROM e"} {
		_, err = client.QueryRows(sql)
		want := "no such table: e"
		if strings.HasSuffix(sql, "a") {
			want = fmt.Sprintf("Extension socket not available: %s.%d", o.Socket(), first)
		}
		if err == nil || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%s: got %v, want %s", sql, err, want)
		}
	}
	for _, c := range []struct {
		uuid osquerytest.UUID
		want string
	}{{first, "0 OK"}, {first, "1 No extension UUID found"}} {
		s, err := client.DeregisterExtension(c.uuid)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(s.Code, " ", s.Message); got != c.want {
			t.Errorf("deregistration: got %q, want %q", got, c.want)
		}
	}
	if _, err := client.QueryRows("SELECT * FROM a"); err == nil || !strings.HasSuffix(err.Error(), "vtable constructor failed: a") {
		t.Errorf("after the deregistration: %v", err)
	}
	// A table that SQLite refuses makes it forget the others, and ask for them.
	for _, broken := range []osquery.ExtensionRegistry{{"table": {"g": {column("x", "TEXT", 0), column("x", "TEXT", 0)}}}, tables("with space")} {
		s, err := client.RegisterExtension(&osquery.InternalExtensionInfo{Name: "broken"}, broken)
		if err != nil || s.Code != 1 || s.Message != "Failed adding registry: SQLITE_ERROR" {
			t.Errorf("registration of a broken table: %v, %v", s, err)
		}
	}
	if _, err := client.QueryRows("SELECT * FROM d"); err == nil || !strings.HasSuffix(err.Error(), "vtable constructor failed: d") {
		t.Errorf("after a broken table: %v", err)
	}
	if s, err := client.Ping(); err != nil || s.Code != 0 || s.Message != "pong" || s.UUID != 0 {
		t.Errorf("ping: %v, %v", s, err)
	}
	options, err := client.Options()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, value, standard, kind string }{
		{"extensions_timeout", "3", "3", "string"}, {"extensions_default_index", "true", "true", "bool"}, {"verbose", "false", "false", "bool"},
		{"extensions_socket", o.Socket(), options["extensions_socket"].DefaultValue, "string"},
	} {
		if got := options[c.name]; got == nil || got.Value != c.value || got.DefaultValue != c.standard || got.Type != c.kind {
			t.Errorf("option %s: got %+v, want %+v", c.name, got, c)
		}
	}
	for _, c := range []struct{ sql, want string }{
		{"SELECT uid, username AS name, 1, 'a' AS t, 1.5, uid + 1, count(*), CAST(uid AS TEXT) AS c, a.gid || 'x' AS j, uid = 1 AS e FROM users a",
			"[map[uid:BIGINT] map[name:TEXT] map[1:INTEGER] map[t:TEXT] map[1.5:UNKNOWN] map[uid + 1:BIGINT] map[count(*):BIGINT] map[c:TEXT] map[j:TEXT] map[e:INTEGER]]"},
		{"SELECT * FROM nosuch", "1 no such table: nosuch"},
		{"", "1 not an error"},
	} {
		r, err := client.GetQueryColumns(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint([]map[string]string(r.Response))
		if r.Status.Code != 0 {
			got = fmt.Sprint(r.Status.Code, " ", r.Status.Message)
		}
		if got != c.want {
			t.Errorf("columns of %q:\ngot  %s\nwant %s", c.sql, got, c.want)
		}
	}
	for _, c := range []struct {
		registry, item string
		request        osquery.ExtensionPluginRequest
		want           string
	}{
		{"table", "users", osquery.ExtensionPluginRequest{"action": "generate", "context": `{"constraints":[{"name":"uid","list":[{"op":2,"expr":"1"}],"affinity":"BIGINT"}],"colsUsed":["username"]}`}, "0 OK daemon"},
		{"table", "users", osquery.ExtensionPluginRequest{"action": "fly"}, "1 Unknown table plugin action: fly "},
		{"table", "users", osquery.ExtensionPluginRequest{}, "1 Table plugins must include a request action "},
		{"table", "nosuch", osquery.ExtensionPluginRequest{"action": "generate"}, "1 Cannot call registry item: nosuch "},
		{"nosuch", "users", osquery.ExtensionPluginRequest{}, "1 Unknown registry requested: nosuch "},
		{"sql", "sql", osquery.ExtensionPluginRequest{"action": "query", "query": "SELECT 'u' AS username"}, "0 OK u"},
	} {
		r, err := client.Call(c.registry, c.item, c.request)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(r.Status.Code, " ", r.Status.Message, " ")
		for _, row := range r.Response {
			got += row["username"]
		}
		if got != c.want {
			t.Errorf("call of %s %s: got %q, want %q", c.registry, c.item, got, c.want)
		}
	}
	rows, err := client.QueryRows("SELECT 1 AS a, NULL AS b; SELECT 2.0 AS a")
	if got := fmt.Sprint(rows, err); !strings.HasSuffix(got, "map[a:2.0]] <nil>") || !strings.HasPrefix(got, "[map[a:1 b:") {
		t.Errorf("two statements: %s", got)
	}
}
