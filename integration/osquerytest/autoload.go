//go:build unix

package osquerytest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Check names a condition that osquery sets for a file that it loads by itself.
type Check string

// The checks, in osquery's order (isFileSafe in osquery/extensions/extensions.cpp,
// safePermissions in osquery/filesystem/filesystem.cpp).
const (
	CheckExists     Check = "exists"         // it is there
	CheckNotSticky  Check = "not sticky"     // its directory is none like /tmp, with the sticky bit
	CheckReadable   Check = "readable"       // osquery may open it
	CheckFile       Check = "file"           // it is no directory
	CheckOwner      Check = "owner"          // it belongs to root or osquery's own user
	CheckExecutable Check = "executable"     // its owner may execute it
	CheckNotOthers  Check = "not for others" // others may not write it; its group may
	CheckSuffix     Check = "suffix"         // it is called something.ext
)

// RefusedError is why osquery does not load a file.
type RefusedError struct {
	Path  string
	Check Check
	Err   error // of the file system, if there is one
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("osquery does not load %s: check %q fails", e.Path, string(e.Check))
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *RefusedError) Unwrap() error { return e.Err }

// CheckFileSafe returns nil if osquery, run by this user, would load the
// extension from this path, and else a [*RefusedError] with the first check that
// fails.
func CheckFileSafe(path string) error {
	refused := func(check Check, err error) error { return &RefusedError{path, check, err} }
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return refused(CheckFile, nil)
	} else if err != nil {
		return refused(CheckExists, err)
	}
	directory, err := os.Stat(filepath.Dir(path))
	if err != nil || directory.Mode()&fs.ModeSticky != 0 {
		return refused(CheckNotSticky, err)
	}
	file, err := os.Open(path)
	if err != nil {
		return refused(CheckReadable, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return refused(CheckReadable, err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch mode := info.Mode(); {
	case owner != 0 && int(owner) != os.Getuid():
		return refused(CheckOwner, nil)
	case mode&0o100 == 0:
		return refused(CheckExecutable, nil)
	case mode&0o002 != 0:
		return refused(CheckNotOthers, nil)
	case filepath.Ext(path) != ".ext":
		return refused(CheckSuffix, nil)
	}
	return nil
}

// AutoloadOptions are the flags of osqueryd for the extensions that it loads. The
// zero value has osqueryd's defaults.
type AutoloadOptions struct {
	Timeout  int  // --extensions_timeout, seconds; 0 means 3
	Interval int  // --extensions_interval, seconds; 0 means 3
	Verbose  bool // --verbose
	// AllowUnsafe is --allow_unsafe: of the checks only exists, file and suffix
	// remain.
	AllowUnsafe bool
	// Every is how often the watcher looks whether the extension still runs; 0
	// means 3 seconds.
	Every time.Duration
	// StopTimeout is how long SIGTERM has effect before SIGKILL; 0 means 11
	// seconds.
	StopTimeout time.Duration
	// Args and Env are for the extension, beside what osqueryd gives.
	Args, Env []string
}

// Autoloaded is an extension whose life osqueryd leads: its watcher starts it,
// and starts it again when it ends.
type Autoloaded struct {
	m       *Manager
	path    string
	options AutoloadOptions
	done    chan struct{} // closed when the watcher has ended

	mu       sync.Mutex
	process  *os.Process
	stopping chan struct{}
	starts   int
	codes    []int
	output   bytes.Buffer
}

// Autoload checks the file as osqueryd does and starts it, until the end of the
// test. An error is a [*RefusedError].
func (m *Manager) Autoload(path string, options AutoloadOptions) (*Autoloaded, error) {
	m.t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	a := &Autoloaded{m: m, path: path, options: options, done: make(chan struct{}), stopping: make(chan struct{})}
	if a.options.Every == 0 {
		a.options.Every = 3 * time.Second
	}
	if a.options.StopTimeout == 0 {
		a.options.StopTimeout = 11 * time.Second
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	go a.watch()
	m.t.Cleanup(a.Stop)
	return a, nil
}

func (a *Autoloaded) check() error {
	err := CheckFileSafe(a.path)
	var refused *RefusedError
	if !a.options.AllowUnsafe || !errors.As(err, &refused) || refused.Check == CheckExists || refused.Check == CheckFile {
		return err
	}
	if filepath.Ext(a.path) != ".ext" {
		return &RefusedError{a.path, CheckSuffix, nil}
	}
	return nil
}

// Arguments are those of the extension's command line.
func (a *Autoloaded) Arguments() []string {
	seconds := func(n int) string {
		if n == 0 {
			n = 3
		}
		return strconv.Itoa(n)
	}
	var args []string
	if a.options.Verbose {
		args = append(args, "--verbose")
	}
	args = append(args, "--socket", a.m.socket, "--timeout", seconds(a.options.Timeout), "--interval", seconds(a.options.Interval))
	return append(args, a.options.Args...)
}

// watch is WatcherRunner::watchExtensions, osquery/core/watcher.cpp.
func (a *Autoloaded) watch() {
	defer close(a.done)
	tick := time.NewTicker(a.options.Every)
	defer tick.Stop()
	for {
		// A file that has become unsafe is not started, and looked at again.
		if err := a.check(); err != nil {
			fmt.Fprintln(a, err)
		} else if ended := a.start(); ended != nil {
			<-ended
		}
		select {
		case <-a.stopping:
			return
		case <-tick.C:
		}
	}
}

// start returns a channel that is closed when the process has ended, or nil if it
// does not start.
func (a *Autoloaded) start() <-chan struct{} {
	// The shell gives the extension its own process ID, as osqueryd does.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `OSQUERY_EXTENSION=$$ exec "$0" "$@"`, a.path}, a.Arguments()...)...)
	cmd.Env = append(os.Environ(), a.options.Env...)
	cmd.Stdout, cmd.Stderr = a, a
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.stopping:
		return nil
	default:
	}
	if err := cmd.Start(); err != nil {
		a.output.WriteString(err.Error() + "\n")
		return nil
	}
	a.process = cmd.Process
	a.starts++
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.process = nil
		a.codes = append(a.codes, cmd.ProcessState.ExitCode())
	}()
	return ended
}

// maxOutput is how much of an extension's output is kept, in bytes.
const maxOutput = 1 << 20

// Write keeps what the extension prints.
func (a *Autoloaded) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.output.Write(p[:min(len(p), maxOutput-a.output.Len())])
	return len(p), nil
}

// Output returns the first megabyte of what the extension printed to both
// outputs in all its runs.
func (a *Autoloaded) Output() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Clone(a.output.String())
}

// Starts returns how often it was started.
func (a *Autoloaded) Starts() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.starts
}

// ExitCodes returns the exit code of each run that ended, -1 for one that a
// signal ended.
func (a *Autoloaded) ExitCodes() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]int(nil), a.codes...)
}

// Signal sends a signal to the extension that runs, such as [os.Kill].
func (a *Autoloaded) Signal(signal os.Signal) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.process == nil {
		return os.ErrProcessDone
	}
	return a.process.Signal(signal)
}

// Stop ends the extension as osqueryd does at its end: SIGTERM, and SIGKILL for
// one that has not ended after the timeout.
func (a *Autoloaded) Stop() {
	a.mu.Lock()
	select {
	case <-a.stopping:
	default:
		close(a.stopping)
	}
	a.mu.Unlock()
	a.Signal(syscall.SIGTERM)
	select {
	case <-a.done:
	case <-time.After(a.options.StopTimeout):
		a.Signal(os.Kill)
		<-a.done
	}
}
