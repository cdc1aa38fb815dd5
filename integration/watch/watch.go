// Package watch runs a statement again and again and shows what changed: as a screen
// that is drawn anew, or as the lines of osquery's result log.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// maxHeld is how much memory the rows of one run may take, in bytes.
const maxHeld = 64 << 20

// Rows are the rows of one run, which are held for the next one. As a result of package
// sqlite it takes one statement.
type Rows struct {
	Names []string
	cells [][]schema.Cell
	size  int
}

// Columns names the columns, once.
func (r *Rows) Columns(names []string) error {
	if r.Names != nil {
		return errors.New("there are several statements: one can be watched")
	}
	r.Names = names
	return nil
}

// Row keeps a row.
func (r *Rows) Row(cells []schema.Cell) error {
	row := make([]schema.Cell, len(cells))
	for i, c := range cells {
		row[i] = c
		if c.Kind == schema.Bytes {
			row[i].Bytes = append([]byte{}, c.Bytes...)
		}
		r.size += cellSize + len(c.Bytes)
	}
	if r.size > maxHeld {
		return fmt.Errorf("the rows take more than %d MiB, which is too much to compare them with the next: select fewer rows or columns", maxHeld>>20)
	}
	r.cells = append(r.cells, row)
	return nil
}

// cellSize is about what a cell takes without its text, in bytes.
const cellSize = 64

// Close ends the rows.
func (r *Rows) Close() error { return nil }

// Watch is a statement that runs again and again.
type Watch struct {
	Every time.Duration
	// Run runs the statement once.
	Run func(context.Context, *Rows) error
	Out io.Writer
	// Screen returns what each difference is drawn on. Without one the watch writes
	// a log of the rows: see [Difference.Log].
	Screen func() Screen
}

// Loop runs the statement at once and then at each interval, until a run fails or the
// context ends; it returns why. A run that takes longer than the interval delays the
// next.
func (w *Watch) Loop(ctx context.Context) error {
	var before *Rows
	var last *Difference
	if w.Screen != nil && w.Screen().Redraw {
		io.WriteString(w.Out, "\x1b[?1049h") // the terminal's other screen
		defer func() {
			io.WriteString(w.Out, "\x1b[?1049l")
			if s := w.Screen(); last != nil {
				s.Redraw = false
				last.Draw(w.Out, s, w.title(time.Now()))
			}
		}()
	}
	return Loop(ctx, w.Every, func() error {
		after := new(Rows)
		if err := w.Run(ctx, after); err != nil {
			return err
		}
		d, now := Compare(before, after), time.Now()
		first := before == nil
		before = after
		if w.Screen == nil {
			return d.Log(w.Out, now, first)
		}
		last = d
		return d.Draw(w.Out, w.Screen(), w.title(now))
	})
}

func (w *Watch) title(at time.Time) string {
	return fmt.Sprintf("every %v, %s", w.Every, at.Format(time.TimeOnly))
}

// Loop calls run at once and then at each interval, until it fails or the context
// ends. A run that takes longer than the interval delays the next.
func Loop(ctx context.Context, every time.Duration, run func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := run(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
