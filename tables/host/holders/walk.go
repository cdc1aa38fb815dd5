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
)

// walk finds holders by /proc/PID/fd. It counts the processes whose files may not
// be read.
func (f *Finder) walk(ctx context.Context, filter *Filter) (holders []Holder, denied int, err error) {
	pids, err := process.List(f.proc)
	if err != nil {
		return nil, 0, err
	}
	if filter.PIDs != nil {
		// A thread has a directory too, which is not listed.
		pids = slices.DeleteFunc(pids, func(pid int32) bool { return !slices.Contains(filter.PIDs, pid) })
	}
	slices.Sort(pids)
	w := walk{proc: f.proc, ctx: ctx, pids: pids}
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
		return nil, 0, err
	}
	if w.denied > 0 {
		f.mu.Lock()
		f.denied = true
		f.mu.Unlock()
	}
	return filter.arrange(w.holders.all()), w.denied, nil
}

// walk reads the files of processes, in several goroutines that visit them in
// ascending order.
type walk struct {
	proc string
	ctx  context.Context
	pids []int32
	stop bool // when every wanted socket has a holder

	mu      sync.Mutex
	next    int             // position of the process that is visited next
	wanted  map[uint64]bool // whether each has a holder; nil wants all
	missing int             // wanted sockets without one
	holders collected
	denied  int
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

		var err error
		if found, err = w.visit(&reader, pid, found[:0]); err != nil {
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

// visit reads the files of one process, into found as far as that has room, and
// returns it. Its threads share them; where the first thread has ended, another
// still shows them.
func (w *walk) visit(reader *fdReader, pid int32, found []Holder) ([]Holder, error) {
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
	dir := process.Dir(w.proc, pid)
	files, err := reader.sockets(filepath.Join(dir, "fd"), keep)
	if files == 0 && (err == nil || !errors.Is(err, fs.ErrPermission)) {
		threads, failed := os.ReadDir(filepath.Join(dir, "task"))
		if failed != nil && err == nil {
			err = failed
		}
		for i := 1; i < len(threads) && files == 0; i++ {
			files, err = reader.sockets(filepath.Join(dir, "task", threads[i].Name(), "fd"), keep)
		}
	}
	if process.Ended(err) {
		return found, nil
	}
	return found, err
}
