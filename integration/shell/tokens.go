package shell

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind uint8

const (
	blank   kind = iota
	word         // a keyword, or a name without quotes
	quoted       // a name in "", [] or ``; "" may also be a text
	literal      // a text in ''
	number
	comment
	mark // everything else, one character each
)

// token is a piece of SQL. The pieces of a text make up the text again.
type token struct {
	kind kind
	text string
	open bool // its end is missing
}

// tokens splits SQL as SQLite does (https://sqlite.org/lang_keywords.html).
func tokens(sql string) (all []token) {
	for sql != "" {
		t := next(sql)
		all = append(all, t)
		sql = sql[len(t.text):]
	}
	return all
}

// next returns the first token of a text that is not empty.
func next(sql string) token {
	until := func(k kind, end string, skip int) token {
		i := strings.Index(sql[skip:], end)
		if i < 0 {
			return token{k, sql, true}
		}
		return token{k, sql[:skip+i+len(end)], false}
	}
	while := func(k kind, in func(rune) bool) token {
		if i := strings.IndexFunc(sql, func(r rune) bool { return !in(r) }); i >= 0 {
			return token{k, sql[:i], false}
		}
		return token{k, sql, false}
	}
	r, size := utf8.DecodeRuneInString(sql)
	switch {
	case strings.HasPrefix(sql, "--"):
		t := until(comment, "\n", 2)
		t.open = false // it ends with the text, too
		return t
	case strings.HasPrefix(sql, "/*"):
		return until(comment, "*/", 2)
	case r == '\'':
		return inQuotes(sql, literal)
	case r == '"', r == '`':
		return inQuotes(sql, quoted)
	case r == '[':
		return until(quoted, "]", 1)
	case unicode.IsSpace(r):
		return while(blank, unicode.IsSpace)
	case r >= '0' && r <= '9':
		return while(number, func(r rune) bool { return inWord(r) || r == '.' })
	case inWord(r):
		return while(word, inWord)
	}
	return token{mark, sql[:size], false}
}

// inQuotes is the token of a text whose quote is its first byte, and stands for itself
// twice.
func inQuotes(sql string, k kind) token {
	for i := 1; i < len(sql); i++ {
		if sql[i] != sql[0] {
			continue
		}
		if i++; i == len(sql) || sql[i] != sql[0] {
			return token{k, sql[:i], false}
		}
	}
	return token{k, sql, true}
}

func inWord(r rune) bool {
	return r == '_' || r == '$' || r >= utf8.RuneSelf || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// isCommand reports whether a line is a command of the shell.
func isCommand(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), ".") }

// inputs collects lines into commands and SQL.
type inputs struct {
	sql  strings.Builder
	some bool   // sql has a statement that has not ended
	open string // what ends the literal, quoted name or comment that sql ends in
}

// add takes a line without its end, and returns what is complete with it, "" if more
// must come.
func (in *inputs) add(line string) string {
	if in.idle() && isCommand(line) {
		in.rest() // comments
		return strings.TrimSpace(line)
	}
	if in.sql.Len() > 0 {
		in.sql.WriteByte('\n')
	}
	in.sql.WriteString(line)
	if in.scan(line) && in.idle() {
		return in.rest()
	}
	return ""
}

// scan reads on in a line, and reports whether a statement ends there.
func (in *inputs) scan(line string) (ends bool) {
	for line != "" {
		if in.open != "" {
			// A quote that is written twice ends one literal and begins another: that makes
			// no difference here.
			_, after, ended := strings.Cut(line, in.open)
			if ended {
				in.open = ""
			}
			line = after
			continue
		}
		t := next(line)
		line = line[len(t.text):]
		switch {
		case t.kind == mark && t.text == ";":
			in.some, ends = false, true
		case t.kind != blank && t.kind != comment:
			in.some = true
		}
		if t.open {
			in.open = map[byte]string{'/': "*/", '[': "]"}[t.text[0]]
			if in.open == "" {
				in.open = t.text[:1]
			}
		}
	}
	return ends
}

// idle reports whether nothing is to be continued.
func (in *inputs) idle() bool { return in.open == "" && !in.some }

// rest returns what is not complete, and forgets it.
func (in *inputs) rest() string {
	sql := in.sql.String()
	*in = inputs{}
	return sql
}

// complete reports whether a text, of one line or more, can run.
func complete(text string) bool {
	var in inputs
	for line := range strings.SplitSeq(text, "\n") {
		in.add(line)
	}
	return in.idle()
}

// keywords are the words of SQLite's SELECT.
func keywords() []string {
	return strings.Fields(`ALL AND AS ASC BETWEEN BY CASE CAST COLLATE CROSS CURRENT CURRENT_DATE CURRENT_TIME
CURRENT_TIMESTAMP DESC DISTINCT ELSE END ESCAPE EXCEPT EXISTS EXPLAIN FILTER FIRST FOLLOWING FROM FULL GLOB GROUP
HAVING IN INNER INTERSECT IS ISNULL JOIN LAST LEFT LIKE LIMIT MATCH MATERIALIZED NATURAL NOT NOTNULL NULL NULLS
OFFSET ON OR ORDER OUTER OVER PARTITION PLAN PRAGMA PRECEDING QUERY RANGE RECURSIVE REGEXP RIGHT ROW ROWS SELECT
THEN UNBOUNDED UNION USING VALUES WHEN WHERE WINDOW WITH`)
}
