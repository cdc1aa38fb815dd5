// Package schemadoc prints the declarations of tables: for people, as Markdown,
// and as JSON in the shape of osquery's own schema files, which fleet managers
// load to know columns and types.
package schemadoc

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Text prints tables as people read them in a terminal: synonyms stand with
// their column.
func Text(w io.Writer, specs []*schema.Spec) error {
	p := printer{w: w}
	for i, s := range specs {
		if i > 0 {
			p.printf("\n")
		}
		p.printf("%s: %s\n\n", s.Name, s.Doc)
		name, kind := 0, 0
		for _, c := range s.Columns {
			name, kind = max(name, len(c.Name)), max(kind, len(c.Type))
		}
		for _, c := range s.Columns {
			p.printf("  %-*s  %-*s  %s\n", name, c.Name, kind, c.Type, notes(&c))
		}
		p.printf("\n")
		for _, e := range s.Examples {
			p.printf("  %s;\n", e)
		}
	}
	return p.err
}

// notes is the column's doc and what a reader must know besides.
func notes(c *schema.ColumnInfo) string {
	if c.Hidden {
		return c.Doc + " (hidden)"
	}
	return c.Doc
}

// Markdown prints tables as a page.
func Markdown(w io.Writer, specs []*schema.Spec) error {
	p := printer{w: w}
	p.printf("# Tables\n\nPrinted by `sockets.ext schema --markdown`. Hidden columns are not part of `SELECT *`; name them.\n\n" +
		"In a text, `\\xNN` is a byte of a control or invisible character, or of what is not UTF-8; every other backslash is one: see [Names that others chose](../README.md#names-that-others-chose).\n")
	for _, s := range specs {
		p.printf("\n## %s\n\n%s\n\n| column | type | |\n|---|---|---|\n", s.Name, s.Doc)
		for _, c := range s.Columns {
			p.printf("| `%s` | %s | %s |\n", c.Name, c.Type, strings.ReplaceAll(notes(&c), "|", `\|`))
		}
		p.printf("\n```sql\n")
		for _, e := range s.Examples {
			p.printf("%s;\n", e)
		}
		p.printf("```\n")
	}
	return p.err
}

// Index prints a Markdown table of the tables, one a line.
func Index(w io.Writer, specs []*schema.Spec) error {
	p := printer{w: w}
	p.printf("| table | |\n|---|---|\n")
	for _, s := range specs {
		p.printf("| [`%s`](tables/README.md#%s) | %s |\n", s.Name, s.Name, s.Doc)
	}
	return p.err
}

// table and column have the keys of osquery's schema files.
type table struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Platforms   []string `json:"platforms"`
	Evented     bool     `json:"evented"`
	Cacheable   bool     `json:"cacheable"`
	Examples    []string `json:"examples"`
	Columns     []column `json:"columns"`
}

type column struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Type        string `json:"type"`
	Hidden      bool   `json:"hidden"`
	Required    bool   `json:"required"`
	Index       bool   `json:"index"`
}

// JSON prints an array of tables. A column with index is one whose
// constraints narrow the work.
func JSON(w io.Writer, specs []*schema.Spec) error {
	all := []table{}
	for _, s := range specs {
		t := table{Name: s.Name, Description: s.Doc, Platforms: []string{"linux"}, Examples: s.Examples}
		for _, c := range s.Columns {
			t.Columns = append(t.Columns, column{Name: c.Name, Description: c.Doc, Type: strings.ToLower(string(c.Type)), Hidden: c.Hidden, Index: c.Pushed})
		}
		all = append(all, t)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(all)
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
