package procnet

import (
	"bytes"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Summaries streams the counts of /proc/net/sockstat or sockstat6
// (sockstat_seq_show, net/ipv4/proc.c; sockstat6_seq_show, net/ipv6/proc.c):
//
//	sockets: used 290
//	TCP: inuse 38 orphan 0 tw 11 alloc 43 mem 6
//	FRAG: inuse 0 memory 0
//
// The last line is that of fragments. Lines and words that are not known are passed by. Errors are of type
// [*parser.LineError], or the reader's own.
func Summaries(r io.Reader) iter.Seq2[sock.Summary, error] {
	return parser.List[sock.Summary]{NotEmpty: true, Line: func(line parser.Line) (s sock.Summary, ok bool, err error) {
		f := fields{rest: line.Text}
		protocol, known := bytes.CutSuffix(f.next(), []byte(":"))
		s.Protocol = string(protocol)
		used, counted := "inuse", false
		if s.Protocol == sock.AllSockets {
			used = "used"
		}
		for word := f.next(); len(word) > 0; word = f.next() {
			var number *int64
			switch string(word) {
			case used:
				number, counted = &s.InUse, true
			case "orphan":
				s.Orphans = new(int64)
				number = s.Orphans
			case "tw":
				s.TimeWait = new(int64)
				number = s.TimeWait
			case "alloc":
				s.Allocated = new(int64)
				number = s.Allocated
			case "mem":
				s.MemoryPages = new(int64)
				number = s.MemoryPages
			case "memory":
				s.MemoryBytes = new(int64)
				number = s.MemoryBytes
			default:
				f.next()
				continue
			}
			*number, _ = f.signed(string(word))
		}
		switch {
		case line.Cut && s.MemoryBytes == nil:
			return s, false, line.Error("expected the memory of fragments, with which the file ends")
		case !known || !counted:
			return s, false, nil
		case f.reason != "":
			return s, false, line.Error(f.reason)
		}
		return s, true, nil
	}}.Decode(r)
}
