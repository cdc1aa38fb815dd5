package netnstest

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestNamespaceIsFreshAndApart(t *testing.T) {
	const self = "/proc/thread-self/ns/net"
	outside, err := os.Readlink(self)
	if err != nil {
		t.Fatal(err)
	}
	ns := New(t)
	var inside string
	if err := ns.Do(func() error { inside, err = os.Readlink(self); return err }); err != nil {
		t.Fatal(err)
	}
	child, err := ns.Command(t.Context(), "readlink", "/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Readlink(self)
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if inside == outside || strings.TrimSpace(string(child)) != inside {
		t.Errorf("outside %s, on the thread %s, in a child %s", outside, inside, child)
	}
	if after != outside || process != outside {
		t.Errorf("the test moved from %s to %s, its process to %s", outside, after, process)
	}
}

func TestCommandIsBounded(t *testing.T) {
	ns := New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := ns.Command(ctx, "sleep", "25")
	if err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got error %v, want one that names the deadline", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("the command ended after %v", d)
	}
}

func TestDoOutlivesItsThread(t *testing.T) {
	ns := New(t)
	if err := ns.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a function that ended its goroutine gave no error")
	}
	if err := ns.Do(func() error { return nil }); err == nil {
		t.Error("a function ran in a namespace that has ended")
	}
}
