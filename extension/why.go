package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/listening"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
)

// newWhy is the command that explains what listens.
func newWhy(o *options) *cobra.Command {
	return &cobra.Command{
		Use:               "why PORT|ADDRESS:PORT|PID|NAME",
		Short:             "Explain why something listens",
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Explains on one screen what listens there: the endpoint and how exposed it is, the
process with its command line and its parents, its user, unit and container, the
connections that it has, and where else it listens.

A number is a port, and the number of a process if nothing listens at the port. A
name is that of a service, program, systemd unit or container.

The exit code is 1 if nothing listens there.`,
		Example: `  sudo sockets.ext why 22
  sudo sockets.ext why 127.0.0.1:631
  sudo sockets.ext why sshd`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("give one port, ADDRESS:PORT, process or name")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			h := o.host(o.report(c.ErrOrStderr()))
			all, _ := o.tables(h)
			db, err := sqlite.Open(all, o.limit(0))
			if err != nil {
				return failed(err)
			}
			defer db.Close()
			found, err := listening.Why(c.Context(), db, h.Processes(), c.OutOrStdout(), args[0])
			if err == nil && !found {
				err = fmt.Errorf("nothing listens at %s", args[0])
			}
			return failed(err)
		},
	}
}
