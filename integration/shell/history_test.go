package shell

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "history")
	h, err := openHistory(path)
	if err != nil || h.Len() != 0 {
		t.Fatalf("no file gave %d entries, %v", h.Len(), err)
	}
	entries := []string{"SELECT 1;", "SELECT\n2;", `VALUES ('\n');`, `VALUES ('\\');`}
	for _, e := range append([]string{"  "}, entries...) {
		h.Write(e + "\n")
		h.Write(e)
	}
	h, err = openHistory(path)
	if err != nil || !slices.Equal(h.entries, entries) {
		t.Errorf("got %q, %v, want %q", h.entries, err, entries)
	}
	if _, err := h.GetLine(len(entries)); err == nil {
		t.Error("there is an entry behind the last one")
	}
	if line, err := h.GetLine(1); line != entries[1] {
		t.Errorf("got %q, %v", line, err)
	}
}

// A long file is cut off at its beginning, and stays its owner's.
func TestHistoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ entries, size, kept int }{
		"many":  {2001, 0, 1000},
		"large": {50, 100_000, 20},
		"small": {2000, 0, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			var b strings.Builder
			for i := range c.entries {
				b.WriteString(historyLine(fmt.Sprint(i, strings.Repeat("x", c.size))))
			}
			if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				h, err := openHistory(path)
				if err != nil || h.Len() != c.kept || !strings.HasPrefix(h.entries[h.Len()-1], fmt.Sprint(c.entries-1)) {
					t.Errorf("%d entries, %v", h.Len(), err)
				}
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
	if files, err := os.ReadDir(dir); len(files) != 3 {
		t.Errorf("it leaves %v, %v", files, err)
	}
}

// Where the history cannot be kept, the entries of this shell are there all the same.
func TestHistoryThatCannotBeKept(t *testing.T) {
	for _, path := range []string{"/dev/full", "/dev/null/history", t.TempDir(), ""} {
		t.Run(path, func(t *testing.T) {
			h, _ := openHistory(path)
			h.Write("SELECT 1;")
			if line, err := h.GetLine(0); line != "SELECT 1;" {
				t.Errorf("got %q, %v", line, err)
			}
		})
	}
}
