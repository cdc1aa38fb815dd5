package host

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Holder is a process that has a socket open, by one of its files.
type Holder struct {
	Inode uint64
	PID   int32
	FD    int32
}

// HolderFilter says which holders are wanted; the zero value wants all.
type HolderFilter struct {
	PIDs   []int32  // nil means any
	Inodes []uint64 // nil means any
	// Lowest asks for one holder of each socket: the lowest file of the process
	// with the lowest number.
	Lowest bool
}

// manyFiles is how many open files the host must have for the kernel's BPF
// iterator to be faster than the walk of /proc: it takes about 20 ms to load, in
// which the walk reads as many.
const manyFiles = 10_000

// Holders returns who has sockets open, sorted by inode, process and file. It
// sees the files of all processes with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH or
// with CAP_BPF and CAP_PERFMON, as root has them, else those of this user; what it
// may not see is left out, and told in the log. A process that ends meanwhile is
// none. Files that a thread keeps apart from its process (CLONE_FILES of
// unshare(2)) are not seen.
func (h *Host) Holders(ctx context.Context, f HolderFilter) ([]Holder, error) {
	start := time.Now()
	var holders []Holder
	var denied int
	var err error
	use := usage.Usage{Source: usage.ProcFS, Reason: h.whyNotBPF(&f)}
	walked := use.Reason != ""
	if walked {
		holders, denied, err = h.walk(ctx, f)
	}
	// The iterator sees what the walk may not.
	if !walked || denied > 0 && err == nil && h.whyNotBPF(&f) == "" {
		iterated, failure := h.iterate(ctx, f)
		switch {
		case failure == nil:
			use.Source, use.Reason, denied = usage.BPF, "", 0
			holders = iterated
		case ctx.Err() != nil:
			use.Source, use.Reason = usage.BPF, ""
			err = failure
		default:
			h.mu.Lock()
			h.noIterator = failure.Error()
			if errors.Is(failure, fs.ErrPermission) {
				h.noIterator = "it needs root, or CAP_BPF and CAP_PERFMON"
			}
			h.mu.Unlock()
			use.Reason = h.whyNotBPF(&f)
			if !walked {
				holders, denied, err = h.walk(ctx, f)
			}
		}
	}
	if denied > 0 {
		h.deniedOnce.Do(func() {
			advice := ""
			if os.Geteuid() != 0 {
				advice = ": run as root"
			}
			h.log.Warn("the files of some processes may not be read, so that their sockets have no pid"+advice, "processes", denied)
		})
	}
	use.Sockets, use.Wait = int64(len(holders)), time.Since(start)
	h.uses.Note(holdersList, use)
	return holders, err
}

// iterate is Holders by the BPF iterator.
func (h *Host) iterate(ctx context.Context, f HolderFilter) ([]Holder, error) {
	var wanted map[uint64]bool
	if f.Inodes != nil {
		wanted = make(map[uint64]bool, len(f.Inodes))
		for _, inode := range f.Inodes {
			wanted[inode] = true
		}
	}
	var holders collected
	err := h.taskFiles(ctx, func(holder Holder) {
		if (wanted == nil || wanted[holder.Inode]) && (f.PIDs == nil || slices.Contains(f.PIDs, holder.PID)) {
			holders.add(holder)
		}
	})
	if err != nil {
		return nil, err
	}
	return f.arrange(holders.all()), nil
}

// collected are holders as they come, in a few bytes each: how they differ from the
// one before. So the array of all is made once, of their number; one that grows
// would for a moment be there twice.
type collected struct {
	chunks [][]byte
	number int
	last   Holder
}

// collectedChunk is the size of a chunk in bytes.
const collectedChunk = 64 << 10

func (c *collected) add(h Holder) {
	i := len(c.chunks) - 1
	if i < 0 || len(c.chunks[i])+3*binary.MaxVarintLen64 > collectedChunk {
		c.chunks = append(c.chunks, make([]byte, 0, collectedChunk))
		i++
	}
	b := binary.AppendVarint(c.chunks[i], int64(h.Inode-c.last.Inode))
	b = binary.AppendVarint(b, int64(h.PID)-int64(c.last.PID))
	c.chunks[i] = binary.AppendVarint(b, int64(h.FD)-int64(c.last.FD))
	c.number++
	c.last = h
}

// all returns the holders.
func (c *collected) all() []Holder {
	holders := make([]Holder, 0, c.number)
	var h Holder
	for _, b := range c.chunks {
		next := func() int64 {
			v, n := binary.Varint(b)
			b = b[n:]
			return v
		}
		for len(b) > 0 {
			h.Inode += uint64(next())
			h.PID += int32(next())
			h.FD += int32(next())
			holders = append(holders, h)
		}
	}
	return holders
}

