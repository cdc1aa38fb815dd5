package netns

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
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// Namespace is a network namespace.
type Namespace struct {
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

// Selection selects network namespaces. The zero value is the program's own, or,
// with [Options.All], all of the host.
type Selection struct {
	// All selects all network namespaces of the host: see [Set.List].
	All bool
	// In narrows the selection to these inode numbers, as text; nil means any.
	In []string
}

// Options say whose namespaces are found, and how.
type Options struct {
	// Proc is the proc filesystem, or a copy of one; process.DefaultProc, spelled so,
	// is this host's.
	Proc string
	// All makes the zero Selection all namespaces of the host.
	All bool
	// Lists are names of files in /proc/net. A directory with one of them is taken
	// for that of a namespace where Proc is not this host's.
	Lists []string
	// Log gets what is no query's error, such as a namespace that cannot be read.
	Log hclog.Logger
}

// Set is the network namespaces of a host. Its methods may be called at the same
// time.
type Set struct {
	Options
	processes      func(proc string) ([]int32, error)
	unreadableOnce sync.Once // some processes' namespaces may not be read

	mu      sync.Mutex
	seen    []Namespace       // when they were last listed, sorted by inode
	refused map[uint32]string // namespaces that could not be read, and why
}

// New returns the namespaces that the options describe. It looks at nothing yet.
func New(o Options) *Set {
	return &Set{Options: o, processes: process.List, refused: make(map[uint32]string)}
}

var (
	// ErrClosed is wrapped by the errors of entering a namespace.
	ErrClosed = errors.New("the network namespace cannot be entered")
	// ErrNotFound is the reason why a namespace that was selected is not read.
	ErrNotFound = errors.New("no process that may be looked at is in it, and no file that is mounted keeps it")
	// ErrOwnUnknown is the reason why the namespaces beside the own one are not
	// read.
	ErrOwnUnknown = errors.New("the network namespace of process 1 is not known, so that no other can be told from it")

	// errGone is wrapped by the errors of a handle that was right once.
	errGone = errors.New("what showed the network namespace has gone")
)

// List returns the network namespaces of the processes and the mounts that we
// see, sorted by their inodes. It looks at each process once.
func (s *Set) List(ctx context.Context) ([]Namespace, error) {
	pids, err := s.processes(s.Proc)
	if err != nil {
		return nil, err
	}
	found := make(map[uint32]*Namespace)
	get := func(inode uint32) *Namespace {
		ns := found[inode]
		if ns == nil {
			ns = &Namespace{Inode: inode}
			found[inode] = ns
		}
		return ns
	}
	denied := 0
	if own := s.Own().Inode; own != 0 {
		get(own).Own = true
	}
	for i, pid := range pids {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		_, inode, err := s.shownBy(pid)
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
		s.unreadableOnce.Do(func() {
			s.Log.Warn("some processes may not be looked at, so that network namespaces may be missing", "processes", denied)
		})
	}
	mounts, err := s.mounts()
	if errors.Is(err, fs.ErrNotExist) && s.Proc != process.DefaultProc {
		s.Log.Debug("the mounted network namespaces are not known", "error", err)
	} else if err != nil {
		return nil, fmt.Errorf("the mounted network namespaces: %w", err)
	}
	for _, m := range mounts {
		ns := get(m.Inode)
		if !slices.Contains(ns.Files, m.File) {
			ns.Files = append(ns.Files, m.File)
		}
	}
	var all []Namespace
	for _, inode := range slices.Sorted(maps.Keys(found)) {
		all = append(all, *found[inode])
	}
	s.mu.Lock()
	s.seen = all
	s.mu.Unlock()
	return all, nil
}

// inodeOf returns the network namespace of a process by its directory; 0 and an
// error if it has ended or may not be looked at, which takes ptrace access to it.
func inodeOf(process string) (uint32, error) {
	link, err := os.Readlink(filepath.Join(process, "ns", "net"))
	if err != nil {
		return 0, err
	}
	return proc.NamespaceNumber(link), nil
}

// shownBy returns the network namespace of a process, and the directory that
// shows it: where its first thread has ended, that of another. The inode is 0 as
// for inodeOf.
func (s *Set) shownBy(pid int32) (dir string, inode uint32, err error) {
	dir = process.Dir(s.Proc, pid)
	inode, err = inodeOf(dir)
	if errors.Is(err, fs.ErrNotExist) {
		threads, _ := os.ReadDir(filepath.Join(dir, "task"))
		for i := 1; i < len(threads); i++ {
			thread := filepath.Join(dir, "task", threads[i].Name())
			if inode, _ := inodeOf(thread); inode != 0 {
				return thread, inode, nil
			}
		}
	}
	return dir, inode, err
}

// mounts returns where network namespaces are mounted.
func (s *Set) mounts() (mounts []proc.NamespaceMount, err error) {
	file, err := regular.Open(filepath.Join(s.ownProcess(), "mountinfo"))
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

// ownProcess returns the directory of the thread that reads, or of the process
// that stands for another host.
func (s *Set) ownProcess() string {
	if s.Proc == process.DefaultProc {
		return filepath.Join(s.Proc, "thread-self")
	}
	return filepath.Join(s.Proc, "1")
}

// ownDir returns the directory whose net has the lists of the own namespace. In
// this host's /proc it is that of the calling thread; elsewhere "self" would name
// the reader, not the read. A copy may have the lists in net itself.
func (s *Set) ownDir() (string, error) {
	if s.Proc == process.DefaultProc {
		return s.ownProcess(), nil
	}
	for _, dir := range []string{s.ownProcess(), s.Proc} {
		net := filepath.Join(dir, "net")
		if info, err := os.Lstat(net); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return "", fmt.Errorf("%s is a proc filesystem in which this user does not see process 1, which stands for the host", s.Proc)
		}
		for _, list := range s.Lists {
			_, err := os.Stat(filepath.Join(net, list))
			if err == nil {
				return dir, nil
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
				return "", err
			}
		}
	}
	return "", fmt.Errorf("%s is no proc filesystem nor a copy of one: neither 1/net nor net has a list of sockets, such as tcp", s.Proc)
}

// Own returns the handle of the program's own namespace, or of that of process 1
// where another host's /proc is read. It needs no Close.
func (s *Set) Own() *Handle {
	inode, _ := inodeOf(s.ownProcess())
	return &Handle{Inode: inode, Own: true, set: s}
}

// Find returns a handle of a namespace, by its inode, if it is the own one or was
// seen when the namespaces were last listed, and is still there; else nil.
func (s *Set) Find(inode uint32) *Handle {
	if own := s.Own(); own.Inode == inode {
		return own
	}
	return s.known(inode)
}

// known is Find for another namespace than the own one.
func (s *Set) known(inode uint32) *Handle {
	s.mu.Lock()
	seen := s.seen
	s.mu.Unlock()
	return s.handle(seen, inode)
}

// handle returns a handle of one of a list of namespaces; nil if it is not among
// them or nothing shows it any more.
func (s *Set) handle(seen []Namespace, inode uint32) *Handle {
	i, ok := find(seen, inode)
	if !ok {
		return nil
	}
	ns := &seen[i]
	h := &Handle{Inode: inode, set: s}
	if ns.PID != 0 {
		if dir, in, _ := s.shownBy(ns.PID); in == inode {
			h.dir = dir
		}
	}
	if s.Proc == process.DefaultProc {
		for _, file := range ns.Files {
			if fileInode(file) == inode {
				h.file = file
			}
		}
		if h.file == "" && h.dir != "" {
			h.file = filepath.Join(h.dir, "ns", "net")
		}
	}
	if h.dir == "" && h.file == "" {
		return nil
	}
	return h
}

// find returns the position of a namespace in a sorted list.
func find(all []Namespace, inode uint32) (int, bool) {
	return slices.BinarySearchFunc(all, inode, func(ns Namespace, inode uint32) int { return cmp.Compare(ns.Inode, inode) })
}

// MayEnter reports whether this process may enter a namespace, by entering it in
// a thread of its own, which costs a system call or two. It may not enter one of
// another host, whose /proc is read.
func (s *Set) MayEnter(ns *Namespace) bool {
	if s.Proc != process.DefaultProc {
		return false
	}
	if ns.Own {
		return true
	}
	h := s.handle([]Namespace{*ns}, ns.Inode)
	if h == nil {
		return false
	}
	defer h.Close()
	return h.Do(func() {}) == nil
}

// maxRefused bounds the memory of namespaces that could not be read.
const maxRefused = 1024

// refuse notes that a namespace was selected and could not be read.
func (s *Set) refuse(inode uint32, err error) {
	s.Log.Warn("a network namespace could not be read", "net_namespace", inode, "error", text.Printable(err.Error()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refused) == maxRefused {
		clear(s.refused) // the old make way for the new
	}
	s.refused[inode] = err.Error()
}

// Refused returns the namespaces that were selected and could not be read when
// they last were, by their inodes, with the reasons. It keeps the last of many.
func (s *Set) Refused() map[uint32]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.refused)
}
