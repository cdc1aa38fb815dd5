// Package parser is the root of the decoders: each turns bytes into values,
// does no I/O beyond reading the io.Reader it is given, and is fuzzed.
package parser

import (
	"bytes"
	"fmt"
	"io"
	"iter"
)

// LineError is a line of a text file that could not be understood.
type LineError struct {
	Line   int    // counted from 1
	Text   string // the offending text, cut to a readable length
	Reason string // what was expected
}

// Error says which line was wrong, how, and shows it.
func (e *LineError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("line %d: %s: %q", e.Line, e.Reason, e.Text)
}

// maxErrorText keeps error messages readable.
const maxErrorText = 80

// NewLineError makes a LineError, cutting text to a readable length.
func NewLineError(line int, text []byte, reason string) *LineError {
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return &LineError{Line: line, Text: string(text), Reason: reason}
}

// Line is one line of a file, without its newline.
type Line struct {
	Number int    // counted from 1
	Text   []byte // valid until the next line is asked for; the first max bytes if Long
	Long   bool   // the line has max bytes or more
	// Cut says that the file ends without a newline after this line. The kernel ends
	// each with one: the file is a copy that has lost it, or it was cut off.
	Cut bool
}

// firstBuffer holds what one read of a list in /proc gives, a page, and more. A
// line that does not fit makes the buffer grow.
const firstBuffer = 16 << 10

// Lines streams the lines of r, of less than max bytes each, through one buffer. The
// last pair carries the reader's error, if it failed.
func Lines(r io.Reader, max int) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		buf := make([]byte, min(max, firstBuffer))
		var start, end, number int
		skipping := false
		for {
			// Look for newlines in what is there.
			for {
				i := bytes.IndexByte(buf[start:end], '\n')
				if i < 0 {
					break
				}
				text := buf[start : start+i]
				start += i + 1
				if skipping {
					skipping = false
					continue
				}
				number++
				if !yield(Line{Number: number, Text: text}, nil) {
					return
				}
			}
			// Make room, then read more.
			if skipping {
				start, end = 0, 0
			} else if start > 0 {
				end = copy(buf, buf[start:end])
				start = 0
			}
			if end == len(buf) {
				if len(buf) < max {
					buf = append(buf, make([]byte, min(len(buf), max-len(buf)))...)
				} else {
					number++
					if !yield(Line{Number: number, Text: buf[:end], Long: true}, nil) {
						return
					}
					skipping = true
					start, end = 0, 0
				}
			}
			n, err := r.Read(buf[end:])
			end += n
			if err == nil {
				continue
			}
			if err != io.EOF {
				yield(Line{Number: number + 1}, err)
				return
			}
			if n > 0 {
				// The newlines in what came with the EOF are still to be found.
				r = eof{}
				continue
			}
			if end > start && !skipping {
				yield(Line{Number: number + 1, Text: buf[start:end], Cut: true}, nil)
			}
			return
		}
	}
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
