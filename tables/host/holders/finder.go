package holders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// List is the name of this list in a [usage.Log].
const List = "holders"

// Holder is a process that has a socket open, by one of its files.
type Holder struct {
	Inode uint64
	PID   int32
	FD    int32
}

// Filter selects holders. The zero value selects all.
type Filter struct {
	PIDs   []int32  // nil means any
	Inodes []uint64 // nil means any
	// Lowest asks for one holder of each socket: the lowest file of the process
	// with the lowest number.
	Lowest bool
}

// arrange sorts holders and leaves one of each socket, if that is asked for.
func (f *Filter) arrange(holders []Holder) []Holder {
	slices.SortFunc(holders, func(a, b Holder) int {
		return cmp.Or(cmp.Compare(a.Inode, b.Inode), cmp.Compare(a.PID, b.PID), cmp.Compare(a.FD, b.FD))
	})
	return slices.CompactFunc(holders, func(a, b Holder) bool { return a == b || f.Lowest && a.Inode == b.Inode })
}

// Finder finds the holders of one host's sockets. Its methods may be called at the
// same time.
type Finder struct {
	proc string
	uses *usage.Log

	// The kernel, in the place of which tests put another.
	taskFiles func(ctx context.Context, visit func(Holder)) error
	openFiles func() int

	mu      sync.Mutex
	refused string // why the iterator does not work; empty if it does or was not tried
	denied  bool   // a walk could not read the files of some processes
}

// New returns a finder that reads a proc filesystem, or a saved copy of one. The
// BPF iterator is used for [process.DefaultProc] only. Each search is noted in
// uses, with the processes that may not be looked at.
func New(proc string, uses *usage.Log) *Finder {
	return &Finder{proc: proc, uses: uses, taskFiles: taskFiles, openFiles: openFiles}
}

// Find returns the selected holders, sorted by inode, process and file. It sees
// the files of all processes with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH or with
// CAP_BPF and CAP_PERFMON, as root has them, else those of this user. It leaves
// out files that it may not see, and notes how many. A process that ends meanwhile
// holds nothing. The files of a process are those of all its threads: one may keep
// its own apart (CLONE_FILES of unshare(2)), so that two of a number differ.
func (f *Finder) Find(ctx context.Context, filter Filter) ([]Holder, error) {
	found, err := f.Search(ctx, filter)
	return found.Holders, err
}

// Found is what a search found.
type Found struct {
	Holders []Holder
	Lack    usage.Lack // what may not be read
}

// Search is [Finder.Find], and says what it may not read.
func (f *Finder) Search(ctx context.Context, filter Filter) (Found, error) {
	start := time.Now()
	found, err := f.find(ctx, &filter)
	use := usage.Usage{Source: usage.BPF, Sockets: int64(len(found.Holders)), Wait: time.Since(start), Lack: found.Lack}
	if found.notBPF != nil {
		use.Source, use.Reason = usage.ProcFS, found.notBPF.Error()
	}
	f.uses.Note(List, use)
	return found.Found, err
}

type result struct {
	Found
	notBPF error // why the holders are those of a walk; nil if they are the iterator's
}

func (f *Finder) find(ctx context.Context, filter *Filter) (found result, err error) {
	found.notBPF = f.available(filter)
	walked := found.notBPF != nil
	if walked {
		found.Holders, found.Lack, err = f.walk(ctx, filter)
		// The iterator sees what the walk may not.
		if err != nil || found.Lack == (usage.Lack{}) || f.available(filter) != nil {
			return found, err
		}
	}
	holders, refused := f.iterate(ctx, filter)
	switch {
	case refused == nil:
		return result{Found: Found{Holders: holders}}, nil
	case ctx.Err() != nil:
		found.notBPF = nil
		return found, refused
	}
	found.notBPF = f.refuse(refused)
	if !walked {
		found.Holders, found.Lack, err = f.walk(ctx, filter)
	}
	return found, err
}

// Source returns where all holders would come from if they were searched now.
func (f *Finder) Source() usage.Usage {
	if err := f.available(&Filter{}); err != nil {
		return usage.Usage{Source: usage.ProcFS, Reason: err.Error()}
	}
	return usage.Usage{Source: usage.BPF}
}

// manyFiles is how many open files the host must have for the kernel's BPF
// iterator to be faster than the walk of /proc: it takes about 5 ms to load, in
// which the walk reads half as many.
const manyFiles = 2_000

// available returns why the holders are not asked of the BPF iterator; nil if they
// are.
func (f *Finder) available(filter *Filter) error {
	f.mu.Lock()
	refused, denied := f.refused, f.denied
	f.mu.Unlock()
	elsewhere := process.CheckLocal(f.proc)
	switch {
	case filter.PIDs != nil && !denied:
		return errors.New("only some processes are asked about")
	case elsewhere != nil:
		return elsewhere
	case refused != "":
		return errors.New(refusedBy + refused)
	case !denied && f.openFiles() < manyFiles:
		return fmt.Errorf("fewer than %d files are open on this host, so that a walk is faster", manyFiles)
	}
	return nil
}

// refuse returns why the holders are not those of the iterator, which failed.
// Unless that is for want of memory or files, which passes, it remembers that the
// iterator does not work.
func (f *Finder) refuse(err error) error {
	if process.BlameFor(err) == process.Ours {
		return fmt.Errorf("the BPF iterator failed: %w", err)
	}
	refused := err.Error()
	if errors.Is(err, fs.ErrPermission) {
		refused = "it needs root, or CAP_BPF and CAP_PERFMON"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused = refused
	return errors.New(refusedBy + refused)
}

// refusedBy begins the reason of an iterator that is not tried again.
const refusedBy = "the BPF iterator is refused: "

// openFiles returns how many files the whole host has open, from
// /proc/sys/fs/file-nr; 0 if that is not known.
func openFiles() int {
	text, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\t")
	n, _ := strconv.Atoi(first)
	return n
}

// iterate finds holders by the BPF iterator.
func (f *Finder) iterate(ctx context.Context, filter *Filter) ([]Holder, error) {
	var wanted map[uint64]bool
	if filter.Inodes != nil {
		wanted = make(map[uint64]bool, len(filter.Inodes))
		for _, inode := range filter.Inodes {
			wanted[inode] = true
		}
	}
	var holders collected
	err := f.taskFiles(ctx, func(holder Holder) {
		if (wanted == nil || wanted[holder.Inode]) && (filter.PIDs == nil || slices.Contains(filter.PIDs, holder.PID)) {
			holders.add(holder)
		}
	})
	if err != nil {
		return nil, err
	}
	return filter.arrange(holders.all()), nil
}
