package shell

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/osquery-sockets/osquery-sockets/integration/progress"
	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/integration/watch"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Config is what a shell works with.
type Config struct {
	// Tables are the tables, in the order in which they are listed.
	Tables []schema.Table
	// Open opens a database of the tables: once, and again after a statement that broke
	// it.
	Open func() (*sqlite.DB, error)
	In   io.Reader
	Out  io.Writer
	Err  io.Writer
	// Getenv is os.Getenv, for TERM, NO_COLOR, PAGER, LESS, HOME and XDG_STATE_HOME.
	Getenv func(string) string
}

// ErrFailed is the error of a shell without a terminal in which an input failed. What
// went wrong has been printed.
var ErrFailed = errors.New("a statement or a command failed")

// shell is a running shell.
type shell struct {
	Config
	db       *sqlite.DB
	terminal *os.File // the output, if it is a terminal; else nil
	typed    bool     // somebody types the input
	colours  bool

	line    *progress.Line // of the statement that runs, nil if there is none
	mode    string
	headers bool
	timer   bool
	done    []string // the statements that ran, for .save
	depth   int      // of the files that are being read
	failed  bool
	exit    bool
}

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// Run reads and runs inputs until their end, .exit, or the end of the context. While
// somebody types, Ctrl-C gives up what is being typed or run; the caller must not
// have the signal notified elsewhere.
func Run(ctx context.Context, c Config) error {
	s := &shell{Config: c, mode: rowfmt.Modes()[0], headers: true}
	if IsTerminal(c.Out) {
		s.terminal = c.Out.(*os.File)
	}
	s.typed = IsTerminal(c.In)
	simple := c.Getenv("TERM") == "dumb" || c.Getenv("TERM") == ""
	s.colours = s.terminal != nil && !simple && c.Getenv("NO_COLOR") == ""
	if err := s.open(); err != nil {
		return err
	}
	defer func() { s.db.Close() }()
	return s.loop(ctx, s.reader(simple))
}

// reader returns the reader of the inputs.
func (s *shell) reader(simple bool) reader {
	if !s.typed || s.terminal == nil || simple {
		l := &lines{in: bufio.NewReader(s.In)}
		if s.typed {
			interrupted := make(chan os.Signal, 1)
			signal.Notify(interrupted, os.Interrupt)
			l.interrupted, l.prompts = interrupted, s.Err
			if s.terminal != nil {
				l.prompts = s.Out
			}
		}
		return l
	}
	h, err := openHistory(HistoryPath(s.Getenv))
	if err != nil {
		s.warn("the history: " + err.Error())
	}
	// The terminal makes no signals while a line is edited; a Ctrl-C in between
	// changes nothing.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	v := &Vocabulary{Tables: s.Tables, Functions: s.db.Functions()}
	var colours *highlighter
	if s.colours {
		colours = &highlighter{keywords: keywords()}
		for _, t := range s.Tables {
			colours.tables = append(colours.tables, t.Name())
		}
		slices.Sort(colours.tables)
	}
	fmt.Fprintln(s.Out, "Statements end with a semicolon. .help lists the commands, .exit or Ctrl-D ends the shell.")
	return newEditor(s.In.(*os.File), h, v, colours)
}

// HistoryPath is the file of the history: osquery-sockets/history in the directory of
// the user's state; "" if there is none.
func HistoryPath(getenv func(string) string) string {
	state := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "osquery-sockets", "history")
}

func (s *shell) open() (err error) {
	if s.db, err = s.Open(); err == nil {
		s.db.Warn = s.warn
	}
	return err
}

func (s *shell) warn(warning string) {
	s.line.Erase()
	fmt.Fprintf(s.Err, "warning: %s\n", warning)
}

