package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
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

// A command writes a warning as a line for people, and with --log-json as JSON.
func TestWarningsOfCommands(t *testing.T) {
	query := append([]string{"query", "SELECT count(net_namespace) FROM tcp_sockets"}, fixtures...)
	_, _, stderr := sockets(t, "", query...)
	if line, _, _ := strings.Cut(stderr, "\n"); !strings.HasPrefix(line, "warning: ") || !strings.HasSuffix(line, ")") || strings.Contains(line, "=0") {
		t.Errorf("it wrote %q", stderr)
	}
	_, _, stderr = sockets(t, "", append(query, "--log-json")...)
	var line struct {
		Level string `json:"@level"`
	}
	if err := json.Unmarshal([]byte(strings.SplitN(stderr, "\n", 2)[0]), &line); err != nil || line.Level != "warn" {
		t.Errorf("with --log-json it wrote %q: %v", stderr, err)
	}
	if _, _, stderr = sockets(t, "", append(query, "--log-level", "error")...); stderr != "" {
		t.Errorf("with --log-level error it wrote %q", stderr)
	}
}

func TestPlainLog(t *testing.T) {
	for _, c := range []struct {
		level hclog.Level
		args  []any
		want  string
	}{
		{hclog.Warn, nil, "warning: a b\n"},
		{hclog.Error, []any{"list", "tcp", "number", 3, "example", "x y"}, "error: a b (list=tcp, number=3, example=x y)\n"},
		{hclog.Warn, []any{"number", 0, "example", ""}, "warning: a b\n"},
		{hclog.Warn, []any{"name", "x\x1b[31m"}, "warning: a b (name=x\\x1b[31m)\n"},
		{hclog.Info, nil, ""},
	} {
		var b strings.Builder
		(&plainLog{&b, hclog.Warn}).Accept("", c.level, "a b", c.args...)
		if b.String() != c.want {
			t.Errorf("%v %v: got %q, want %q", c.level, c.args, b.String(), c.want)
		}
	}
}
