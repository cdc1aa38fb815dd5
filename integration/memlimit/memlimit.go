// Package memlimit bounds the memory of a program by ending those of its queries
// that would take more, before the kernel ends the program.
//
//	limit := memlimit.Default("/", 256<<20) // or less, as the control group has it
//	ctx, end := limit.Guard(ctx)
//	defer end()
//
// A query whose context [Limit.Guard] made is given up with an [Exceeded] as the
// cause when the program takes more than the limit.
package memlimit

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// interval is the time between two looks at the memory. What a query takes
	// meanwhile is beyond the limit.
	interval = 10 * time.Millisecond
	// collectAt is the share of the limit, in percent, from which on the garbage
	// collector works harder.
	collectAt = 70
	// ofGroup is the share of a control group's limit, in percent, that is ours:
	// the kernel counts more than our memory, such as the pages of files, and a
	// query takes some until it is given up.
	ofGroup = 80
)

// Limit is how much memory a program may take. A nil one is none.
type Limit struct {
	bytes int64
	of    string // why; empty if somebody chose it
	taken func() (int64, error)
}

// New returns a limit of so many bytes; 0 is none. The garbage collector of the
// whole program follows it.
func New(bytes int64) *Limit {
	if bytes > 0 {
		debug.SetMemoryLimit(bytes / 100 * collectAt)
	}
	return &Limit{bytes: bytes, taken: taken}
}

// Default returns a limit of preset bytes, where 0 is none, or that of this
// process's control groups if it is less. The files of the kernel are read below
// root, "/".
func Default(root string, preset int64) *Limit {
	group, path := ofGroups(root)
	group = group / 100 * ofGroup
	if group == 0 || preset > 0 && preset <= group {
		return New(preset)
	}
	l := New(group)
	l.of = fmt.Sprintf(", %d %% of %s", ofGroup, path)
	return l
}

// Bytes is the limit; 0 is none.
func (l *Limit) Bytes() int64 {
	if l == nil {
		return 0
	}
	return l.bytes
}

// Exceeded is the error of a query that takes more than this limit.
func (l *Limit) Exceeded() error { return Exceeded{l} }

// Exceeded is the error of a query that is given up.
type Exceeded struct{ limit *Limit }

func (e Exceeded) Error() string {
	return fmt.Sprintf("it takes more than the memory limit of %v%s: narrow the WHERE clause, sort and group fewer rows, or set --memory-limit", Size(e.limit.bytes), e.limit.of)
}

// Guard returns a context for a query, which is cancelled by an [Exceeded] when
// the program takes more than the limit. The function ends the guard.
func (l *Limit) Guard(ctx context.Context) (context.Context, func()) {
	if l.Bytes() == 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	g := &guard{limit: l, cancel: cancel}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = time.AfterFunc(interval, g.look)
	return ctx, g.end
}

// guard looks at the memory while a query runs. A query that is short costs a
// timer, and no goroutine.
type guard struct {
	limit  *Limit
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func (g *guard) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return
	}
	if g.limit.exceeded() {
		g.cancel(g.limit.Exceeded())
		return
	}
	g.timer.Reset(interval)
}

func (g *guard) end() {
	g.mu.Lock()
	g.ended = true
	g.timer.Stop()
	g.mu.Unlock()
	g.cancel(context.Canceled)
}

// exceeded reports whether the program takes more than the limit, garbage not
// counted.
func (l *Limit) exceeded() bool {
	over := func() bool {
		n, err := l.taken()
		return err == nil && n > l.bytes
	}
	if !over() {
		return false
	}
	debug.FreeOSMemory()
	return over()
}

// Size is a number of bytes, in a flag's value with its unit: 256MiB.
type Size int64

// The bounds of a limit that [ParseSize] takes. With less no query would end well.
const (
	MinSize Size = 32 << 20
	MaxSize Size = 1 << 40
)

var units = []struct {
	name  string
	bytes Size
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String is the number in the largest unit that it is a whole number of, rounded
// down to MiB.
func (s Size) String() string {
	s = s >> 20 << 20
	for _, u := range units {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// ParseSize reads a limit: a whole number and its unit, from [MinSize] to [MaxSize],
// or 0 for none.
func ParseSize(text string) (Size, error) {
	if text == "0" {
		return 0, nil
	}
	for _, u := range units {
		if digits, ok := strings.CutSuffix(text, u.name); ok {
			n, err := strconv.ParseUint(digits, 10, 32)
			if size := Size(n) * u.bytes; err == nil && n <= uint64(MaxSize/u.bytes) && size >= MinSize {
				return size, nil
			}
		}
	}
	return 0, fmt.Errorf("it takes a size from %v to %v with its unit KiB, MiB, GiB or TiB, such as 256MiB, or 0 for no limit", MinSize, MaxSize)
}
