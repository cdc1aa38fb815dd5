package main

import (
	"errors"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/shell"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables/osquerycore"
)

// newShell is the command that answers SQL as it is typed.
func newShell(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "shell",
		Short: "Answer SQL as it is typed, with history and completion",
		Long: `Answers SQL as it is typed: with several lines a statement, history, completion by
Tab and colours. Without a command on a terminal, sockets.ext does this too. From
a pipe the same input runs without prompts, and the exit code is 1 if any of it
failed.

` + shell.Help(),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.shell(c) },
	}
}

// shell runs the shell on the command's streams.
func (o *options) shell(c *cobra.Command) error {
	if isTerminal(c.InOrStdin()) {
		signal.Reset(os.Interrupt) // Ctrl-C is the shell's
	}
	h := o.host(o.report(c.ErrOrStderr()))
	all, _ := o.tables(h)
	all = append(all, osquerycore.All(h, osquerycore.Options{Version: version, Start: started})...)
	out := c.OutOrStdout()
	if counted, ok := out.(*output); ok && isTerminal(counted.Writer) {
		out = counted.Writer
	}
	err := shell.Run(c.Context(), shell.Config{
		Tables: all,
		Open:   func() (*sqlite.DB, error) { return sqlite.Open(all, o.limit(0)) },
		In:     c.InOrStdin(), Out: out, Err: c.ErrOrStderr(), Getenv: os.Getenv,
	})
	if errors.Is(err, shell.ErrFailed) {
		return silent{failed(err)}
	}
	return failed(err)
}
