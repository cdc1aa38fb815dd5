package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/holders"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/tracking"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// ListSource is a list of sockets, or of their holders, and where it comes from.
type ListSource struct {
	// Proto is the list's name in netstat and in /proc/net, or one of "conntrack",
	// "holders", "processes" and "namespaces". Another list, such as "route", is
	// there if its last reading was not complete. Proto is empty for a network
	// namespace that was asked for and could not be read.
	Proto string
	// Namespace is the inode number of the network namespace; 0 if it is not
	// known.
	Namespace uint32
	// Now is where the list would come from if it was read now.
	Now usage.Usage
	// Last is how it was last read by this process; nil if it was not yet.
	Last *usage.Usage
}

// fileLists are the lists that are not of sockets and have no other source than
// their file of /proc/net.
var fileLists = []string{"igmp", "igmp6", "dev_mcast", "snmp", "netstat", "snmp6", "sctp/snmp", "sockstat", "sockstat6"}

// Sources reports where each list of sockets comes from. It asks the kernel for
// an empty list to find out.
func (h *Host) Sources(ctx context.Context) ([]ListSource, error) {
	var all []ListSource
	own := h.netns.Own()
	for _, l := range allLists() {
		now, err := source.Probe(ctx, own, l.name, h.diagWay(l), h.procWay(l))
		if err != nil {
			return nil, err
		}
		all = append(all, ListSource{Proto: l.name, Namespace: own.Inode, Now: now})
	}
	now, err := h.tracking().Probe(ctx, own)
	if err != nil {
		return nil, err
	}
	all = append(all, ListSource{Proto: tracking.List, Namespace: own.Inode, Now: now},
		ListSource{Proto: holders.List, Namespace: own.Inode, Now: h.holders.Source()},
		ListSource{Proto: process.Descriptions, Namespace: own.Inode, Now: usage.Usage{Source: usage.ProcFS}},
		ListSource{Proto: netns.Namespaces, Namespace: own.Inode, Now: usage.Usage{Source: usage.ProcFS}})
	for _, name := range fileLists {
		now := usage.Usage{Source: usage.ProcFS}
		if errors.Is(own.Check(name), fs.ErrNotExist) {
			now = usage.Usage{Reason: noList(name)}
		}
		all = append(all, ListSource{Proto: name, Namespace: own.Inode, Now: now})
	}
	for i := range all {
		if last, ok := h.uses.Last(all[i].Proto); ok {
			all[i].Last = &last
		}
	}
	for _, list := range h.uses.Lists() {
		last, _ := h.uses.Last(list)
		if last.Lack.Why != "" && !slices.ContainsFunc(all, func(l ListSource) bool { return l.Proto == list }) {
			all = append(all, ListSource{Proto: list, Namespace: own.Inode, Now: usage.Usage{Source: last.Source}, Last: &last})
		}
	}
	refused := h.netns.Refused()
	for _, inode := range slices.Sorted(maps.Keys(refused)) {
		all = append(all, ListSource{Namespace: inode, Now: usage.Usage{Reason: refused[inode]}})
	}
	return all, nil
}

// Lacks describes what was left out of any list that this process has read, since it
// could not be read.
func (h *Host) Lacks() []string {
	all := h.uses.Lacks()
	refused := h.netns.Refused()
	for _, inode := range slices.Sorted(maps.Keys(refused)) {
		all = append(all, fmt.Sprintf("network namespace %d: %s", inode, refused[inode]))
	}
	return all
}

// local fails unless this host's /proc is read: see [process.CheckLocal].
func (h *Host) local() error { return process.CheckLocal(h.proc) }

// diagAvailable returns why sock_diag must not be asked for a list; nil if it may
// be.
func (h *Host) diagAvailable(l *list) error {
	name, _ := l.registration()
	elsewhere := h.local()
	switch {
	case elsewhere != nil:
		return elsewhere
	case l.module == "" && l.name == netlinkDiag.name:
		return errors.New("sock_diag alone would lack some of them: it is asked for what /proc does not tell")
	case l.module == "":
		return errors.New("sock_diag is not asked for such sockets")
	case name != "":
		_, ok, err := registered(h.netns.Own(), name)
		switch {
		case err != nil:
			return err
		case !ok:
			return fmt.Errorf("this kernel has no %s sockets", l.name)
		case h.wouldLoad(l.module):
			return fmt.Errorf("the kernel would load the module %[1]s: modprobe %[1]s makes this possible", l.module)
		}
		return nil
	case h.wouldLoad(l.module):
		return fmt.Errorf("the kernel would load the module %[1]s: modprobe %[1]s makes this faster", l.module)
	}
	// UDP-Lite and IPv6 have a file here wherever the kernel has them.
	if h.netns.Own().Check(l.name) != nil {
		return fmt.Errorf("this kernel has no list of %s sockets", l.name)
	}
	return nil
}

// SourcesInUse returns where the lists that were read last came from, such as
// tcp=sock_diag, separated by blanks.
func (h *Host) SourcesInUse() string { return h.uses.String() }

// PeakMemory returns the most memory that this process had, in bytes. It is
// false where there is no /proc.
func (h *Host) PeakMemory() (bytes int64, ok bool) {
	status, err := os.ReadFile(filepath.Join(DefaultProc, "self", "status"))
	if err != nil {
		return 0, false
	}
	return proc.PeakMemory(status)
}
