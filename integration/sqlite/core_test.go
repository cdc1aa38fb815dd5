package sqlite_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/integration/sqltest"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/osquerycore"
)

// Our tables and osquery's have no name in common, so that the first can be registered
// with osquery and both can be in one database.
func TestCoreNames(t *testing.T) {
	h := host.New(host.Options{})
	var ours, core []string
	for _, table := range tables.All(h) {
		ours = append(ours, table.Name())
	}
	for _, table := range osquerycore.All(h, osquerycore.Options{}) {
		name := table.Name()
		core = append(core, name)
		if slices.Contains(ours, name) || osquerycore.Absent(name) != "" {
			t.Errorf("%s is both", name)
		}
		if spec := table.Spec(); len(spec.Examples) == 0 || !strings.HasSuffix(spec.Doc, ".") {
			t.Errorf("%s lacks an example, or its description is no sentence", name)
		}
	}
	if !slices.IsSorted(core) {
		t.Errorf("not sorted: %v", core)
	}
}

// The examples of osquery's tables run.
func TestCoreExamples(t *testing.T) {
	h := host.New(host.Options{})
	core := osquerycore.All(h, osquerycore.Options{})
	db := open(t, append(tables.All(h), core...))
	for _, table := range core {
		for _, sql := range table.Spec().Examples {
			t.Run(sql, func(t *testing.T) {
				var rows sqltest.Rows
				if err := db.Run(t.Context(), sql, func() (sqlite.Result, error) { return &rows, nil }); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestCoreRequiredAndAbsent(t *testing.T) {
	h := host.New(host.Options{})
	db := open(t, append(tables.All(h), osquerycore.All(h, osquerycore.Options{})...))
	for sql, want := range map[string]string{
		"SELECT * FROM file":                                    "compare path or directory with =, IN or LIKE",
		"SELECT * FROM hash":                                    "compare path or directory with =, IN or LIKE",
		"SELECT path FROM file WHERE size > 0":                  "compare path or directory with =, IN or LIKE",
		"SELECT path FROM file LIMIT 1":                         "compare path or directory with =, IN or LIKE",
		"SELECT * FROM docker_containers":                       "what osqueryd asks the Docker daemon",
		"SELECT pid FROM process_events WHERE time > 1":         "events that osqueryd collects while it runs",
		"SELECT count(*) FROM Socket_Events":                    "events that osqueryd collects while it runs",
		"SELECT * FROM iptables":                                "is not answered here",
		"SELECT f.path FROM users u JOIN file f ON f.uid=u.uid": "compare path or directory with =, IN or LIKE",
	} {
		t.Run(sql, func(t *testing.T) {
			err := db.Run(t.Context(), sql, func() (sqlite.Result, error) { return &sqltest.Rows{}, nil })
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// What a statement requires of file comes through joins, IN, subqueries and OR, however
// the tables are ordered and however often file is scanned.
func TestCoreFileInPlans(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	list := "VALUES ('" + dir + "/" + strings.Join(want, "'), ('"+dir+"/") + "')"
	h := host.New(host.Options{})
	db := open(t, append(tables.All(h), osquerycore.All(h, osquerycore.Options{})...))
	for _, sql := range []string{
		"SELECT filename FROM file WHERE path IN (" + list + ")",
		"WITH p(path) AS (" + list + ") SELECT filename FROM p JOIN file USING (path)",
		"WITH p(path) AS (" + list + ") SELECT filename FROM file JOIN p USING (path)",
		"WITH p(path) AS (" + list + ") SELECT f.filename FROM file f JOIN hash h ON h.path = f.path JOIN p ON p.path = f.path",
		"WITH p(path) AS (" + list + ") SELECT (SELECT filename FROM file WHERE file.path = p.path) FROM p",
		"SELECT filename FROM file WHERE directory = '" + dir + "'",
		"SELECT filename FROM file WHERE path LIKE '" + dir + "/%' AND size = 0",
		"SELECT filename FROM file WHERE path LIKE '" + dir + "/a' OR path LIKE '" + dir + "/b' OR path IN ('" + dir + "/c', '" + dir + "/d') OR path LIKE '" + dir + "/%'",
	} {
		t.Run(strings.ReplaceAll(sql, dir, "D"), func(t *testing.T) {
			var got sqltest.Rows
			if err := db.Run(t.Context(), sql, func() (sqlite.Result, error) { return &got, nil }); err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			var rows []string
			for _, name := range want {
				rows = append(rows, sqltest.Row([][]byte{[]byte(name)}))
			}
			if diff := cmp.Diff(rows, []string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