// arrange sorts holders and leaves one of each socket, if that is asked for.
func (f *HolderFilter) arrange(holders []Holder) []Holder {
	slices.SortFunc(holders, func(a, b Holder) int {
		return cmp.Or(cmp.Compare(a.Inode, b.Inode), cmp.Compare(a.PID, b.PID), cmp.Compare(a.FD, b.FD))
	})
	return slices.CompactFunc(holders, func(a, b Holder) bool { return a == b || f.Lowest && a.Inode == b.Inode })
}

// walk is Holders by /proc/PID/fd. It counts the processes whose files may not be
// read.
func (h *Host) walk(ctx context.Context, f HolderFilter) (holders []Holder, denied int, err error) {
	pids, err := h.processes(h.proc)
	if err != nil {
		return nil, 0, err
	}
	if f.PIDs != nil {
		// A thread has a directory too, which is not listed.
		pids = slices.DeleteFunc(pids, func(pid int32) bool { return !slices.Contains(f.PIDs, pid) })
	}
	slices.Sort(pids)
	w := walk{host: h, ctx: ctx, pids: pids}
	if f.Inodes != nil {
		w.wanted = make(map[uint64]bool, len(f.Inodes))
		for _, inode := range f.Inodes {
			w.wanted[inode] = false
		}
		w.missing = len(w.wanted)
		w.stop = f.Lowest
	}
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), max(len(w.pids), 1)) {
		workers.Go(w.run)
	}
	workers.Wait()
	if err := cmp.Or(w.err, ctx.Err()); err != nil {
		return nil, 0, err
	}
	if w.denied > 0 {
		h.mu.Lock()
		h.denied = true
		h.mu.Unlock()
	}
	return f.arrange(w.holders.all()), w.denied, nil
}

// openFiles returns how many files the whole host has open, from
// /proc/sys/fs/file-nr; 0 if that cannot be told.
func openFiles() int {
	text, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\t")
	n, _ := strconv.Atoi(first)
	return n
}

// walk reads the files of processes, in several goroutines that take them in
// ascending order.
type walk struct {
	host *Host
	ctx  context.Context
	pids []int32
	stop bool // when every wanted socket has a holder

	mu      sync.Mutex
	next    int             // process to be taken
	wanted  map[uint64]bool // whether each has a holder; nil wants all
	missing int             // wanted sockets without one
	holders collected
	denied  int
	err     error
}

// maxFound is how many holders a goroutine keeps before it hands them over.
const maxFound = 512

// take takes over what was found; w.mu is held.
func (w *walk) take(found []Holder) {
	for _, holder := range found {
		if held, ok := w.wanted[holder.Inode]; w.wanted != nil && !ok {
			continue
		} else if !held && ok {
			w.wanted[holder.Inode] = true
			w.missing--
		}
		w.holders.add(holder)
	}
}

func (w *walk) run() {
	var reader fdReader
	found := make([]Holder, 0, maxFound)
	for {
		w.mu.Lock()
		w.take(found)
		// Processes are taken in their order: with the last socket found, who
		// is not taken yet can hold it only by a higher number.
		if w.next == len(w.pids) || w.err != nil || w.ctx.Err() != nil || w.stop && w.missing == 0 {
			w.mu.Unlock()
			return
		}
		pid := w.pids[w.next]
		w.next++
		w.mu.Unlock()

		var err error
		if found, err = w.process(&reader, pid, found[:0]); err != nil {
			w.mu.Lock()
			if errors.Is(err, fs.ErrPermission) {
				w.denied++
			} else {
				w.err = fmt.Errorf("the files of process %d: %w", pid, err)
			}
			w.mu.Unlock()
		}
	}
}

// process reads the files of one process, into found as far as that has room, and
// returns it. Its threads share them; where the first thread has ended, another
// still shows them.
func (w *walk) process(reader *fdReader, pid int32, found []Holder) ([]Holder, error) {
	add := func(inode uint64, fd int32) {
		if len(found) == cap(found) {
			w.mu.Lock()
			w.take(found)
			w.mu.Unlock()
			found = found[:0]
		}
		found = append(found, Holder{inode, pid, fd})
	}
	reader.ended = w.ctx.Done()
	dir := process.Dir(w.host.proc, pid)
	files, err := reader.sockets(filepath.Join(dir, "fd"), add)
	if files == 0 && (err == nil || !errors.Is(err, fs.ErrPermission)) {
		threads, failed := os.ReadDir(filepath.Join(dir, "task"))
		if failed != nil && err == nil {
			err = failed
		}
		for i := 1; i < len(threads) && files == 0; i++ {
			files, err = reader.sockets(filepath.Join(dir, "task", threads[i].Name(), "fd"), add)
		}
	}
	if process.Ended(err) {
		return found, nil
	}
	return found, err
}
