package checks_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/checks"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Every check is whole: it has a statement that runs over our tables, and names columns
// of it.
func TestChecks(t *testing.T) {
	all, err := checks.All()
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	valid := regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	packs := make(map[string]int)
	for _, c := range all {
		t.Run(c.ID, func(t *testing.T) {
			if ids[c.ID] || !valid.MatchString(c.ID) {
				t.Errorf("the identity is there twice, or not of small letters")
			}
			ids[c.ID] = true
			if c.Title == "" || c.Why == "" || c.Remediation == "" || len(c.References) == 0 || len(c.Packs) == 0 {
				t.Error("it lacks a title, a reason, a remedy, a reference or a pack")
			}
			if !slices.Contains(checks.Severities(), c.Severity) || c.Interval < 60 || c.Interval > 86400 {
				t.Errorf("severity %q, interval %d", c.Severity, c.Interval)
			}
			for _, p := range c.Packs {
				if packs[p]++; !slices.Contains(checks.Packs(), p) {
					t.Errorf("there is no pack %s", p)
				}
			}
			for _, n := range c.Needs {
				if n != "register" && n != "namespaces" {
					t.Errorf("it needs %s", n)
				}
			}
			r, err := checks.Run(t.Context(), c, true, func() (*host.Host, *sqlite.DB, error) {
				h := host.New(host.Options{})
				db, err := sqlite.Open(tables.All(h), nil)
				if err == nil {
					db.Warn = func(warning string) { t.Error(warning) }
				}
				return h, db, err
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.Columns == nil && !c.NeedsRegister() {
				t.Errorf("no answer: %v", r.Reasons)
			}
			for _, name := range c.Identify {
				if r.Columns != nil && !slices.Contains(r.Columns, name) {
					t.Errorf("the answer has no column %s", name)
				}
			}
		})
	}
	for _, p := range checks.Packs() {
		if packs[p] == 0 {
			t.Errorf("the pack %s is empty", p)
		}
	}
}

func TestSelect(t *testing.T) {
	all := []checks.Check{{ID: "a", Packs: []string{"cis"}}, {ID: "b", Packs: []string{"ir", "cis"}}, {ID: "c", Packs: []string{"ops"}}}
	for _, c := range []struct {
		pack, ids, want, err string
	}{
		{"", "", "a b c", ""},
		{"cis", "", "a b", ""},
		{"", "c a", "a c", ""},
		{"nis", "", "", `there is no pack "nis": there are cis, stig, pci, ir, ops, ai`},
		{"", "d", "", `there is no check "d"`},
	} {
		t.Run(c.pack+c.ids, func(t *testing.T) {
			some, err := checks.Select(all, c.pack, strings.Fields(c.ids))
			var got []string
			for _, check := range some {
				got = append(got, check.ID)
			}
			if strings.Join(got, " ") != c.want || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) || c.err == "" && err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// What could not be read never passes.
func TestUnknownNeverPasses(t *testing.T) {
	on := func(o host.Options) func() (*host.Host, *sqlite.DB, error) {
		return func() (*host.Host, *sqlite.DB, error) {
			h := host.New(o)
			db, err := sqlite.Open(tables.All(h), nil)
			return h, db, err
		}
	}
	none := checks.Check{Query: "SELECT 1 WHERE 0"}
	some := checks.Check{Query: "SELECT name FROM well_known_services WHERE port = 22"}
	services := host.Options{Services: "../../tables/testdata/etc/services"}
	register := checks.Check{Query: "SELECT 1 WHERE 0", Needs: []string{"register"}}
	for _, c := range []struct {
		name   string
		check  checks.Check
		root   bool
		o      host.Options
		status checks.Status
		reason string
	}{
		{"pass", none, true, services, checks.Pass, ""},
		{"fail", some, true, services, checks.Fail, ""},
		{"without root", none, false, services, checks.Unknown, "does not run as root"},
		{"fail without root", some, false, services, checks.Fail, "does not run as root"},
		{"an error", checks.Check{Query: "SELECT 1 FROM nosuch"}, true, services, checks.Unknown, "no such table: nosuch"},
		{"an error after a row", checks.Check{Query: "SELECT abs(-9223372036854775808 + i) FROM (SELECT 1 AS i UNION ALL SELECT 0)"}, true, services, checks.Unknown, "overflow"},
		{"a namespace that is not readable", checks.Check{Query: "SELECT 1 FROM tcp_sockets WHERE net_namespace LIKE 'x%'"}, true, host.Options{Proc: "../../tables/testdata/proc"}, checks.Unknown, "network namespace 4026532288: no process"},
		{"a register that is missing", register, true, host.Options{Register: "nosuch.yaml"}, checks.Unknown, "nosuch.yaml: no such file"},
		{"a register that is malformed", register, true, host.Options{Register: "checks.go"}, checks.Unknown, "checks.go: line 2: this is no YAML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.RegisterOwner = uint32(os.Getuid()) // who has this copy of the source
			r, err := checks.Run(t.Context(), c.check, c.root, on(c.o))
			reasons := strings.Join(r.Reasons, "; ")
			if err != nil || r.Status != c.status || !strings.Contains(reasons, c.reason) || c.reason == "" && reasons != "" {
				t.Errorf("%s: %s, %v", r.Status, reasons, err)
			}
			if c.status != checks.Fail && r.Findings > 0 {
				t.Errorf("%d findings", r.Findings)
			}
		})
	}
}

// The evidence is kept up to a bound, and counted beyond.
func TestEvidence(t *testing.T) {
	r, err := checks.Run(t.Context(), checks.Check{Query: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) SELECT i, 'x' || i AS t FROM n"}, true, func() (*host.Host, *sqlite.DB, error) {
		h := host.New(host.Options{})
		db, err := sqlite.Open(nil, nil)
		return h, db, err
	})
	if err != nil || r.Findings != 1500 || len(r.Evidence) != 1000 || r.Evidence[1][0].Int != 2 || string(r.Evidence[1][1].Bytes) != "x2" || r.Evidence[0][1].Kind != schema.Bytes {
		t.Errorf("%d findings, %d rows, %v", r.Findings, len(r.Evidence), err)
	}
}
