package shell_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/shell"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// fixtures are the tables of the fixtures' host.
func fixtures() []schema.Table {
	const dir = "../../tables/testdata/"
	return tables.All(host.New(host.Options{Proc: dir + "proc", Services: dir + "etc/services", Protocols: dir + "etc/protocols"}))
}

// run runs a shell on an input, and returns what it prints.
func run(t *testing.T, in io.Reader) (stdout, stderr string, err error) {
	t.Helper()
	all := fixtures()
	var out, errs strings.Builder
	err = shell.Run(t.Context(), shell.Config{
		Tables: all, Open: func() (*sqlite.DB, error) { return sqlite.Open(all, nil) },
		In: in, Out: &out, Err: &errs, Getenv: func(string) string { return "" },
	})
	return out.String(), errs.String(), err
}

func TestPipe(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sql := file("sql", ".headers off\nSELECT 1;\nSELECT\n2")
	circle := file("circle", "")
	os.WriteFile(circle, []byte(".read "+circle+"\n"), 0o600)
	database := file("database", "SQLite format 3\x00")
	saved := filepath.Join(dir, "saved")
	for _, c := range []struct{ name, in, out, err string }{
		{"nothing", "", "", ""},
		{"no end", ".mode csv\nSELECT 1 AS a", "a\n1\n", ""},
		{"lines", ".mode csv\nSELECT 1 AS a,\n\n 2\nAS b; SELECT 3 AS c;", "a,b\n1,2\nc\n3\n", ""},
		{"CR LF", ".mode csv\r\nSELECT 1\r\nAS a;\r\n", "a\n1\n", ""},
		{"semicolons in a text", ".mode list\n.headers off\nSELECT 'a;\n.b' /* ; */ -- ;\n, \";\nc\";", "a;\n.b|;\nc\n", ""},
		{"a command behind a comment", "-- as CSV;\n.mode csv\nSELECT 1 AS a;", "a\n1\n", ""},
		{"quotes twice", ".mode list\n.headers off\nSELECT 'it''s;\n''', \"a\"\"b;\", 1 AS [c;d], 2 AS `e;f` /*;\n*/;", "it's;\n'|a\"b;|1|2\n", ""},
		{"comments", "-- nothing\n/* nothing */ ;\n", "", ""},
		{"a command in a statement", "SELECT 1\n.mode csv\n;", "", "error: near \".\": syntax error\n  .mode csv\n  ^\na dot command stands on a line of its own, in sockets.ext shell; sockets.ext schema shows the tables\n"},
		{"goes on after an error", ".mode csv\nnonsense;\nSELECT 1 AS a;", "a\n1\n", "error: near \"nonsense\": syntax error\n  nonsense;\n  ^\n"},
		{"the wrong command", ".tabels\n", "", "error: there is no command .tabels; did you mean .tables?\n"},
		{"no command", ".dump\n", "", "error: there is no command .dump: .help lists them\n"},
		{"no argument", ".mode\n", "", "error: usage: .mode pretty|box|json|jsonl|csv|tsv|markdown|line|list\n"},
		{"an argument", ".quit now\n", "", "error: .quit takes no argument\n"},
		{"a wrong argument", ".timer yes\n", "", "error: \"yes\" is neither on nor off\n"},
		{"exit", ".mode csv\n.exit\nSELECT 1;", "", ""},
		{"exit behind a statement", ".mode csv\nSELECT 1 AS a;\n.quit;\nSELECT 1;", "a\n1\n", ""},
		{"tables", ".tables udp\n.tables '%_protocols'\n.tables nosuch\n", "udp_sockets\nip_protocols\n", "error: no table is LIKE '%nosuch%'\n"},
		{"all", ".mode csv\n.all NOSUCH\n.all nexthop\n", "", "error: no such table: NOSUCH; .tables lists them\nerror: no such table: nexthop; did you mean nexthops?\n"},
		{"open", ".open " + sql + "\nSELECT 3;", "+---+\n| 1 |\n+---+\n+---+\n| 2 |\n+---+\n+---+\n| 3 |\n+---+\n", ""},
		{"open nothing", ".open /nosuch\n.open " + dir + "\n.open " + database + "\n", "",
			"error: open /nosuch: no such file or directory\nerror: " + dir + " is no regular file\nerror: " + database + " is a database of SQLite: .open reads a file of SQL, and there is no other database than the host\n"},
		{"open itself", ".open " + circle, "", "error: " + circle + ": 10 files open each other\n"},
		{"save nothing", ".save " + saved, "", "error: there is nothing to save: no statement ran yet\n"},
		{"save", ".mode csv\nSELECT 1 AS a;\nnonsense;\nSELECT\n2 AS b -- end\n;\n.save " + saved + "\n.save " + saved, "a\n1\nb\n2\n",
			"error: near \"nonsense\": syntax error\n  nonsense;\n  ^\nerror: " + saved + " is there already: choose another name, or remove it\n"},
		{"watch", ".watch SELECT 1\n.watch 2s\n.watch 1s SELECT 1; SELECT 2\n", "", "error: \"SELECT\" is no time from 100ms to 24h, such as 2s: usage: .watch TIME SQL\nerror: usage: .watch TIME SQL\nerror: there are several statements: one can be watched\n"},
		{"explain", ".explain SELECT program FROM tcp_sockets WHERE state = 'LISTEN' AND local_port IN (22, 80) AND program = 'x' AND abs(pid) > 1\n",
			"tcp_sockets is read once.\n" +
				"  narrows what is asked of the kernel: state =, local_port IN\n" +
				"  checked on each row that comes: program =\n" +
				"  columns: local_port, state, pid, program\n" +
				"SQLite checks every condition again, and all others.\n", ""},
		{"explain a join", ".explain SELECT count(*) FROM udp_sockets u JOIN well_known_services w ON w.port = u.local_port ORDER BY u.pid\n.explain VALUES (1)",
			"well_known_services is read once.\n" +
				"  nothing narrows it: all of its rows are read\n" +
				"  columns: port\n" +
				"udp_sockets is read for each row of well_known_services, from memory where that is quicker.\n" +
				"  narrows what is asked of the kernel: local_port =\n" +
				"  columns: local_port, pid\n" +
				"SQLite checks every condition again, and all others.\n" +
				"SCAN CONSTANT ROW\n" +
				"No table is read.\n", ""},
		{"explain nothing", ".explain nonsense\n.explain SELECT 1; SELECT 2\n", "", "error: near \"nonsense\": syntax error\n  nonsense\n  ^\nerror: there are several statements: one can be explained\n"},
		{"help", ".help\n", shell.Help(), ""},
		{"what breaks SQLite", "SELECT " + strings.Repeat("1+", 900) + "1;\nVALUES (1);", "+---------+\n| column1 |\n+---------+\n| 1       |\n+---------+\n", "error: the statement has more terms in a chain"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, err := run(t, strings.NewReader(c.in))
			if strings.HasPrefix(c.name, "what breaks") {
				errs, _, _ = strings.Cut(errs, ",")
			}
			if diff := cmp.Diff(c.out, out); diff != "" {
				t.Errorf("standard output: want (-), got (+):\n%s", diff)
			}
			if diff := cmp.Diff(c.err, errs); diff != "" {
				t.Errorf("standard error: want (-), got (+):\n%s", diff)
			}
			if failed := c.err != ""; (err == shell.ErrFailed) != failed || err != nil && !failed {
				t.Errorf("it ends with %v", err)
			}
		})
	}
	if b, err := os.ReadFile(saved); string(b) != "SELECT 1 AS a;\nSELECT\n2 AS b -- end\n;\n" {
		t.Errorf("saved is %q, %v", b, err)
	}
}

