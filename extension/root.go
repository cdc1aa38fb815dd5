package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// The exit codes.
const (
	exitOK     = 0 // also for a query without rows
	exitFailed = 1
	exitUsage  = 2
)

// failure is an error of the work, not of how it was asked for.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// failed makes a failure of an error, and nil of nil.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}

// run is the program: everything but the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", command.CommandPath(), err)
	if errors.As(err, new(failure)) {
		return exitFailed
	}
	fmt.Fprintf(stderr, "Try '%s --help'.\n", command.CommandPath())
	return exitUsage
}

// options are the flags of every command.
type options struct {
	proc, services string
	verbose        bool
}

// newRoot is the command that osquery starts, with the others below it.
func newRoot() *cobra.Command {
	var o options
	var serve struct {
		socket            string
		timeout, interval uint
		maxResponse       uint
	}
	root := &cobra.Command{
		Use:   "sockets.ext",
		Short: "A Linux host's sockets and services as SQL",
		Long: `A Linux host's sockets and services as SQL: as tables of osquery, which starts
this program with --socket, and without osquery by the commands below.`,
		Example: `  sockets.ext query "SELECT * FROM tcp_sockets WHERE state = 'LISTEN'"
  sockets.ext schema tcp_sockets
  osqueryi --extension /usr/lib/osquery/extensions/sockets.ext --extensions_require=sockets`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			if strings.Contains(args[0], " ") {
				return fmt.Errorf("a question is asked by the command query: sockets.ext query %q", args[0])
			}
			return fmt.Errorf("unknown command %q", args[0])
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if serve.socket == "" {
				return errors.New("give a command, or osquery's extension socket by --socket")
			}
			if serve.interval == 0 || serve.timeout == 0 {
				return errors.New("--interval and --timeout are seconds, at least 1")
			}
			if serve.maxResponse == 0 || serve.maxResponse > schema.MaxResponse>>20 {
				return fmt.Errorf("--max-response is from 1 to %d MiB, what osquery takes", schema.MaxResponse>>20)
			}
			log := o.log(c.ErrOrStderr())
			var plugins []osquery.Plugin
			for _, t := range tables.All(o.host(log)) {
				p := schema.NewPlugin(t)
				p.MaxResponse = int(serve.maxResponse) << 20
				plugins = append(plugins, p)
			}
			return failed(osquery.Serve(c.Context(), osquery.Options{
				Socket: serve.socket, Name: "sockets", Version: version,
				Timeout:  time.Duration(serve.timeout) * time.Second,
				Interval: time.Duration(serve.interval) * time.Second,
				Log:      log,
			}, plugins...))
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		text := err.Error()
		flag, unknown := strings.CutPrefix(text, "unknown flag: --")
		switch {
		case unknown && strings.ContainsAny(flag, " \n"), strings.HasPrefix(text, "bad flag syntax: --"):
			return errors.New("SQL that begins with -- goes behind a -- of its own: sockets.ext query -- \"-- a comment …\"")
		case strings.HasPrefix(text, "unknown shorthand flag"):
			return fmt.Errorf("%w (flags have two dashes)", err)
		}
		return err
	})
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		for _, name := range []string{"proc", "services"} {
			if f := c.Flag(name); f.Changed && f.Value.String() == "" {
				return fmt.Errorf("--%s is empty", name)
			}
		}
		return nil
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("sockets.ext {{.Version}}\n")
	root.Flags().StringVar(&serve.socket, "socket", "", "serve the osquery whose extension socket this is")
	root.Flags().UintVar(&serve.timeout, "timeout", 3, "seconds to wait for osquery's socket and answers")
	root.Flags().UintVar(&serve.interval, "interval", 3, "seconds between two looks at whether osquery is there")
	root.Flags().UintVar(&serve.maxResponse, "max-response", schema.MaxResponse>>20, "MiB of an answer to osquery, above which the query fails")
	every := root.PersistentFlags()
	every.BoolVar(&o.verbose, "verbose", false, "say on standard error what happens")
	every.StringVar(&o.proc, "proc", "", "proc filesystem to read, or a saved copy of one (default "+host.DefaultProc+")")
	every.StringVar(&o.services, "services", "", "file of service names (default "+host.DefaultServices+")")
	root.AddCommand(newQuery(&o), newSchema())
	return root
}

// log writes to standard error what went wrong, or everything.
func (o *options) log(w io.Writer) hclog.Logger {
	level := hclog.Warn
	if o.verbose {
		level = hclog.Debug
	}
	return hclog.New(&hclog.LoggerOptions{Name: "sockets", Level: level, Output: w})
}

func (o *options) host(log hclog.Logger) *host.Host {
	return host.New(host.Options{Proc: o.proc, Services: o.services, Log: log})
}
