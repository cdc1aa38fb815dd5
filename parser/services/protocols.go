package services

import (
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Protocol is one line of /etc/protocols. See [Entry] for its texts.
type Protocol struct {
	Name    string
	Number  int32 // of the IP header from 0 to 255; above that Linux's own, such as 262 for MPTCP
	Aliases []string
	Comment string // without the '#' and surrounding white space; empty if there is none
	Line    int    // counted from 1
}

// Protocols streams the entries of /etc/protocols, the file that gives IP
// protocols their names, as getprotobynumber(3) of the GNU C library reads it
// (nss/nss_files/files-proto.c). A line is
//
//	name  number  [alias ...]  [# comment]
//
// with the habits of /etc/services. The number is read by strtoul(3) with base
// 10. The C library takes one from 2^31 to 2^32-1 for a negative number: that is
// a malformed line here. See [parser.Entries] for skipped and errors.
func Protocols(r io.Reader, skipped func(*parser.LineError)) iter.Seq2[Protocol, error] {
	return parser.Entries(r, skipped, func(p *Protocol, number int, line string) (reason string) {
		p.Line = number
		return p.parse(line)
	})
}

// FoundProtocols passes on the entries that getprotobyname(3) or
// getprotobynumber(3) can return: see [Found].
func FoundProtocols(entries iter.Seq2[Protocol, error]) iter.Seq2[Protocol, error] {
	return found(entries, func(p *Protocol) (name string, aliases []string, number key) {
		return p.Name, p.Aliases, key{number: p.Number}
	})
}

// parse fills in everything but the line number. It returns what was expected
// of a malformed line, or nothing.
func (p *Protocol) parse(line string) (reason string) {
	line, comment, _ := strings.Cut(line, "#")
	p.Comment = trim(comment)
	p.Name, line = word(line)
	digits, line := word(line)
	n, err := strconv.ParseUint(strings.TrimPrefix(digits, "+"), 10, 31)
	if err != nil {
		return "expected a name and a number from 0 to 2147483647"
	}
	p.Number, p.Aliases = int32(n), allWords(line)
	return ""
}
