package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/schemadoc"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// command is a command of the shell.
type command struct {
	name  string
	takes string // its arguments, as the help shows them
	does  string
	sql   bool // the argument is SQL
	run   func(s *shell, ctx context.Context, argument string) error
}

// commands are all commands of the shell: this table is the help, and what completion
// knows.
func commands() []command {
	return []command{
		{".all", "TABLE", "print all rows of a table", false, (*shell).all},
		{".exit", "", "end the shell, as Ctrl-D does", false, (*shell).end},
		{".explain", "SQL", "say how SQL would read the tables, and what narrows them", true, (*shell).explain},
		{".headers", "on|off", "print the names of the columns, or not", false, (*shell).setHeaders},
		{".help", "", "print this table", false, (*shell).help},
		{".mode", strings.Join(rowfmt.Modes(), "|"), "choose how rows are printed", false, (*shell).setMode},
		{".open", "FILE", "run the SQL and the commands of a file; sqlite3 calls this .read", false, (*shell).openFile},
		{".quit", "", "end the shell", false, (*shell).end},
		{".read", "FILE", "the same as .open", false, (*shell).openFile},
		{".save", "FILE", "write the SQL that ran so far to a new file, for .open", false, (*shell).save},
		{".schema", "[TABLE]", "describe a table, or all of them", false, (*shell).schema},
		{".tables", "[LIKE]", "list the tables, or those whose names are LIKE this", false, (*shell).tables},
		{".timer", "on|off", "print how long each statement takes, or not", false, (*shell).setTimer},
		{".watch", "TIME SQL", "run SQL again after each TIME, such as 2s, until Ctrl-C", true, (*shell).watchCommand},
	}
}

// find returns the command of a name.
func find(name string) (command, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// Help is the table of the commands.
func Help() string {
	width := 0
	all := commands()
	usage := make([]string, len(all))
	for i, c := range all {
		usage[i] = strings.TrimSpace(c.name + " " + c.takes)
		if c.name == ".mode" {
			usage[i] = ".mode MODE"
		}
		width = max(width, len(usage[i]))
	}
	var b strings.Builder
	for i, c := range all {
		does := c.does
		if c.name == ".mode" {
			does += ": " + strings.Join(rowfmt.Modes(), ", ")
		}
		fmt.Fprintf(&b, "%-*s  %s\n", width, usage[i], does)
	}
	return b.String()
}

// command runs a line that begins with a dot.
func (s *shell) command(ctx context.Context, input string) error {
	name, argument, _ := strings.Cut(input, " ")
	if argument == "" {
		name = strings.TrimSuffix(name, ";")
	}
	c, ok := find(name)
	if !ok {
		var names []string
		for _, c := range commands() {
			names = append(names, c.name)
		}
		if nearest := schema.Nearest(name, names); nearest != "" {
			return fmt.Errorf("there is no command %s; did you mean %s?", name, nearest)
		}
		return fmt.Errorf("there is no command %s: .help lists them", name)
	}
	argument = strings.TrimSpace(argument)
	if !c.sql {
		argument = strings.TrimSpace(strings.TrimSuffix(argument, ";"))
	}
	switch {
	case c.takes == "" && argument != "":
		return fmt.Errorf("%s takes no argument", c.name)
	case c.takes != "" && !strings.HasPrefix(c.takes, "[") && argument == "":
		return fmt.Errorf("usage: %s %s", c.name, c.takes)
	}
	return c.run(s, ctx, argument)
}

func (s *shell) end(context.Context, string) error {
	s.exit = true
	return nil
}

func (s *shell) help(ctx context.Context, _ string) error {
	return s.show(ctx, func(w io.Writer) error {
		_, err := io.WriteString(w, Help())
		return err
	})
}

// onOff sets a switch.
func onOff(to *bool, argument string) error {
	switch argument {
	case "on":
		*to = true
	case "off":
		*to = false
	default:
		return fmt.Errorf("%q is neither on nor off", argument)
	}
	return nil
}

func (s *shell) setHeaders(_ context.Context, argument string) error {
	return onOff(&s.headers, argument)
}

func (s *shell) setTimer(_ context.Context, argument string) error { return onOff(&s.timer, argument) }

func (s *shell) setMode(_ context.Context, mode string) error {
	if _, err := rowfmt.New(mode, io.Discard, s.options()); err != nil {
		return err
	}
	s.mode = mode
	return nil
}

// table returns the table of a name.
func (s *shell) table(name string) (schema.Table, error) {
	var names []string
	for _, t := range s.Tables {
		if t.Name() == strings.ToLower(name) {
			return t, nil
		}
		names = append(names, t.Name())
	}
	if nearest := schema.Nearest(name, names); nearest != "" {
		return nil, fmt.Errorf("no such table: %s; did you mean %s?", name, nearest)
	}
	return nil, fmt.Errorf("no such table: %s; .tables lists them", name)
}

func (s *shell) all(ctx context.Context, name string) error {
	t, err := s.table(name)
	if err != nil {
		return err
	}
	return s.query(ctx, "SELECT * FROM "+t.Name())
}

// tables lists names. A pattern without % is a part of the name.
func (s *shell) tables(ctx context.Context, pattern string) error {
	if pattern = strings.Trim(pattern, "'\""); !strings.Contains(pattern, "%") {
		pattern = "%" + pattern + "%"
	}
	var names []string
	for _, t := range s.Tables {
		if schema.Like(pattern, t.Name()) {
			names = append(names, t.Name())
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("no table is LIKE '%s'", pattern)
	}
	return s.show(ctx, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(names, "\n")+"\n")
		return err
	})
}

