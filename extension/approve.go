package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/listening"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// newApprove is the command that proposes a register of approved listeners.
func newApprove(o *options) *cobra.Command {
	var current bool
	c := &cobra.Command{
		Use:   "approve --from-current",
		Short: "Propose a register of what may listen",
		Long: `Prints a register of approved listeners with what listens now and the register
does not approve yet. It changes no file. A human removes what may not listen, and
writes for the rest why it may and who approves it; without that the register is an
error, and approves nothing.

The register is ` + host.DefaultRegister + ` with the files *.yaml of
approved.d beside it. They belong to root, and nobody else may write to them.`,
		Example: `  sudo sockets.ext approve --from-current > approved.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !current {
				return errors.New("give --from-current: a register is proposed from what listens now")
			}
			all, _ := o.tables(o.host(o.report(c.ErrOrStderr())))
			db, err := sqlite.Open(all, o.limit(0))
			if err != nil {
				return failed(err)
			}
			defer db.Close()
			name, err := os.Hostname()
			if err != nil {
				return failed(err)
			}
			return failed(listening.Propose(c.Context(), db, c.OutOrStdout(), listening.Host{Name: name, Time: time.Now().UTC().Format(time.DateTime) + " UTC"}))
		},
	}
	c.Flags().BoolVar(&current, "from-current", false, "propose what listens now and is not approved")
	return c
}
