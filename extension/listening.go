package main

import (
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/listening"
	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
)

// newListening is the command that prints what listens.
func newListening(o *options) *cobra.Command {
	var l listening.Options
	var json, sql bool
	c := &cobra.Command{
		Use:               "listening",
		Short:             "Print what listens on this host, the most exposed first",
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Prints the endpoints that accept connections or packets, in every network
namespace of the host: one line each, the most exposed first, from the table
listening_services. Sockets of UDP clients are left out; those that may
be a client's or a server's are shown and say so.

Exposure is judged by addresses alone: a packet filter may stop what it names.`,
		Example: `  sudo sockets.ext listening
  sockets.ext listening --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if sql {
				_, err := fmt.Fprintln(c.OutOrStdout(), l.SQL()+";")
				return failed(err)
			}
			all, _ := o.tables(o.host(o.report(c.ErrOrStderr())))
			db, err := sqlite.Open(all, o.limit(0))
			if err != nil {
				return failed(err)
			}
			defer db.Close()
			if json {
				return failed(db.Run(c.Context(), l.SQL(), func() (sqlite.Result, error) {
					return rowfmt.New("json", c.OutOrStdout(), rowfmt.Options{})
				}))
			}
			l.Colors = colors(c.OutOrStdout())
			return failed(listening.Print(c.Context(), db, c.OutOrStdout(), l))
		},
	}
	c.Flags().BoolVar(&l.All, "all", false, "show the sockets of UDP clients too")
	c.Flags().BoolVar(&json, "json", false, "print an array of objects, with more columns")
	c.Flags().BoolVar(&sql, "sql", false, "print the SQL and do not run it")
	c.MarkFlagsMutuallyExclusive("json", "sql")
	c.Flags().SortFlags = false
	return c
}

// colors reports whether output may have colours: on a terminal that knows them,
// for somebody who wants them (no-color.org).
func colors(w io.Writer) bool {
	if out, ok := w.(*output); ok {
		w = out.Writer
	}
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
