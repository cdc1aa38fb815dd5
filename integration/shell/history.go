package shell

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What the file of the history may hold: more is cut off at the next start.
const (
	maxEntries = 2000
	maxHistory = 4 << 20 // bytes
)

// history is the statements of this shell and of those before, the oldest first, in
// a file with a line for each, which only its owner can read. It is a source of the
// line editor.
type history struct {
	path    string // "" keeps nothing
	entries []string
}

// A line of the file has \n for a newline and \\ for a backslash.
func historyLine(entry string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(entry) + "\n"
}

func historyEntry(line string) string {
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(line)
}

// openHistory reads the file, which may be missing.
func openHistory(path string) (*history, error) {
	h := &history{path: path}
	if path == "" {
		return h, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		h.path = ""
		return h, errors.Join(err, errors.New(path+" is no regular file"))
	}
	size := 0
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxHistory)
	for lines.Scan() {
		size += len(lines.Text())
		h.entries = append(h.entries, historyEntry(lines.Text()))
	}
	if err := lines.Err(); err != nil {
		return h, err
	}
	if len(h.entries) > maxEntries || size > maxHistory {
		return h, h.shorten(size)
	}
	return h, nil
}

// shorten keeps half of what the file may hold.
func (h *history) shorten(size int) error {
	for len(h.entries) > maxEntries/2 || size > maxHistory/2 {
		size -= len(h.entries[0])
		h.entries = h.entries[1:]
	}
	h.entries = slices.Clone(h.entries)
	f, err := os.CreateTemp(filepath.Dir(h.path), ".history") // of mode 0600
	if err != nil {
		return err
	}
	for _, e := range h.entries {
		if _, err = f.WriteString(historyLine(e)); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), h.path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// Write adds an entry, unless it is the last one again.
func (h *history) Write(entry string) (int, error) {
	entry = strings.TrimSpace(entry)
	n := len(h.entries)
	if entry == "" || n > 0 && h.entries[n-1] == entry {
		return n, nil
	}
	h.entries = append(h.entries, entry)
	if h.path == "" {
		return n + 1, nil
	}
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return n + 1, err
	}
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return n + 1, err
	}
	_, err = f.WriteString(historyLine(entry))
	return n + 1, errors.Join(err, f.Close())
}

// GetLine returns an entry.
func (h *history) GetLine(i int) (string, error) {
	if i < 0 || i >= len(h.entries) {
		return "", errors.New("the history has no such entry")
	}
	return h.entries[i], nil
}

// Len returns the number of entries.
func (h *history) Len() int { return len(h.entries) }

// Dump returns the entries.
func (h *history) Dump() any { return h.entries }
