package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/osquery-sockets/osquery-sockets/integration/osquery"
)

// serveOptions are the flags of serving osquery.
type serveOptions struct {
	socket, onLoss, prefix string
	timeout, interval      uint
	maxResponse, maxCalls  uint
	queryTimeout           uint
}

func (s *serveOptions) flags(f *pflag.FlagSet) {
	const day = 24 * 60 * 60 // in seconds
	*s = serveOptions{timeout: 3, interval: 3, maxResponse: osquery.MaxResponse >> 20, maxCalls: osquery.DefaultMaxCalls, queryTimeout: 60}
	f.StringVar(&s.socket, "socket", "", "serve the osquery whose extension socket this is")
	f.Var(number{&s.timeout, 1, day}, "timeout", "seconds to wait for osquery's socket and answers")
	f.Var(number{&s.interval, 1, day}, "interval", "seconds between two checks that osquery is there")
	f.Var(checked{&s.onLoss, onLoss}, "on-loss", "when osquery has gone away, exit or reconnect (default exit if osquery started this program, else reconnect)")
	f.Var(checked{&s.prefix, tablePrefix}, "table-prefix", "put this before the names of the tables")
	f.Var(number{&s.maxResponse, 1, osquery.MaxResponse >> 20}, "max-response", "largest answer to osquery in MiB; a query with a larger one fails")
	f.Var(number{&s.maxCalls, 1, 1000}, "max-queries", "queries to answer at a time; others wait")
	f.Var(number{&s.queryTimeout, 1, day}, "query-timeout", "seconds that a query may take")
}

// servingMemory is the memory in bytes that serving osquery takes at most, unless
// a flag says otherwise. From 70 % of it on the garbage collector works harder: below
// the 200 MB at which osquery's watchdog may end an extension.
const servingMemory = 256 << 20

// serve serves osquery until that or the context ends.
func (o *options) serve(c *cobra.Command, s *serveOptions) error {
	stderr := newLogWriter(c.ErrOrStderr())
	defer stderr.close()
	log := o.log(stderr)
	all, stats := o.tables(o.host(log))
	var plugins []osquery.Plugin
	for _, t := range all {
		p := osquery.NewTablePlugin(t)
		p.MaxResponse, p.Timeout = int(s.maxResponse)<<20, time.Duration(s.queryTimeout)*time.Second
		p.Prefix, p.Stats = s.prefix, stats
		plugins = append(plugins, p)
	}
	parent := osquery.ParentIfOsquery()
	return failed(osquery.Serve(c.Context(), osquery.Options{
		Socket: s.socket, Name: s.prefix + "sockets", Version: version,
		Timeout:    time.Duration(s.timeout) * time.Second,
		Interval:   time.Duration(s.interval) * time.Second,
		Reconnect:  s.onLoss == "reconnect" || s.onLoss == "" && parent == 0,
		Parent:     parent,
		MaxCalls:   int(s.maxCalls),
		Memory:     o.limit(servingMemory),
		Registered: stats.Registered,
		Lost:       stats.Lost,
		Log:        log,
	}, plugins...))
}