// loop runs the inputs.
func (s *shell) loop(ctx context.Context, r reader) error {
	for !s.exit {
		in, err := r.read(ctx)
		switch {
		case errors.Is(err, errGivenUp):
			continue
		case err == io.EOF:
			s.exit = true
		case err != nil:
			return err
		default:
			s.text(ctx, in)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if s.failed && !s.typed {
		return ErrFailed
	}
	return nil
}

// text runs commands and SQL, of one line or more, and prints what goes wrong.
func (s *shell) text(ctx context.Context, text string) {
	var in inputs
	for line := range strings.SplitSeq(text, "\n") {
		if done := in.add(strings.TrimSuffix(line, "\r")); done != "" && !s.exit {
			s.input(ctx, done)
		}
	}
	if rest := in.rest(); strings.TrimSpace(rest) != "" && !s.exit {
		s.input(ctx, rest)
	}
}

// input runs one command, or SQL.
func (s *shell) input(ctx context.Context, input string) {
	if s.typed {
		var end context.CancelFunc
		ctx, end = interruptible(ctx)
		defer end()
	}
	var err error
	if isCommand(input) {
		err = s.command(ctx, strings.TrimSpace(input))
	} else if err = s.query(ctx, input); err == nil {
		s.done = append(s.done, input)
	}
	s.report(err)
}

// errInterrupted is why a statement ends that Ctrl-C gave up.
var errInterrupted = errors.New("interrupted")

// interruptible returns a context that Ctrl-C ends.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// report prints an error with what may help.
func (s *shell) report(err error) {
	if err == nil || errors.Is(err, errPagerQuit) {
		return
	}
	s.failed = true
	colour, end := "", ""
	if s.colours {
		colour, end = red, plain
	}
	var mistake *sqlite.Mistake
	if !errors.As(err, &mistake) {
		mistake = &sqlite.Mistake{Text: err.Error()}
	}
	fmt.Fprintf(s.Err, "%serror:%s %s\n", colour, end, text.Printable(mistake.Text))
	for _, hint := range mistake.Hints {
		fmt.Fprintln(s.Err, text.Printable(hint))
	}
}

// show has print write to the output, through the pager on a terminal.
func (s *shell) show(ctx context.Context, print func(io.Writer) error) error {
	if s.terminal == nil || !s.typed {
		return print(s.Out)
	}
	p := newPager(s.terminal, pagerCommand(s.Getenv), s.Getenv)
	err := print(p)
	end := p.end(ctx)
	return cmp.Or(err, end)
}

// query runs SQL and prints the rows.
func (s *shell) query(ctx context.Context, sql string) error {
	if IsTerminal(s.Err) && s.typed {
		s.line = progress.Start(s.Err)
		defer func() { s.line.Stop(); s.line = nil }()
	}
	line := s.line
	began := time.Now()
	var took time.Duration
	err := s.show(ctx, func(out io.Writer) error {
		defer line.Stop()
		err := s.db.Run(ctx, sql, func() (sqlite.Result, error) {
			w, err := rowfmt.New(s.mode, line.Writer(out), s.options())
			if err != nil {
				return nil, err
			}
			return line.Count(w), nil
		})
		took = time.Since(began)
		return err
	})
	if s.timer {
		fmt.Fprintf(s.Err, "%.3f s\n", took.Seconds())
	}
	return errors.Join(err, s.mend())
}

// mend opens a new database in the place of a broken one.
func (s *shell) mend() error {
	if s.db.Broken() == nil {
		return nil
	}
	return s.open()
}

// options are those of the rows' mode.
func (s *shell) options() rowfmt.Options {
	o := rowfmt.Options{Header: s.headers, Warn: s.warn}
	if s.terminal != nil {
		o.Width, _ = size(s.terminal)
	}
	return o
}

// watch runs SQL at intervals until Ctrl-C.
func (s *shell) watch(ctx context.Context, every time.Duration, sql string) error {
	w := watch.Watch{Every: every, Out: s.Out, Run: func(ctx context.Context, rows *watch.Rows) error {
		return s.db.Run(ctx, sql, func() (sqlite.Result, error) { return rows, nil })
	}, Screen: func() watch.Screen { return watch.Screen{Box: s.mode == "box"} }}
	if s.terminal != nil {
		w.Screen = func() watch.Screen { return Screen(s.terminal, s.mode, s.Getenv) }
	}
	err := w.Loop(ctx)
	if errors.Is(err, errInterrupted) {
		err = nil
	}
	return errors.Join(err, s.mend())
}

// Screen is what watched rows are drawn on: the terminal as it is now.
func Screen(terminal *os.File, mode string, getenv func(string) string) watch.Screen {
	s := watch.Screen{Box: mode == "box"}
	s.Width, s.Height = size(terminal)
	if t := getenv("TERM"); t != "dumb" && t != "" {
		s.Redraw, s.Colour = true, getenv("NO_COLOR") == ""
	}
	return s
}
