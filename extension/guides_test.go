package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// guides returns the pages for people, by their names.
func guides(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../integration/guides/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	pages := make(map[string]string)
	for _, path := range paths {
		pages[filepath.Base(path)] = read(t, path)
	}
	return pages
}

// blocks returns the blocks of a page in a language.
func blocks(page, language string) (found []string) {
	for _, block := range strings.Split(page, "```"+language+"\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		found = append(found, block)
	}
	return found
}

// answers runs a statement, or the command that begins with sockets.ext, on this
// host, and fails the test unless it answers.
func answers(t *testing.T, line string) {
	t.Helper()
	args := []string{"query", line}
	if command, ok := strings.CutPrefix(line, "sockets.ext "); ok {
		args = words(command)
	}
	code, _, stderr := sockets(t, "", args...)
	switch {
	case code == 0:
	case code == 1 && args[0] == "why" && strings.Contains(stderr, "nothing listens"):
	case code == 1 && strings.Contains(stderr, "it takes the kernel's module"):
	case code == 1 && os.Getuid() != 0 && strings.Contains(stderr, "CAP_NET_ADMIN"):
	default:
		t.Errorf("%s: exit code %d, %s", line, code, stderr)
	}
}

// Every command of the phrase book has an answer here that works.
func TestPhraseBook(t *testing.T) {
	row := regexp.MustCompile("^\\| (`.*`.*) \\| `([^`]+)` \\|$")
	n := 0
	for line := range strings.Lines(guides(t)["coming-from-netstat-ss-lsof.md"]) {
		line = strings.ReplaceAll(strings.TrimSpace(line), `\|`, "\x00")
		m := row.FindStringSubmatch(line)
		if m == nil {
			if strings.HasPrefix(line, "| `") {
				t.Errorf("a row that no test understands: %s", line)
			}
			continue
		}
		answers(t, strings.ReplaceAll(m[2], "\x00", "|"))
		n++
	}
	if n < 60 {
		t.Errorf("%d phrases", n)
	}
}

// The guides' statements and commands run on this host. What they print is of
// another, but for the names of the columns.
func TestGuidesRun(t *testing.T) {
	for name, page := range guides(t) {
		for _, block := range blocks(page, "sql") {
			answers(t, block)
		}
		for _, block := range blocks(page, "console") {
			for _, example := range strings.Split("\n"+block, "\n$ sockets.ext ")[1:] {
				line, want, _ := strings.Cut(example, "\n")
				answers(t, "sockets.ext "+line)
				if rows := strings.Split(want, "\n"); strings.HasPrefix(want, "+-") && strings.HasPrefix(line, `"`) {
					_, stdout, _ := sockets(t, "", "query", "--csv", strings.Trim(line, `"`))
					header, _, _ := strings.Cut(stdout, "\n")
					if got := strings.Join(strings.Fields(strings.ReplaceAll(rows[1], "|", " ")), ","); got != header {
						t.Errorf("%s: %s: the columns are %s, not %s", name, line, header, got)
					}
				}
			}
		}
	}
}

// The program in the guide for authors compiles.
func TestGuideCompiles(t *testing.T) {
	programs := blocks(guides(t)["embedding.md"], "go")
	if len(programs) == 0 {
		t.Fatal("no program")
	}
	for _, program := range programs {
		dir, err := os.MkdirTemp(".", "guide-") // inside the module
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "vet", "./"+dir).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
