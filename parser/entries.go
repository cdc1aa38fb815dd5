package parser

import (
	"io"
	"iter"
	"strings"
)

// Entries streams what parse makes of the lines of a file of /etc, as the GNU C
// library reads them (nss/nss_files): white space at the beginning is no part of a
// line, a NUL ends it, and empty lines and those that begin with '#' are passed by.
//
// A malformed line is no error: it is skipped, and handed to skipped if that is not
// nil. Parse returns what was expected of it, or nothing. The only error is the
// reader's own, wrapped, and the last of the sequence.
func Entries[T any](r io.Reader, skipped func(*LineError), parse func(e *T, number int, line string) (reason string)) iter.Seq2[T, error] {
	return List[T]{Parts: true, Line: func(line Line) (e T, ok bool, err error) {
		start := 0
		for start < len(line.Text) && IsSpace(line.Text[start]) {
			start++
		}
		if text := line.Text[start:]; len(text) == 0 || text[0] == '#' || text[0] == 0 {
			return e, false, nil
		}
		reason := "the line is too long"
		if !line.Long {
			text, _, _ := strings.Cut(string(line.Text[start:]), "\x00")
			reason = parse(&e, line.Number, text)
		}
		if reason != "" && skipped != nil {
			skipped(NewLineError(line.Number, line.Text, reason))
		}
		return e, reason == "", nil
	}}.Decode(r)
}

// IsSpace is isspace(3) in the C locale.
func IsSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
