package procnet

import (
	"bytes"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// maxStatisticsLine is more than the counters of a protocol take: those of
// TcpExt have about 3 KiB.
const maxStatisticsLine = 64 << 10

// PairedStatistics streams the counters of /proc/net/snmp and /proc/net/netstat
// (snmp_seq_show and netstat_seq_show, net/ipv4/proc.c): of each protocol a line
// of names, and one of values behind it.
//
//	Udp: InDatagrams NoPorts
//	Udp: 89 0
//
// Errors are of type [*parser.LineError], or the reader's own.
func PairedStatistics(r io.Reader) iter.Seq2[sock.Statistic, error] {
	return func(yield func(sock.Statistic, error) bool) {
		fail := func(l parser.Line, reason string) {
			yield(sock.Statistic{}, parser.NewLineError(l.Number, l.Text, reason))
		}
		var names []string
		var protocol string
		var last parser.Line
		for line, err := range parser.Lines(r, maxStatisticsLine) {
			if err != nil {
				yield(sock.Statistic{}, err)
				return
			}
			if reason := incomplete(line); reason != "" {
				fail(line, reason)
				return
			}
			f := fields{rest: line.Text}
			head, ok := bytes.CutSuffix(f.next(), []byte(":"))
			if !ok || len(head) == 0 {
				fail(line, "expected a protocol and a colon")
				return
			}
			if protocol == "" {
				protocol, names, last = string(head), names[:0], line
				for name := f.next(); len(name) > 0; name = f.next() {
					names = append(names, string(name))
				}
				continue
			}
			if string(head) != protocol {
				fail(line, "expected the values of "+protocol)
				return
			}
			values := make([]sock.Statistic, 0, len(names))
			for _, name := range names {
				s := sock.Statistic{Protocol: protocol, Name: name}
				s.Value, s.TooLarge = f.signed(name)
				values = append(values, s)
			}
			if len(f.next()) > 0 {
				f.fail("there are more values than names")
			}
			if f.reason != "" {
				fail(line, f.reason)
				return
			}
			protocol = ""
			for s := range slices.Values(values) {
				if !yield(s, nil) {
					return
				}
			}
		}
		if protocol != "" {
			last.Text = nil
			fail(last, "the values of "+protocol+" are missing behind this line")
		} else if last.Number == 0 {
			yield(sock.Statistic{}, parser.NewLineError(1, nil, "the file is empty"))
		}
	}
}

// NamedStatistics streams the counters of /proc/net/snmp6 (snmp6_seq_show,
// net/ipv6/proc.c) and /proc/net/sctp/snmp (sctp_snmp_seq_show,
// net/sctp/proc.c): one a line, with the protocol as the beginning of its name,
// up to the 6 or as Sctp.
//
//	Udp6NoPorts                     	0
//
// Errors are as those of [PairedStatistics].
func NamedStatistics(r io.Reader) iter.Seq2[sock.Statistic, error] {
	return func(yield func(sock.Statistic, error) bool) {
		none := true
		for line, err := range parser.Lines(r, maxLine) {
			if err != nil {
				yield(sock.Statistic{}, err)
				return
			}
			none = false
			reason := incomplete(line)
			// The kernel puts a tab before the value.
			f := fields{rest: bytes.ReplaceAll(line.Text, []byte("\t"), []byte(" "))}
			name := f.next()
			end := len("Sctp")
			if !bytes.HasPrefix(name, []byte("Sctp")) {
				end = bytes.IndexByte(name, '6') + 1
			}
			var s sock.Statistic
			if end == 0 || end == len(name) {
				f.fail("expected a name that begins with a protocol of IPv6 or with Sctp")
			} else {
				s.Protocol, s.Name = string(name[:end]), string(name[end:])
			}
			s.Value, s.TooLarge = f.signed(s.Name)
			if reason == "" {
				reason = f.reason
			}
			if reason != "" {
				yield(sock.Statistic{}, parser.NewLineError(line.Number, line.Text, reason))
				return
			}
			if !yield(s, nil) {
				return
			}
		}
		if none {
			yield(sock.Statistic{}, parser.NewLineError(1, nil, "the file is empty"))
		}
	}
}

// incomplete returns why a line is not whole, or nothing.
func incomplete(l parser.Line) string {
	switch {
	case l.Cut:
		return "the file ends in the middle of a line"
	case l.Long:
		return "the line is too long"
	}
	return ""
}

// signed decodes the next field as a decimal number that may be negative, or
// of 64 bits without a sign.
func (f *fields) signed(name string) (v int64, tooLarge bool) {
	for len(f.rest) > 0 && f.rest[0] == ' ' {
		f.rest = f.rest[1:]
	}
	negative := len(f.rest) > 0 && f.rest[0] == '-'
	if negative {
		f.rest = f.rest[1:]
		if len(f.rest) > 0 && f.rest[0] == ' ' {
			f.fail(name + ": expected a decimal number")
			return 0, false
		}
	}
	n := f.dec(name, 64)
	switch {
	case negative && n > 1<<63:
		f.fail(name + ": the number is too small")
		return 0, false
	case negative:
		return -int64(n), false
	case n > math.MaxInt64:
		return 0, true
	}
	return int64(n), false
}
