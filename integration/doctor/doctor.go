package doctor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
)

// State is how a finding is to be taken.
type State string

// The states.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, and something is missing in the answers
	Broken  State = "broken"  // it does not work
)

// Finding is what one check found.
type Finding struct {
	Check string `json:"check"`
	State State  `json:"state"`
	Found string `json:"found"`
	Cure  string `json:"cure,omitempty"` // empty if the state is OK
}

// Options say what is examined.
type Options struct {
	// Program is the path of the extension, and Version its version.
	Program, Version string
	// Socket is osquery's extension socket; empty for the one that osquery's
	// flags name, else osqueryd's default.
	Socket string
	// Flags is what is wrong with the settings of the program.
	Flags error
	// Root is the directory below which /etc and osquery are; empty for /.
	Root string
	// Proc is the proc filesystem; empty for /proc.
	Proc string
	// DB has the tables.
	DB *sqlite.DB
}

// Timeout bounds the wait for each of osquery's answers.
const Timeout = 2 * time.Second

// examination collects the findings.
type examination struct {
	Options
	findings []Finding
}

// Examine makes all checks.
func Examine(ctx context.Context, o Options) []Finding {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	e := &examination{Options: o}
	e.flags()
	running := e.processes()
	core := e.osquery(running.osqueryd)
	e.extensions(&core)
	e.socket(ctx, core)
	e.copies(running.copies)
	status := e.privileges()
	e.hidden(status)
	e.container()
	e.kernel(ctx)
	return e.findings
}

func (e *examination) add(check string, state State, found, cure string) {
	e.findings = append(e.findings, Finding{check, state, found, cure})
}

// at is where a path of the host is.
func (e *examination) at(path string) string { return filepath.Join(e.Root, path) }

func (e *examination) flags() {
	if e.Flags == nil {
		e.add("flags", OK, "the file of flags and the environment have no mistake", "")
		return
	}
	e.add("flags", Broken, "the program ends at once, also for osquery: "+e.Flags.Error(), "correct what the error names")
}

// AnyBroken reports whether something does not work.
func AnyBroken(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.State == Broken })
}

// Print prints the findings for people.
func Print(w io.Writer, findings []Finding) error {
	out := bufio.NewWriter(w)
	for _, f := range findings {
		fmt.Fprintf(out, "%-8s %-12s %s\n", f.State, f.Check, text.Printable(f.Found))
		if f.Cure != "" {
			fmt.Fprintf(out, "%s cure: %s\n", strings.Repeat(" ", len("warning  privileges ")+1), text.Printable(f.Cure))
		}
	}
	return out.Flush()
}
