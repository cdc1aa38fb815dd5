package schemadoc_test

import (
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/schemadoc"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// sections prints tables as a page, by the titles of its sections.
func sections(t *testing.T, specs []*schema.Spec) map[string]string {
	t.Helper()
	var page strings.Builder
	if err := schemadoc.Markdown(&page, specs); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, section := range strings.Split(page.String(), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		all[title] = text
	}
	return all
}

// A page of all tables describes each column once: where its table is, or among
// the shared columns that the table names, with what holds for the table only.
func TestMarkdown(t *testing.T) {
	var specs []*schema.Spec
	for _, table := range tables.All(host.New(host.Options{})) {
		specs = append(specs, table.Spec())
	}
	page := sections(t, specs)
	shared := page["Shared columns"]
	named := 0
	for _, s := range specs {
		t.Run(s.Name, func(t *testing.T) {
			for _, c := range s.Columns {
				row := "| `" + c.Name + "` | " + string(c.Type) + " | "
				if strings.Contains(page[s.Name], row) {
					continue
				}
				named++
				doc := strings.TrimSuffix(c.Doc, " "+c.Note)
				if n := strings.Count(shared, row+doc); n != 1 {
					t.Errorf("%s is described %d times among the shared columns, want once", c.Name, n)
				}
				if c.SynonymOf == "" && !strings.Contains(page[s.Name], "`"+c.Name+"`") {
					t.Errorf("%s is not named", c.Name)
				}
				if !strings.Contains(page[s.Name], c.Note) {
					t.Errorf("%s lacks its note %q", c.Name, c.Note)
				}
			}
		})
		t.Run(s.Name+" alone", func(t *testing.T) {
			page := sections(t, []*schema.Spec{s})
			for _, c := range s.Columns {
				if !strings.Contains(page[s.Name], "| `"+c.Name+"` | "+string(c.Type)+" | "+strings.ReplaceAll(c.Doc, "|", `\|`)) {
					t.Errorf("%s is not described", c.Name)
				}
			}
			if len(page) != 1 {
				t.Errorf("%d sections, want 1", len(page))
			}
		})
	}
	if named < 200 {
		t.Errorf("%d columns are described among the shared ones, want 200 or more", named)
	}
}

func TestColumns(t *testing.T) {
	specs := []*schema.Spec{
		{Name: "one", Columns: []schema.ColumnInfo{{Name: "local_port", Type: schema.Integer, Doc: "Port."}, {Name: "state", Type: schema.Text, Doc: "State."}}},
		{Name: "others", Columns: []schema.ColumnInfo{{Name: "ports", Type: schema.Text, Doc: "Ports."}}},
	}
	for _, test := range []struct{ pattern, want string }{
		{"port", "one.local_port  INTEGER  Port.\nothers.ports    TEXT     Ports.\n"},
		{"%_PORT", "one.local_port  INTEGER  Port.\n"},
		{"stat_", "one.state  TEXT  State.\n"},
		{"x", ""},
	} {
		var b strings.Builder
		found, err := schemadoc.Columns(&b, specs, test.pattern)
		if err != nil || b.String() != test.want || found != (test.want != "") {
			t.Errorf("%s: found %v, error %v, got\n%s\nwant\n%s", test.pattern, found, err, b.String(), test.want)
		}
	}
}
