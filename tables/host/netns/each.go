package netns

import (
	"context"
	"errors"
	"iter"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
)

// Each streams what read finds in each of the selected namespaces, whose handles
// it closes. An error of read ends its sequence.
//
// Another namespace than the program's own that cannot be read is remembered, see
// [Set.Refused], and passed over. One whose reading fails after a first value
// fails all, since part of an answer is none. One that ended meanwhile is no
// failure where it was not selected by its number.
func Each[T any](ctx context.Context, s *Set, selection Selection, read func(in *Handle) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if selection.only != nil {
			read(selection.only)(yield)
			return
		}
		var none T
		refused := &refusals{set: s}
		defer refused.log()
		handles, err := s.selected(ctx, selection, refused)
		if err != nil {
			yield(none, err)
			return
		}
		if len(handles) == 1 && handles[0].Own {
			read(handles[0])(yield) // nothing is remembered of it, nor passed over
			return
		}
		for _, h := range handles {
			yielded := false
			stream := func(h *Handle) (more bool, err error) {
				defer h.Close()
				for v, err := range read(h) {
					if err != nil {
						return false, err
					}
					yielded = true
					if !yield(v, nil) {
						return false, nil
					}
				}
				return true, nil
			}
			more, err := stream(h)
			if errors.Is(err, errGone) {
				again, there, walked := s.again(ctx, h.Inode)
				switch {
				case walked != nil:
					yield(none, walked)
					return
				case !there && (yielded || selection.In == nil):
					continue // it has ended; what it had before is true
				case yielded:
				case again != nil:
					more, err = stream(again)
				case there:
					err = ErrNotFound
				}
			}
			switch {
			case err != nil && !h.Own && !yielded && process.BlameFor(err) != process.Ours:
				refused.add(h.Inode, err)
				continue
			case err != nil:
				yield(none, err)
				return
			case !h.Own:
				s.mu.Lock()
				delete(s.refused, h.Inode)
				s.mu.Unlock()
			}
			if !more {
				return
			}
		}
	}
}

// selected returns handles of the selected namespaces. Those that are named and not
// there are added to refused. A handle holds nothing until it is used.
func (s *Set) selected(ctx context.Context, selection Selection, refused *refusals) ([]*Handle, error) {
	own := s.Own()
	if !selection.All && !s.All {
		return []*Handle{own}, nil
	}
	if selection.In == nil {
		return s.selectAll(ctx, own, refused)
	}
	var handles []*Handle
	var missing []uint32
	seen := make(map[uint32]bool)
	for _, text := range selection.In {
		inode, err := strconv.ParseUint(text, 10, 32)
		if text == "" && own.Inode == 0 {
			handles = append(handles, own)
			continue
		}
		if number := uint32(inode); err != nil || number == 0 || seen[number] {
			continue
		} else if seen[number] = true; number == own.Inode {
			handles = append(handles, own)
		} else if h := s.known(number); h != nil {
			handles = append(handles, h)
		} else {
			missing = append(missing, number)
		}
	}
	if len(missing) == 0 {
		return handles, nil
	}
	// What this walk saw, not what another query's saw that began before.
	now, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, inode := range missing {
		if h := s.handle(now, inode); h != nil {
			handles = append(handles, h)
		} else {
			refused.add(inode, ErrNotFound)
		}
	}
	return handles, nil
}

// selectAll returns the program's own namespace and then all others of the host.
func (s *Set) selectAll(ctx context.Context, own *Handle, refused *refusals) ([]*Handle, error) {
	handles := []*Handle{own}
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		inode := all[i].Inode
		switch h := s.handle(all, inode); {
		case all[i].Own:
		case own.Inode == 0:
			// Its sockets would be shown twice if it were the own one.
			refused.add(inode, ErrOwnUnknown)
		case h != nil:
			handles = append(handles, h)
		default: // who showed it has left
			handles = append(handles, &Handle{Inode: inode, set: s})
		}
	}
	return handles, nil
}

// again looks for a namespace whose known handle has gone. It returns nil if the
// namespace has no other, and whether it is there at all.
func (s *Set) again(ctx context.Context, inode uint32) (h *Handle, there bool, err error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, false, err
	}
	_, there = find(all, inode)
	return s.handle(all, inode), there, nil
}
