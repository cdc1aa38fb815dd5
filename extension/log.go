package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser/text"
)

// plainLog writes each message as one line for people, such as
//
//	warning: the file is missing (list=tcp, number=1)
type plainLog struct {
	w     io.Writer
	least hclog.Level
}

// Accept implements [hclog.SinkAdapter].
func (l *plainLog) Accept(_ string, level hclog.Level, message string, args ...any) {
	if level < l.least {
		return
	}
	word := level.String()
	if level == hclog.Warn {
		word = "warning"
	}
	var b strings.Builder
	b.WriteString(word + ": " + message)
	var details []string
	for i := 0; i+1 < len(args); i += 2 {
		if value := fmt.Sprint(args[i+1]); value != "" && value != "0" {
			details = append(details, fmt.Sprintf("%v=%s", args[i], value))
		}
	}
	if len(details) > 0 {
		b.WriteString(" (" + strings.Join(details, ", ") + ")")
	}
	fmt.Fprintln(l.w, text.Printable(b.String()))
}

// maxLogLines is how many lines wait for a standard error that nobody reads.
const maxLogLines = 1000

// logWriter writes the log in a goroutine of its own: whoever does not read
// standard error does not stop the extension. What is too much is counted.
type logWriter struct {
	lines chan []byte
	lost  atomic.Int64
	stop  chan struct{}
	ended chan struct{}
}

func newLogWriter(w io.Writer) *logWriter {
	// With a handler, a write to a pipe without a reader is an error and not the
	// end (package os/signal, SIGPIPE).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	l := &logWriter{lines: make(chan []byte, maxLogLines), stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for {
			select {
			case line := <-l.lines:
				l.write(w, line)
				continue
			default:
			}
			select {
			case line := <-l.lines:
				l.write(w, line)
			case <-l.stop:
				return
			}
		}
	}()
	return l
}

func (l *logWriter) write(w io.Writer, line []byte) {
	if n := l.lost.Swap(0); n > 0 {
		fmt.Fprintf(w, "sockets.ext: %d lines of the log are lost, since nobody read standard error\n", n)
	}
	w.Write(line)
}

// Write takes a line, or counts it.
func (l *logWriter) Write(line []byte) (int, error) {
	select {
	case l.lines <- bytes.Clone(line):
	default:
		l.lost.Add(1)
	}
	return len(line), nil
}

// close waits a moment for the last lines.
func (l *logWriter) close() {
	close(l.stop)
	select {
	case <-l.ended:
	case <-time.After(time.Second):
	}
}
