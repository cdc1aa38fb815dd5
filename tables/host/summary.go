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

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
)

// SocketSummary is what the kernel counts of the sockets of one protocol.
type SocketSummary struct {
	sock.Summary
	// Proto is netstat's name of the protocol; frag and frag6 are packets that
	// wait for their missing fragments, and [AllSockets] is the total.
	Proto     string
	Family    sock.Family // 0 of the total
	Namespace uint32      // inode number of the network namespace; 0 if it is not known
	// Limits of MemoryPages; nil if there are none, or if they are not known.
	Limits *proc.MemoryLimits
}

// AllSockets is the Proto of the total: of sockets of every family, also Unix,
// netlink and packet sockets.
const AllSockets = "all"

// summaryFiles are the files of summaries. The second is missing where the kernel
// has no IPv6. gVisor has none.
var summaryFiles = []source.File[sock.Summary]{
	{Name: "sockstat", Missing: source.Lacking, Decode: procnet.Summaries},
	{Name: "sockstat6", Decode: procnet.Summaries},
}

// SocketSummaries streams the summaries of network namespaces. It needs no
// privilege in the program's own.
func (h *Host) SocketSummaries(ctx context.Context, namespaces Namespaces) iter.Seq2[SocketSummary, error] {
	return func(yield func(SocketSummary, error) bool) {
		limits := make(map[string]*proc.MemoryLimits)
		for proto, name := range map[string]string{"tcp": "tcp_mem", "udp": "udp_mem"} {
			var err error
			if limits[proto], err = h.memoryLimits(name); err != nil {
				yield(SocketSummary{}, err)
				return
			}
		}
		for r, err := range Records(ctx, h, namespaces, summaryFiles...) {
			s := h.summary(r.Value, r.Namespace)
			s.Limits = limits[s.Proto]
			if !yield(s, err) {
				return
			}
		}
	}
}

// summary completes a line of sockstat or sockstat6.
func (h *Host) summary(line sock.Summary, namespace uint32) SocketSummary {
	s := SocketSummary{Summary: line, Proto: lower(line.Protocol), Family: sock.INET, Namespace: namespace}
	switch {
	case line.Protocol == sock.AllSockets:
		s.Proto, s.Family = AllSockets, 0
	case strings.HasSuffix(line.Protocol, "6"):
		s.Family = sock.INET6
	}
	// What is read in place of /proc may be another machine's.
	if s.MemoryPages != nil && h.proc == DefaultProc {
		bytes := *s.MemoryPages * int64(os.Getpagesize())
		s.MemoryBytes = &bytes
	}
	return s
}

// lower makes ASCII letters small, and leaves other bytes of the kernel alone.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// maxLimits bounds a file of three numbers.
const maxLimits = 4 << 10

// memoryLimits reads net.ipv4.tcp_mem or udp_mem. Only the first network
// namespace shows them: elsewhere they are nil.
func (h *Host) memoryLimits(name string) (*proc.MemoryLimits, error) {
	path := filepath.Join(h.proc, "sys", "net", "ipv4", name)
	text, err := regular.ReadFile(path, maxLimits)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	l, err := proc.ParseMemoryLimits(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &l, nil
}
