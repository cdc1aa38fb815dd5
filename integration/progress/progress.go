// Package progress says on a terminal how far a statement is that takes its time.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// The time before the first line, and between two of them.
const (
	patience = 500 * time.Millisecond
	interval = 200 * time.Millisecond
)

// Line is a line with the rows so far and the elapsed time, which is erased before
// anything else is printed. The nil Line prints nothing.
type Line struct {
	w     io.Writer
	began time.Time
	rows  atomic.Int64
	end   chan struct{}

	mu      sync.Mutex
	stopped bool
	shown   int // the length of what is on the terminal
}

// Start begins a line on the terminal w, half a second from now. It ends with Stop.
func Start(w io.Writer) *Line {
	l := &Line{w: w, began: time.Now(), end: make(chan struct{})}
	go l.run()
	return l
}

func (l *Line) run() {
	wait := time.NewTimer(patience)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
			l.show()
			wait.Reset(interval)
		case <-l.end:
			return
		}
	}
}

func (l *Line) show() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	text := fmt.Sprintf("%d rows, %.1f s", l.rows.Load(), time.Since(l.began).Seconds())
	// Blanks and not an escape sequence, which some terminals do not have.
	blanks := strings.Repeat(" ", max(l.shown-len(text), 0))
	fmt.Fprintf(l.w, "\r%s%s", text, blanks)
	l.shown = len(text)
}

// Erase erases the line until it is due again, so that something else can be printed.
func (l *Line) Erase() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown > 0 {
		fmt.Fprintf(l.w, "\r%s\r", strings.Repeat(" ", l.shown))
		l.shown = 0
	}
}

// Stop erases the line, for good. It may be called again.
func (l *Line) Stop() {
	if l == nil {
		return
	}
	l.mu.Lock()
	if !l.stopped {
		l.stopped = true
		close(l.end)
	}
	l.mu.Unlock()
	l.Erase()
}

// Count returns a result that counts the rows of another.
func (l *Line) Count(r sqlite.Result) sqlite.Result {
	if l == nil {
		return r
	}
	return counted{r, l}
}

type counted struct {
	sqlite.Result
	line *Line
}

func (c counted) Row(cells []schema.Cell) error {
	c.line.rows.Add(1)
	return c.Result.Row(cells)
}

// Writer returns a writer that stops the line before it writes to w.
func (l *Line) Writer(w io.Writer) io.Writer {
	if l == nil {
		return w
	}
	return stopping{w, l}
}

type stopping struct {
	io.Writer
	line *Line
}

func (s stopping) Write(b []byte) (int, error) {
	s.line.Stop()
	return s.Writer.Write(b)
}
