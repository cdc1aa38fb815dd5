package procnet

import (
	"bytes"
	"fmt"
	"io"
	"iter"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
)

// devCounters are the columns of /proc/net/dev, as dev_seq_printf_stats of
// net/core/net-procfs.c prints them.
var devCounters = [...]int{
	network.RxBytes, network.RxPackets, network.RxErrors, network.RxDrops, network.RxFIFOErrors, network.RxFrame, network.RxCompressed, network.MulticastPackets,
	network.TxBytes, network.TxPackets, network.TxErrors, network.TxDropped, network.TxFIFOErrors, network.Collisions, network.TxCarrier, network.TxCompressed,
}

// devHeaders are the lines above those of the interfaces.
const devHeaders = 2

// Links streams the interfaces of /proc/net/dev, with their names and counters
// (dev_seq_show, net/core/net-procfs.c):
//
//	Inter-|   Receive                                                |  Transmit
//	 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs …
//	  eth0:    1988      14    0    0    0     0          0         0     1988      14    0 …
//
// The kernel prints the list in pieces, so that an interface may be in it twice
// when others came meanwhile; Links yields it once. Errors are as of [TCP].
func Links(r io.Reader) iter.Seq2[network.Link, error] {
	return func(yield func(network.Link, error) bool) {
		seen := make(map[string]struct{})
		lines := 0
		for line, err := range parser.Lines(r, maxLine) {
			if err != nil {
				yield(network.Link{}, err)
				return
			}
			lines++
			reason := incomplete(line)
			l := network.Link{FromProc: true}
			if reason == "" && lines > devHeaders {
				colon := bytes.LastIndexByte(line.Text, ':')
				l.Name = string(bytes.TrimSpace(line.Text[:max(colon, 0)]))
				f := fields{rest: line.Text[colon+1:]}
				for _, counter := range devCounters {
					l.Counters.Set(counter, f.dec("counter", 64))
				}
				if reason = f.reason; l.Name == "" || reason != "" {
					reason = fmt.Sprintf("expected the name of an interface, a colon and %d numbers", len(devCounters))
				}
			}
			if reason != "" {
				yield(network.Link{}, parser.NewLineError(line.Number, line.Text, reason))
				return
			}
			if _, twice := seen[l.Name]; twice || lines <= devHeaders {
				continue
			}
			seen[l.Name] = struct{}{}
			if !yield(l, nil) {
				return
			}
		}
		if lines < devHeaders {
			yield(network.Link{}, parser.NewLineError(lines+1, nil, "the file lacks its headers"))
		}
	}
}
