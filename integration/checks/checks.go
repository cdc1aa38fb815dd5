// Package checks has what auditors, responders and operators ask of a host's sockets:
// statements over our tables whose rows are findings, with a reason, a remedy and the
// controls that they belong to. The files *.yaml are their one source: the command audit
// runs them, and package packs makes queries of osquery and policies of Fleet of them.
package checks

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var files embed.FS

// Check is a question whose answer should have no rows.
type Check struct {
	ID    string   `yaml:"id"`
	Title string   `yaml:"title"` // what holds if it passes
	Packs []string `yaml:"packs"`
	Why   string   `yaml:"why"`
	// Query is one statement. Each of its rows is a finding.
	Query string `yaml:"query"`
	// Identify names the columns by which a finding is the same the next time. Without
	// any the check has one finding at most.
	Identify []string `yaml:"identify"`
	Severity string   `yaml:"severity"` // critical, high, medium or low
	Interval int      `yaml:"interval"` // seconds, for schedules
	// Needs has register if the check means nothing without one, and namespaces if the
	// statement may end before it has looked into every network namespace.
	Needs       []string `yaml:"needs"`
	Remediation string   `yaml:"remediation"`
	References  []string `yaml:"references"`
}

// NeedsRegister reports whether the check is unknown without a register of approved
// listeners.
func (c *Check) NeedsRegister() bool { return slices.Contains(c.Needs, "register") }

// Packs are the names of all packs.
func Packs() []string { return []string{"cis", "stig", "pci", "ir", "ops", "ai"} }

// Severities are all severities, the worst first.
func Severities() []string { return []string{"critical", "high", "medium", "low"} }

// All returns every check, those of one file after those of another.
func All() ([]Check, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Check
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		decoder.KnownFields(true)
		var some []Check
		if err := decoder.Decode(&some); err != nil {
			return nil, fmt.Errorf("checks of %s: %w", name, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// Select returns the checks of a pack, or those with these identities, in the order of
// all; every check if both are empty.
func Select(all []Check, pack string, ids []string) ([]Check, error) {
	if pack != "" && !slices.Contains(Packs(), pack) {
		return nil, fmt.Errorf("there is no pack %q: there are %s", pack, strings.Join(Packs(), ", "))
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(c Check) bool { return c.ID == id }) {
			return nil, fmt.Errorf("there is no check %q: sockets.ext audit --list names them", id)
		}
	}
	var some []Check
	for _, c := range all {
		if (pack == "" || slices.Contains(c.Packs, pack)) && (len(ids) == 0 || slices.Contains(ids, c.ID)) {
			some = append(some, c)
		}
	}
	return some, nil
}
