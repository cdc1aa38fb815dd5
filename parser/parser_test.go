package parser

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzLines holds Lines to bytes.Split, whatever the size of the reads.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\n\ntwo\r\nthree"), 3)
	f.Add([]byte(""), 1)
	f.Add([]byte("\n"), 8)
	f.Add(bytes.Repeat([]byte("long line "), 30000), 64)
	f.Fuzz(func(t *testing.T, data []byte, max int) {
		if max < 1 || max > 1<<17 {
			return
		}
		want := bytes.Split(data, []byte("\n"))
		if len(want[len(want)-1]) == 0 {
			want = want[:len(want)-1]
		}
		for _, r := range []io.Reader{bytes.NewReader(data), iotest.DataErrReader(bytes.NewReader(data)), iotest.HalfReader(bytes.NewReader(data))} {
			var i int
			for line, err := range Lines(r, max) {
				if err != nil {
					t.Fatal(err)
				}
				if i >= len(want) || line.Number != i+1 {
					t.Fatalf("line %d of %d", line.Number, len(want))
				}
				w := want[i]
				if line.Long {
					if len(w) < max || !bytes.Equal(line.Text, w[:max]) {
						t.Fatalf("line %d: wrongly called long, or cut elsewhere than at %d", line.Number, max)
					}
				} else if !bytes.Equal(line.Text, w) {
					t.Fatalf("line %d: got %q, want %q", line.Number, line.Text, w)
				}
				if cut := i == len(want)-1 && data[len(data)-1] != '\n'; line.Cut != cut && !line.Long {
					t.Fatalf("line %d: Cut is %v", line.Number, line.Cut)
				}
				i++
			}
			if i != len(want) {
				t.Fatalf("%d lines, want %d", i, len(want))
			}
		}
	})
}

func TestLinesReportsAFailingReader(t *testing.T) {
	broken := errors.New("broken")
	var last error
	for _, err := range Lines(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), 10) {
		last = err
	}
	if !errors.Is(last, broken) {
		t.Fatalf("got %v", last)
	}
}
