package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
)

// elsewhere returns a handle of this process's namespace that enters it as if it
// was another.
func elsewhere(t *testing.T) *Handle {
	t.Helper()
	set := New(Options{Proc: process.DefaultProc, Log: hclog.NewNullLogger()})
	h := &Handle{Inode: set.Own().Inode, set: set, file: "/proc/self/ns/net"}
	t.Cleanup(h.Close)
	if err := h.Do(func() {}); err != nil {
		if os.Getenv("SOCKETS_MUST_RUN") != "1" && os.Geteuid() != 0 {
			t.Skip(fmt.Errorf("entering a namespace takes CAP_SYS_ADMIN: %v: %w", err, errors.ErrUnsupported))
		}
		t.Fatal(err)
	}
	return h
}

// A handle has one thread, which is neither the asker's nor the process's first,
// and which ends with the handle.
func TestOneThreadAHandle(t *testing.T) {
	h := elsewhere(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	seen := make(map[int]bool)
	for range 100 {
		if err := h.Do(func() { seen[unix.Gettid()] = true }); err != nil {
			t.Fatal(err)
		}
	}
	file, err := h.Open("tcp")
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	if len(seen) != 1 || seen[unix.Gettid()] || seen[unix.Getpid()] {
		t.Errorf("the threads %v of process %d", seen, unix.Getpid())
	}
	for thread := range seen {
		task := filepath.Join("/proc/self/task", fmt.Sprint(thread))
		if _, err := os.Stat(task); err != nil {
			t.Error(err)
		}
		h.Close()
		for range 1_000_000 {
			if _, err = os.Stat(task); err != nil {
				break
			}
			runtime.Gosched()
		}
		if err == nil {
			t.Errorf("thread %d has not ended", thread)
		}
	}
	// One that was closed enters again.
	if err := h.Do(func() {}); err != nil {
		t.Error(err)
	}
}

// What a call panics with is its caller's, and so is its end.
func TestCallsThatDoNotReturn(t *testing.T) {
	h := elsewhere(t)
	t.Run("panic", func(t *testing.T) {
		defer func() {
			if p := recover(); p != "as planned" {
				t.Errorf("got %v", p)
			}
		}()
		h.Do(func() { panic("as planned") })
	})
	t.Run("after a panic", func(t *testing.T) {
		called := false
		if err := h.Do(func() { called = true }); err != nil || !called {
			t.Errorf("called is %v, %v", called, err)
		}
	})
	t.Run("Goexit", func(t *testing.T) {
		ended := true
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.Do(runtime.Goexit)
			ended = false
		}()
		<-done
		h.thread = nil
		if !ended {
			t.Error("Do returned")
		}
	})
}

func TestCannotBeEntered(t *testing.T) {
	set := New(Options{Proc: process.DefaultProc, Log: hclog.NewNullLogger()})
	other := filepath.Join(t.TempDir(), "net")
	if err := os.WriteFile(other, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file string
		gone       bool
		want       string
	}{
		{"missing", other + "2", true, "no such file"},
		{"another file", other, true, "is no longer it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &Handle{Inode: set.Own().Inode, set: set, file: c.file}
			for range 2 {
				err := h.Do(func() { t.Error("called") })
				if !errors.Is(err, ErrClosed) || errors.Is(err, errGone) != c.gone || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}
