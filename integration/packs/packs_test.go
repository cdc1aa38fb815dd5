package packs_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	osquery "github.com/osquery/osquery-go"
	"go.yaml.in/yaml/v3"

	"github.com/osquery-sockets/osquery-sockets/integration/checks"
	sockets "github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/integration/packs"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

func all(t *testing.T) []checks.Check {
	t.Helper()
	all, err := checks.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// make packs brings the files up to date.
func TestFilesAreUpToDate(t *testing.T) {
	files, err := packs.Files(all(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is out of date, %v: make packs", name, err)
		}
	}
	for _, dir := range []string{"osquery", "fleet"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && files[filepath.ToSlash(path)] == nil {
				t.Errorf("%s is of no check: remove it", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// statements are all that the files have, by a name.
func statements(t *testing.T) map[string]string {
	t.Helper()
	files, err := packs.Files(all(t))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for name, text := range files {
		if strings.HasSuffix(name, ".yml") {
			var list []struct{ Name, Query string }
			if err := yaml.Unmarshal(text, &list); err != nil || len(list) == 0 {
				t.Errorf("%s: %d, %v", name, len(list), err)
			}
			for _, l := range list {
				found[name+": "+l.Name] = l.Query
			}
			continue
		}
		var pack struct {
			Queries, Schedule map[string]struct{ Query string }
		}
		if err := json.Unmarshal(text, &pack); err != nil || len(pack.Queries)+len(pack.Schedule) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		for id, q := range pack.Queries {
			found[name+": "+id] = q.Query
		}
		for id, q := range pack.Schedule {
			found[name+": "+id] = q.Query
		}
	}
	return found
}

// Every statement runs in osquery, with few calls of a table, and looks into all network
// namespaces where its check does. Two runs on a host that is idle have the same rows.
func TestStatementsInOsquery(t *testing.T) {
	register := filepath.Join(t.TempDir(), "approved.yaml")
	if err := os.WriteFile(register, []byte("listeners:\n  - {protocol: tcp, port: 22, exposure: public, why: w, approver: a, expires: 2001-01-01}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Options{Proc: "../../tables/testdata/proc", Services: "../../tables/testdata/etc/services", Register: register, RegisterOwner: uint32(os.Getuid())})
	m := osquerytest.New(t)
	var plugins []osquery.OsqueryPlugin
	for _, table := range tables.All(h) {
		plugins = append(plugins, sockets.NewTablePlugin(table))
	}
	osquerytest.Serve(t, m, plugins...)
	ask := func(query string) []string {
		t.Helper()
		answer, err := m.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return slices.Sorted(slices.Values(answer.Lines()))
	}
	ran := make(map[string]bool)
	for name, query := range statements(t) {
		if ran[query] {
			continue
		}
		ran[query] = true
		t.Run(name, func(t *testing.T) {
			first := ask(query)
			calls := m.Calls()
			if len(calls) == 0 || len(calls) > 12 {
				t.Errorf("%d calls", len(calls))
			}
			for _, c := range calls {
				if strings.Contains(query, "net_namespace") && c.Table != "socket_processes" && !c.Uses("net_namespace") {
					t.Errorf("a call of %s does not use net_namespace", c.Table)
				}
			}
			if again := ask(query); !slices.Equal(first, again) {
				t.Errorf("%q, and then %q", first, again)
			}
		})
	}
	if len(ran) < 2*len(all(t)) {
		t.Errorf("%d statements", len(ran))
	}
	// A policy has a row if its check has no finding, and only then.
	agree := 0
	for _, c := range all(t) {
		findings, passes := len(ask(packs.Query(&c))), len(ask(packs.Policy(&c)))
		if (findings == 0) != (passes == 1) {
			t.Errorf("%s: %d findings, and %d rows of the policy", c.ID, findings, passes)
		}
		if findings > 0 {
			agree++
		}
	}
	if agree < 5 {
		t.Errorf("only %d checks have findings", agree)
	}
}

// Without a register a policy that needs one does not pass.
func TestPolicyWithoutRegister(t *testing.T) {
	h := host.New(host.Options{Proc: "../../tables/testdata/proc", Register: os.DevNull + "/none"})
	m := osquerytest.New(t)
	osquerytest.Serve(t, m, sockets.NewTablePlugin(tables.ApprovedListeners(h)))
	for _, c := range all(t) {
		if c.ID != "current-approvals" {
			continue
		}
		if answer, err := m.Query(t.Context(), packs.Policy(&c)); err == nil {
			t.Errorf("it passes: %v", answer)
		}
	}
}
