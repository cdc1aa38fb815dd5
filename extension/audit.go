package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/osquery-sockets/osquery-sockets/integration/audit"
	"github.com/osquery-sockets/osquery-sockets/integration/checks"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// verdict is the exit code of an audit that has been written: exitFailed if a check
// fails, else exitIncomplete if one is unknown.
type verdict int

func (v verdict) Error() string { return fmt.Sprintf("exit code %d", int(v)) }

// notAudited is an error that keeps an audit from being made or written. Its exit code
// is that of bad usage: 1 is for checks that fail.
type notAudited struct{ error }

func (e notAudited) Unwrap() error { return e.error }

// auditOptions are the flags of audit.
type auditOptions struct {
	pack, format, output string
	list                 bool
}

// newAudit is the command that runs checks.
func newAudit(o *options) *cobra.Command {
	a := auditOptions{format: audit.Formats()[0]}
	c := &cobra.Command{
		Use:   "audit [CHECK…]",
		Short: "Check this host, and print evidence",
		Long: `Runs checks over the tables: all, those of a pack, or those that are named. Each
passes, fails with its findings and a remedy, or is unknown with the reason. What
could not be read never passes.

Packs: cis, stig, pci (compliance), ir (incident response), ops (operations), ai
(AI and MCP servers).

The exit code is 0 if all checks pass, 1 if one fails, 3 if none fails and one is
unknown, and 2 for bad usage and errors.`,
		Example: `  sudo sockets.ext audit
  sudo sockets.ext audit --pack cis --format html --output audit.html
  sockets.ext audit --list`,
		RunE: func(c *cobra.Command, ids []string) error {
			all, err := checks.All()
			if err != nil {
				return notAudited{err}
			}
			if a.pack != "" && len(ids) > 0 {
				return errors.New("name checks, or give --pack")
			}
			some, err := checks.Select(all, a.pack, ids)
			if err != nil {
				return err
			}
			if !slices.Contains(audit.Formats(), a.format) {
				return fmt.Errorf("there is no format %q: there are %s", a.format, strings.Join(audit.Formats(), ", "))
			}
			if a.list {
				return listChecks(c.OutOrStdout(), some)
			}
			return o.audit(c, &a, some)
		},
	}
	c.Flags().StringVar(&a.pack, "pack", "", "run the checks of a pack: "+strings.Join(checks.Packs(), ", "))
	c.Flags().StringVar(&a.format, "format", a.format, "print "+strings.Join(audit.Formats(), ", "))
	c.Flags().StringVar(&a.output, "output", "", "write the report to this file, in place of standard output")
	c.Flags().BoolVar(&a.list, "list", false, "print the checks and do not run them")
	c.Flags().SortFlags = false
	return c
}

func listChecks(w io.Writer, some []checks.Check) error {
	for _, c := range some {
		if _, err := fmt.Fprintf(w, "%-24s %-9s %-18s %s\n", c.ID, c.Severity, strings.Join(c.Packs, ","), c.Title); err != nil {
			return notAudited{err}
		}
	}
	return nil
}

// audit runs checks, and writes the report.
func (o *options) audit(c *cobra.Command, a *auditOptions, some []checks.Check) error {
	report, err := o.header(c)
	if err != nil {
		return notAudited{err}
	}
	for _, check := range some {
		result, err := checks.Run(c.Context(), check, os.Geteuid() == 0, func() (*host.Host, *sqlite.DB, error) {
			h := o.host(hclog.NewNullLogger()) // the reasons are in the report
			all, _ := o.tables(h)
			db, err := sqlite.Open(all, o.limit(0))
			return h, db, err
		})
		if err != nil {
			return notAudited{fmt.Errorf("check %s: %w", check.ID, err)}
		}
		report.Results = append(report.Results, result)
	}
	report.Took = time.Since(report.Began)
	if err := o.write(c, a, report); err != nil {
		return notAudited{err}
	}
	switch {
	case report.Count(checks.Fail) > 0:
		return verdict(exitFailed)
	case report.Count(checks.Unknown) > 0:
		return verdict(exitIncomplete)
	}
	return nil
}

// header is a report without its results.
func (o *options) header(c *cobra.Command) (*audit.Report, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	r := &audit.Report{Host: name, Version: version, Began: time.Now(), User: privileges(), Command: strings.Join(os.Args, " ")}
	kernel, err := os.ReadFile(cmp.Or(o.proc, host.DefaultProc) + "/sys/kernel/osrelease")
	r.Kernel = strings.TrimSpace(string(kernel))
	if err != nil {
		r.Kernel = "unknown"
	}
	if r.Register, err = o.host(hclog.NewNullLogger()).Register(c.Context()); err != nil {
		r.RegisterError = err.Error()
	}
	return r, nil
}

// privileges says who runs the program.
func privileges() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	who := fmt.Sprintf("%s (uid %d, effective uid %d)", name, os.Getuid(), os.Geteuid())
	if by := os.Getenv("SUDO_USER"); by != "" {
		who += ", by sudo from " + by
	}
	return who
}

// write writes the report where it is asked for. A file is complete or not there.
func (o *options) write(c *cobra.Command, a *auditOptions, r *audit.Report) error {
	if a.output == "" || a.output == "-" {
		return r.Write(c.OutOrStdout(), a.format)
	}
	var b bytes.Buffer
	if err := r.Write(&b, a.format); err != nil {
		return err
	}
	if info, err := os.Stat(a.output); err == nil && !info.Mode().IsRegular() { // such as /dev/null
		f, err := os.OpenFile(a.output, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(b.Bytes())
		return errors.Join(err, f.Close())
	}
	// A new file, whose name nobody could have put a link at.
	part, err := os.CreateTemp(filepath.Dir(a.output), ".audit-*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", a.output, err)
	}
	_, err = part.Write(b.Bytes())
	err = errors.Join(err, part.Close())
	if err == nil {
		err = os.Rename(part.Name(), a.output)
	}
	if err != nil {
		os.Remove(part.Name())
	}
	return err
}
