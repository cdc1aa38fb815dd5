package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The README and the guides.
func TestDocumentsExplainEveryCommandAndFlag(t *testing.T) {
	pages := pages(t)
	all := strings.Join(slices.Collect(maps.Values(pages)), "\n")
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		if !strings.Contains(all, c.Name()) {
			t.Errorf("no document has anything of the command %s", c.Name())
		}
		if c.Short == "" {
			t.Errorf("the command %s is not described", c.Name())
		}
		c.InitDefaultHelpFlag()
		c.InitDefaultVersionFlag()
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(all, "`--"+f.Name) {
				t.Errorf("no document has anything of the flag --%s of %s", f.Name, c.Name())
			}
		})
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(newRoot())

	for name, page := range pages {
		seen := make(map[string]bool)
		for line := range strings.Lines(page) {
			if cell, _, ok := strings.Cut(line, "` |"); ok && strings.HasPrefix(cell, "| `--") {
				if seen[cell] {
					t.Errorf("%s explains %s twice", name, cell[3:])
				}
				seen[cell] = true
			}
		}
	}
}

// The targets of make that the documents name are there.
func TestDocumentsNameTargets(t *testing.T) {
	makefile := read(t, "../Makefile")
	for path, text := range pages(t) {
		for _, m := range regexp.MustCompile("(?m)(?:^|`|sudo )make ([a-z]+)").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which is not there", path, m[1])
			}
		}
	}
}

// make schema brings these up to date.
func TestPrintedDocumentsAreUpToDate(t *testing.T) {
	for path, flag := range map[string]string{"../tables/README.md": "--markdown", "../tables/schema.json": "--json"} {
		t.Run(path, func(t *testing.T) {
			if _, want, _ := sockets(t, "", "schema", flag); read(t, path) != want {
				t.Errorf("%s is out of date: make schema", path)
			}
		})
	}
	_, list, _ := sockets(t, "", "schema", "--index")
	if want := "<!-- tables -->\n" + list + "<!-- end of tables -->\n"; !strings.Contains(read(t, "../README.md"), want) {
		t.Error("the README's list of tables is out of date: make schema")
	}
}

// What SECURITY.md promises is shown by tests that are there.
func TestSecurityNamesTests(t *testing.T) {
	var all strings.Builder
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			all.WriteString(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(read(t, "../SECURITY.md"), -1)
	for _, m := range named {
		if !strings.Contains(all.String(), "func "+m[1]+"(") {
			t.Errorf("there is no test %s", m[1])
		}
	}
	if len(named) < 10 {
		t.Errorf("%d tests are named", len(named))
	}
}
