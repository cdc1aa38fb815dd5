package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"path/filepath"
	"slices"

	"github.com/prometheus/procfs"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/rtnetlink"
)

// LinkFilter says which interfaces are wanted.
type LinkFilter struct {
	Namespaces Namespaces
	// Sources are the sources that the query names; nil means the best.
	Sources []string
}

// Links streams the network interfaces of each namespace in netstat's order,
// [network.CompareNames], from rtnetlink or, where that is refused, from
// /proc/net/dev. It needs no privilege in this process's own namespace.
func (h *Host) Links(ctx context.Context, f LinkFilter) iter.Seq2[network.Link, error] {
	return func(yield func(network.Link, error) bool) {
		inEach(ctx, h, f.Namespaces, yield, func(p *place, yield func(network.Link, error) bool) (more bool, err error) {
			hand := func(all []network.Link) bool {
				slices.SortFunc(all, func(a, b network.Link) int { return network.CompareNames(a.Name, b.Name) })
				for _, l := range all {
					l.Namespace = p.inode
					if !yield(l, nil) {
						return false
					}
				}
				return true
			}
			return h.either("dev", f.Sources,
				func() (more bool, err error) {
					var all []network.Link
					names := make(map[uint32]string)
					more, err = h.collect(ctx, p, rtnetlink.LinkRequest{}, func(m message) (bool, error) {
						var l network.Link
						ok, err := rtnetlink.Link(m.kind, m.payload, binary.NativeEndian, &l)
						if ok {
							all, names[l.Index] = append(all, l), l.Name
						}
						return err == nil, err
					})
					if err != nil || !more {
						return more, err
					}
					for i := range all {
						all[i].MasterName = names[all[i].Master]
					}
					return hand(all), nil
				},
				func() (more bool, err error) {
					all, err := h.netDev(p)
					return err == nil && hand(all), err
				})
		})
	}
}

// netDev reads /proc/net/dev.
func (h *Host) netDev(p *place) (all []network.Link, err error) {
	var lines procfs.NetDev
	err = h.inProcess(p, func(dir string) error {
		if err := wholeNetDev(filepath.Join(dir, "net", "dev")); err != nil {
			return err
		}
		fs, err := procfs.NewFS(dir)
		if err != nil {
			return err
		}
		lines, err = fs.NetDev()
		return err
	})
	if err != nil {
		return nil, err
	}
	for name, line := range lines {
		l := network.Link{Name: name, FromProc: true}
		for number, value := range map[int]uint64{
			network.RxBytes: line.RxBytes, network.RxPackets: line.RxPackets, network.RxErrors: line.RxErrors, network.RxDrops: line.RxDropped,
			network.RxFIFOErrors: line.RxFIFO, network.RxFrame: line.RxFrame, network.RxCompressed: line.RxCompressed, network.MulticastPackets: line.RxMulticast,
			network.TxBytes: line.TxBytes, network.TxPackets: line.TxPackets, network.TxErrors: line.TxErrors, network.TxDropped: line.TxDropped,
			network.TxFIFOErrors: line.TxFIFO, network.Collisions: line.TxCollisions, network.TxCarrier: line.TxCarrier, network.TxCompressed: line.TxCompressed,
		} {
			l.Counters.Set(number, value)
		}
		all = append(all, l)
	}
	return all, nil
}

const (
	netDevHeaders = 2
	netDevNumbers = 16
	maxNetDevLine = 4096
)

// wholeNetDev looks for what procfs takes for granted of /proc/net/dev: that
// each line beneath the headers has all numbers and is not cut off.
func wholeNetDev(path string) error {
	file, err := open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := 0
	for line, err := range parser.Lines(file, maxNetDevLine) {
		if err != nil {
			return err
		}
		lines++
		_, numbers, _ := bytes.Cut(line.Text, []byte(":"))
		if line.Cut || line.Long || lines > netDevHeaders && len(bytes.Fields(numbers)) < netDevNumbers {
			return fmt.Errorf("%s: %w", path, parser.NewLineError(line.Number, line.Text, fmt.Sprintf("expected the name of an interface, a colon and %d numbers", netDevNumbers)))
		}
	}
	if lines < netDevHeaders {
		return fmt.Errorf("%s: %w", path, parser.NewLineError(lines+1, nil, "the file lacks its headers"))
	}
	return nil
}
