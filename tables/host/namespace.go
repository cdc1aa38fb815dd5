package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// NetNamespace is a network namespace, network_namespaces(7).
type NetNamespace struct {
	Inode uint32 // of its file in nsfs
	// Own says that it is the one in which this process is, or the one for which
	// process 1 stands where another host's /proc is read.
	Own bool
	// PID is the process with the lowest number in it, of Processes that we see
	// there; 0 if there are none. Without root only this user's processes are
	// seen.
	PID       int32
	Processes int32
	// Files are where it is mounted, which keeps it without a process: such as
	// /run/netns/NAME of ip-netns(8).
	Files []string
}

// Namespaces selects the network namespaces in which a list is read. The zero
// value is the program's own, or, with [Options.AllNamespaces], all of the host.
type Namespaces struct {
	// All selects all network namespaces of the host: see [Host.NetNamespaces].
	All bool
	// In narrows the selection to these inode numbers, as text; nil means any.
	In []string
}

// NetNamespaces returns the network namespaces of the processes and the mounts
// that we see, sorted by their inodes. It looks at each process once.
func (h *Host) NetNamespaces(ctx context.Context) ([]NetNamespace, error) {
	pids, err := h.processes(h.proc)
	if err != nil {
		return nil, err
	}
	found := make(map[uint32]*NetNamespace)
	get := func(inode uint32) *NetNamespace {
		ns := found[inode]
		if ns == nil {
			ns = &NetNamespace{Inode: inode}
			found[inode] = ns
		}
		return ns
	}
	denied := 0
	if own := h.ownNamespace(); own != 0 {
		get(own).Own = true
	}
	for i, pid := range pids {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		_, inode, err := h.shownBy(pid)
		if errors.Is(err, fs.ErrPermission) {
			denied++
		}
		if inode != 0 {
			ns := get(inode)
			if ns.Processes++; ns.PID == 0 || pid < ns.PID {
				ns.PID = pid
			}
		}
	}
	if denied > 0 {
		h.unreadableOnce.Do(func() {
			h.log.Warn("some processes may not be looked at, so that network namespaces may be missing", "processes", denied)
		})
	}
	mounts, err := h.namespaceMounts()
	if errors.Is(err, fs.ErrNotExist) && h.proc != DefaultProc {
		h.log.Debug("the mounted network namespaces are not known", "error", err)
	} else if err != nil {
		return nil, fmt.Errorf("the mounted network namespaces: %w", err)
	}
	for _, m := range mounts {
		ns := get(m.Inode)
		if !slices.Contains(ns.Files, m.File) {
			ns.Files = append(ns.Files, m.File)
		}
	}
	var all []NetNamespace
	for _, inode := range slices.Sorted(maps.Keys(found)) {
		all = append(all, *found[inode])
	}
	h.mu.Lock()
	h.namespaces = all
	h.mu.Unlock()
	return all, nil
}

// namespaceOf returns the network namespace of a process by its directory; 0 if
// it has ended or may not be looked at, which takes ptrace access to it.
func namespaceOf(process string) uint32 {
	inode, _ := readNamespace(process)
	return inode
}

// shownBy returns the network namespace of a process, and the directory that
// shows it: where its first thread has ended, that of another. The inode is 0 as
// for namespaceOf.
func (h *Host) shownBy(pid int32) (dir string, inode uint32, err error) {
	dir = process.Dir(h.proc, pid)
	inode, err = readNamespace(dir)
	if errors.Is(err, fs.ErrNotExist) {
		threads, _ := os.ReadDir(filepath.Join(dir, "task"))
		for i := 1; i < len(threads) && inode == 0; i++ {
			thread := filepath.Join(dir, "task", threads[i].Name())
			if inode = namespaceOf(thread); inode != 0 {
				return thread, inode, nil
			}
		}
	}
	return dir, inode, err
}

func readNamespace(process string) (uint32, error) {
	link, err := os.Readlink(filepath.Join(process, "ns", "net"))
	if err != nil {
		return 0, err
	}
	return proc.NamespaceNumber(link), nil
}

// ownNamespace returns the network namespace that is read without being told
// another; 0 if that is not known.
func (h *Host) ownNamespace() uint32 {
	if h.proc == DefaultProc {
		return namespaceOf(filepath.Join(h.proc, "thread-self"))
	}
	return namespaceOf(filepath.Join(h.proc, "1"))
}

