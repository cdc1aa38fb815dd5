package host

import (
	"context"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Statistic is a counter of a network namespace.
type Statistic struct {
	sock.Statistic
	Namespace uint32 // inode number; 0 if it is not known
}

// statisticsFile is a file of /proc/net that has counters. One that need not be
// there is missing where the kernel has no IPv6 or SCTP.
type statisticsFile struct {
	name   string
	decode func(io.Reader) iter.Seq2[sock.Statistic, error]
	must   bool
}

var statisticsFiles = []statisticsFile{
	{"snmp", procnet.PairedStatistics, true},
	{"netstat", procnet.PairedStatistics, true},
	{"snmp6", procnet.NamedStatistics, false},
	{"sctp/snmp", procnet.NamedStatistics, false},
}

// Statistics streams the counters of network namespaces. It needs no privilege
// in the program's own.
func (h *Host) Statistics(ctx context.Context, namespaces Namespaces) iter.Seq2[Statistic, error] {
	return func(yield func(Statistic, error) bool) {
		inEach(ctx, h, namespaces, yield, func(p *place, yield func(Statistic, error) bool) (more bool, err error) {
			for _, f := range statisticsFiles {
				more, err = readNet(ctx, h, p, f.name, f.must, f.decode, func(s sock.Statistic) bool {
					return yield(Statistic{s, p.inode}, nil)
				})
				if err != nil || !more {
					return more, err
				}
			}
			return true, nil
		})
	}
}
