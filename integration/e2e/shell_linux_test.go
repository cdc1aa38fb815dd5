package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"
)

// typing is the program on a terminal with somebody who types.
type typing struct {
	t     *testing.T
	keys  *os.File
	cmd   *exec.Cmd
	ended chan struct{}

	mu     sync.Mutex
	screen vt10x.Terminal
	bytes  bytes.Buffer // that the program wrote
}

// setting is what a terminal and its user's environment are.
type setting struct {
	columns, rows int
	env           []string
	state         string // the directory of the user's state
}

// typeAt starts the program on a terminal, over the fixtures' host.
func typeAt(t *testing.T, s setting, args ...string) *typing {
	t.Helper()
	if s.columns == 0 {
		s.columns, s.rows = 100, 24
	}
	if s.state == "" {
		s.state = t.TempDir()
	}
	const fixtures = "../../tables/testdata/"
	args = append(args, "--proc", fixtures+"proc", "--services", fixtures+"etc/services", "--protocols", fixtures+"etc/protocols")
	tt := &typing{t: t, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	tt.cmd.Env = append([]string{"TERM=xterm-256color", "INPUTRC=/dev/null", "HOME=" + s.state, "XDG_STATE_HOME=" + s.state, "PATH=" + os.Getenv("PATH"), "PAGER=cat", "LC_ALL=C.UTF-8"}, s.env...)
	keys, err := pty.StartWithSize(tt.cmd, &pty.Winsize{Cols: uint16(s.columns), Rows: uint16(s.rows)})
	if err != nil {
		t.Fatal(err)
	}
	tt.keys = keys
	tt.screen = vt10x.New(vt10x.WithSize(s.columns, s.rows), vt10x.WithWriter(keys))
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := keys.Read(b)
			tt.mu.Lock()
			tt.bytes.Write(b[:n])
			tt.screen.Write(b[:n])
			tt.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		tt.cmd.Wait()
		<-read
		close(tt.ended)
	}()
	t.Cleanup(func() {
		tt.cmd.Process.Kill()
		<-tt.ended
		keys.Close()
	})
	return tt
}

