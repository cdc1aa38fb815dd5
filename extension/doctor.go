package main

import (
	"encoding/json"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/doctor"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
)

// newDoctor is the command that looks for what is wrong.
func newDoctor(o *options) *cobra.Command {
	var socket string
	var asJSON bool
	c := &cobra.Command{
		Use:               "doctor",
		Short:             "Look for what would keep this program from working here",
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Looks for what would keep this program from working on this host, and says what to
do about it: osquery, the list of extensions that it loads and what it wants of
each, its socket, other copies of the extension, the file of flags, privileges,
containers, and what the kernel lists. It changes nothing.

The exit code is 1 if something is broken. After a warning the program works, but
its answers lack something.`,
		Example: `  sudo sockets.ext doctor
  sudo sockets.ext doctor --socket /var/osquery/osquery.em --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			flags := settings(c)
			program, err := os.Executable()
			if err != nil {
				return failed(err)
			}
			all, _ := o.tables(o.host(o.report(c.ErrOrStderr())))
			db, err := sqlite.Open(all, o.limit(0))
			if err != nil {
				return failed(err)
			}
			defer db.Close()
			findings := doctor.Examine(c.Context(), doctor.Options{
				Program: program, Version: version, Socket: socket, Flags: flags, Proc: o.proc, DB: db,
			})
			if asJSON {
				out := json.NewEncoder(c.OutOrStdout())
				out.SetEscapeHTML(false)
				out.SetIndent("", "  ")
				err = out.Encode(findings)
			} else {
				err = doctor.Print(c.OutOrStdout(), findings)
			}
			if err == nil && doctor.AnyBroken(findings) {
				err = silent{errors.New("something is broken")} // which is printed already
			}
			return failed(err)
		},
	}
	c.Flags().Var(checked{&socket, notEmpty}, "socket", "look at the osquery whose extension socket this is (default that of osquery's flags, else /var/osquery/osquery.em)")
	c.Flags().BoolVar(&asJSON, "json", false, "print an array of objects")
	c.Flags().SortFlags = false
	return c
}
