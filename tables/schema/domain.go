package schema

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Words says that the column has one of a few words, or the number of what has no
// word, or is empty. The function is called when somebody asks.
func Words(words func() []string) Option {
	return func(c *ColumnInfo) { c.domain = &domain{words: words} }
}

// Only says which texts the column can have besides the empty one: what they are,
// such as "a number", and whether a text is one.
func Only(what string, is func(string) bool) Option {
	return func(c *ColumnInfo) { c.domain = &domain{what: what, is: is} }
}

// domain is the texts that a column can have.
type domain struct {
	words func() []string
	what  string
	is    func(string) bool
	// canonical spells a text as the column does, or returns "".
	canonical func(string) string
}

// addresses is the domain of a column of addresses.
var addresses = &domain{
	what: "an IP address such as 127.0.0.1 or ::1",
	is: func(text string) bool {
		a, ok := parse[netip.Addr](text)
		return ok && spelled(a) == text
	},
	canonical: func(text string) string {
		if a, ok := parse[netip.Addr](text); ok {
			return spelled(a)
		}
		return ""
	},
}

// spelled returns the text of a value in a column.
func spelled[V Value](v V) string {
	var c Cell
	put(&c, v)
	return string(c.AppendText(nil))
}

// Words returns the words that the column can have; nil if they are not a few.
func (c *ColumnInfo) Words() []string {
	if c.domain == nil || c.domain.words == nil {
		return nil
	}
	return c.domain.words()
}

// Mistake returns why no row has such a text in the column, for the one who wrote
// it in a comparison; "" if a row may. like says that the text is a pattern of LIKE.
func (c *ColumnInfo) Mistake(value string, like bool) string {
	d := c.domain
	if d == nil || value == "" || like && d.words == nil {
		return ""
	}
	what, nearest := d.what, ""
	if d.words != nil {
		words := d.words()
		if strings.Trim(value, "0123456789") == "" || slices.ContainsFunc(words, func(word string) bool { return word == value || like && Like(value, word) }) {
			return ""
		}
		nearest = Nearest(value, words)
		what = "one of " + strings.Join(words, ", ")
	} else if d.is(value) {
		return ""
	} else if d.canonical != nil {
		nearest = d.canonical(value)
	}
	relation := "="
	if like {
		relation, nearest = "LIKE", ""
	}
	s := fmt.Sprintf("no row has %s %s '%s': it is %s", c.Name, relation, value, what)
	if nearest != "" {
		s += fmt.Sprintf("; did you mean '%s'?", nearest)
	}
	return s
}

// Like reports whether a text matches a pattern of SQLite's LIKE: % is any text, _
// any character, and the case of ASCII letters does not matter.
func Like(pattern, text string) bool {
	for pattern != "" {
		switch c := pattern[0]; {
		case c == '%':
			for i := 0; i <= len(text); i++ {
				if Like(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case text == "" || c != '_' && lower(c) != lower(text[0]):
			return false
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Nearest returns the word that somebody who wrote a text may have meant, "" if none
// is near: one that begins with it or with which it begins, or in which few letters
// differ. The case of letters does not matter.
func Nearest(text string, words []string) string {
	fold := func(s string) string { return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(s)) }
	text = fold(text)
	limit := max(1, len(text)/3)
	near := make(map[string]int)
	for _, word := range words {
		w := fold(word)
		begins := (strings.HasPrefix(w, text) || strings.HasPrefix(text, w)) && min(len(w), len(text)) >= 3
		switch {
		case w == text:
			near[word] = 0
		case begins:
			near[word] = 1
		case max(len(w)-len(text), len(text)-len(w)) > limit: // so is the distance
		default:
			if d := distance(text, w); d <= limit {
				near[word] = d
			}
		}
	}
	best := ""
	for _, word := range words { // of several as near the first
		if d, ok := near[word]; ok && (best == "" || cmp.Less(d, near[best])) {
			best = word
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace, and the pairs of
// neighbours to swap, to make b of a (the restricted Damerau-Levenshtein distance).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1) // by the lengths of beginnings of both
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
