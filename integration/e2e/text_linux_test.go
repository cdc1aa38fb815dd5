package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// Names that rule a terminal are taken by a socket, an interface and a process.
// No mode of output prints their bytes, and what it prints finds the socket: in
// the embedded database and through osquery's plugin.
func TestHostileNames(t *testing.T) {
	const (
		path  = `@evil\x0a\x1b[31mred\xff \x5cx1b\xe2\x80\xae`
		other = `@evil\x0a\x1b[31mred\xff \x1b\xe2\x80\xae`
		link  = `v\x1b[31mx\x80`
		name  = `p\x1b[2J\x0aq`
	)
	u := &unixSockets{t: t, ns: netnstest.New(t)}
	evil := u.listen(u.bound(unix.SOCK_STREAM, "\x00evil\n\x1b[31mred\xff \\x1b\u202e", path), 1)
	u.listen(u.bound(unix.SOCK_STREAM, "\x00evil\n\x1b[31mred\xff \x1b\u202e", other), 1)
	output(t, u.ns, "ip", "link", "add", "v\x1b[31mx\x80", "type", "veth", "peer", "name", "w")
	output(t, u.ns, "ip", "link", "set", "v\x1b[31mx\x80", "up")
	output(t, u.ns, "ip", "route", "add", "192.0.2.0/24", "dev", "v\x1b[31mx\x80")
	holder := exec.Command("sleep", "60")
	holder.Args[0] = "p\x1b[2J\nq"
	started := inherit(t, holder, evil.fd)
	err := u.ns.Do(holder.Start)
	started()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		holder.Process.Kill()
		holder.Wait()
	}()

	statement := "SELECT u.path, p.program, i.interface FROM unix_sockets u JOIN socket_processes p USING (inode), interface_statistics i" +
		" WHERE u.path = '" + path + "' AND p.program = '" + name + "' AND i.interface = '" + link + "'"
	asJSON := strings.NewReplacer(`\`, `\\`)
	for mode, want := range map[string]string{
		"pretty": "| " + path + " | " + name + " | " + link + " |",
		"json":   `{"path":"` + asJSON.Replace(path) + `","program":"` + asJSON.Replace(name) + `","interface":"` + asJSON.Replace(link) + `"}`,
		"csv":    path + "," + name + "," + link,
		"line":   "     path = " + path + "\n  program = " + name + "\ninterface = " + link,
		"list":   path + "|" + name + "|" + link,
	} {
		t.Run(mode, func(t *testing.T) {
			out := output(t, u.ns, program, "query", "--"+mode, statement)
			harmless(t, strings.ReplaceAll(out, "\r\n", "\n"))
			if strings.Count(out, want) != 1 || strings.Count(out, "evil") != 1 {
				t.Errorf("got\n%swant\n%s", out, want)
			}
		})
	}
	for options, wants := range map[string][]string{
		"-lxp": {"/" + name, " " + path + "\n"}, "-lxp --strict": {" @evil\n"},
		"-i": {"\n" + link + "   1500 "}, "-rn": {" " + link + "\n"}, "-gn": {"\n" + link + "  1      224.0.0.1\n"},
	} {
		t.Run("netstat "+options, func(t *testing.T) {
			out := output(t, u.ns, program, append([]string{"netstat"}, strings.Fields(options)...)...)
			harmless(t, out)
			for _, want := range wants { // of two holders either may have the lower number
				if !strings.Contains(out, want) {
					t.Errorf("got\n%swant %q", out, want)
				}
			}
		})
	}

	t.Run("osquery", func(t *testing.T) {
		namespace := query(t, u.ns, "SELECT inode FROM network_namespaces WHERE own = 1")[0]["inode"]
		for value, inode := range map[string]string{path: evil.inode, "@evil\n\x1b[31mred": ""} {
			context, err := json.Marshal(map[string]any{"colsUsed": []string{"inode", "path"}, "constraints": []any{
				map[string]any{"name": "path", "affinity": "TEXT", "list": []any{map[string]any{"op": 2, "expr": value}}},
				map[string]any{"name": "net_namespace", "affinity": "TEXT", "list": []any{map[string]any{"op": 2, "expr": namespace}}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			plugin := osquery.NewTablePlugin(tables.UnixSockets(host.New(host.Options{})))
			response := plugin.Call(t.Context(), map[string]string{"action": "generate", "context": string(context)})
			if response.Status.Code != 0 {
				t.Fatal(response.Status.Message)
			}
			found := ""
			for _, row := range response.Response {
				if row["path"] == value {
					found = row["inode"]
				}
				harmless(t, row["path"])
			}
			if found != inode {
				t.Errorf("%q finds the socket %q, want %q", value, found, inode)
			}
		}
	})
}

// harmless fails the test unless the output is UTF-8 without anything that a
// terminal would obey or not show, but newlines.
func harmless(t *testing.T, out string) {
	t.Helper()
	if !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
		t.Errorf("it prints %q", out)
	}
}
