package parser

import (
	"iter"
	"slices"
)

// Fields streams the words of a line that the kernel printed. It separates them by
// spaces and tabs; every other byte is part of a word, also where Unicode sees
// white space: interfaces, files and processes have the names that users chose.
func Fields[S ~string | ~[]byte](line S) iter.Seq[S] {
	return func(yield func(S) bool) {
		start := 0
		for i := range len(line) + 1 {
			if i < len(line) && !IsBlank(line[i]) {
				continue
			}
			if start < i && !yield(line[start:i]) {
				return
			}
			start = i + 1
		}
	}
}

// IsBlank reports whether the kernel separates words by c.
func IsBlank(c byte) bool { return c == ' ' || c == '\t' }

// Words returns a [List]'s Header that takes a line which begins with these
// words, whatever the blanks between.
func Words(words string) func(line []byte) bool {
	want := slices.Collect(Fields(words))
	return func(line []byte) bool {
		n := 0
		for word := range Fields(line) {
			if n == len(want) {
				break
			}
			if string(word) != want[n] {
				return false
			}
			n++
		}
		return n == len(want)
	}
}
