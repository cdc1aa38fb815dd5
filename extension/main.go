//go:build !documents

// Command sockets.ext serves a Linux host's sockets and services as osquery
// tables, and answers the same SQL without osquery.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// endTimeout bounds the end that a signal asks for: serving osquery may still
// have calls to answer, and a reader of our output may have stopped reading.
const endTimeout = 10 * time.Second

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup(1) has it
		signal.Notify(signals, syscall.SIGHUP)
	}
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr) }()

	var code int
	select {
	case code = <-ended:
	case s := <-signals:
		signal.Reset() // a second signal ends us at once
		cancel(signalled{s.(syscall.Signal)})
		select {
		case code = <-ended:
		case <-time.After(endTimeout):
			code = exitFailed
		}
	}
	// To end by the signal, and not by an exit code, also ends the shell's
	// loop around us.
	var by signalled
	if code == exitFailed && errors.As(context.Cause(ctx), &by) {
		signal.Reset()
		syscall.Kill(os.Getpid(), by.Signal)
		time.Sleep(time.Second) // it comes at once
	}
	os.Exit(code)
}
