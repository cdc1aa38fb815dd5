// Package schemadoc prints the declarations of tables: for people, as Markdown,
// and as JSON in the shape of osquery's own schema files, which fleet managers
// load to know columns and types.
package schemadoc

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Text prints tables as people read them in a terminal: synonyms stand with
// their column. Of several tables it prints the names first, on one line.
func Text(w io.Writer, specs []*schema.Spec) error {
	p := printer{w: w}
	if len(specs) > 1 {
		var names []string
		for _, s := range specs {
			names = append(names, s.Name)
		}
		p.printf("Tables: %s\n\n", strings.Join(names, ", "))
	}
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

// Columns prints the columns whose names match a pattern of SQLite's LIKE, or
// contain it if it has no wildcard, in a line each. It reports whether there are
// any.
func Columns(w io.Writer, specs []*schema.Spec, pattern string) (found bool, err error) {
	if !strings.ContainsAny(pattern, "%_") {
		pattern = "%" + pattern + "%"
	}
	p := printer{w: w}
	var lines [][3]string
	var widths [2]int
	for _, s := range specs {
		for i := range s.Columns {
			if c := &s.Columns[i]; schema.Like(pattern, c.Name) {
				line := [3]string{s.Name + "." + c.Name, string(c.Type), notes(c)}
				lines = append(lines, line)
				widths[0], widths[1] = max(widths[0], len(line[0])), max(widths[1], len(line[1]))
			}
		}
	}
	for _, line := range lines {
		p.printf("%-*s  %-*s  %s\n", widths[0], line[0], widths[1], line[1], line[2])
	}
	return len(lines) > 0, p.err
}

// notes is the column's doc and what a reader must know besides: the words that it
// can have, unless the doc has all of them.
func notes(c *schema.ColumnInfo) string {
	doc := c.Doc
	if words := c.Words(); c.SynonymOf == "" && slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(doc, word) }) {
		doc += " One of " + strings.Join(words, ", ") + "."
	}
	if c.Hidden {
		return doc + " (hidden)"
	}
	return doc
}

// Markdown prints tables as a page. Of several tables it describes the columns
// that they share once.
func Markdown(w io.Writer, specs []*schema.Spec) error {
	p := printer{w: w}
	p.printf("# Tables\n\nPrinted by `sockets.ext schema --markdown`. Hidden columns are not part of `SELECT *`; name them.\n\n" +
		"In a text, `\\xNN` is a byte of a control or invisible character, or of what is not UTF-8; every other backslash is one: see [Names that others chose](../integration/guides/command.md#names-that-others-chose).\n")
	shared := sharedColumns(specs)
	if len(shared) > 0 {
		p.printf("\n## Shared columns\n\nThese columns mean the same in every table that names them as shared. `sockets.ext schema TABLE` prints all columns of a table, in the order of `SELECT *`.\n\n")
		p.columns(shared)
	}
	for _, s := range specs {
		p.printf("\n## %s\n\n%s\n\n", s.Name, s.Doc)
		var own, others []schema.ColumnInfo
		for _, c := range s.Columns {
			if c.Shared && slices.ContainsFunc(shared, func(s schema.ColumnInfo) bool { return s.Name == c.Name }) {
				others = append(others, c)
			} else {
				own = append(own, c)
			}
		}
		if len(own) > 0 {
			p.columns(own)
			p.printf("\n")
		}
		p.names(others)
		p.printf("```sql\n")
		for _, e := range s.Examples {
			p.printf("%s;\n", e)
		}
		p.printf("```\n")
	}
	return p.err
}

