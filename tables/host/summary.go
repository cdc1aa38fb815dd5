package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
)

// SocketSummary is what the kernel counts of the sockets of one protocol: a line
// of /proc/net/sockstat or sockstat6 (sockstat_seq_show, net/ipv4/proc.c;
// sockstat6_seq_show, net/ipv6/proc.c). A number that the line lacks is nil.
type SocketSummary struct {
	// Proto is netstat's name of the protocol; frag and frag6 are packets that
	// wait for their missing fragments, and [AllSockets] is the total.
	Proto     string
	Family    sock.Family // 0 of the total
	Namespace uint32      // inode number of the network namespace; 0 if it is not known
	InUse     int64
	TimeWait  *int64 // of both families

	// These are of the whole host, and of both families.
	Orphans, Allocated, MemoryPages *int64
	// Limits of MemoryPages; nil if there are none, or if they are not known.
	Limits *proc.MemoryLimits

	// MemoryBytes is what MemoryPages are in bytes, nil if the size of a page is
	// not known; of frag and frag6 it is of the namespace.
	MemoryBytes *int64
}

// AllSockets is the Proto of the total: of sockets of every family, also Unix,
// netlink and packet sockets.
const AllSockets = "all"

// SocketSummaries streams the summaries of network namespaces. It needs no
// privilege in the program's own.
func (h *Host) SocketSummaries(ctx context.Context, namespaces Namespaces) iter.Seq2[SocketSummary, error] {
	limits := make(map[string]*proc.MemoryLimits)
	for proto, name := range map[string]string{"tcp": "tcp_mem", "udp": "udp_mem"} {
		var err error
		if limits[proto], err = h.memoryLimits(name); err != nil {
			return source.Failed[SocketSummary](err)
		}
	}
	return netns.Each(ctx, h.netns, namespaces, func(in *netns.Handle) iter.Seq2[SocketSummary, error] {
		return func(yield func(SocketSummary, error) bool) {
			all, err := h.summaries(in)
			if err != nil {
				yield(SocketSummary{}, err)
				return
			}
			for _, s := range all {
				s.Limits = limits[s.Proto]
				if !yield(s, nil) {
					return
				}
			}
		}
	})
}

// summaries reads those of one namespace.
func (h *Host) summaries(in *netns.Handle) (all []SocketSummary, err error) {
	var four, six *procfs.NetSockstat
	err = in.InProc(func(dir string) error {
		if err := regular.Check(filepath.Join(dir, "net", "sockstat")); err != nil {
			return err
		}
		files, err := procfs.NewFS(dir)
		if err != nil {
			return err
		}
		if four, err = files.NetSockstat(); err != nil {
			return err
		}
		if err := regular.Check(filepath.Join(dir, "net", "sockstat6")); errors.Is(err, fs.ErrNotExist) {
			return nil // this kernel has no IPv6
		} else if err != nil {
			return err
		}
		six, err = files.NetSockstat6()
		return err
	})
	if err != nil {
		return nil, err
	}
	if four.Used == nil {
		return nil, errors.New("sockstat lacks the number of sockets used")
	}
	all = append(all, SocketSummary{Proto: AllSockets, Namespace: in.Inode, InUse: int64(*four.Used)})
	for _, s := range four.Protocols {
		all = append(all, h.summary(s, sock.INET, in.Inode))
	}
	if six != nil {
		for _, s := range six.Protocols {
			all = append(all, h.summary(s, sock.INET6, in.Inode))
		}
	}
	return all, nil
}

func (h *Host) summary(s procfs.NetSockstatProtocol, family sock.Family, namespace uint32) SocketSummary {
	number := func(n *int) *int64 {
		if n == nil {
			return nil
		}
		wide := int64(*n)
		return &wide
	}
	summary := SocketSummary{
		Proto: strings.ToLower(s.Protocol), Family: family, Namespace: namespace, InUse: int64(s.InUse),
		Orphans: number(s.Orphan), TimeWait: number(s.TW), Allocated: number(s.Alloc),
		MemoryPages: number(s.Mem), MemoryBytes: number(s.Memory),
	}
	// What is read in place of /proc may be another machine's.
	if pages := summary.MemoryPages; pages != nil && h.proc == DefaultProc {
		bytes := *pages * int64(os.Getpagesize())
		summary.MemoryBytes = &bytes
	}
	return summary
}

// memoryLimits reads net.ipv4.tcp_mem or udp_mem. Only the first network
// namespace shows them: elsewhere they are nil.
func (h *Host) memoryLimits(name string) (*proc.MemoryLimits, error) {
	path := filepath.Join(h.proc, "sys", "net", "ipv4", name)
	if err := regular.Check(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l, err := proc.ParseMemoryLimits(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &l, nil
}
