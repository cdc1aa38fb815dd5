package host

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Statistic is a counter of a network namespace.
type Statistic struct {
	sock.Statistic
	Namespace uint32 // inode number; 0 if it is not known
}

// statisticsFiles are the files of /proc/net that have counters. Those that need
// not be there are missing where the kernel has no IPv6 or SCTP.
var statisticsFiles = []netFile[sock.Statistic]{
	{"snmp", true, procnet.PairedStatistics},
	{"netstat", true, procnet.PairedStatistics},
	{"snmp6", false, procnet.NamedStatistics},
	{"sctp/snmp", false, procnet.NamedStatistics},
}

// Statistics streams the counters of network namespaces. It needs no privilege
// in the program's own.
func (h *Host) Statistics(ctx context.Context, namespaces Namespaces) iter.Seq2[Statistic, error] {
	return netns.Each(ctx, h.netns, namespaces, func(in *netns.Handle) iter.Seq2[Statistic, error] {
		return func(yield func(Statistic, error) bool) {
			for s, err := range concat(statisticsFiles, func(f netFile[sock.Statistic]) iter.Seq2[sock.Statistic, error] {
				return readNet(ctx, in, f, &usage.Usage{})
			}) {
				if !yield(Statistic{s, in.Inode}, err) {
					return
				}
			}
		}
	})
}
