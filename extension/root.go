package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/memlimit"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// version and commit are set by the Makefile.
var (
	version = "unknown"
	commit  = ""
)

// started is when the program was.
var started = time.Now()

const (
	// extensionName is the program's name, which osquery wants to end so.
	extensionName = "sockets.ext"
	// installedName is the command that packages install: a link to the program.
	installedName = "osquery-sockets"
)

// The exit codes.
const (
	exitOK         = 0 // also for a query without rows
	exitFailed     = 1
	exitUsage      = 2
	exitIncomplete = 3 // with --fail-incomplete
)

// incomplete is the error of an answer that lacks what could not be read.
type incomplete []string

func (i incomplete) Error() string {
	return "the answer is not complete: " + strings.Join(i, "; ")
}

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

// signalled is why a context ended: by a signal.
type signalled struct{ syscall.Signal }

func (s signalled) Error() string { return s.Signal.String() }

// run is the program: everything but the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	if filepath.Base(os.Args[0]) == installedName {
		rename(root, installedName)
	}
	root.SetArgs(asCommand(args))
	out := &output{Writer: stdout}
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if out.failed != nil && !errors.As(err, new(failure)) {
		err = failure{out.failed} // of cobra's own texts, such as a help
	}
	if err == nil {
		return exitOK
	}
	var code verdict
	if errors.As(err, &code) {
		return int(code)
	}
	if !errors.As(err, new(silent)) {
		var mistake *sqlite.Mistake
		if errors.As(err, &mistake) {
			fmt.Fprintf(stderr, "%s: %s\n", command.CommandPath(), text.Printable(mistake.Text))
			for _, hint := range mistake.Hints {
				fmt.Fprintln(stderr, text.Printable(hint))
			}
		} else {
			fmt.Fprintf(stderr, "%s: %s\n", command.CommandPath(), text.Printable(err.Error()))
		}
	}
	if errors.As(err, new(incomplete)) {
		return exitIncomplete
	}
	if errors.As(err, new(failure)) {
		return exitFailed
	}
	if errors.As(err, new(notAudited)) {
		return exitUsage
	}
	fmt.Fprintf(stderr, "Try '%s --help'.\n", command.CommandPath())
	return exitUsage
}

// sql matches what begins as a statement does.
var sql = regexp.MustCompile(`(?is)^\s*(select|with|values|explain|pragma)\s`)

// asCommand returns the arguments with the command that they mean: that of a statement
// is query, wherever its flags stand.
func asCommand(args []string) []string {
	switch {
	case len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd):
		return args
	case len(args) == 1 && args[0] == "version":
		return []string{"--version"}
	case len(args) == 1 && args[0] == "tables":
		return []string{"schema", "--names"}
	case slices.ContainsFunc(args, sql.MatchString) && !slices.ContainsFunc(args, isCommand):
		return append([]string{"query"}, args...)
	}
	return args
}

// isCommand reports whether an argument is the name of a command, or the flag by
// which osquery starts the extension.
func isCommand(arg string) bool {
	return slices.Contains([]string{"query", "shell", "listening", "netstat", "schema", "why", "doctor", "metrics", "approve", "audit", "help"}, arg) || strings.HasPrefix(arg, "--socket")
}

// output keeps the first error of a Writer, which not everybody who writes looks at.
type output struct {
	io.Writer
	failed error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil && o.failed == nil {
		o.failed = err
	}
	return n, err
}

// options are the flags of every command.
type options struct {
	proc, services, protocols string
	verbose, logJSON          bool
	register                  string
	logLevel                  string
	allNamespaces             bool
	memory                    memlimit.Size
}

