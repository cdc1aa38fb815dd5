package holders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// The reasons why a walk lacks holders.
const (
	lacksProcesses = "the files of some processes may not be read, so that their sockets have no pid"
	lacksFiles     = "some files of processes cannot be read, so that a socket among them has no pid"
)

// walk finds holders by /proc/PID/fd, and says what it could not read.
func (f *Finder) walk(ctx context.Context, filter *Filter) (holders []Holder, lack usage.Lack, err error) {
	pids, err := process.List(f.proc)
	if err != nil {
		return nil, lack, err
	}
	if filter.PIDs != nil {
		// A thread has a directory too, which is not listed.
		pids = slices.DeleteFunc(pids, func(pid int32) bool { return !slices.Contains(filter.PIDs, pid) })
	}
	slices.Sort(pids)
	w := walk{proc: f.proc, local: process.CheckLocal(f.proc) == nil, ctx: ctx, pids: pids}
	if filter.Inodes != nil {
		w.wanted = make(map[uint64]bool, len(filter.Inodes))
		for _, inode := range filter.Inodes {
			w.wanted[inode] = false
		}
		w.missing = len(w.wanted)
		w.stop = filter.Lowest
	}
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), max(len(w.pids), 1)) {
		workers.Go(w.work)
	}
	workers.Wait()
	if err := cmp.Or(w.err, ctx.Err()); err != nil {
		return nil, lack, err
	}
	w.lack.AddAll(process.Hidden(f.proc))
	if w.lack != (usage.Lack{}) {
		f.mu.Lock()
		f.denied = true
		f.mu.Unlock()
	}
	return filter.arrange(w.holders.all()), w.lack, nil
}

// walk reads the files of processes, in several goroutines that visit them in
// ascending order.
type walk struct {
	proc  string
	local bool // proc is this host's, so that its numbers are those of system calls
	ctx   context.Context
	pids  []int32
	stop  bool // when every wanted socket has a holder

	mu      sync.Mutex
	next    int             // position of the process that is visited next
	wanted  map[uint64]bool // whether each has a holder; nil wants all
	missing int             // wanted sockets without one
	holders collected
	lack    usage.Lack
	err     error
}

// maxFound is how many holders a goroutine keeps before it adds them to those of
// the walk.
const maxFound = 512

// add adds the wanted holders to those of the walk; w.mu is held.
func (w *walk) add(found []Holder) {
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

// work is one of the goroutines.
func (w *walk) work() {
	var reader fdReader
	found := make([]Holder, 0, maxFound)
	for {
		w.mu.Lock()
		w.add(found)
		// Processes are visited in their order: with the last socket found, one
		// that is not visited yet can hold it only by a higher number.
		if w.next == len(w.pids) || w.err != nil || w.ctx.Err() != nil || w.stop && w.missing == 0 {
			w.mu.Unlock()
			return
		}
		pid := w.pids[w.next]
		w.next++
		w.mu.Unlock()

		var unread error
		var err error
		found, unread, err = w.visit(&reader, pid, found[:0])
		w.note(pid, unread, err)
	}
}

// note keeps what could not be read of a process: the first error that is ours,
// and how much is missing for others' reasons.
func (w *walk) note(pid int32, unread, err error) {
	if unread == nil && err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	blame := process.BlameFor(err)
	example := func(err error) string { return fmt.Sprintf("process %d: %v", pid, err) }
	switch {
	case blame == process.Ours:
		w.err = fmt.Errorf("the files of process %d: %w", pid, err)
	case blame == process.Theirs && errors.Is(err, fs.ErrPermission):
		why := lacksProcesses
		if os.Geteuid() != 0 {
			why += ": run as root"
		}
		w.lack.Add(why, example(err))
	case blame == process.Theirs:
		w.lack.Add(lacksFiles, example(err))
	}
	if unread != nil {
		w.lack.Add(lacksFiles, example(unread))
	}
}

// visit reads the files of one process, into found as far as that has room, and
// returns it. The files of a process are those of all its threads, which mostly share
// them: the iterator lists the same. Unread is the error of the first file that had
// to be passed over.
func (w *walk) visit(reader *fdReader, pid int32, found []Holder) (all []Holder, unread, err error) {
	keep := func(inode uint64, fd int32) {
		if len(found) == cap(found) {
			w.mu.Lock()
			w.add(found)
			w.mu.Unlock()
			found = found[:0]
		}
		found = append(found, Holder{inode, pid, fd})
	}
	reader.ended = w.ctx.Done()
	_, unread, err = reader.sockets(filepath.Join(process.Dir(w.proc, pid), "fd"), keep)
	if process.BlameFor(err) == process.Ours {
		return found, unread, err
	}
	threads, failed := process.OtherThreads(w.proc, pid)
	if len(threads) == 0 || failed != nil {
		return found, unread, cmp.Or(err, failed)
	}
	read := []string{filepath.Base(process.Dir(w.proc, pid))} // threads whose files are, as orderOfFiles sorts them
	if process.BlameFor(err) == process.Theirs {
		// The files of a first thread that has ended are none, or denied to its user.
		ended, failed := process.FirstThreadEnded(w.proc, pid)
		if !ended {
			return found, unread, cmp.Or(failed, err)
		}
		err = nil
	}
	for _, thread := range threads {
		tid := filepath.Base(thread)
		if w.local {
			at, same := slices.BinarySearchFunc(read, tid, orderOfFiles)
			if same {
				continue
			}
			read = slices.Insert(read, at, tid)
		}
		_, passed, denied := reader.sockets(filepath.Join(thread, "fd"), keep)
		unread = cmp.Or(unread, passed)
		switch process.BlameFor(denied) {
		case process.Ours:
			return found, unread, denied
		case process.Theirs:
			err = cmp.Or(err, denied)
		}
	}
	return found, unread, err
}
