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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/parser/text"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Namespace is a network namespace.
type Namespace struct {
	Inode uint32 // of its file in nsfs
	// Own says that it is the one in which this process is, or the one for which
	// process 1 stands where another host's /proc is read.
	Own bool
	// PID is the process with the lowest number in it, of Processes that we see
	// there; 0 if there are none. A process is where its first thread is; only if
	// no first thread is there, the processes of other threads are meant, which
	// ByThread says. Without root only this user's processes are seen.
	PID       int32
	Processes int32
	ByThread  bool
	// Files are where it is mounted, which keeps it without a process: such as
	// /run/netns/NAME of ip-netns(8).
	Files []string
	// Descriptor is the path of an open descriptor that refers to it, such as
	// /proc/PID/fd/7, of several that of the process with the lowest number; "" if
	// there is none, or if List was asked, which does not look for them.
	Descriptor string
}

// Selection selects network namespaces. The zero value is the program's own, or,
// with [Options.All], all of the host.
type Selection struct {
	// All selects all network namespaces of the host: see [Set.List].
	All bool
	// In narrows the selection to these inode numbers, as text; nil means any.
	In []string

	only *Handle // see [Handle.Only]
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
	// Uses is where each list of namespaces is noted, with what it lacks.
	Uses *usage.Log
	// Log gets what is no query's error, such as a namespace that cannot be read.
	Log hclog.Logger
}

// Namespaces is the name of the list of namespaces in a [usage.Log].
const Namespaces = "namespaces"

// Set is the network namespaces of a host. Its methods may be called at the same
// time.
type Set struct {
	Options
	processes func(proc string) ([]int32, error)

	mu      sync.Mutex
	seen    []Namespace       // when they were last listed, sorted by inode
	refused map[uint32]string // namespaces that could not be read, and why
	warned  string            // the reasons in the last warning of those
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

// Gone reports whether an error says that the namespace may have ended while it was
// read.
func Gone(err error) bool { return errors.Is(err, errGone) }

// List returns the network namespaces of the processes and the mounts that we
// see, sorted by their inodes. It looks at each process once.
func (s *Set) List(ctx context.Context) ([]Namespace, error) {
	pids, err := s.processes(s.Proc)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	use := usage.Usage{Source: usage.ProcFS, Lack: process.Hidden(s.Proc)}
	found, byThread := make(namespaces), make(namespaces)
	if own := s.Own().Inode; own != 0 {
		found.get(own).Own = true
	}
	for i, pid := range pids {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		first, others, err := s.ofProcess(pid)
		switch process.BlameFor(err) {
		case process.Ours:
			return nil, fmt.Errorf("the network namespaces of process %d: %w", pid, err)
		case process.Theirs:
			use.Lack.Add("some processes may not be looked at, so that network namespaces may be missing", fmt.Sprintf("process %d: %v", pid, err))
		}
		if first != 0 {
			found.get(first).add(pid)
		}
		for inode := range others {
			byThread.get(inode).add(pid)
		}
	}
	for inode, ns := range byThread {
		if known := found.get(inode); known.PID == 0 {
			known.PID, known.Processes, known.ByThread = ns.PID, ns.Processes, true
		}
	}
	mounts, err := s.mounts()
	if errors.Is(err, fs.ErrNotExist) && s.Proc != process.DefaultProc {
		s.Log.Debug("the mounted network namespaces are not known", "error", err)
	} else if err != nil {
		return nil, fmt.Errorf("the mounted network namespaces: %w", err)
	}
	for _, m := range mounts {
		ns := found.get(m.Inode)
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
	use.Sockets, use.Wait = int64(len(all)), time.Since(start)
	s.Uses.Note(Namespaces, use)
	return all, nil
}

// namespaces are those of a list by their inodes.
type namespaces map[uint32]*Namespace

func (n namespaces) get(inode uint32) *Namespace {
	ns := n[inode]
	if ns == nil {
		ns = &Namespace{Inode: inode}
		n[inode] = ns
	}
	return ns
}

// add counts a process that is in the namespace.
func (ns *Namespace) add(pid int32) {
	if ns.Processes++; ns.PID == 0 || pid < ns.PID {
		ns.PID = pid
	}
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

// ofProcess returns the network namespace of a process's first thread, 0 if it is
// not known, and those that only others of its threads are in. The threads of this
// program are elsewhere for a query at most, and are left out.
func (s *Set) ofProcess(pid int32) (first uint32, others map[uint32]bool, err error) {
	first, err = inodeOf(process.Dir(s.Proc, pid))
	if process.BlameFor(err) > process.Gone || s.Proc == process.DefaultProc && int(pid) == os.Getpid() {
		return first, nil, err
	}
	threads, err := process.OtherThreads(s.Proc, pid)
	for _, thread := range threads {
		inode, failed := inodeOf(thread)
		if process.BlameFor(failed) > process.Gone {
			err = failed
		}
		if inode != 0 && inode != first && !others[inode] {
			if others == nil {
				others = make(map[uint32]bool)
			}
			others[inode] = true
		}
	}
	return first, others, err
}

// shows returns the directory of a process that shows a network namespace: that of
// its first thread, else of another. It is empty if the process has left it.
func (s *Set) shows(pid int32, inode uint32) (dir string) {
	dir = process.Dir(s.Proc, pid)
	if in, _ := inodeOf(dir); in == inode {
		return dir
	}
	threads, _ := process.OtherThreads(s.Proc, pid)
	for _, thread := range threads {
		if in, _ := inodeOf(thread); in == inode {
			return thread
		}
	}
	return ""
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
		h.dir = s.shows(ns.PID, inode)
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
		if h.file == "" && ns.Descriptor != "" && fileInode(ns.Descriptor) == inode {
			h.file = ns.Descriptor
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

// refusals are the namespaces that one query selected and could not read.
type refusals struct {
	set     *Set
	number  int
	reasons []string // of all, each once
	inode   uint32   // of the first
	err     error
}

// add notes that a namespace was selected and could not be read.
func (r *refusals) add(inode uint32, err error) {
	if r.number++; r.number == 1 {
		r.inode, r.err = inode, err
	}
	if reason := reason(err); !slices.Contains(r.reasons, reason) {
		r.reasons = append(r.reasons, reason)
	}
	r.set.mu.Lock()
	defer r.set.mu.Unlock()
	if len(r.set.refused) == maxRefused {
		clear(r.set.refused) // the old make way for the new
	}
	r.set.refused[inode] = err.Error()
}

// reason is an error without the names in it, so that there are few.
func reason(err error) string {
	for _, known := range []error{ErrNotFound, ErrOwnUnknown} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return "other"
}

// log warns of the refusals in one line, and again only when the reasons are
// others.
func (r *refusals) log() {
	if r.number == 0 {
		return
	}
	slices.Sort(r.reasons)
	reasons := strings.Join(r.reasons, "; ")
	r.set.mu.Lock()
	known := r.set.warned == reasons
	r.set.warned = reasons
	r.set.mu.Unlock()
	if !known {
		r.set.Log.Warn("network namespaces could not be read", "number", r.number, "net_namespace", r.inode, "error", text.Printable(r.err.Error()))
	}
}

// Refused returns the namespaces that were selected and could not be read when
// they last were, by their inodes, with the reasons. It keeps the last of many.
func (s *Set) Refused() map[uint32]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.refused)
}
