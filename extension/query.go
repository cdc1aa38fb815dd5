package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/progress"
	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/shell"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/integration/watch"
	"github.com/osquery-sockets/osquery-sockets/tables/osquerycore"
)

// maxSQL bounds the statements that are read from standard input, in bytes.
const maxSQL = 16 << 20

// readSQL reads all of standard input, unless the context ends before.
func readSQL(ctx context.Context, r io.Reader) (string, error) {
	type input struct {
		text []byte
		err  error
	}
	read := make(chan input, 1)
	go func() {
		text, err := io.ReadAll(io.LimitReader(r, maxSQL+1))
		read <- input{text, err}
	}()
	select {
	case in := <-read:
		if in.err == nil && len(in.text) > maxSQL {
			in.err = fmt.Errorf("more than %d bytes of SQL", maxSQL)
		}
		return string(in.text), in.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// sqlOf returns the SQL of the argument, the file or standard input.
func sqlOf(c *cobra.Command, args []string, file string) (string, error) {
	if len(args) == 1 && args[0] != "-" {
		return args[0], nil
	}
	if file == "" || file == "-" {
		sql, err := readSQL(c.Context(), c.InOrStdin())
		if err != nil {
			err = fmt.Errorf("standard input: %w", err)
		}
		return sql, err
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sql, err := readSQL(c.Context(), f)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return sql, err
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	if counted, ok := stream.(*output); ok {
		stream = counted.Writer
	}
	return shell.IsTerminal(stream)
}

// The values of --json, which is a switch with a third one.
const (
	jsonOn        = "true"
	jsonOff       = "false"
	jsonOfOsquery = "osquery"
)

// jsonForm checks the value of --json.
func jsonForm(s string) error {
	if s != jsonOn && s != jsonOff && s != jsonOfOsquery {
		return fmt.Errorf("it is none of %s, %s, %s", jsonOn, jsonOff, jsonOfOsquery)
	}
	return nil
}

// watching returns what compares the answers of a watched statement; nil if each is
// printed as it is.
func watching(c *cobra.Command, mode string, asDiff bool) *watch.Watch {
	out := c.OutOrStdout().(*output).Writer
	switch {
	case asDiff:
		return &watch.Watch{Out: c.OutOrStdout()}
	case !isTerminal(out) || mode != "pretty" && mode != "box":
		return nil
	}
	return &watch.Watch{Out: c.OutOrStdout(), Screen: func() watch.Screen { return shell.Screen(out.(*os.File), mode, os.Getenv) }}
}

// newQuery is the command that answers SQL without osquery.
func newQuery(o *options) *cobra.Command {
	modes := map[string]*bool{}
	asJSON, file := jsonOff, ""
	var format rowfmt.Options
	var timeout time.Duration
	plan := "auto"
	var failIncomplete, asDiff bool
	var every time.Duration
	c := &cobra.Command{
		Use:               "query [SQL]",
		Short:             "Answer SQL over the tables, without osquery",
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Answers SQL over the tables, without osquery. The dialect is SQLite's, as in
osqueryi; the SQL is one argument, or comes from standard input or a file (-f).

The exit code is 0 when the query succeeded, with or without rows, 1 when it
failed and 2 for bad usage. Other users' processes and network namespaces are
missing in an answer if this program may not read them, such as without root. A
warning says so; with --fail-incomplete the exit code is 3 then, after the rows.

With --watch the statement runs again and again until Ctrl-C. On a terminal each
answer takes the place of the one before, and its rows are marked: + came, - went,
~ changed.`,
		Example: `  sockets.ext query "SELECT local_address, local_port, local_service FROM tcp_sockets WHERE state = 'LISTEN'"
  sockets.ext query --json "SELECT state, count(*) FROM tcp_sockets GROUP BY state"
  echo "SELECT port FROM well_known_services WHERE name = 'https'" | sockets.ext query --list --header=false -`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return fmt.Errorf("%d arguments: put the SQL in quotes, so that it is one", len(args))
			case len(args) == 1 && file != "":
				return errors.New("there is SQL in an argument and in a file: give one of them")
			case len(args) == 0 && file == "" && isTerminal(c.InOrStdin()):
				return errors.New("the SQL is missing: give it as one argument, by -f FILE, or on standard input")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			sql, err := sqlOf(c, args, file)
			if err != nil {
				return failed(err)
			}
			if strings.TrimSpace(sql) == "" {
				return errors.New("the SQL is empty")
			}
			mode := rowfmt.Modes()[0]
			for name, chosen := range modes {
				if *chosen {
					mode = name
				}
			}
			if asJSON != jsonOff {
				mode, format.Strings = "json", asJSON == jsonOfOsquery
			}
			if format.CRLF && mode != "csv" {
				return errors.New("--crlf is for --csv")
			}
			format.Separator = strings.NewReplacer(`\t`, "\t", `\n`, "\n", `\0`, "\x00", `\\`, `\`).Replace(format.Separator)
			if f := c.Flag("separator"); f.Changed && (format.Separator == "" || mode != "csv" && mode != "list") {
				return errors.New("--separator is for --csv and --list, and must not be empty")
			}
			format.Warn = func(warning string) {
				fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", c.CommandPath(), warning)
			}
			if asDiff && every == 0 {
				return errors.New("--diff compares a run with the one before: say how often to run by --watch, such as --watch 2s")
			}
			// Bad options are to be found before the query runs.
			if _, err := rowfmt.New(mode, io.Discard, format); err != nil {
				return err
			}
			h := o.host(o.report(c.ErrOrStderr()))
			all, _ := o.tables(h)
			all = append(all, osquerycore.All(h, osquerycore.Options{Version: version, Start: started})...)
			db, err := sqlite.Open(all, o.limit(0))
			if err != nil {
				return failed(err)
			}
			defer db.Close()
			db.SQLiteOnly = plan == "sqlite"
			var line *progress.Line
			db.Warn = func(warning string) {
				line.Erase()
				fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", warning)
			}
			run := func(ctx context.Context, newResult func() (sqlite.Result, error)) error {
				if timeout > 0 {
					var end context.CancelFunc
					ctx, end = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %v", timeout))
					defer end()
				}
				return db.Run(ctx, sql, newResult)
			}
			answer := func() error {
				if isTerminal(c.ErrOrStderr()) {
					line = progress.Start(c.ErrOrStderr())
					defer line.Stop()
				}
				return run(c.Context(), func() (sqlite.Result, error) {
					w, err := rowfmt.New(mode, line.Writer(c.OutOrStdout()), format)
					if err != nil {
						return nil, err
					}
					return line.Count(w), nil
				})
			}
			switch w := watching(c, mode, asDiff); {
			case every == 0:
				err = answer()
			case w == nil:
				err = watch.Loop(c.Context(), every, answer)
			default:
				w.Every = every
				w.Run = func(ctx context.Context, rows *watch.Rows) error {
					return run(ctx, func() (sqlite.Result, error) { return rows, nil })
				}
				err = w.Loop(c.Context())
			}
			if every > 0 && errors.As(context.Cause(c.Context()), new(signalled)) {
				return silent{failed(err)} // it was to go on until then
			}
			if lacks := h.Lacks(); err == nil && failIncomplete && len(lacks) > 0 {
				return incomplete(lacks)
			}
			return failed(err)
		},
	}
	usage := map[string]string{
		"pretty":   "print a box, as osqueryi does (the default)",
		"box":      "print a box with lines of Unicode",
		"jsonl":    "print one object a line",
		"csv":      "print comma-separated values (RFC 4180), with plain newlines",
		"tsv":      "print values with tabs between them; a tab in a value is \\t",
		"markdown": "print a table of Markdown",
		"line":     "print each value on a line of its own, as name = value",
		"list":     "print values with a separator (|) between them, unquoted",
	}
	for _, mode := range rowfmt.Modes() {
		if mode == "json" {
			c.Flags().Var(checked{&asJSON, jsonForm}, mode, "print an array of objects; --json=osquery has every value as a string, as osqueryi does")
			c.Flag(mode).NoOptDefVal = jsonOn
			continue
		}
		modes[mode] = c.Flags().Bool(mode, false, usage[mode])
	}
	c.Flags().StringVarP(&file, "file", "f", "", "read the SQL from this file, - for standard input")
	c.Flags().BoolVar(&format.CRLF, "crlf", false, "end the lines of --csv with CRLF")
	c.MarkFlagsMutuallyExclusive(rowfmt.Modes()...)
	c.Flags().BoolVar(&format.Header, "header", true, "print the names of the columns, in pretty, box, csv, tsv and list")
	c.Flags().StringVar(&format.Separator, "separator", "", "separator of csv and list; \\t is a tab")
	c.Flags().BoolVar(&failIncomplete, "fail-incomplete", false, "end with exit code 3 when something could not be read, such as other users' processes")
	c.Flags().Var(duration{&timeout}, "timeout", "end the statements after this time, such as 2s (default no limit)")
	c.Flags().Var(duration{&every}, "watch", "run the statement again after this time, such as 2s, until Ctrl-C")
	c.Flags().BoolVar(&asDiff, "diff", false, "with --watch: print the rows that came and went, as osquery's result log does: an object a line")
	c.Flags().Var(checked{&plan, planName}, "plan", "what runs plain statements: auto for this program, which is faster, or sqlite; the answers are the same")
	c.Flags().SortFlags = false
	return c
}
