package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
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

// newQuery is the command that answers SQL without osquery.
func newQuery(o *options) *cobra.Command {
	modes := map[string]*bool{}
	var format rowfmt.Options
	var timeout time.Duration
	plan := "auto"
	var failIncomplete bool
	c := &cobra.Command{
		Use:   "query SQL",
		Short: "Answer SQL over the tables, without osquery",
		Long: `Answers SQL over the tables, without osquery. The dialect is SQLite's, as in
osqueryi; the SQL is one argument, or - to read it from standard input.

The exit code is 0 when the query succeeded, with or without rows, 1 when it
failed and 2 for bad usage. What this program may not read is missing in the
answer: other users' processes without root, or network namespaces. That is a
warning; with --fail-incomplete it is exit code 3, after the rows.`,
		Example: `  sockets.ext query "SELECT local_address, local_port, local_service FROM tcp_sockets WHERE state = 'LISTEN'"
  sockets.ext query --json "SELECT state, count(*) FROM tcp_sockets GROUP BY state"
  echo "SELECT port FROM well_known_services WHERE name = 'https'" | sockets.ext query --list --header=false -`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("the SQL is missing: give it as one argument, or - to read it from standard input")
			case len(args) > 1:
				return fmt.Errorf("%d arguments: put the SQL in quotes, so that it is one", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			sql := args[0]
			if sql == "-" {
				var err error
				if sql, err = readSQL(c.Context(), c.InOrStdin()); err != nil {
					return failed(fmt.Errorf("standard input: %w", err))
				}
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
			if f := c.Flag("separator"); f.Changed && (format.Separator == "" || mode != "csv" && mode != "list") {
				return errors.New("--separator is for --csv and --list, and must not be empty")
			}
			format.Warn = func(warning string) {
				fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", c.CommandPath(), warning)
			}
			// Bad options are to be found before the query runs.
			if _, err := rowfmt.New(mode, io.Discard, format); err != nil {
				return err
			}
			h := o.host(o.log(c.ErrOrStderr()))
			all, _ := o.tables(h)
			db, err := sqlite.Open(all, o.limit(0))
			if err != nil {
				return failed(err)
			}
			defer db.Close()
			db.SQLiteOnly = plan == "sqlite"
			db.Warn = func(warning string) { fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", warning) }
			ctx := c.Context()
			if timeout > 0 {
				var end context.CancelFunc
				ctx, end = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %v", timeout))
				defer end()
			}
			err = db.Run(ctx, sql, func() (sqlite.Result, error) {
				return rowfmt.New(mode, c.OutOrStdout(), format)
			})
			if lacks := h.Lacks(); err == nil && failIncomplete && len(lacks) > 0 {
				return incomplete(lacks)
			}
			return failed(err)
		},
	}
	usage := map[string]string{
		"pretty": "print a box, as osqueryi does (the default)",
		"json":   "print an array of objects whose values are strings, as osqueryi does",
		"csv":    "print comma-separated values (RFC 4180)",
		"line":   "print each value on a line of its own, as name = value",
		"list":   "print values with a separator (|) between them, unquoted",
	}
	for _, mode := range rowfmt.Modes() {
		modes[mode] = c.Flags().Bool(mode, false, usage[mode])
	}
	c.MarkFlagsMutuallyExclusive(rowfmt.Modes()...)
	c.Flags().BoolVar(&format.Header, "header", true, "print the names of the columns, in pretty, csv and list")
	c.Flags().StringVar(&format.Separator, "separator", "", "separator of csv and list")
	c.Flags().BoolVar(&failIncomplete, "fail-incomplete", false, "end with exit code 3 when something could not be read, such as other users' processes")
	c.Flags().Var(duration{&timeout}, "timeout", "give the statements up after this time, such as 2s (default no limit)")
	c.Flags().Var(checked{&plan, planName}, "plan", "auto reads the tables of plain statements without SQLite, sqlite has it run every statement: the answers are the same")
	c.Flags().SortFlags = false
	return c
}