func (s *shell) schema(ctx context.Context, name string) error {
	var specs []*schema.Spec
	if name != "" {
		t, err := s.table(name)
		if err != nil {
			return err
		}
		specs = append(specs, t.Spec())
	} else {
		for _, t := range s.Tables {
			specs = append(specs, t.Spec())
		}
	}
	return s.show(ctx, func(w io.Writer) error { return schemadoc.Text(w, specs) })
}

// maxFile bounds a file that .open reads, in bytes, and maxDepth the files that open
// each other.
const (
	maxFile  = 16 << 20
	maxDepth = 10
)

func (s *shell) openFile(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is no regular file", path))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return err
	}
	if len(b) > maxFile {
		return fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	if strings.HasPrefix(string(b), "SQLite format 3\x00") {
		return fmt.Errorf("%s is a database of SQLite: .open reads a file of SQL, and there is no other database than the host", path)
	}
	if s.depth == maxDepth {
		return fmt.Errorf("%s: %d files open each other", path, maxDepth)
	}
	s.depth++
	defer func() { s.depth-- }()
	s.text(ctx, string(b))
	return nil
}

func (s *shell) save(_ context.Context, path string) error {
	if len(s.done) == 0 {
		return errors.New("there is nothing to save: no statement ran yet")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already: choose another name, or remove it", path)
	}
	if err != nil {
		return err
	}
	for _, sql := range s.done {
		sql = strings.TrimSpace(sql)
		if !strings.HasSuffix(sql, ";") {
			sql += "\n;"
		}
		if _, err = io.WriteString(f, sql+"\n"); err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}

// The shortest and the longest time between two runs of .watch.
const (
	shortest = 100 * time.Millisecond
	longest  = 24 * time.Hour
)

func (s *shell) watchCommand(ctx context.Context, argument string) error {
	interval, sql, _ := strings.Cut(argument, " ")
	every, err := time.ParseDuration(interval)
	if err != nil || every < shortest || every > longest {
		return fmt.Errorf("%q is no time from %v to 24h, such as 2s: usage: .watch TIME SQL", interval, shortest)
	}
	if strings.TrimSpace(sql) == "" {
		return errors.New("usage: .watch TIME SQL")
	}
	return s.watch(ctx, every, sql)
}

// explain says how SQL reads the tables.
func (s *shell) explain(ctx context.Context, sql string) error {
	steps, err := s.db.Steps(ctx, sql)
	if err != nil {
		return errors.Join(err, s.mend())
	}
	return s.show(ctx, func(w io.Writer) error {
		_, err := io.WriteString(w, explanation(steps))
		return err
	})
}
