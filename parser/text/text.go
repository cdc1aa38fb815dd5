// Package text writes names that others chose as text that is safe to print, to
// compare and to store as JSON.
//
// A file, a process, a network interface or a socket may have any bytes for its
// name: terminal escapes, newlines, what is not UTF-8. [Escape] writes such a
// name as one line of printable UTF-8:
//
//	bytes of the name        text
//	/run/app.sock            /run/app.sock
//	eth0 ESC [31m            eth0\x1b[31m
//	caf E9 (Latin-1)         caf\xe9
//	dev-disk-by\x2duuid      dev-disk-by\x2duuid
//	a\x1b (six characters)   a\x5cx1b
//
// \xNN, with two lower-case hexadecimal digits, stands for one byte. So appear
// the bytes of
//
//   - what is not UTF-8;
//   - characters that are not graphic or that show nothing: controls (C0, DEL,
//     C1), format characters such as the bidirectional and zero-width ones, line
//     separators, variation selectors, and blanks other than the ASCII space;
//   - a backslash, as \x5c, where it would begin one of these escapes.
//
// Every other character stays, the backslash among them. An escape of another
// byte, such as \x2d in the names of systemd's units, is no escape of this
// package, so such names equal those that other programs show. [Unescape] gives
// back the bytes of the name: different names have different texts.
//
// Characters that look alike, as a Latin and a Cyrillic a, are left alone.
package text

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns the text of a name. It returns the name itself, without an
// allocation, if nothing in it is escaped.
func Escape(name string) string {
	if plain(name) {
		return name
	}
	var buffer [128]byte // enough for most
	if b := escape(buffer[:0], name, true); string(b) != name {
		return string(b)
	}
	return name
}

// Printable returns s without what [Escape] escapes, but every backslash as it
// is. It is for messages and computed values, which may hold escaped names:
// different ones may print alike.
func Printable(s string) string {
	if plain(s) {
		return s
	}
	return string(AppendPrintable(make([]byte, 0, len(s)+16), s))
}

// AppendPrintable appends [Printable] of s to b.
func AppendPrintable[S string | []byte](b []byte, s S) []byte {
	if plain(s) {
		return append(b, s...)
	}
	return escape(b, string(s), false)
}

// plain reports whether s is of printable ASCII without a backslash.
func plain[S string | []byte](s S) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// escape appends s with escapes, that of the backslash only if it is asked for.
func escape(b []byte, s string, backslash bool) []byte {
	for s != "" {
		size := 1
		var kept bool
		switch c := s[0]; {
		case c == '\\':
			_, ambiguous := escaped(s)
			kept = !ambiguous || !backslash
		case c < utf8.RuneSelf:
			kept = ' ' <= c && c <= '~'
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s)
			kept = !(r == utf8.RuneError && size == 1) && visible(r)
		}
		if kept {
			b = append(b, s[:size]...)
		} else {
			const hex = "0123456789abcdef"
			for i := range size {
				b = append(b, '\\', 'x', hex[s[i]>>4], hex[s[i]&0xf])
			}
		}
		s = s[size:]
	}
	return b
}

// visible reports whether a character leaves a mark or is the ASCII space.
// Unicode calls those that need not Default_Ignorable_Code_Point: format
// characters, which IsPrint excludes, and two more classes.
func visible(r rune) bool {
	return strconv.IsPrint(r) && !unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// escaped returns the byte that an escape at the start of s stands for. It is not
// ok if there is none: only bytes that [Escape] escapes have one.
func escaped(s string) (c byte, ok bool) {
	if len(s) < 4 || s[0] != '\\' || s[1] != 'x' || strings.ContainsAny(s[2:4], "ABCDEF") {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:4], 16, 8)
	c = byte(n)
	return c, err == nil && (c < ' ' || c > '~' || c == '\\')
}

// Unescape returns the name that a text of [Escape] stands for.
func Unescape(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for s != "" {
		c, ok := escaped(s)
		size := 4
		if !ok {
			c, size = s[0], 1
		}
		b = append(b, c)
		s = s[size:]
	}
	return string(b)
}
