package osquerytest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// extensionFile returns a copy of this program, which is an extension where
// asExtension is set.
func extensionFile(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.ext")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAutoload(t *testing.T) {
	m := osquerytest.New(t, osquerytest.WatchEvery(20*time.Millisecond))
	a, err := m.Autoload(extensionFile(t), osquerytest.AutoloadOptions{Verbose: true, Interval: 1, Every: 20 * time.Millisecond, Env: []string{asExtension + "=1"}})
	if err != nil {
		t.Fatal(err)
	}
	first := m.WaitFor("autoloaded")
	pid := func() string {
		t.Helper()
		answer, err := m.Query(t.Context(), "SELECT pid FROM life")
		if err != nil {
			t.Fatal(err)
		}
		return answer.Lines()[0]
	}
	before := pid()
	want := fmt.Sprintf(`started: ["--verbose" "--socket" %q "--timeout" "3" "--interval" "1"], OSQUERY_EXTENSION is its own process ID: true`+"\n", m.Socket())
	if got := a.Output(); got != want {
		t.Errorf("it printed\n%s\nwant\n%s", got, want)
	}
	// Killed, it is started again, as often as needed: osquery refuses it until
	// a ping shows that the first one is gone.
	if err := a.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	m.Wait("a new registration", func() bool { uuid, found := m.Find("autoloaded"); return found && uuid != first })
	m.WaitFor("autoloaded")
	if after := pid(); after == before || a.Starts() < 2 || a.ExitCodes()[0] != -1 {
		t.Errorf("process %s, then %s; %d starts, exit codes %v", before, after, a.Starts(), a.ExitCodes())
	}
	// osquery ends, and the extension with it, to be started for the next one.
	if err := m.Restart(); err != nil {
		t.Fatal(err)
	}
	m.WaitFor("autoloaded")
	a.Stop()
	starts := a.Starts()
	time.Sleep(60 * time.Millisecond) // the watcher has ended
	if a.Starts() != starts || a.Signal(os.Kill) == nil {
		t.Error("it is started after the end")
	}
}

// A file that becomes unsafe is not started again.
func TestAutoloadBecomesUnsafe(t *testing.T) {
	m := osquerytest.New(t)
	path := extensionFile(t)
	a, err := m.Autoload(path, osquerytest.AutoloadOptions{Every: 10 * time.Millisecond, Env: []string{asExtension + "=1"}})
	if err != nil {
		t.Fatal(err)
	}
	m.WaitFor("autoloaded")
	if err := os.Chmod(path, 0o757); err != nil {
		t.Fatal(err)
	}
	a.Signal(os.Kill)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(a.Output(), `check "not for others" fails`); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it printed %s", a.Output())
		}
	}
	if a.Starts() != 1 {
		t.Errorf("%d starts", a.Starts())
	}
}

func TestAutoloadIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		want    osquerytest.Check
		prepare func(path string) (string, error)
		asRoot  bool
	}{
		"fine":                   {"", func(path string) (string, error) { return path, nil }, false},
		"writable for its group": {"", func(path string) (string, error) { return path, os.Chmod(path, 0o775) }, false},
		"set-user-ID":            {"", func(path string) (string, error) { return path, os.Chmod(path, 0o755|os.ModeSetuid) }, false},
		"absent":                 {osquerytest.CheckExists, func(path string) (string, error) { return path + "x", nil }, false},
		"a directory":            {osquerytest.CheckFile, func(path string) (string, error) { return path + "d.ext", os.Mkdir(path+"d.ext", 0o755) }, false},
		"in a sticky directory": {osquerytest.CheckNotSticky, func(path string) (string, error) {
			return path, os.Chmod(filepath.Dir(path), 0o755|os.ModeSticky)
		}, false},
		"in a directory that all write": {"", func(path string) (string, error) { return path, os.Chmod(filepath.Dir(path), 0o777) }, false},
		"of another user":               {osquerytest.CheckOwner, func(path string) (string, error) { return path, os.Chown(path, 4242, 0) }, true},
		"not executable":                {osquerytest.CheckExecutable, func(path string) (string, error) { return path, os.Chmod(path, 0o644) }, false},
		"writable for all":              {osquerytest.CheckNotOthers, func(path string) (string, error) { return path, os.Chmod(path, 0o757) }, false},
		"without suffix": {osquerytest.CheckSuffix, func(path string) (string, error) {
			return strings.TrimSuffix(path, ".ext"), os.Rename(path, strings.TrimSuffix(path, ".ext"))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.asRoot && os.Geteuid() != 0 && os.Getenv("SOCKETS_MUST_RUN") != "1" {
				t.Skip(fmt.Errorf("only root gives files away: %w", errors.ErrUnsupported))
			}
			path := filepath.Join(t.TempDir(), "x.ext")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			path, err := c.prepare(path)
			if err != nil {
				t.Fatal(err)
			}
			err = osquerytest.CheckFileSafe(path)
			var refused *osquerytest.RefusedError
			switch {
			case c.want == "":
				if err != nil {
					t.Errorf("got %v", err)
				}
			case !errors.As(err, &refused) || refused.Check != c.want || refused.Path != path || !strings.Contains(err.Error(), string(c.want)):
				t.Errorf("got %v, want the check %q", err, c.want)
			}
			_, err = osquerytest.New(t).Autoload(path, osquerytest.AutoloadOptions{AllowUnsafe: true})
			if stays := c.want == osquerytest.CheckExists || c.want == osquerytest.CheckFile || c.want == osquerytest.CheckSuffix; (err != nil) != stays {
				t.Errorf("with --allow_unsafe: %v", err)
			}
		})
	}
}

// One that does not end by itself is killed.
func TestAutoloadStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stubborn.ext")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	a, err := osquerytest.New(t).Autoload(path, osquerytest.AutoloadOptions{StopTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); a.Output() == "" && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	a.Stop()
	if codes := a.ExitCodes(); len(codes) != 1 || codes[0] != -1 {
		t.Errorf("exit codes %v", codes)
	}
}
