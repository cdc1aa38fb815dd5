package main

import (
	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/metrics"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
)

// newMetrics is the command that prints numbers for a monitoring system.
func newMetrics(o *options) *cobra.Command {
	maxSeries := uint(100)
	c := &cobra.Command{
		Use:               "metrics",
		Short:             "Print numbers of the sockets as OpenMetrics text",
		ValidArgsFunction: cobra.NoFileCompletions,
		Long: `Prints numbers of this host's sockets as OpenMetrics text, for the textfile collector
of node_exporter: sockets by state, what listens, backlogs, connections and
retransmissions by port and program, drops, memory, and counters of the kernel.

If something fails, nothing is printed and the exit code is 1. Write to a file of
another name and rename it, as in the example, so that nobody reads half of it.`,
		Example: `  sudo sockets.ext metrics
  sudo sockets.ext metrics > /var/lib/node_exporter/sockets.prom.new && mv /var/lib/node_exporter/sockets.prom.new /var/lib/node_exporter/sockets.prom`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, _ := o.tables(o.host(o.report(c.ErrOrStderr())))
			db, err := sqlite.Open(all, o.limit(0))
			if err != nil {
				return failed(err)
			}
			defer db.Close()
			return failed(metrics.Print(c.Context(), db, c.OutOrStdout(), int(maxSeries)))
		},
	}
	c.Flags().Var(number{&maxSeries, 1, 10000}, "max-series", "series of each metric: those with the largest values, and one that has the rest")
	return c
}