// sharedColumns returns the columns that more than one of the tables has, without
// what holds for one table only, in the order of the table that has most of them.
// A column is hidden if it is in all.
func sharedColumns(specs []*schema.Spec) (shared []schema.ColumnInfo) {
	tables := make(map[string]int) // that have the column
	visible := make(map[string]bool)
	words := make(map[string][]string) // of all tables
	for _, s := range specs {
		for _, c := range s.Columns {
			if c.Shared {
				tables[c.Name]++
				for _, word := range c.Words() {
					if !slices.Contains(words[c.Name], word) {
						words[c.Name] = append(words[c.Name], word)
					}
				}
				visible[c.Name] = visible[c.Name] || !c.Hidden
			}
		}
	}
	count := func(s *schema.Spec) (n int) {
		for _, c := range s.Columns {
			if c.Shared {
				n++
			}
		}
		return n
	}
	most := slices.SortedStableFunc(slices.Values(specs), func(a, b *schema.Spec) int { return count(b) - count(a) })
	for _, s := range most {
		for _, c := range s.Columns {
			if !c.Shared || tables[c.Name] < 2 {
				continue
			}
			delete(tables, c.Name)
			c.Hidden = !visible[c.Name]
			if all := words[c.Name]; all != nil {
				schema.Words(func() []string { return all })(&c)
			}
			if c.Note != "" {
				c.Doc = strings.TrimSuffix(c.Doc, " "+c.Note)
			}
			shared = append(shared, c)
		}
	}
	return shared
}

// columns prints a Markdown table of columns.
func (p *printer) columns(all []schema.ColumnInfo) {
	p.printf("| column | type | |\n|---|---|---|\n")
	for _, c := range all {
		p.printf("| `%s` | %s | %s |\n", c.Name, c.Type, strings.ReplaceAll(notes(&c), "|", `\|`))
	}
}

// names prints a line of the names of shared columns, without synonyms, which come
// with their columns, and what holds for this table only.
func (p *printer) names(shared []schema.ColumnInfo) {
	var visible, hidden, noted []string
	by := make(map[string][]string) // names by note
	for _, c := range shared {
		name := "`" + c.Name + "`"
		switch {
		case c.SynonymOf != "":
			continue
		case c.Hidden:
			hidden = append(hidden, name)
		default:
			visible = append(visible, name)
		}
		if c.Note != "" {
			if by[c.Note] == nil {
				noted = append(noted, c.Note)
			}
			by[c.Note] = append(by[c.Note], name)
		}
	}
	if len(visible)+len(hidden) == 0 {
		return
	}
	p.printf("[Shared columns](#shared-columns):")
	if len(visible) > 0 {
		p.printf(" %s.", strings.Join(visible, ", "))
	}
	if len(hidden) > 0 {
		p.printf(" Hidden: %s.", strings.Join(hidden, ", "))
	}
	for _, note := range noted {
		p.printf(" Here %s: %s", strings.Join(by[note], ", "), note)
	}
	p.printf("\n\n")
}

// Index prints a Markdown table of the tables, one a line.
func Index(w io.Writer, specs []*schema.Spec) error {
	p := printer{w: w}
	p.printf("| table | |\n|---|---|\n")
	for _, s := range specs {
		first, _, cut := strings.Cut(s.Doc, ". ")
		if cut {
			first += "."
		}
		p.printf("| [`%s`](tables/README.md#%s) | %s |\n", s.Name, s.Name, first)
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
	// Values are the words that the column can have, if they are a few.
	Values []string `json:"values,omitempty"`
}

// Core lists osquery's own tables, which only the command query has: as Markdown, or
// as plain text.
func Core(w io.Writer, specs []*schema.Spec, markdown bool) error {
	p := printer{w: w}
	if markdown {
		p.printf("\n## osquery's own tables\n\n`sockets.ext query` answers with these too, so that a published query can be pasted. They have osquery's names, columns, types and values, and are never registered with osquery, which has them. `sockets.ext schema TABLE` prints the columns of one.\n\n")
	} else {
		p.printf("\nosquery's own tables, in sockets.ext query alone:\n")
	}
	for _, s := range specs {
		if markdown {
			p.printf("- `%s`: %s\n", s.Name, strings.TrimPrefix(s.Doc, "osquery's table of "))
		} else {
			p.printf("  %s\n", s.Name)
		}
	}
	return p.err
}

// JSON prints an array of tables. A column with index is one whose
// constraints narrow the work.
func JSON(w io.Writer, specs []*schema.Spec) error {
	all := []table{}
	for _, s := range specs {
		t := table{Name: s.Name, Description: s.Doc, Platforms: []string{"linux"}, Examples: s.Examples}
		for _, c := range s.Columns {
			t.Columns = append(t.Columns, column{Name: c.Name, Description: c.Doc, Type: strings.ToLower(string(c.Type)), Hidden: c.Hidden, Index: c.Pushed, Values: c.Words()})
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
