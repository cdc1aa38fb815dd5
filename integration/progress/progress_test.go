package progress

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

type result struct{ rows int }

func (*result) Columns([]string) error    { return nil }
func (r *result) Row([]schema.Cell) error { r.rows++; return nil }
func (*result) Close() error              { return nil }

// What is printed below the line has no rest of it, and a stopped line is not shown.
func TestLine(t *testing.T) {
	var out bytes.Buffer
	l := Start(&out)
	inner := new(result)
	counted := l.Count(inner)
	for range 12 {
		counted.Row(nil)
	}
	l.show()
	if got := out.String(); inner.rows != 12 || !strings.HasPrefix(got, "\r12 rows, ") {
		t.Errorf("%d rows, and it prints %q", inner.rows, got)
	}
	shown := out.Len() - 1
	l.Erase()
	l.Erase()
	fmt.Fprintln(l.Writer(&out), "row")
	l.show()
	l.Stop()
	if _, after, _ := strings.Cut(out.String()[1:], "\r"); after != strings.Repeat(" ", shown)+"\rrow\n" {
		t.Errorf("it prints %q", out.String())
	}
}

// A line can be stopped while it is shown.
func TestStop(t *testing.T) {
	for range 100 {
		var out bytes.Buffer
		l := Start(&out)
		var both sync.WaitGroup
		both.Go(l.show)
		both.Go(l.Stop)
		both.Wait()
		if s := out.String(); s != "" && !strings.HasSuffix(s, " \r") {
			t.Fatalf("it leaves %q", s)
		}
	}
	var none *Line
	none.Erase()
	none.Stop()
}
