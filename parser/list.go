package parser

import (
	"fmt"
	"io"
	"iter"
)

// MaxLine is the length in bytes from which a line is too long.
const MaxLine = 1 << 20

// List describes a text file that has its records in lines.
type List[T any] struct {
	// Header reports whether the first line is that of this list; nil if the
	// list has no header.
	Header func(line []byte) bool
	// Line decodes a line beneath the header. It is not ok if the line completes
	// no record. Its error is of [Line.Error].
	//
	// The last line of a copy may lack its newline, see [Line.Cut]. It is decoded
	// too, and an error if it is not whole as far as Line can tell.
	Line func(Line) (v T, ok bool, err error)
	// End is called after the last line, where a record may have been waiting for
	// more. It may be nil.
	End func() (v T, ok bool, err error)
	// NotEmpty says that the list always has a line, though it has no header.
	NotEmpty bool
	// Parts makes Line decode also a line that is too long, of which it sees the
	// beginning. It is an error otherwise.
	Parts bool
}

// Decode streams the records of r. The first error is the last of the sequence:
// a [*LineError], or the reader's own, wrapped with the number of the line. It
// goes through r once, as the sequence does.
func (l List[T]) Decode(r io.Reader) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		header, empty := l.Header == nil, true
		for line, err := range Lines(r, MaxLine) {
			var v T
			ok := false
			empty = false
			switch {
			case err != nil:
				err = fmt.Errorf("line %d: %w", line.Number, err)
			case line.Long && !l.Parts:
				err = line.Error("the line is too long")
			case header:
				v, ok, err = l.Line(line)
			default:
				if header = l.Header(line.Text); !header {
					err = line.Error("expected the header of another list")
				}
			}
			if err != nil && line.Cut {
				err = line.Error("the file ends in the middle of a line")
			}
			if ok && !yield(v, nil) {
				return
			}
			if err != nil {
				yield(none, err)
				return
			}
		}
		switch {
		case !header:
			yield(none, NewLineError(1, nil, "the file is empty, even its header is missing"))
			return
		case empty && l.NotEmpty:
			yield(none, NewLineError(1, nil, "the file is empty"))
			return
		}
		if l.End == nil {
			return
		}
		v, ok, err := l.End()
		if ok && !yield(v, nil) {
			return
		}
		if err != nil {
			yield(none, err)
		}
	}
}

// Error returns the error of a line for that reason.
func (l Line) Error(reason string) error { return NewLineError(l.Number, l.Text, reason) }
