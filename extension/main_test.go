package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// The fixtures of the tables, as a host to read.
var fixtures = []string{"--proc", "../tables/testdata/proc", "--services", "../tables/testdata/etc/services", "--protocols", "../tables/testdata/etc/protocols"}

// sockets runs the program.
func sockets(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// From a pipe, the shell prints what the statements print, and fails if one does.
func TestShellInPipe(t *testing.T) {
	const sql = ".mode csv\n.headers off\nSELECT port FROM well_known_services WHERE name = 'https' AND protocol = 'tcp';\n"
	for in, want := range map[string]struct {
		code   int
		stderr string
	}{
		sql:             {0, ""},
		sql + "nosuch;": {1, "error: near \"nosuch\": syntax error\n  nosuch;\n  ^\n"},
	} {
		code, stdout, stderr := sockets(t, in, append([]string{"shell"}, fixtures...)...)
		if code != want.code || stdout != "443\n" || stderr != want.stderr {
			t.Errorf("%q: exit code %d, %q, %q", in, code, stdout, stderr)
		}
	}
}

func TestQueryModes(t *testing.T) {
	const sql = "SELECT name, port, NULL AS n FROM well_known_services WHERE port = 53 ORDER BY protocol LIMIT 1"
	const box = "+--------+------+---+\n" +
		"| name   | port | n |\n" +
		"+--------+------+---+\n" +
		"| domain | 53   |   |\n" +
		"+--------+------+---+\n"
	for _, c := range []struct {
		flags []string
		want  string
	}{
		{nil, box},
		{[]string{"--pretty"}, box},
		{[]string{"--box", "--header=false"}, "┌────────┬────┬──┐\n│ domain │ 53 │  │\n└────────┴────┴──┘\n"},
		{[]string{"--json"}, "[\n  {\"name\":\"domain\",\"port\":53,\"n\":null}\n]\n"},
		{[]string{"--json=osquery"}, "[\n  {\"name\":\"domain\",\"port\":\"53\",\"n\":\"\"}\n]\n"},
		{[]string{"--jsonl"}, "{\"name\":\"domain\",\"port\":53,\"n\":null}\n"},
		{[]string{"--csv"}, "name,port,n\ndomain,53,\n"},
		{[]string{"--csv", "--crlf"}, "name,port,n\r\ndomain,53,\r\n"},
		{[]string{"--csv", "--header=false", "--separator", ";"}, "domain;53;\n"},
		{[]string{"--tsv"}, "name\tport\tn\ndomain\t53\t\n"},
		{[]string{"--markdown"}, "| name | port | n |\n|---|---|---|\n| domain | 53 |  |\n"},
		{[]string{"--line"}, " name = domain\n port = 53\n    n = \n"},
		{[]string{"--list"}, "name|port|n\ndomain|53|\n"},
		{[]string{"--list", "--header=false", "--separator=\t"}, "domain\t53\t\n"},
		{[]string{"--list", "--header=false", `--separator=\t`}, "domain\t53\t\n"},
	} {
		t.Run(strings.Join(c.flags, " "), func(t *testing.T) {
			for _, input := range [][2]string{{"", sql}, {sql, "-"}} {
				code, stdout, stderr := sockets(t, input[0], append(append([]string{"query"}, c.flags...), append(fixtures, input[1])...)...)
				if code != 0 || stdout != c.want || stderr != "" {
					t.Errorf("%q %q: exit code %d, stderr %q\ngot\n%s\nwant\n%s", c.flags, input, code, stderr, stdout, c.want)
				}
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stderr string // "" for none
	}{
		{"no rows", []string{"query", "SELECT 1 WHERE 0"}, 0, ""},
		{"a comment behind --", []string{"query", "--", "-- a comment\nSELECT 1"}, 0, ""},
		{"several statements", []string{"query", "SELECT 1; SELECT 2"}, 0, ""},
		{"version", []string{"--version"}, 0, ""},
		{"help", []string{"--help"}, 0, ""},
		{"help of a command", []string{"query", "--help"}, 0, ""},
		{"schema", []string{"schema"}, 0, ""},
		{"schema of a table", []string{"schema", "TCP_sockets"}, 0, ""},
		{"schema of columns", []string{"schema", "--columns", "%_PORT"}, 0, ""},
		{"schema of no column", []string{"schema", "--columns", "nosuch"}, 1, `no column matches "nosuch"`},

		{"within its time", []string{"query", "--timeout", "1m", "--plan", "sqlite", "SELECT 1"}, 0, ""},
		{"beyond its time", []string{"query", "--timeout", "20ms", "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"}, 1, "given up: it took longer than 20ms"},
		{"time without a unit", []string{"query", "--timeout", "2", "SELECT 1"}, 2, "from 1ms to 24h"},
		{"no time", []string{"query", "--timeout", "0s", "SELECT 1"}, 2, "from 1ms to 24h"},
		{"more than a day", []string{"query", "--timeout", "25h", "SELECT 1"}, 2, "from 1ms to 24h"},
		{"unknown plan", []string{"query", "--plan", "fast", "SELECT 1"}, 2, "neither auto nor sqlite"},
		{"too deep", []string{"query", "SELECT 1" + strings.Repeat("||1", 400)}, 1, "SQLite's stack"},

		{"unknown table", []string{"query", "SELECT * FROM nosuch"}, 1, "no such table: nosuch\n  SELECT * FROM nosuch\n                ^\nthe tables are "},
		{"a name for a terminal", []string{"query", "SELECT * FROM \"a\x1b[31m\xff\""}, 1, "no such table: a\\x1b[31m\\xff\n"},
		{"unknown column", []string{"query", "SELECT nosuch FROM tcp_sockets"}, 1, "no such column: nosuch"},
		{"broken SQL", []string{"query", "SELEC"}, 1, "syntax error"},
		{"write", []string{"query", "INSERT INTO tcp_sockets (proto) VALUES (1)"}, 1, "not allowed"},
		{"attach", []string{"query", "ATTACH 'x' AS x"}, 1, "not allowed"},
		{"the second fails", []string{"query", "SELECT 1; SELECT nosuch"}, 1, "nosuch"},
		{"proc missing", []string{"query", "--proc", missing, "SELECT 1 FROM tcp_sockets"}, 1, missing + " is no proc filesystem"},
		{"proc is none", []string{"query", "--proc", t.TempDir(), "SELECT 1 FROM tcp_sockets"}, 1, "is no proc filesystem"},
		{"services missing", []string{"query", "--services", missing, "SELECT 1 FROM well_known_services"}, 1, missing},
		{"services are a log", []string{"query", "--services", "/proc/kmsg", "SELECT 1 FROM well_known_services"}, 1, "/proc/kmsg"}, // must not wait
		{"protocols missing", []string{"query", "--protocols", missing, "SELECT 1 FROM ip_protocols"}, 1, missing},
		{"protocols missing for names", []string{"query", "--protocols", missing, "SELECT ip_protocol_name FROM raw_sockets"}, 1, missing},
		{"no osquery", []string{"--socket", missing, "--timeout", "1"}, 1, "no osquery at the socket within 1s"},

		{"nothing", nil, 2, "give a command"},
		{"unknown command", []string{"nosuch"}, 2, `unknown command "nosuch"`},
		{"SQL without query", []string{"--csv", "SELECT nosuch"}, 1, "sockets.ext query: no such column: nosuch"},
		{"SQL twice", []string{"query", "-f", "x.sql", "SELECT 1"}, 2, "in an argument and in a file"},
		{"no file of SQL", []string{"query", "-f", "/nosuch.sql"}, 1, "open /nosuch.sql"},
		{"diff without watch", []string{"query", "--diff", "SELECT 1"}, 2, "say how often to run by --watch, such as --watch 2s"},
		{"watch without a time", []string{"query", "--watch", "2", "SELECT 1"}, 2, "it must be a time from 1ms to 24h"},
		{"watch of two", []string{"query", "--watch", "1s", "--diff", "SELECT 1; SELECT 2"}, 1, "there are several statements: one can be watched"},
		{"watch of a mistake", []string{"query", "--watch", "1s", "SELECT nosuch"}, 1, "no such column: nosuch"},
		{"watch beyond its time", []string{"query", "--watch", "1s", "--timeout", "1ms", "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"}, 1, "it took longer than 1ms"},
		{"shell of something", []string{"shell", "x"}, 2, `unknown command "x"`},
		{"shell of nothing", []string{"shell"}, 0, ""},
		{"CRLF without csv", []string{"query", "--tsv", "--crlf", "SELECT 1"}, 2, "--crlf is for --csv"},
		{"json of a third kind", []string{"query", "--json=x", "SELECT 1"}, 2, "none of true, false, osquery"},
		{"unknown flag", []string{"query", "--nosuch", "SELECT 1"}, 2, "unknown flag: --nosuch"},
		{"no SQL", []string{"query"}, 2, "the SQL is empty"},
		{"empty SQL", []string{"query", " "}, 2, "SQL is empty"},
		{"SQL without quotes", []string{"query", "SELECT", "1"}, 2, "in quotes"},
		{"two modes", []string{"query", "--json", "--csv", "SELECT 1"}, 2, "json"},
		{"separator of csv", []string{"query", "--csv", "--separator", "\n", "SELECT 1"}, 2, "separated"},
		{"separator of json", []string{"query", "--json", "--separator", ";", "SELECT 1"}, 2, "--csv and --list"},
		{"empty separator", []string{"query", "--csv", "--separator", "", "SELECT 1"}, 2, "must not be empty"},
		{"empty services", []string{"query", "--services", "", "SELECT 1"}, 2, `"--services" flag: it takes a value that is not empty`},
		{"empty protocols", []string{"query", "--protocols", "", "SELECT 1"}, 2, `"--protocols" flag: it takes a value that is not empty`},
		{"empty proc", []string{"query", "--proc=", "SELECT 1"}, 2, `"--proc" flag: it takes a value that is not empty`},
		{"a comment first", []string{"query", "-- a comment\nSELECT 1"}, 2, "behind a -- of its own"},
		{"one dash", []string{"query", "-json", "SELECT 1"}, 2, "two dashes"},
		{"dot command", []string{"query", ".tables"}, 1, "sockets.ext schema"},
		{"header", []string{"query", "--header=maybe", "SELECT 1"}, 2, `invalid argument "maybe" for "--header" flag: it takes true or false`},
		{"verbose", []string{"schema", "--verbose=2"}, 2, `invalid argument "2" for "--verbose" flag: it takes true or false`},
		{"netstat's switch", []string{"netstat", "--tcp=2"}, 2, `invalid argument "2" for "--tcp" flag: it takes true or false`},
		{"netstat's extend", []string{"netstat", "--extend=3", "--sql"}, 2, "from 0 to 2"},
		{"netstat's extend thrice", []string{"netstat", "-teee", "--sql"}, 0, ""},
		{"help of no command", []string{"help", "nosuch"}, 2, `unknown command "nosuch"`},
		{"help of a command by help", []string{"help", "query"}, 0, ""},
		{"memory", []string{"query", "--memory-limit", "1MiB", "SELECT 1"}, 2, "from 32MiB to 1TiB"},
		{"memory without a unit", []string{"--socket", missing, "--memory-limit", "180"}, 2, "from 32MiB to 1TiB"},
		{"memory of netstat", []string{"netstat", "--memory-limit", "2TiB"}, 2, "from 32MiB to 1TiB"},
		{"within its memory", []string{"query", "--memory-limit", "64MiB", "SELECT 1"}, 0, ""},
		{"beyond its memory", []string{"query", "--memory-limit", "64MiB", "SELECT zeroblob(5e8)"}, 1, "it takes more than the memory limit of 64MiB"},
		{"schema of no table", []string{"schema", "nosuch"}, 2, "no such table: nosuch (there are "},
		{"schema of two", []string{"schema", "tcp_sockets", "tcp_socket"}, 2, "did you mean tcp_sockets?"},
		{"interval", []string{"--socket", missing, "--interval", "0"}, 2, "from 1 to 86400"},
		{"interval that overflows", []string{"--socket", missing, "--interval", "18446744073709551617"}, 2, "from 1 to 86400"},
		{"interval that is no whole number", []string{"--socket", missing, "--interval", "1.5"}, 2, "from 1 to 86400"},
		{"timeout", []string{"--socket", missing, "--timeout", "-1"}, 2, "from 1 to 86400"},
		{"max queries that overflow", []string{"--socket", missing, "--max-queries", "1001"}, 2, "from 1 to 1000"},
		{"query timeout", []string{"--socket", missing, "--query-timeout", "0"}, 2, "from 1 to 86400"},
		{"query timeout that overflows", []string{"--socket", missing, "--query-timeout", "9999999999"}, 2, "from 1 to 86400"},
		{"max queries", []string{"--socket", missing, "--max-queries", "0"}, 2, "from 1 to 1000"},
		{"max response", []string{"--socket", missing, "--max-response", "101"}, 2, "from 1 to 100"},
		{"on loss", []string{"--socket", missing, "--on-loss", "weep"}, 2, "neither exit nor reconnect"},
		{"table prefix", []string{"--socket", missing, "--table-prefix", "A-"}, 2, "small letters"},
		{"log level", []string{"query", "--log-level", "loud", "SELECT 1"}, 2, "must be error, warn"},

		{"netstat's statements", []string{"netstat", "-tulpn", "--sql"}, 0, ""},
		{"netstat's options cut off", []string{"netstat", "--list", "--tc", "--numeric-p", "--program", "-F", "--sql"}, 0, ""},
		{"netstat's options cut off before ours", []string{"netstat", "--al", "--protoc", "inet", "--sql"}, 0, ""},
		{"netstat's version", []string{"netstat", "-V"}, 2, "sockets.ext --version"},
		{"netstat's option for SELinux", []string{"netstat", "-tnZ"}, 2, "not taken"},
		{"netstat's old families", []string{"netstat", "--ax25"}, 2, "legacy_sockets"},
		{"netstat of an old family", []string{"netstat", "-A", "ipx"}, 2, "legacy_sockets"},
		{"netstat as ifconfig", []string{"netstat", "-ie"}, 2, "interface_statistics"},
		{"two of netstat", []string{"netstat", "-rn", "-i"}, 2, "only one of"},
		{"netstat of an argument", []string{"netstat", "-tn", "eth0"}, 2, "eth0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := sockets(t, "", c.args...)
			if code != c.code || (c.stderr == "") != (stderr == "") || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, want %d; stderr %q, want %q", code, c.code, stderr, c.stderr)
			}
			if c.code != 0 && stdout != "" && c.name != "the second fails" {
				t.Errorf("stdout %q", stdout)
			}
			if code == 2 && !strings.Contains(stderr, "--help'") {
				t.Errorf("stderr %q does not lead to the help", stderr)
			}
		})
	}
}

// A list that is cut off must not pass for a whole one, in any mode.
func TestTruncatedProc(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile("../tables/testdata/proc/1/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "net", "tcp")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-40], 0o644); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"--pretty", "--json", "--csv", "--line", "--list"} {
		t.Run(mode, func(t *testing.T) {
			code, _, stderr := sockets(t, "", "query", mode, "--proc", dir, "SELECT * FROM tcp_sockets")
			if code != 1 || !strings.Contains(stderr, path+": line 64: the file ends in the middle of a line") {
				t.Errorf("exit code %d, stderr %q", code, stderr)
			}
		})
	}
}

// Malformed services are skipped, and told to those who want to know.
func TestVerbose(t *testing.T) {
	code, stdout, stderr := sockets(t, "", append([]string{"query", "--verbose", "--list", "--header=false", "SELECT count(*) FROM well_known_services"}, fixtures...)...)
	if code != 0 || stdout != "21\n" || !strings.Contains(stderr, "etc/services") || !strings.Contains(stderr, "line 22") || !strings.Contains(stderr, "line 23") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestSchema(t *testing.T) {
	code, stdout, _ := sockets(t, "", "schema", "--json")
	var described []struct {
		Name     string
		Examples []string
		Columns  []struct {
			Name, Description, Type string
			Hidden, Index           bool
		}
	}
	if err := json.Unmarshal([]byte(stdout), &described); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	o := new(options)
	all, _ := o.tables(o.host(hclog.NewNullLogger()))
	if len(described) != len(all) {
		t.Fatalf("%d tables, want %d", len(described), len(all))
	}
	for i, table := range all {
		spec, got := table.Spec(), described[i]
		if got.Name != spec.Name || len(got.Columns) != len(spec.Columns) || len(got.Examples) != len(spec.Examples) {
			t.Errorf("%s: %+v", spec.Name, got)
			continue
		}
		for j, c := range spec.Columns {
			if g := got.Columns[j]; g.Name != c.Name || g.Description != c.Doc || g.Type != strings.ToLower(string(c.Type)) || g.Hidden != c.Hidden || g.Index != c.Pushed {
				t.Errorf("%s.%s: %+v", spec.Name, c.Name, g)
			}
		}
	}
	for _, flag := range []string{"--markdown", "--index"} {
		t.Run(flag, func(t *testing.T) {
			if code, stdout, _ := sockets(t, "", "schema", flag); code != 0 || !strings.Contains(stdout, "`tcp_sockets`") && !strings.Contains(stdout, "## tcp_sockets") {
				t.Errorf("exit code %d\n%s", code, stdout)
			}
		})
	}
}

// failingWriter is a full disk.
type failingWriter struct{}

var errFull = errors.New("no space left on device")

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }

func TestOutputFails(t *testing.T) {
	for _, args := range [][]string{
		{"query", "SELECT 1"}, {"query", "--csv", "SELECT 1"}, {"schema"}, {"schema", "--json"}, {"schema", "--markdown"},
		{"--version"}, {"--help"}, {"query", "--help"}, {"help", "query"},
		{"netstat", "-tn", "--sql"}, append([]string{"netstat", "-tan"}, fixtures...),
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var stderr strings.Builder
			if code := run(t.Context(), args, strings.NewReader(""), failingWriter{}, &stderr); code != 1 || !strings.Contains(stderr.String(), "no space") {
				t.Errorf("exit code %d, stderr %q", code, stderr.String())
			}
		})
	}
}
