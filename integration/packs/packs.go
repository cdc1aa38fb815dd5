// Package packs makes packs of osquery and policies of Fleet of the checks. What it makes
// is in osquery and fleet beside it, printed by make packs.
package packs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/osquery-sockets/osquery-sockets/integration/checks"
)

// Query returns the statement of a check for a schedule: the columns that identify a
// finding, so that a differential log has a finding when it comes and when it goes, and
// no line for a count that changes.
func Query(c *checks.Check) string {
	columns := strings.Join(c.Identify, ", ")
	if columns == "" {
		columns = "'" + c.ID + "' AS finding"
	}
	query := "SELECT DISTINCT " + columns + " FROM (" + flat(c.Query) + ")"
	if strings.Contains(c.Query, "net_namespace") && !slices.Contains(c.Identify, "net_namespace") {
		// The statement has to use the column: without it a table is of one namespace.
		query += " WHERE net_namespace IS NOT NULL"
	}
	return query
}

// Policy returns a statement that has a row if the check passes.
func Policy(c *checks.Check) string {
	query := "SELECT 1 WHERE (SELECT count(*) FROM (" + Query(c) + ")) = 0"
	if c.NeedsRegister() {
		query += " AND EXISTS (SELECT 1 FROM approved_listeners)"
	}
	return query
}

// flat writes a statement on one line.
func flat(query string) string { return strings.Join(strings.Fields(query), " ") }

type (
	osqueryPack struct {
		Discovery []string                `json:"discovery"`
		Platform  string                  `json:"platform"`
		Queries   map[string]osqueryQuery `json:"queries"`
	}
	osqueryQuery struct {
		Query       string `json:"query"`
		Interval    int    `json:"interval"`
		Description string `json:"description"`
		Value       string `json:"value"`
		Platform    string `json:"platform,omitempty"`
		Removed     bool   `json:"removed"`
	}
	fleetPolicy struct {
		Name        string `yaml:"name"`
		Platform    string `yaml:"platform"`
		Critical    bool   `yaml:"critical"`
		Description string `yaml:"description"`
		Resolution  string `yaml:"resolution"`
		Query       string `yaml:"query"`
	}
	fleetReport struct {
		Name        string `yaml:"name"`
		Platform    string `yaml:"platform"`
		Description string `yaml:"description"`
		Interval    int    `yaml:"interval"`
		Logging     string `yaml:"logging"`
		Query       string `yaml:"query"`
	}
)

// discovery has a row where our tables are.
const discovery = "SELECT 1 FROM osquery_extensions WHERE name = 'sockets'"

func scheduled(c *checks.Check) osqueryQuery {
	return osqueryQuery{Query: Query(c), Interval: c.Interval, Description: c.Why, Value: strings.Join(c.References, "; "), Removed: true}
}

// Files returns what is generated of the checks, by its path.
func Files(all []checks.Check) (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, pack := range checks.Packs() {
		some, err := checks.Select(all, pack, nil)
		if err != nil {
			return nil, err
		}
		p := osqueryPack{[]string{discovery}, "linux", make(map[string]osqueryQuery)}
		var policies []fleetPolicy
		var reports []fleetReport
		for i := range some {
			c := &some[i]
			p.Queries[c.ID] = scheduled(c)
			name := fmt.Sprintf("%s (%s)", c.Title, c.ID)
			policies = append(policies, fleetPolicy{name, "linux", c.Severity == "critical", c.Why + " " + strings.Join(c.References, "; ") + ".", c.Remediation, Policy(c)})
			reports = append(reports, fleetReport{"Findings: " + name, "linux", c.Why, c.Interval, "differential", Query(c)})
		}
		if files[path.Join("osquery", pack+".json")], err = asJSON(p); err != nil {
			return nil, err
		}
		if files[path.Join("fleet", pack+".policies.yml")], err = asYAML(policies); err != nil {
			return nil, err
		}
		if files[path.Join("fleet", pack+".reports.yml")], err = asYAML(reports); err != nil {
			return nil, err
		}
	}
	schedule := make(map[string]osqueryQuery)
	for i := range all {
		q := scheduled(&all[i])
		q.Platform = "linux"
		schedule["sockets_"+all[i].ID] = q
	}
	conf, err := asJSON(map[string]any{"schedule": schedule})
	if err != nil {
		return nil, err
	}
	files[path.Join("osquery", "osquery.conf")] = conf
	return files, nil
}

func asJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(v)
	return b.Bytes(), err
}

func asYAML(v any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Printed of the checks by make packs.\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	err := encoder.Close()
	return b.Bytes(), err
}