func TestTimerAndSchema(t *testing.T) {
	out, errs, err := run(t, strings.NewReader(".timer on\n.mode jsonl\nSELECT 1 AS a;\n.schema udp_sockets\n"))
	if err != nil || !strings.HasPrefix(out, "{\"a\":1}\nudp_sockets: ") || !strings.HasSuffix(errs, " s\n") {
		t.Errorf("it prints %q, %q, %v", out, errs, err)
	}
	out, _, _ = run(t, strings.NewReader(".schema\n"))
	for _, table := range fixtures() {
		if !strings.Contains(out, "\n"+table.Name()+": ") && !strings.HasPrefix(out, table.Name()+": ") {
			t.Errorf(".schema does not describe %s", table.Name())
		}
	}
}

// zeros is an endless line.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

func TestEndlessInput(t *testing.T) {
	if _, _, err := run(t, zeros{}); err == nil || !strings.Contains(err.Error(), "a line has more than 16777216 bytes") {
		t.Errorf("an endless line gave %v", err)
	}
}

// Lines of a text that does not end are read once each.
func TestLongInput(t *testing.T) {
	in := "SELECT length('" + strings.Repeat("a;\n", 1<<20) + "') AS n;"
	out, errs, err := run(t, strings.NewReader(".mode csv\n"+in))
	if err != nil || out != "n\n3145728\n" {
		t.Errorf("it prints %.100q, %.100q, %v", out, errs, err)
	}
}

