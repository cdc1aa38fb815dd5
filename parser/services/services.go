// Package services decodes /etc/services, the file that gives ports their
// names, as getservbyport(3) of the GNU C library reads it
// (nss/nss_files/files-service.c and files-parse.c), and its sibling
// /etc/protocols, see [Protocols].
//
// A line is
//
//	name  port/protocol  [alias ...]  [# comment]
//
// with any amount of white space between the fields and before the name; white
// space is what isspace(3) says in the C locale, so the carriage return at the
// end of a DOS line is part of it. A comment starts at the first '#', wherever
// that is, and a line ends at its first NUL byte. The port is read by
// strtoul(3) with base 0: 0x50 and 0120 are both port 80.
//
// The C library is laxer than this package in three things, which are malformed
// lines here: a port above 65535 (there the upper bits are cut off, so that
// 65616/tcp names port 80), a negative port (there 65535), and a port without a
// protocol. The old BSD spelling 80,tcp is malformed in both.
package services

import (
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Entry is one line of the file. Its texts are bytes as the file has them, which
// need not be UTF-8. They share the memory of the line.
type Entry struct {
	Name     string
	Port     uint16 // in host byte order
	Protocol string // tcp, udp, sctp, dccp, ddp, or any other word, in the file's case
	Aliases  []string
	Comment  string // without the '#' and surrounding white space; empty if there is none
	Line     int    // counted from 1
}

// Decode streams the entries in the file's order. Nothing is merged: the C
// library's getservbyport and getservbyname return the first entry that fits,
// and so should a caller who looks for one; see [Found].
//
// A malformed line is skipped: see [parser.Entries] for skipped and errors.
func Decode(r io.Reader, skipped func(*parser.LineError)) iter.Seq2[Entry, error] {
	return parser.Entries(r, skipped, func(e *Entry, number int, line string) (reason string) {
		e.Line = number
		return e.parse(line)
	})
}

// Found passes on the entries that the C library can find, and every error: those
// that are the first of their name, of an alias or of their port, with their
// protocol. getservbyname(3) and getservbyport(3) never return another. It
// remembers what it has seen.
func Found(entries iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
	return found(entries, func(e *Entry) (name string, aliases []string, number key) {
		return e.Name, e.Aliases, key{number: int32(e.Port), protocol: e.Protocol}
	})
}

// key is what an entry is looked up by: a name or, if that is empty, a number.
type key struct {
	name     string
	number   int32
	protocol string
}

// found passes on the entries of which a key is new, and every error.
func found[T any](entries iter.Seq2[T, error], keys func(*T) (name string, aliases []string, number key)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		seen := make(map[key]struct{})
		for e, err := range entries {
			first := err != nil
			look := func(k key) {
				if _, again := seen[k]; !again {
					seen[k], first = struct{}{}, true
				}
			}
			if err == nil {
				name, aliases, number := keys(&e)
				look(number)
				look(key{name: name, protocol: number.protocol})
				for _, alias := range aliases {
					look(key{name: alias, protocol: number.protocol})
				}
			}
			if first && !yield(e, err) {
				return
			}
		}
	}
}

// parse fills in everything but the line number. It returns what was expected
// of a malformed line, or nothing.
func (e *Entry) parse(line string) (reason string) {
	line, comment, _ := strings.Cut(line, "#")
	e.Comment = trim(comment)

	e.Name, line = word(line)
	port, line := word(line)
	port, e.Protocol, _ = strings.Cut(port, "/")
	e.Protocol = strings.TrimLeft(e.Protocol, "/") // 80//tcp is 80/tcp for the C library too
	if port == "" || e.Protocol == "" {
		return "expected name port/protocol"
	}
	var ok bool
	if e.Port, ok = parsePort(port); !ok {
		return "expected a port from 0 to 65535"
	}
	e.Aliases = allWords(line)
	return ""
}

// allWords returns the words of s; nil if there are none.
func allWords(s string) (all []string) {
	if n := words(s); n > 0 {
		all = make([]string, n)
		for i := range all {
			all[i], s = word(s)
		}
	}
	return all
}

// parsePort reads a number as strtoul(3) with base 0 does: 0x starts a
// hexadecimal and 0 an octal one.
func parsePort(s string) (port uint16, ok bool) {
	s = strings.TrimPrefix(s, "+")
	base := 10
	if len(s) > 1 && s[0] == '0' {
		s, base = s[1:], 8
		if s[0] == 'x' || s[0] == 'X' {
			s, base = s[1:], 16
		}
	}
	// ParseUint with an explicit base takes digits only: no sign, no underscore.
	n, err := strconv.ParseUint(s, base, 16)
	return uint16(n), err == nil
}

// word cuts off the first word of s and the white space around it.
func word(s string) (first, rest string) {
	s = trimLeft(s)
	end := 0
	for end < len(s) && !parser.IsSpace(s[end]) {
		end++
	}
	return s[:end], trimLeft(s[end:])
}

// words counts the words of s.
func words(s string) (n int) {
	inWord := false
	for i := range len(s) {
		space := parser.IsSpace(s[i])
		if !space && !inWord {
			n++
		}
		inWord = !space
	}
	return n
}

func trimLeft(s string) string {
	for s != "" && parser.IsSpace(s[0]) {
		s = s[1:]
	}
	return s
}

func trim(s string) string {
	s = trimLeft(s)
	for s != "" && parser.IsSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