// shown returns the lines of the screen, without blanks at their ends and without the
// empty lines below.
func (tt *typing) shown() string {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	var lines []string
	for line := range strings.SplitSeq(tt.screen.String(), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// written returns what the program wrote, with its escape sequences.
func (tt *typing) written() string {
	tt.mu.Lock()
	defer tt.mu.Unlock()
	return tt.bytes.String()
}

// keyTimeout bounds the wait for what the screen must show, or the program's end.
const keyTimeout = 20 * time.Second

// until waits until the screen is as it should be.
func (tt *typing) until(what string, is func(screen string) bool) {
	tt.t.Helper()
	for deadline := time.Now().Add(keyTimeout); !is(tt.shown()); time.Sleep(10 * time.Millisecond) {
		select {
		case <-tt.ended:
			if !is(tt.shown()) {
				tt.t.Fatalf("the program ended without %s:\n%s", what, tt.shown())
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			tt.t.Fatalf("there is no %s on the screen:\n%s", what, tt.shown())
		}
	}
}

func (tt *typing) sees(text string) {
	tt.t.Helper()
	tt.until(text, func(screen string) bool { return strings.Contains(screen, text) })
}

// prompts waits for a prompt with nothing behind it in the last line.
func (tt *typing) prompts() {
	tt.t.Helper()
	tt.until("prompt", func(screen string) bool { return strings.HasSuffix(screen, "sockets>") })
}

func (tt *typing) types(keys string) {
	tt.t.Helper()
	if _, err := io.WriteString(tt.keys, keys); err != nil {
		tt.t.Fatal(err)
	}
}

// ends waits for the end of the program and returns its exit code.
func (tt *typing) ends() int {
	tt.t.Helper()
	select {
	case <-tt.ended:
	case <-time.After(keyTimeout):
		tt.t.Fatalf("it does not end:\n%s", tt.shown())
	}
	return tt.cmd.ProcessState.ExitCode()
}

const (
	enter = "\r"
	ctrlC = "\x03"
	ctrlD = "\x04"
	tab   = "\t"
	up    = "\x1b[A"
	left  = "\x1b[D"
)

// The program alone on a terminal is the shell.
func TestShellScreen(t *testing.T) {
	tt := typeAt(t, setting{})
	tt.prompts()
	tt.types("SELECT name, port" + enter)
	tt.sees("...>")
	tt.types("FROM well_known_services WHERE port = 53 AND protocol = 'udp';" + enter)
	tt.prompts()
	tt.types(".mode box" + enter + "VALUES (1); VALUES (NULL);" + enter)
	tt.sees("│         │")
	tt.prompts()
	want := `Statements end with a semicolon. .help lists the commands, .exit or Ctrl-D ends the shell.
sockets> SELECT name, port
    ...> FROM well_known_services WHERE port = 53 AND protocol = 'udp';
+--------+------+
| name   | port |
+--------+------+
| domain | 53   |
+--------+------+
sockets> .mode box
sockets> VALUES (1); VALUES (NULL);
┌─────────┐
│ column1 │
├─────────┤
│ 1       │
└─────────┘
┌─────────┐
│ column1 │
├─────────┤
│         │
└─────────┘
sockets>`
	if diff := cmp.Diff(want, tt.shown()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	tt.types(ctrlD)
	if code := tt.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The history of one shell is there in the next one, in a file that only its owner reads.
func TestShellHistory(t *testing.T) {
	state := t.TempDir()
	tt := typeAt(t, setting{state: state}, "shell")
	tt.prompts()
	tt.types("VALUES ('first'" + enter + ", 'a\\b');" + enter)
	tt.sees("| first")
	tt.prompts()
	tt.types(".quit" + enter)
	tt.ends()
	path := filepath.Join(state, "osquery-sockets", "history")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("the history has mode %v", info.Mode())
	}
	b, err := os.ReadFile(path)
	if want := "VALUES ('first'\\n, 'a\\\\b');\n.quit\n"; err != nil || string(b) != want {
		t.Errorf("the history is %q, want %q", b, want)
	}
	tt = typeAt(t, setting{state: state}, "shell")
	tt.prompts()
	tt.types(up)
	tt.sees("sockets> .quit")
	tt.types(up)
	tt.sees(`    ...> , 'a\b');`)
	tt.types(enter)
	tt.sees(`| a\b`)
	tt.types(ctrlD)
	tt.ends()
}

func TestShellCompletes(t *testing.T) {
	tt := typeAt(t, setting{}, "shell")
	tt.prompts()
	tt.types("SELECT * FROM well" + tab)
	tt.sees("FROM well_known_services")
	tt.types(" WHERE prot" + tab)
	tt.sees("WHERE protocol")
	tt.types(ctrlC)
	tt.prompts()
	tt.types(".mo" + tab)
	tt.sees("sockets> .mode")
	tt.types(ctrlC)
	tt.prompts()
	tt.types("SELECT state FROM tcp_sockets WHERE state = 'LIS" + tab)
	tt.sees("= 'LISTEN'")
	tt.types(ctrlC)
	tt.prompts()
	tt.types("SELECT t.remote_a FROM tcp_sockets t" + strings.Repeat(left, len(" FROM tcp_sockets t")) + tab)
	tt.sees("SELECT t.remote_address FROM tcp_sockets t")
	tt.types(ctrlC)
	tt.prompts()
	tt.types("SELECT regex_" + tab)
	tt.sees("regex_match(")
	tt.sees("regex_split(")
	tt.types(ctrlC)
	tt.prompts()
	tt.types(ctrlD)
	tt.ends()
}

const endlessCount = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c;"

// Ctrl-C gives up what is typed or run, and the shell goes on; after half a second it has
// said how long the statement takes.
func TestShellGivesUpTheStatement(t *testing.T) {
	for _, term := range []string{"xterm", "dumb"} {
		t.Run(term, func(t *testing.T) {
			tt := typeAt(t, setting{env: []string{"TERM=" + term}}, "shell")
			tt.prompts()
			tt.types("SELECT 1" + enter)
			tt.sees("...>")
			tt.types(ctrlC)
			tt.prompts()
			tt.types(endlessCount + enter)
			tt.sees("0 rows, 0.")
			tt.types(ctrlC)
			tt.sees("error: the statement was given up: interrupted")
			tt.prompts()
			tt.types("VALUES ('still' || ' here');" + enter)
			tt.sees("| still here |")
			tt.types(ctrlD)
			if code := tt.ends(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// colour matches an escape sequence that sets a colour other than the terminal's own.
var colour = regexp.MustCompile(`\x1b\[([0-9;]*;)?(3[0-8]|4[0-8]|9[0-7]|10[0-7])(;[0-9;]*)?m`)

// Colours are there unless the user wants none, and a dumb terminal gets no escape
// sequence at all.
func TestShellColours(t *testing.T) {
	for _, c := range []struct {
		env              string
		colours, escapes bool
	}{
		{"TERM=xterm", true, true},
		{"NO_COLOR=1", false, true},
		{"TERM=dumb", false, false},
	} {
		t.Run(c.env, func(t *testing.T) {
			tt := typeAt(t, setting{env: []string{c.env}}, "shell")
			tt.prompts()
			tt.types("SELECT 'a" + tab + "b', 1 AS n;" + enter)
			tt.sees("| n |")
			tt.types("nonsense;" + enter)
			tt.sees("error: near")
			tt.types(".tab" + tab)
			tt.sees("sockets> .tab")
			tt.types(ctrlC)
			tt.prompts()
			tt.types(ctrlD)
			tt.ends()
			written := tt.written()
			if got := strings.Contains(written, "\x1b[1;34mSELECT"); got != c.colours {
				t.Errorf("colours: %v in %q", got, written)
			}
			if got := strings.Contains(written, "\x1b["); got != c.escapes {
				t.Errorf("escape sequences: %v in %q", got, written)
			}
			if found := colour.FindString(written); found != "" && !c.colours {
				t.Errorf("the colour %q", found)
			}
		})
	}
}

// On 40 columns rows that are wider are printed a value a line, and the statement folds.
func TestShellOnNarrowTerminal(t *testing.T) {
	tt := typeAt(t, setting{columns: 40, rows: 24}, "shell")
	tt.prompts()
	tt.types("SELECT name, port, protocol, aliases FROM well_known_services WHERE port = 53;" + enter)
	tt.sees("aliases =")
	tt.prompts()
	want := `    name = domain
    port = 53
protocol = tcp
 aliases =
`
	if screen := tt.shown(); !strings.Contains(screen, want) || strings.Contains(screen, "+--") {
		t.Errorf("got\n%s\nwant\n%s", screen, want)
	}
	tt.types("VALUES (1);" + enter)
	tt.sees("| column1 |")
}

// What does not fit on the screen goes to the pager, and what fits does not.
func TestShellPages(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "paged")
	tt := typeAt(t, setting{env: []string{"PAGER=sed -n '1s/^/paged: /p;$p'; echo $LESS >>" + mark}}, "shell")
	tt.prompts()
	tt.types(".mode list" + enter + "VALUES (1);" + enter)
	tt.prompts()
	if _, err := os.Stat(mark); err == nil {
		t.Error("a short result goes to the pager")
	}
	tt.types("SELECT value FROM generate_series(1, 50);" + enter)
	tt.sees("paged: value\n50\nsockets>")
	if b, err := os.ReadFile(mark); string(b) != "FRX\n" {
		t.Errorf("$LESS is %q, %v", b, err)
	}
	tt.types(ctrlD)
	tt.ends()
}

// A signal that ends the shell leaves the terminal as it was.
func TestShellEndsBySignal(t *testing.T) {
	tt := typeAt(t, setting{}, "shell")
	const cooked = unix.ICANON | unix.ECHO | unix.ISIG
	modes := func() uint32 {
		termios, err := unix.IoctlGetTermios(int(tt.keys.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return termios.Lflag & cooked
	}
	tt.prompts()
	if got := modes(); got == cooked {
		t.Errorf("while it edits a line, the terminal has the modes %#x", got)
	}
	tt.cmd.Process.Signal(syscall.SIGTERM)
	tt.ends()
	if got := modes(); got != cooked {
		t.Errorf("it leaves the terminal with the modes %#x, want %#x", got, cooked)
	}
	if s := tt.cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGTERM {
		t.Errorf("it ended by %v", tt.cmd.ProcessState)
	}
}

// At the end of the screen the input has the room that it needs, and what was typed
// ahead runs.
func TestShellAtTheEndOfTheScreen(t *testing.T) {
	tt := typeAt(t, setting{columns: 60, rows: 10}, "shell")
	tt.prompts()
	tt.types(".mode csv" + enter + ".headers" + enter + ".tabels" + enter + "VALUES (1), (2), (3), (4);" + enter)
	tt.sees("4\nsockets>")
	tt.types("SELECT 1," + enter + "2," + enter + "3")
	tt.sees("...> 3")
	tt.types(" + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 AS three;")
	tt.sees("three;")
	want := `1
2
3
4
sockets> SELECT 1,
│        2,
    ...> 3 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 + 0 +
 0 AS three;`
	if diff := cmp.Diff(want, strings.TrimPrefix(tt.shown(), "column1\n")); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	tt.types(enter)
	tt.sees("1,2,3\nsockets>")
}

// A statement that is watched is drawn anew until Ctrl-C, with marks, and its last answer
// stays.
func TestWatchScreen(t *testing.T) {
	const sql = "SELECT 'row ' || value AS name, strftime('%f', 'now') AS now FROM generate_series(1, 2)"
	for name, args := range map[string][]string{"shell": {"shell"}, "query": {"query", "--watch", "100ms", sql}} {
		t.Run(name, func(t *testing.T) {
			tt := typeAt(t, setting{columns: 60, rows: 12}, args...)
			if name == "shell" {
				tt.prompts()
				tt.types(".watch 100ms " + sql + enter)
			}
			tt.sees(": 2 rows, 2 changed")
			tt.sees("| ~ | row 2 |")
			if written := tt.written(); !strings.Contains(written, "\x1b[?1049h") || !strings.Contains(written, "\x1b[33m| ~ |") {
				t.Errorf("it writes %q", written)
			}
			tt.types(ctrlC)
			if name == "shell" {
				tt.prompts()
				tt.types(ctrlD)
			}
			tt.ends()
			if screen := tt.shown(); !strings.Contains(screen, "| ~ | row 2 |") {
				t.Errorf("at the end the screen has\n%s", screen)
			}
			s := tt.cmd.ProcessState.Sys().(syscall.WaitStatus)
			if ended := s.Signaled() && s.Signal() == syscall.SIGINT; ended != (name == "query") {
				t.Errorf("it ended by %v", tt.cmd.ProcessState)
			}
		})
	}
}

// To a shell, a query that Ctrl-C ends has the exit code 130.
func TestExitCodeOfCtrlC(t *testing.T) {
	keys, err := pty.Start(exec.Command("sh", "-c", `trap : INT; "$0" query "$1"; echo "exit code $?"`, program, endlessCount))
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	var out []byte
	b := make([]byte, 1024)
	for !bytes.Contains(out, []byte("rows, ")) { // the query runs
		n, err := keys.Read(b)
		if err != nil {
			t.Fatalf("%q, %v", out, err)
		}
		out = append(out, b[:n]...)
	}
	io.WriteString(keys, ctrlC)
	rest, _ := io.ReadAll(keys) // ends in EIO
	if !strings.Contains(string(rest), "exit code 130") {
		t.Errorf("it prints %q", rest)
	}
}

// What is not a terminal gets nothing but the rows.
func TestNoProgressInPipe(t *testing.T) {
	const slow = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3000000) SELECT count(*) AS n FROM c"
	cmd := exec.Command(program, "query", "--csv", slow)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "n\n3000000\n" {
		t.Errorf("it prints %q, %v", out, err)
	}
}

// A resized terminal folds the next rows by its new width.
func TestShellResized(t *testing.T) {
	tt := typeAt(t, setting{}, "shell")
	tt.prompts()
	tt.types("SELECT 'a long text, which is longer' AS a, 2 AS b;" + enter)
	tt.sees("| a long text")
	tt.prompts()
	if err := pty.Setsize(tt.keys, &pty.Winsize{Cols: 30, Rows: 10}); err != nil {
		t.Fatal(err)
	}
	tt.mu.Lock()
	tt.screen.Resize(30, 10)
	tt.mu.Unlock()
	tt.types("SELECT 'a long text, which is longer' AS a, 2 AS b;" + enter)
	tt.sees("    a = a long text, which is")
}

// A watched statement reads the kernel anew each time.
func TestWatchSeesSockets(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), keyTimeout)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	cmd := exec.CommandContext(ctx, program, "query", "--watch", "20ms", "--diff", fmt.Sprintf("SELECT local_port AS port FROM tcp_sockets WHERE state = 'LISTEN' AND local_port = %d", port))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	lines := bufio.NewScanner(stdout)
	for _, action := range []string{"added", "removed"} {
		if !lines.Scan() {
			t.Fatalf("no line for what was %s: %v", action, lines.Err())
		}
		var got struct {
			Action  string
			Columns map[string]string
		}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil || got.Action != action || got.Columns["port"] != fmt.Sprint(port) {
			t.Errorf("it prints %s, %v, want what was %s", lines.Bytes(), err, action)
		}
		l.Close()
	}
}
