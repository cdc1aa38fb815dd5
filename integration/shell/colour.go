package shell

import (
	"slices"
	"strings"
)

// Colours of a terminal.
const (
	bold    = "\x1b[1m"
	red     = "\x1b[31m"
	green   = "\x1b[32m"
	yellow  = "\x1b[33m"
	blue    = "\x1b[1;34m"
	magenta = "\x1b[35m"
	cyan    = "\x1b[36m"
	grey    = "\x1b[90m"
	plain   = "\x1b[0m"
)

// highlighter colours SQL by its words.
type highlighter struct {
	keywords, tables []string // sorted; keywords in capitals
}

// colour returns the text with colours in it.
func (h *highlighter) colour(text string) string {
	var b strings.Builder
	add := func(colour, text string) {
		if colour == "" {
			b.WriteString(text)
			return
		}
		b.WriteString(colour + text + plain)
	}
	if isCommand(text) {
		command, rest, _ := strings.Cut(text, " ")
		add(cyan, command)
		b.WriteString(text[len(command) : len(text)-len(rest)])
		text = rest
	}
	for _, t := range tokens(text) {
		colour := ""
		switch t.kind {
		case word:
			if _, ok := slices.BinarySearch(h.keywords, strings.ToUpper(t.text)); ok {
				colour = blue
			} else if _, ok := slices.BinarySearch(h.tables, strings.ToLower(t.text)); ok {
				colour = magenta
			}
		case literal:
			colour = green
		case number:
			colour = yellow
		case comment:
			colour = grey
		}
		add(colour, t.text)
	}
	return b.String()
}