// newRoot is the command that osquery starts, with the others below it.
func newRoot() *cobra.Command {
	o := options{logLevel: "warn", memory: -1}
	var serve serveOptions
	root := &cobra.Command{
		Use:   extensionName,
		Short: "A Linux host's sockets and services as SQL",
		Long: `A Linux host's sockets and services as SQL: as tables of osquery, which starts
this program with --socket, and without osquery by the commands below. Alone on a
terminal it is a shell.

A flag comes from the command line, else from the environment
(` + allNamespacesVariable + `), else from the file ` + defaultFlags + `
or the one that ` + flagsVariable + ` names: one flag a line.`,
		Example: `  sockets.ext "SELECT * FROM tcp_sockets WHERE state = 'LISTEN'"
  sockets.ext shell
  sockets.ext schema tcp_sockets
  osqueryi --extension /usr/lib/osquery/extensions/sockets.ext --extensions_require=sockets`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return fmt.Errorf("unknown command %q", args[0])
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if serve.socket == "" && isTerminal(c.InOrStdin()) && isTerminal(c.OutOrStdout()) {
				return o.shell(c)
			}
			if serve.socket == "" {
				return errors.New("give a command, or osquery's extension socket by --socket")
			}
			return o.serve(c, &serve)
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		err = flagError(err)
		message := err.Error()
		flag, unknown := strings.CutPrefix(message, "unknown flag: --")
		switch {
		case unknown && strings.ContainsAny(flag, " \n"), strings.HasPrefix(message, "bad flag syntax: --"):
			return errors.New("SQL that begins with -- goes behind a -- of its own: sockets.ext query -- \"-- a comment …\"")
		case strings.HasPrefix(message, "unknown shorthand flag"):
			return fmt.Errorf("%w (flags have two dashes)", err)
		}
		return err
	})
	root.PersistentPreRunE = func(c *cobra.Command, args []string) error {
		switch c.Name() {
		case cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd: // what a shell asks at a Tab key
			return nil
		case "doctor": // which reports what is wrong with them
			return nil
		case "help": // which is there whatever the file of flags has
			if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
				return fmt.Errorf("unknown command %q", strings.Join(args, " "))
			}
			return nil
		}
		return settings(c)
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	serve.flags(root.Flags())
	every := root.PersistentFlags()
	every.BoolVar(&o.verbose, "verbose", false, "log each step to standard error; in lines of JSON while serving osquery")
	every.BoolVar(&o.logJSON, "log-json", false, "write warnings to standard error in lines of JSON")
	every.Var(checked{&o.logLevel, logLevel}, "log-level", "least severe messages to print to standard error: error, warn, info, debug, trace")
	every.Var(checked{&o.proc, notEmpty}, "proc", "proc filesystem to read, or a saved copy of one (default "+host.DefaultProc+")")
	every.Var(checked{&o.services, notEmpty}, "services", "file of service names (default "+host.DefaultServices+")")
	every.Var(checked{&o.protocols, notEmpty}, "protocols", "file of protocol names (default "+host.DefaultProtocols+")")
	every.Var(checked{&o.register, notEmpty}, "register", "register of approved listeners, which only root may be able to change (default "+host.DefaultRegister+")")
	every.BoolVar(&o.allNamespaces, "all-namespaces", false, "show the network namespaces of the whole host in every table")
	every.Var(memory{&o.memory}, "memory-limit", "memory above which a query fails, such as 256MiB; 0 is no limit (default 80 % of the control group's limit, and 256MiB at most for osquery)")
	root.AddCommand(newQuery(&o), newShell(&o), newListening(&o), newNetstat(&o), newSchema(&o), newWhy(&o), newDoctor(&o), newMetrics(&o), newApprove(&o), newAudit(&o))
	return root
}

// rename gives the program another name, in its examples too.
func rename(c *cobra.Command, name string) {
	if !c.HasParent() {
		c.Use = name
	}
	for _, before := range []string{"  ", "  sudo ", "| "} {
		c.Example = strings.ReplaceAll(c.Example, before+extensionName+" ", before+name+" ")
	}
	for _, sub := range c.Commands() {
		rename(sub, name)
	}
}

// log is the log that osquery gets, on standard error.
func (o *options) log(w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "sockets", Level: o.level(), Output: w, JSONFormat: o.verbose || o.logJSON})
}

// report is the log that a person gets from a command: a line for each warning.
func (o *options) report(w io.Writer) hclog.Logger {
	if o.logJSON {
		return o.log(w)
	}
	log := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: o.level(), Output: io.Discard})
	log.RegisterSink(&plainLog{w, o.level()})
	return log
}

func (o *options) level() hclog.Level {
	level := hclog.LevelFromString(o.logLevel)
	if o.verbose {
		level = min(level, hclog.Debug)
	}
	return level
}

func (o *options) host(log hclog.Logger) *host.Host {
	return host.New(host.Options{Proc: o.proc, Services: o.services, Protocols: o.protocols, Register: o.register, AllNamespaces: o.allNamespaces, Log: log})
}

// limit is the memory that this program may take: what the flag says, else preset
// (0 is none), or what its control group leaves it.
func (o *options) limit(preset int64) *memlimit.Limit {
	if o.memory >= 0 {
		return memlimit.New(int64(o.memory))
	}
	return memlimit.Default("/", preset)
}

// tables are those of a host and the one of this program, by their names, and
// what counts for that one.
func (o *options) tables(h *host.Host) ([]schema.Table, *schema.Stats) {
	all := tables.All(h)
	stats := schema.NewStats(all...)
	all = append(all, tables.ExtensionInfo(h, tables.Build{Version: version, Commit: commit, Start: started}, stats))
	slices.SortFunc(all, func(a, b schema.Table) int { return strings.Compare(a.Name(), b.Name()) })
	return all, stats
}
