package shell

import (
	"slices"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Candidate is what may stand in the place of the word before the cursor.
type Candidate struct {
	Text string
	Kind string // such as "tables"
	Doc  string // in a few words, or ""
}

// Vocabulary is what there is to complete with.
type Vocabulary struct {
	Tables    []schema.Table
	Functions []string
}

// The kinds of candidates, as they are shown.
const (
	ofTables    = "tables"
	ofColumns   = "columns"
	ofAliases   = "aliases"
	ofFunctions = "functions"
	ofKeywords  = "keywords"
	ofCommands  = "commands"
	ofValues    = "values"
)

// Complete returns the word that ends at the cursor, a position in bytes, and what
// may take its place, the likeliest kinds first. All candidates begin with the
// word, whatever its case.
func (v *Vocabulary) Complete(text string, cursor int) (prefix string, all []Candidate) {
	start := strings.LastIndexByte(text[:cursor], '\n') + 1
	if line := text[start:]; isCommand(line) && complete(text[:start]) {
		return v.command(line, cursor-start)
	}
	return v.sql(text, cursor)
}

// command completes a command of the shell.
func (v *Vocabulary) command(line string, cursor int) (prefix string, all []Candidate) {
	name, rest, behind := strings.Cut(line[:cursor], " ")
	if !behind {
		name = strings.TrimSpace(name)
		for _, c := range commands() {
			all = append(all, Candidate{c.name, ofCommands, c.does})
		}
		return name, matching(all, name)
	}
	c, ok := find(strings.TrimSpace(name))
	if !ok {
		return "", nil
	}
	if c.sql {
		return v.sql(rest, len(rest))
	}
	prefix = rest[strings.LastIndexByte(rest, ' ')+1:]
	switch c.takes {
	case "[TABLE]", "[LIKE]", "TABLE":
		all = v.tables()
	default:
		for _, word := range strings.FieldsFunc(c.takes, func(r rune) bool { return strings.ContainsRune("[]| ", r) }) {
			if word != strings.ToUpper(word) {
				all = append(all, Candidate{word, ofValues, ""})
			}
		}
	}
	return prefix, matching(all, prefix)
}

// sql completes SQL.
func (v *Vocabulary) sql(text string, cursor int) (prefix string, all []Candidate) {
	statement, at := statementAt(text, cursor)
	before := tokens(statement[:at])
	last := token{}
	if len(before) > 0 {
		last = before[len(before)-1]
	}
	switch {
	case last.kind == literal && last.open:
		return v.values(statement, before)
	case last.open, last.kind == comment, last.kind == number, last.kind == quoted:
		return "", nil
	case last.kind == word:
		prefix = last.text
		before = before[:len(before)-1]
	}
	named := v.named(statement)
	words := significant(before)
	if n := len(before); n >= 2 && before[n-1].text == "." && before[n-2].kind == word {
		qualifier := before[n-2].text + "."
		for _, c := range columns(named[strings.ToLower(before[n-2].text)]) {
			c.Text = qualifier + c.Text
			all = append(all, c)
		}
		return qualifier + prefix, matching(all, qualifier+prefix)
	}
	if namesTable(words) {
		return prefix, matching(v.tables(), prefix)
	}
	if len(words) == 0 {
		for _, k := range []string{"SELECT", "WITH", "VALUES", "EXPLAIN", "PRAGMA"} {
			all = append(all, Candidate{k, ofKeywords, ""})
		}
		return prefix, matching(all, prefix)
	}
	seen := make(map[string]bool)
	for _, t := range v.order(named) {
		for _, c := range columns(t) {
			if !seen[c.Text] {
				seen[c.Text] = true
				all = append(all, c)
			}
		}
	}
	if prefix == "" && len(all) > 0 {
		return prefix, all
	}
	for name, t := range named {
		if name != t.Name() && !strings.EqualFold(name, prefix) {
			all = append(all, Candidate{name, ofAliases, t.Name()})
		}
	}
	for _, f := range v.Functions {
		all = append(all, Candidate{f + "(", ofFunctions, ""})
	}
	for _, k := range keywords() {
		all = append(all, Candidate{k, ofKeywords, ""})
	}
	if prefix != "" {
		all = append(all, v.tables()...)
	}
	return prefix, matching(all, prefix)
}

// values completes a text that is compared with a column of known values, such as
// state = 'LIS.
func (v *Vocabulary) values(statement string, before []token) (prefix string, all []Candidate) {
	prefix = strings.TrimPrefix(before[len(before)-1].text, "'")
	words := significant(before[:len(before)-1])
	for len(words) > 0 && (words[len(words)-1].kind == literal || strings.Contains("=<>!(,", words[len(words)-1].text) || isWord(words[len(words)-1], "IN", "IS", "NOT", "LIKE")) {
		words = words[:len(words)-1]
	}
	if len(words) == 0 {
		return "", nil
	}
	column := strings.ToLower(words[len(words)-1].text)
	for _, t := range v.order(v.named(statement)) {
		for _, c := range t.Spec().Columns {
			if c.Name != column {
				continue
			}
			for _, w := range c.Words() {
				all = append(all, Candidate{w + "'", ofValues, ""})
			}
			return prefix, matching(all, prefix)
		}
	}
	return "", nil
}

// matching returns those that begin with a prefix.
func matching(all []Candidate, prefix string) (some []Candidate) {
	for _, c := range all {
		if len(c.Text) >= len(prefix) && strings.EqualFold(c.Text[:len(prefix)], prefix) {
			some = append(some, c)
		}
	}
	return some
}

// statementAt returns the statement at a position, and the position in it.
func statementAt(text string, cursor int) (string, int) {
	start, at := 0, 0
	for _, t := range tokens(text) {
		at += len(t.text)
		if t.kind != mark || t.text != ";" {
			continue
		}
		if at > cursor {
			return text[start : at-1], cursor - start
		}
		start = at
	}
	return text[start:], cursor - start
}

// significant returns the tokens that are no blanks and no comments.
func significant(all []token) (some []token) {
	for _, t := range all {
		if t.kind != blank && t.kind != comment {
			some = append(some, t)
		}
	}
	return some
}

func isWord(t token, words ...string) bool {
	return t.kind == word && slices.Contains(words, strings.ToUpper(t.text))
}

// namesTable reports whether the name of a table comes behind the words.
func namesTable(words []token) bool {
	for i := len(words) - 1; i >= 0; i-- {
		switch t := words[i]; {
		case isWord(t, "FROM", "JOIN"):
			return i == len(words)-1 || words[len(words)-1].text == ","
		case isWord(t, "SELECT", "WHERE", "ON", "BY", "HAVING", "LIMIT", "USING"), t.text == ")", t.text == "(":
			return false
		}
	}
	return false
}

// named returns the tables that a statement names, by their names and aliases in
// small letters.
func (v *Vocabulary) named(statement string) map[string]schema.Table {
	all := make(map[string]schema.Table)
	words := significant(tokens(statement))
	for i, t := range words {
		name := strings.ToLower(strings.Trim(t.text, "\"`[]"))
		at := slices.IndexFunc(v.Tables, func(t schema.Table) bool { return t.Name() == name })
		if at < 0 || t.kind != word && t.kind != quoted {
			continue
		}
		all[name] = v.Tables[at]
		next := words[i+1:]
		if len(next) > 0 && isWord(next[0], "AS") {
			next = next[1:]
		}
		if len(next) > 0 && next[0].kind == word && !slices.Contains(keywords(), strings.ToUpper(next[0].text)) {
			all[strings.ToLower(next[0].text)] = v.Tables[at]
		}
	}
	return all
}

// order returns the tables of a statement once, in the order of the vocabulary.
func (v *Vocabulary) order(named map[string]schema.Table) (all []schema.Table) {
	for _, t := range v.Tables {
		if _, ok := named[t.Name()]; ok {
			all = append(all, t)
		}
	}
	return all
}

func (v *Vocabulary) tables() (all []Candidate) {
	for _, t := range v.Tables {
		all = append(all, Candidate{t.Name(), ofTables, ""})
	}
	return all
}

// columns are those of a table, which may be nil.
func columns(t schema.Table) (all []Candidate) {
	if t == nil {
		return nil
	}
	for _, c := range t.Spec().Columns {
		if c.SynonymOf == "" {
			all = append(all, Candidate{c.Name, ofColumns, ""})
		}
	}
	return all
}
