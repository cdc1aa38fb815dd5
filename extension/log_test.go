package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestLogWriter(t *testing.T) {
	t.Run("a reader", func(t *testing.T) {
		var out bytes.Buffer
		l := newLogWriter(&out)
		for i := range 3 {
			fmt.Fprintln(l, i)
		}
		l.close()
		if out.String() != "0\n1\n2\n" {
			t.Errorf("got %q", out.String())
		}
	})
	t.Run("a reader that stalls", func(t *testing.T) {
		r, w := io.Pipe()
		l := newLogWriter(w)
		for range maxLogLines + 100 {
			fmt.Fprintln(l, "line") // does not wait
		}
		read := make(chan string)
		go func() {
			b, _ := io.ReadAll(r)
			read <- string(b)
		}()
		l.close()
		w.Close()
		if got := <-read; !strings.Contains(got, "lines of the log are lost") || strings.Count(got, "line\n") < maxLogLines {
			t.Errorf("got %.200q", got)
		}
	})
	t.Run("a reader that is gone", func(t *testing.T) {
		r, w := io.Pipe()
		r.CloseWithError(errors.New("gone"))
		l := newLogWriter(w)
		if _, err := fmt.Fprintln(l, "line"); err != nil {
			t.Error(err)
		}
		l.close()
	})
}