// | is the cursor.
func TestComplete(t *testing.T) {
	v := &shell.Vocabulary{Tables: fixtures(), Functions: []string{"upper", "regex_match", "regex_split"}}
	for _, c := range []struct {
		text, prefix string
		want         string // the candidates, or the first of them and …
	}{
		{"|", "", "SELECT WITH VALUES EXPLAIN PRAGMA"},
		{"sel|", "sel", "SELECT"},
		{"SELECT 1; w|", "w", "WITH"},
		{"SELECT * FROM udp|", "udp", "udp_sockets"},
		{"select * from udp_sockets join tcp_u|", "tcp_u", "tcp_ulp"},
		{"SELECT * FROM udp_sockets, packet_|", "packet_", "packet_sockets"},
		{"SELECT * FROM UDP_|", "UDP_", "udp_sockets"},
		{"SELECT local_p| FROM udp_sockets", "local_p", "local_port"},
		{"SELECT LOCAL_P| FROM udp_sockets", "LOCAL_P", "local_port"},
		{"SELECT u.local_p| FROM udp_sockets u", "u.local_p", "u.local_port"},
		{"SELECT u.local_p| FROM udp_sockets AS u", "u.local_p", "u.local_port"},
		{"SELECT udp_sockets.local_p| FROM udp_sockets", "udp_sockets.local_p", "udp_sockets.local_port"},
		{"SELECT x.local_p| FROM udp_sockets u", "x.local_p", ""},
		{"SELECT | FROM ip_protocols", "", "name number aliases comment line"},
		{"SELECT number FROM ip_protocols; SELECT por| FROM well_known_services", "por", "port"},
		{"SELECT po| FROM ip_protocols; SELECT 1 FROM well_known_services", "po", ""},
		{"SELECT regex|", "regex", "regex_match( regex_split( REGEXP"},
		{"SELECT 1 FROM udp_sockets WHERE stat|", "stat", "state"},
		{"SELECT 1 FROM udp_sockets ORD|", "ORD", "ORDER"},
		{"SELECT number FROM ip_protocols WHERE protx|", "protx", ""},
		{"SELECT 1 FROM tcp_sockets WHERE state = 'LIS|", "LIS", "LISTEN'"},
		{"SELECT 1 FROM tcp_sockets WHERE state IN ('LISTEN', 'syn_s|", "syn_s", "SYN_SENT'"},
		{"SELECT 1 FROM tcp_sockets WHERE program = 'LIS|", "LIS", ""},
		{"SELECT 'FROM ud|", "FROM ud", ""},
		{"SELECT 1 -- FROM ud|", "", ""},
		{"SELECT 12|", "", ""},
		{".mo|", ".mo", ".mode"},
		{".mode ma|", "ma", "markdown"},
		{".headers o|", "o", "on off"},
		{".schema ip_p|", "ip_p", "ip_protocols"},
		{".tables ip_p|", "ip_p", "ip_protocols"},
		{".help x|", "x", ""},
		{".nosuch x|", "", ""},
		{".explain SELECT number FROM ip_p|", "ip_p", "ip_protocols"},
		{".watch 2s SELECT 1 FROM ip_p|", "ip_p", "ip_protocols"},
		{"SELECT 1;\n.mode ma|", "ma", "markdown"},
		{"SELECT 1\n.mode ma|", "ma", "MATCH MATERIALIZED masqueraded_connections"},
	} {
		t.Run(c.text, func(t *testing.T) {
			before, after, _ := strings.Cut(c.text, "|")
			prefix, all := v.Complete(before+after, len(before))
			var got []string
			for _, candidate := range all {
				got = append(got, candidate.Text)
			}
			if prefix != c.prefix && len(got) > 0 || strings.Join(got, " ") != c.want {
				t.Errorf("got %q and %q, want %q and %q", prefix, got, c.prefix, c.want)
			}
		})
	}
}

// Whatever is typed, completion returns what begins with the word at the cursor.
func FuzzComplete(f *testing.F) {
	v := &shell.Vocabulary{Tables: fixtures(), Functions: []string{"upper"}}
	f.Add("SELECT u. FROM udp_sockets u WHERE state = 'L", 9)
	f.Add(".watch 2s SELECT \"a", 12)
	f.Fuzz(func(t *testing.T, text string, cursor int) {
		cursor = max(0, min(cursor, len(text)))
		prefix, all := v.Complete(text, cursor)
		if len(all) > 0 && !strings.HasSuffix(text[:cursor], prefix) {
			t.Errorf("%q is not before the cursor", prefix)
		}
		for _, c := range all {
			if !strings.EqualFold(c.Text[:len(prefix)], prefix) {
				t.Errorf("%q does not begin with %q", c.Text, prefix)
			}
		}
	})
}

func TestHistoryPath(t *testing.T) {
	for _, c := range []struct{ state, home, want string }{
		{"/s", "/h", "/s/osquery-sockets/history"},
		{"", "/h", "/h/.local/state/osquery-sockets/history"},
		{"relative", "/h", "/h/.local/state/osquery-sockets/history"},
		{"", "", ""},
	} {
		env := map[string]string{"XDG_STATE_HOME": c.state, "HOME": c.home}
		if got := shell.HistoryPath(func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%q and %q gave %q, want %q", c.state, c.home, got, c.want)
		}
	}
}

// The help has all commands, in their order.
func TestHelpIsSorted(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(shell.Help()), "\n")
	if !slices.IsSorted(lines) || len(lines) < 14 {
		t.Errorf("%q", lines)
	}
}