// namespaceMounts returns where network namespaces are mounted.
func (h *Host) namespaceMounts() (mounts []proc.NamespaceMount, err error) {
	process := "1"
	if h.proc == DefaultProc {
		process = "thread-self"
	}
	file, err := regular.Open(filepath.Join(h.proc, process, "mountinfo"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for m, err := range proc.NamespaceMounts(file) {
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// place is a network namespace in which lists are read.
type place struct {
	inode uint32 // 0 if it is not known
	own   bool
	// dir is the directory of a process in it, or of a thread; "" if there is
	// none.
	dir string
	// file is by what it is entered; "" if it cannot be.
	file string
	// closed is why it could not be entered when that was last tried.
	closed error
}

// errClosed is wrapped by the errors of entering a namespace.
var errClosed = errors.New("the network namespace cannot be entered")

// errGone is wrapped by the errors of a place that was right once.
var errGone = errors.New("what showed the network namespace has gone")

// errOwnUnknown says why the namespaces beside the own one are not read.
var errOwnUnknown = errors.New("the network namespace of process 1 is not known, so that no other can be told from it")

// errNoPlace says that a namespace is not, or no longer, there.
var errNoPlace = errors.New("no process that may be looked at is in it, and no file that is mounted keeps it")

// places returns the selected namespaces. Those that are named and not there are
// noted as refused.
func (h *Host) places(ctx context.Context, selected Namespaces) ([]*place, error) {
	own := &place{inode: h.ownNamespace(), own: true}
	if !selected.All && !h.allNamespaces {
		return []*place{own}, nil
	}
	if selected.In == nil {
		return h.allPlaces(ctx, own)
	}
	var places []*place
	var missing []uint32
	seen := make(map[uint32]bool)
	for _, text := range selected.In {
		inode, err := strconv.ParseUint(text, 10, 32)
		if text == "" && own.inode == 0 {
			places = append(places, own)
			continue
		}
		if number := uint32(inode); err != nil || number == 0 || seen[number] {
			continue
		} else if seen[number] = true; number == own.inode {
			places = append(places, own)
		} else if p := h.known(number); p != nil {
			places = append(places, p)
		} else {
			missing = append(missing, number)
		}
	}
	if len(missing) == 0 {
		return places, nil
	}
	// What this walk saw, not what another query's saw that began before.
	now, err := h.NetNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, inode := range missing {
		if p := h.placeOf(now, inode); p != nil {
			places = append(places, p)
		} else {
			h.refuse(inode, errNoPlace)
		}
	}
	return places, nil
}

// allPlaces returns the program's own namespace and then all others of the host.
func (h *Host) allPlaces(ctx context.Context, own *place) ([]*place, error) {
	places := []*place{own}
	all, err := h.NetNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		inode := all[i].Inode
		switch p := h.placeOf(all, inode); {
		case all[i].Own:
		case own.inode == 0:
			// Its sockets would be shown twice if it were the own one.
			h.refuse(inode, errOwnUnknown)
		case p != nil:
			places = append(places, p)
		default: // who showed it has left
			places = append(places, &place{inode: inode})
		}
	}
	return places, nil
}

// again looks for a namespace whose known place has gone. It returns nil if the
// namespace has no other, and whether it is there at all.
func (h *Host) again(ctx context.Context, inode uint32) (p *place, there bool, err error) {
	all, err := h.NetNamespaces(ctx)
	if err != nil {
		return nil, false, err
	}
	_, there = findNamespace(all, inode)
	return h.placeOf(all, inode), there, nil
}

// findNamespace returns the position of a namespace in a sorted list.
func findNamespace(all []NetNamespace, inode uint32) (int, bool) {
	return slices.BinarySearchFunc(all, inode, func(ns NetNamespace, inode uint32) int { return cmp.Compare(ns.Inode, inode) })
}

// known returns the place of a namespace that was seen before and is still
// there; else nil.
func (h *Host) known(inode uint32) *place {
	h.mu.Lock()
	seen := h.namespaces
	h.mu.Unlock()
	return h.placeOf(seen, inode)
}

// placeOf is known for one of the namespaces of a walk.
func (h *Host) placeOf(seen []NetNamespace, inode uint32) *place {
	i, ok := findNamespace(seen, inode)
	if !ok {
		return nil
	}
	ns := &seen[i]
	p := &place{inode: inode}
	if ns.PID != 0 {
		if dir, in, _ := h.shownBy(ns.PID); in == inode {
			p.dir = dir
		}
	}
	if h.proc == DefaultProc {
		for _, file := range ns.Files {
			if fileInode(file) == inode {
				p.file = file
			}
		}
		if p.file == "" && p.dir != "" {
			p.file = filepath.Join(p.dir, "ns", "net")
		}
	}
	if p.dir == "" && p.file == "" {
		return nil
	}
	return p
}

// MayEnter reports whether this process may enter a namespace, by entering it in
// a thread of its own, which costs a system call or two. It may not enter one of
// another host, whose /proc is read.
func (h *Host) MayEnter(ns *NetNamespace) bool {
	if h.proc != DefaultProc {
		return false
	}
	p := &place{own: ns.Own}
	if !p.own {
		p = h.placeOf([]NetNamespace{*ns}, ns.Inode)
	}
	return p != nil && p.do(func() {}) == nil
}

// maxRefused bounds the memory of namespaces that could not be read.
const maxRefused = 1024

// refuse notes that a namespace was asked for and could not be read.
func (h *Host) refuse(inode uint32, err error) {
	h.log.Warn("a network namespace could not be read", "net_namespace", inode, "error", text.Printable(err.Error()))
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.refused) == maxRefused {
		clear(h.refused) // the old make way for the new
	}
	h.refused[inode] = err.Error()
}
