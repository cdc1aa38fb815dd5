package host

import (
	"context"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Statistic is a counter of a network namespace.
type Statistic struct {
	sock.Statistic
	Namespace uint32 // inode number; 0 if it is not known
}

// statisticsFiles are the files of /proc/net that have counters. Those that need
// not be there are missing where the kernel has no IPv6 or SCTP.
var statisticsFiles = []source.File[sock.Statistic]{
	{Name: "snmp", Required: true, Decode: procnet.PairedStatistics},
	{Name: "netstat", Required: true, Decode: procnet.PairedStatistics},
	{Name: "snmp6", Required: false, Decode: procnet.NamedStatistics},
	{Name: "sctp/snmp", Required: false, Decode: procnet.NamedStatistics},
}

// Statistics streams the counters of network namespaces. It needs no privilege
// in the program's own.
func (h *Host) Statistics(ctx context.Context, namespaces Namespaces) iter.Seq2[Statistic, error] {
	return netns.Each(ctx, h.netns, namespaces, func(in *netns.Handle) iter.Seq2[Statistic, error] {
		return func(yield func(Statistic, error) bool) {
			for s, err := range source.Concat(statisticsFiles, func(f source.File[sock.Statistic]) iter.Seq2[sock.Statistic, error] {
				return source.Read(ctx, in, f, &usage.Usage{})
			}) {
				if !yield(Statistic{s, in.Inode}, err) {
					return
				}
			}
		}
	})
}
