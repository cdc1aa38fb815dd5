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
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// ListSource is a list of sockets, or of their holders, and where it comes from.
type ListSource struct {
	// Proto is the list's name in netstat and in /proc/net, or "conntrack" or
	// "holders". It is empty for a network namespace that was asked for and could
	// not be read.
	Proto string
	// Namespace is the inode number of the network namespace; 0 if it is not
	// known.
	Namespace uint32
	// Now is where the list would come from if it was read now.
	Now usage.Usage
	// Last is how it was last read by this process; nil if it was not yet.
	Last *usage.Usage
}

// Sources tells where each list of sockets comes from. It asks the kernel for
// an empty list to find out.
func (h *Host) Sources(ctx context.Context) ([]ListSource, error) {
	var all []ListSource
	own := &place{inode: h.ownNamespace(), own: true}
	for _, list := range allLists() {
		s := ListSource{Proto: list.name, Namespace: own.inode, Now: usage.Usage{Source: usage.SockDiag}}
		if s.Now.Reason = h.whyNotDiag(list); s.Now.Reason == "" {
			var use usage.Usage
			_, err := h.dump(ctx, own, list.nothing(list), &use, func([]byte) (bool, error) { return true, nil })
			switch {
			case errors.Is(err, errRefused):
				s.Now.Reason = err.Error()
			case err != nil:
				return nil, fmt.Errorf("sock_diag of %s: %w", list.name, err)
			}
		}
		if s.Now.Reason != "" {
			s.Now.Source = usage.ProcFS
			if name, _ := list.registration(); name != "" || h.lacks(list) {
				s.Now.Source = ""
			}
		}
		all = append(all, s)
	}
	s := ListSource{Proto: conntrackList, Namespace: own.inode}
	var err error
	if s.Now, err = h.conntrackSource(ctx, own); err != nil {
		return nil, err
	}
	all = append(all, s)
	all = append(all, ListSource{Proto: holders.List, Namespace: own.inode, Now: h.holders.Source()})
	for i := range all {
		if last, ok := h.uses.Last(all[i].Proto); ok {
			all[i].Last = &last
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, inode := range slices.Sorted(maps.Keys(h.refused)) {
		all = append(all, ListSource{Namespace: inode, Now: usage.Usage{Reason: h.refused[inode]}})
	}
	return all, nil
}

// lacks reports whether there is no file of a list, and so no such socket.
func (h *Host) lacks(list *list) bool {
	dir, err := h.netDir()
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, list.name))
	return errors.Is(err, fs.ErrNotExist)
}

// whyNotKernel returns why the kernel must be asked by nothing but /proc, or
// nothing: netlink and BPF tell of this host only.
func (h *Host) whyNotKernel() string {
	if err := process.CheckLocal(h.proc); err != nil {
		return err.Error()
	}
	return ""
}

// whyNotDiag returns why sock_diag must not be asked for a list, or nothing.
func (h *Host) whyNotDiag(list *list) string {
	name, _ := list.registration()
	elsewhere := h.whyNotKernel()
	switch {
	case elsewhere != "":
		return elsewhere
	case list.module == "" && list.name == netlinkDiag.name:
		return "sock_diag alone would lack some of them: it is asked for what /proc does not tell"
	case list.module == "":
		return "sock_diag is not asked for such sockets"
	case name != "":
		_, ok, err := h.registered(&place{own: true}, name)
		switch {
		case err != nil:
			return err.Error()
		case !ok:
			return fmt.Sprintf("this kernel has no %s sockets", list.name)
		case h.wouldLoad(list.module):
			return fmt.Sprintf("the kernel would load the module %[1]s: modprobe %[1]s makes this possible", list.module)
		}
		return ""
	case h.wouldLoad(list.module):
		return fmt.Sprintf("the kernel would load the module %[1]s: modprobe %[1]s makes this faster", list.module)
	}
	// UDP-Lite and IPv6 have a file here wherever the kernel has them.
	dir, err := h.netDir()
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, list.name))
	}
	if err != nil {
		return fmt.Sprintf("this kernel has no list of %s sockets", list.name)
	}
	return ""
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
