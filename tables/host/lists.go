package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// list is a list of sockets that the kernel keeps: a file of /proc/net, if not
// only sock_diag tells of them (see registration), and the family and protocol
// of sock_diag. One that must not be missing exists on every
// kernel with its family; the others are missing where the kernel was built or
// started without them, and so has no such sockets.
type list struct {
	name     string // of the file
	family   sock.Family
	protocol sock.Protocol
	module   string // that answers for it in sock_diag; "" if none does
	must     bool
	// nothing makes the request for an empty list, by which sock_diag tells
	// whether it answers.
	nothing func(*list) request
}

// allLists returns every list of sockets in the order of socket_sources.
func allLists() (all []*list) {
	for _, lists := range [][]list{tcpLists, udpLists, rawLists, unixLists, packetLists, netlinkLists, mptcpLists, vsockLists, sctpLists, legacyLists} {
		for i := range lists {
			all = append(all, &lists[i])
		}
	}
	return all
}

// reader reads sockets of type T from sock_diag or, where that is not to be had,
// from /proc/net.
type reader[T any] struct {
	host *Host
	// ask asks sock_diag for a list, and fails with errRefused if it cannot tell.
	ask func(ctx context.Context, p *place, list *list, use *usage.Usage, yield func(T, error) bool) (more bool, err error)
	// proc decodes the list's file; nil if it has none.
	proc func(io.Reader, *list) iter.Seq2[T, error]
	// wants reports whether the query may want the socket.
	wants func(*T) bool
	// mark notes in which namespace it is.
	mark func(s *T, namespace uint32)

	uses map[string]*usage.Usage // by the list's name
}

// use returns how a list is read in this query.
func (r *reader[T]) use(list *list) *usage.Usage {
	if r.uses[list.name] == nil {
		if r.uses == nil {
			r.uses = make(map[string]*usage.Usage)
		}
		r.uses[list.name] = &usage.Usage{}
	}
	return r.uses[list.name]
}

// read hands the sockets of one list to yield, from sock_diag if that answers
// and else from /proc if that has the list. It reports whether yield wants more.
func (r *reader[T]) read(ctx context.Context, p *place, list *list, yield func(T, error) bool) (more bool, err error) {
	h := r.host
	use := r.use(list)
	use.Source = usage.SockDiag
	defer func() { h.uses.Note(list.name, *use) }()
	if use.Reason = h.whyNotDiag(list); use.Reason == "" {
		more, err := r.ask(ctx, p, list, use, yield)
		if !errors.Is(err, errRefused) {
			if err != nil {
				err = fmt.Errorf("sock_diag of %s: %w", list.name, err)
			}
			return more, err
		}
		use.Reason = err.Error()
	}
	if name, _ := list.registration(); name != "" {
		use.Source = ""
		return true, h.unlisted(p, list, use.Reason)
	}
	use.Source = usage.ProcFS
	return r.readProc(ctx, p, list, use, yield)
}

// readProc reads the file of a list. It gives up between sockets when the
// context ends.
func (r *reader[T]) readProc(ctx context.Context, p *place, list *list, use *usage.Usage, yield func(T, error) bool) (more bool, err error) {
	file, err := r.host.openIn(p, list.name)
	if errors.Is(err, fs.ErrNotExist) {
		if !list.must {
			r.host.log.Debug("no such list: taken for empty", "list", list.name)
			return true, nil
		}
		return false, fmt.Errorf("%w: is the proc filesystem mounted, or copied, there?", err)
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	var s T // one for all, as it is handed on by its address
	for next, err := range r.proc(&timedReader{file, &use.Wait}, list) {
		s = next
		if use.Sockets++; use.Sockets%256 == 0 && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", file.Name(), err)
		}
		r.mark(&s, p.inode)
		if r.wants(&s) && !yield(s, nil) {
			return false, nil
		}
	}
	return true, nil
}

// readFiles streams the sockets of lists that only /proc/net has, one after the
// other. For each namespace prepare returns what a socket of it is marked by.
func readFiles[T any](ctx context.Context, h *Host, namespaces Namespaces, lists []list, proc func(io.Reader, *list) iter.Seq2[T, error], prepare func(*place) (mark func(*T), err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r := reader[T]{host: h, proc: proc, wants: func(*T) bool { return true }}
		inEach(ctx, h, namespaces, yield, func(p *place, yield func(T, error) bool) (more bool, err error) {
			mark, err := prepare(p)
			r.mark = func(s *T, _ uint32) { mark(s) }
			more = true
			for i := 0; i < len(lists) && more && err == nil; i++ {
				more, err = r.read(ctx, p, &lists[i], yield)
			}
			return more, err
		})
	}
}

