package procnet

import (
	"bytes"
	"io"
	"iter"
	"math"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// PairedStatistics streams the counters of /proc/net/snmp and /proc/net/netstat
// (snmp_seq_show and netstat_seq_show, net/ipv4/proc.c): of each protocol a line
// of names, and one of values behind it.
//
//	Udp: InDatagrams NoPorts
//	Udp: 89 0
//
// A file of one line of names has no counters: gVisor's netstat is so
// (pkg/sentry/fsimpl/proc/task_net.go). Lines that begin with no protocol are
// passed by. Errors are of type [*parser.LineError], or the reader's own.
func PairedStatistics(r io.Reader) iter.Seq2[sock.Statistic, error] {
	return func(yield func(sock.Statistic, error) bool) {
		for all, err := range pairs().Decode(r) {
			if err != nil {
				yield(sock.Statistic{}, err)
				return
			}
			for _, s := range all {
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

// pairs has all counters of a protocol for a record.
func pairs() parser.List[[]sock.Statistic] {
	var names []string
	var protocol string // of the names; "" between two pairs
	number := 0         // of the last line
	some := false
	return parser.List[[]sock.Statistic]{
		NotEmpty: true,
		Line: func(line parser.Line) (all []sock.Statistic, ok bool, err error) {
			number = line.Number
			f := fields{rest: line.Text}
			head, ok := bytes.CutSuffix(f.next(), []byte(":"))
			switch {
			case !ok || len(head) == 0:
				if line.Cut {
					err = line.Error("expected a protocol and a colon")
				}
				return nil, false, err
			case protocol == "" && line.Cut:
				return nil, false, line.Error("expected the values of these names in the next line")
			case protocol == "":
				protocol, names = string(head), names[:0]
				for name := f.next(); len(name) > 0; name = f.next() {
					names = append(names, string(name))
				}
				return nil, false, nil
			case string(head) != protocol:
				return nil, false, line.Error("expected the values of " + protocol)
			}
			for _, name := range names {
				s := sock.Statistic{Protocol: protocol, Name: name}
				s.Value, s.TooLarge = f.signed(name)
				all = append(all, s)
			}
			if len(f.next()) > 0 {
				f.fail("there are more values than names")
			}
			if f.reason != "" {
				return nil, false, line.Error(f.reason)
			}
			protocol, some = "", true
			return all, true, nil
		},
		End: func() (all []sock.Statistic, ok bool, err error) {
			if protocol != "" && some {
				err = parser.NewLineError(number, nil, "the values of "+protocol+" are missing behind this line")
			}
			return nil, false, err
		},
	}
}

// NamedStatistics streams the counters of /proc/net/snmp6 (snmp6_seq_show,
// net/ipv6/proc.c) and /proc/net/sctp/snmp (sctp_snmp_seq_show,
// net/sctp/proc.c): one a line, with the protocol as the beginning of its name,
// up to the 6 or as Sctp.
//
//	Udp6NoPorts                     	0
//
// Lines with another beginning are passed by. Errors are as those of
// [PairedStatistics].
func NamedStatistics(r io.Reader) iter.Seq2[sock.Statistic, error] {
	return parser.List[sock.Statistic]{
		NotEmpty: true,
		Line: func(line parser.Line) (s sock.Statistic, ok bool, err error) {
			f := fields{rest: line.Text}
			name := f.next()
			end := len("Sctp")
			if !bytes.HasPrefix(name, []byte("Sctp")) {
				end = bytes.IndexByte(name, '6') + 1
			}
			if end == 0 || end == len(name) {
				if line.Cut {
					err = line.Error("expected a name and a number")
				}
				return s, false, err
			}
			s.Protocol, s.Name = string(name[:end]), string(name[end:])
			s.Value, s.TooLarge = f.signed(s.Name)
			if f.reason != "" {
				return s, false, line.Error(f.reason)
			}
			return s, true, nil
		},
	}.Decode(r)
}

// signed decodes the next field as a decimal number that may be negative, or
// of 64 bits without a sign.
func (f *fields) signed(name string) (v int64, tooLarge bool) {
	f.rest = bytes.TrimLeft(f.rest, blanks)
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
