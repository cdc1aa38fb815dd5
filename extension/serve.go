package main

import (
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
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
	queryTimeout, memory   uint
}

func (s *serveOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&s.socket, "socket", "", "serve the osquery whose extension socket this is")
	f.UintVar(&s.timeout, "timeout", 3, "seconds to wait for osquery's socket and answers")
	f.UintVar(&s.interval, "interval", 3, "seconds between two looks at whether osquery is there")
	f.StringVar(&s.onLoss, "on-loss", "", "when osquery is lost, exit or reconnect (default exit if osquery started this, which starts it again, else reconnect)")
	f.StringVar(&s.prefix, "table-prefix", "", "put this before the names of the tables")
	f.UintVar(&s.maxResponse, "max-response", osquery.MaxResponse>>20, "MiB of an answer to osquery, above which the query fails")
	f.UintVar(&s.maxCalls, "max-queries", osquery.DefaultMaxCalls, "queries that are answered at a time; others wait")
	f.UintVar(&s.queryTimeout, "query-timeout", 60, "seconds that a query may take")
	f.UintVar(&s.memory, "memory-limit", 180, "MiB of memory from which on the program works harder to free some; 0 is no limit")
}

var validPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// check returns what is wrong with the flags.
func (s *serveOptions) check() error {
	switch {
	case s.interval == 0 || s.timeout == 0 || s.queryTimeout == 0:
		return errors.New("--interval, --timeout and --query-timeout are seconds, at least 1")
	case s.maxResponse == 0 || s.maxResponse > osquery.MaxResponse>>20:
		return fmt.Errorf("--max-response is from 1 to %d MiB, what osquery takes", osquery.MaxResponse>>20)
	case s.maxCalls == 0:
		return errors.New("--max-queries is at least 1")
	case s.onLoss != "" && s.onLoss != "exit" && s.onLoss != "reconnect":
		return fmt.Errorf("--on-loss %q is neither exit nor reconnect", s.onLoss)
	case s.prefix != "" && !validPrefix.MatchString(s.prefix):
		return fmt.Errorf("--table-prefix %q is not of small letters, digits and _, with a letter first", s.prefix)
	}
	return nil
}

// serve serves osquery until that or the context ends.
func (o *options) serve(c *cobra.Command, s *serveOptions) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.memory > 0 {
		debug.SetMemoryLimit(int64(s.memory) << 20)
	}
	log := o.log(c.ErrOrStderr())
	all, stats := o.tables(log)
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
		Registered: stats.Registered,
		Lost:       stats.Lost,
		Log:        log,
	}, plugins...))
}
