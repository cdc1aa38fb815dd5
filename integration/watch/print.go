package watch

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/rowfmt"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// Log writes the rows that came and went as osquery's result log has them: an object
// a line with the action (added or removed), the columns as strings and the time. A
// changed row is one that went and one that came. As in osquery all rows of
// the first run, those that are the same as none before, are added.
func (d *Difference) Log(w io.Writer, at time.Time, first bool) error {
	var buf bytes.Buffer
	line := func(action string, cells []schema.Cell) error {
		var columns bytes.Buffer
		object, err := rowfmt.New("jsonl", &columns, rowfmt.Options{Strings: true})
		if err != nil {
			return err
		}
		if err := object.Columns(d.Names); err != nil {
			return err
		}
		if err := object.Row(cells); err != nil {
			return err
		}
		if err := object.Close(); err != nil {
			return err
		}
		fmt.Fprintf(&buf, `{"action":%q,"columns":%s,"unixTime":%d}`+"\n", action, bytes.TrimSpace(columns.Bytes()), at.Unix())
		return nil
	}
	for i := range d.Rows {
		row := &d.Rows[i]
		var err error
		switch {
		case row.Change == Added || first:
			err = line("added", row.Cells)
		case row.Change == Removed:
			err = line("removed", row.Cells)
		case row.Change == Changed:
			if err = line("removed", row.Before); err == nil {
				err = line("added", row.Cells)
			}
		}
		if err != nil {
			return err
		}
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// Screen is what a Difference is drawn on.
type Screen struct {
	Width, Height int
	Colour        bool
	Box           bool // with lines of Unicode
	// Redraw has a drawing take the place of the one before. Else it follows it, and
	// an empty line.
	Redraw bool
}

// marks are what stands before a row by its Change, and colours how its line is
// coloured.
func marks() [4]string   { return [4]string{"", "+", "-", "~"} }
func colours() [4]string { return [4]string{"", "\x1b[32m", "\x1b[31m", "\x1b[33m"} }

// Draw prints the difference with a heading, as far as the screen has room.
func (d *Difference) Draw(w io.Writer, s Screen, title string) error {
	var box bytes.Buffer
	mode := "pretty"
	if s.Box {
		mode = "box"
	}
	names := append([]string{"±"}, d.Names...)
	out, err := rowfmt.New(mode, &box, rowfmt.Options{Header: true, Width: s.Width})
	if err != nil {
		return err
	}
	if err := out.Columns(names); err != nil {
		return err
	}
	// Rows below the screen's end are not drawn, and do not widen the columns.
	shown := d.Rows
	if s.Height > 0 {
		shown = shown[:min(len(shown), s.Height)]
	}
	row := make([]schema.Cell, len(names))
	for i := range shown {
		row[0] = schema.Cell{Kind: schema.Bytes, Bytes: []byte(marks()[shown[i].Change])}
		copy(row[1:], shown[i].Cells)
		if err := out.Row(row); err != nil {
			return err
		}
	}
	if err := out.Close(); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(box.String(), "\n"), "\n")
	if s.Colour {
		colour(lines, shown)
	}
	heading := title + ": " + d.summary()
	if s.Width > 0 && len(heading) > s.Width {
		heading = d.summary()
	}
	lines = append([]string{heading}, lines...)
	if s.Height > 0 && len(lines) > s.Height-1 {
		lines = append(lines[:max(s.Height-2, 1)], "… the screen has no room for the rest")
	}
	return write(w, s, lines)
}

// colour colours the lines of a box by the changes of its rows. What is printed a
// value a line has its mark alone.
func colour(lines []string, rows []Row) {
	const above, below = 3, 1 // of the first row, and of the last one
	if len(lines) != above+len(rows)+below {
		return
	}
	for i := range rows {
		if c := colours()[rows[i].Change]; c != "" {
			lines[above+i] = c + lines[above+i] + "\x1b[0m"
		}
	}
}

func write(w io.Writer, s Screen, lines []string) error {
	var b strings.Builder
	if s.Redraw {
		b.WriteString("\x1b[H")
	}
	for _, line := range lines {
		b.WriteString(line)
		if s.Redraw {
			b.WriteString("\x1b[K")
		}
		b.WriteString("\n")
	}
	if s.Redraw {
		b.WriteString("\x1b[J")
	} else {
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// summary counts the rows, such as "12 rows, 1 came, 2 went, 1 changed".
func (d *Difference) summary() string {
	removed := d.Count(Removed)
	s := strconv.Itoa(len(d.Rows)-removed) + " rows"
	for _, part := range []struct {
		n    int
		what string
	}{{d.Count(Added), "came"}, {removed, "went"}, {d.Count(Changed), "changed"}} {
		if part.n > 0 {
			s += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return s
}
