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
	seen := make(map[string]struct{})
	columns := false // the second header
	return parser.List[network.Link]{
		Header: parser.Words("Inter-| Receive | Transmit"),
		Line: func(line parser.Line) (l network.Link, ok bool, err error) {
			if !columns {
				// Each namespace has an interface.
				if columns = bytes.Contains(line.Text, []byte("|")) && !line.Cut; !columns {
					err = line.Error("expected the second header of /proc/net/dev")
				}
				return l, false, err
			}
			l.FromProc = true
			colon := bytes.LastIndexByte(line.Text, ':')
			l.Name = string(bytes.TrimLeft(line.Text[:max(colon, 0)], " "))
			f := fields{rest: line.Text[colon+1:]}
			for _, counter := range devCounters {
				l.Counters.Set(counter, f.dec("counter", 64))
			}
			if l.Name == "" || f.reason != "" {
				return l, false, line.Error(fmt.Sprintf("expected the name of an interface, a colon and %d numbers", len(devCounters)))
			}
			_, twice := seen[l.Name]
			seen[l.Name] = struct{}{}
			return l, !twice, nil
		},
		End: func() (l network.Link, ok bool, err error) {
			if !columns {
				err = parser.NewLineError(2, nil, "the second header is missing")
			}
			return l, false, err
		},
	}.Decode(r)
}