// readNet hands what a file of /proc/net has to take, which reports whether it
// wants more. It reports that too. A file that need not be there is empty when it
// is not.
func readNet[T any](ctx context.Context, h *Host, p *place, name string, must bool, decode func(io.Reader) iter.Seq2[T, error], take func(T) bool) (more bool, err error) {
	file, err := h.openIn(p, name)
	if errors.Is(err, fs.ErrNotExist) {
		if !must {
			return true, nil
		}
		return false, fmt.Errorf("%w: is the proc filesystem mounted, or copied, there?", err)
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	n := 0
	for v, err := range decode(file) {
		if n++; n%256 == 0 && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", file.Name(), err)
		}
		if !take(v) {
			return false, nil
		}
	}
	return true, nil
}

// inEach reads something in each of the selected namespaces. Another one than the
// program's own that cannot be read is noted and passed over; one whose reading
// fails after a first value fails all, since part of an answer is none.
func inEach[T any](ctx context.Context, h *Host, namespaces Namespaces, yield func(T, error) bool, read func(p *place, yield func(T, error) bool) (more bool, err error)) {
	var none T
	places, err := h.places(ctx, namespaces)
	if err != nil {
		yield(none, err)
		return
	}
	for _, p := range places {
		handed := false
		hand := yield
		if !p.own {
			hand = func(v T, err error) bool {
				handed = true
				return yield(v, err)
			}
		}
		more, err := read(p, hand)
		if errors.Is(err, errGone) && !handed {
			again, there, walked := h.again(ctx, p.inode)
			switch {
			case walked != nil:
				yield(none, walked)
				return
			case again != nil:
				more, err = read(again, hand)
			case there:
				err = errNoPlace
			case namespaces.In == nil:
				continue // it has ended
			}
		}
		switch {
		case err != nil && !p.own && !handed && ctx.Err() == nil:
			h.refuse(p.inode, err)
			continue
		case err != nil:
			yield(none, err)
			return
		case !p.own:
			h.mu.Lock()
			delete(h.refused, p.inode)
			h.mu.Unlock()
		}
		if !more {
			return
		}
	}
}

// openIn opens a file of /proc/net, such as tcp, as a namespace shows it. The
// error is fs.ErrNotExist only if the namespace has no such file.
func (h *Host) openIn(p *place, name string) (file *os.File, err error) {
	err = h.inProcess(p, func(dir string) (err error) {
		file, err = openList(filepath.Join(dir, "net"), name)
		return err
	})
	if err != nil && file != nil {
		file.Close()
	}
	return file, err
}

// inProcess runs f with the directory in proc of a process, or of a thread, that
// is in a namespace: the files of its net are those of the namespace.
func (h *Host) inProcess(p *place, f func(dir string) error) (err error) {
	if p.own {
		dir, err := h.netDir()
		if err != nil {
			return err
		}
		return f(filepath.Dir(dir))
	}
	entered := errClosed
	if p.file != "" {
		entered = p.do(func() { err = f(filepath.Join(h.proc, "thread-self")) })
	}
	if entered == nil {
		return err
	}
	if p.dir == "" && p.file == "" {
		return errGone
	}
	if p.dir == "" {
		return entered
	}
	err = f(p.dir)
	if namespaceOf(p.dir) != p.inode {
		return fmt.Errorf("%w: process %s has left it or ended", errGone, filepath.Base(p.dir))
	}
	return err
}

// openList opens a list of a directory, whose own absence is another error than
// that of the list.
func openList(dir, name string) (*os.File, error) {
	file, err := regular.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := os.Stat(dir); missing != nil {
			return nil, fmt.Errorf("no lists of sockets: %v", missing)
		}
	}
	return file, err
}

// timedReader adds up the time that is spent in Read.
type timedReader struct {
	io.Reader
	wait *time.Duration
}

func (r *timedReader) Read(b []byte) (int, error) {
	start := time.Now()
	n, err := r.Reader.Read(b)
	*r.wait += time.Since(start)
	return n, err
}

// wanted returns those of the lists that may have a socket that is wanted.
func wanted(lists []list, wants func(*list) bool) (some []*list) {
	for i := range lists {
		if wants(&lists[i]) {
			some = append(some, &lists[i])
		}
	}
	return slices.Clip(some)
}
