package main

import (
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/osquery-sockets/osquery-sockets/integration/guides"
)

// pages returns the README and the guides by their path.
func pages(t testing.TB) map[string]string {
	t.Helper()
	names, err := guides.Names()
	if err != nil || len(names) < 8 {
		t.Fatalf("the guides are %q, %v", names, err)
	}
	all := map[string]string{"../README.md": read(t, "../README.md")}
	for _, name := range names {
		if all["../integration/guides/"+name], err = guides.Page(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// blocksOf calls check as a test of each block of the documents in a language.
func blocksOf(t *testing.T, language string, check func(t *testing.T, b guides.Block)) {
	t.Helper()
	for path, text := range pages(t) {
		blocks, err := guides.Blocks(text)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, b := range blocks {
			if b.Language == language {
				t.Run(fmt.Sprintf("%s:%d", filepath.Base(path), b.Line), func(t *testing.T) { check(t, b) })
			}
		}
	}
}

// A block of a language that no test knows would be one that nobody runs. Blocks of sh
// and dockerfile install; blocks of text are what other programs take or print.
func TestDocumentsHaveCheckedBlocks(t *testing.T) {
	for path, text := range pages(t) {
		blocks, err := guides.Blocks(text)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, b := range blocks {
			if !slices.Contains([]string{"console", "sql", "go", "conf", "yaml", "sh", "dockerfile", "text"}, b.Language) {
				t.Errorf("%s:%d: no test checks blocks of %q", path, b.Line, b.Language)
			}
			if b.Language == "text" && strings.Contains(b.Text, "$ ") {
				t.Errorf("%s:%d: commands belong into a block of console", path, b.Line)
			}
		}
	}
}

// Blocks of console show what the program prints of the fixtures' host. In one with the
// word live it is this machine's: the names of the columns are compared, not the rows.
// A line … stands for lines that are left out. The exit code is 0, or what the next
// command shows if that is echo $?; of a command that fails the errors are shown.
func TestDocumentsShowRealOutput(t *testing.T) {
	ran := 0
	blocksOf(t, "console", func(t *testing.T, b guides.Block) {
		examples := b.Examples()
		if len(examples) == 0 {
			t.Error("no command stands behind a $")
		}
		for i, e := range examples {
			if e.Command == "echo $?" {
				continue
			}
			args := shellWords(strings.TrimPrefix(e.Command, "sudo "))
			if args[0] != "sockets.ext" {
				t.Fatalf("%s: only sockets.ext is run", e.Command)
			}
			args = args[1:]
			if b.Options != "live" {
				args = append(slices.Clone(fixtures), args...)
			}
			wantCode := "0"
			if i+1 < len(examples) && examples[i+1].Command == "echo $?" {
				wantCode = strings.TrimSpace(examples[i+1].Output)
			}
			code, got, stderr := sockets(t, "", args...)
			if code != 0 {
				for line := range strings.Lines(stderr) {
					if !strings.HasPrefix(line, "warning: ") { // of what the fixtures lack
						got += line
					}
				}
			}
			// netstat's lines end in blanks, which an editor takes away.
			got = regexp.MustCompile(`(?m) +$`).ReplaceAllString(got, "")
			ok := matches(e.Output, got)
			if b.Options == "live" {
				ok = firstNames(e.Output) == firstNames(got)
			}
			if fmt.Sprint(code) != wantCode || !ok {
				t.Errorf("%s: exit code %d, stderr %q\ngot\n%s\nwant\n%s", e.Command, code, stderr, got, e.Output)
			}
			ran++
		}
	})
	if ran < 24 {
		t.Errorf("only %d examples", ran)
	}
}

// matches reports whether text is pattern, in which a line … is any lines.
func matches(pattern, text string) bool {
	parts := strings.Split("\n"+pattern, "\n…\n")
	rest, ok := strings.CutPrefix("\n"+text, parts[0])
	for i, part := range parts[1:] {
		if !ok || !strings.HasPrefix(rest, "\n") { // the line goes on
			return false
		}
		if i == len(parts)-2 {
			return strings.HasSuffix(rest, "\n"+part) || part == ""
		}
		_, rest, ok = strings.Cut(rest, "\n"+part)
	}
	return ok && rest == ""
}

// firstNames returns the words of the first line that has a letter: the names of the
// columns.
func firstNames(output string) string {
	for line := range strings.Lines(output) {
		if strings.ContainsFunc(line, unicode.IsLetter) {
			return strings.Join(strings.Fields(strings.ReplaceAll(line, "|", " ")), " ")
		}
	}
	return ""
}

// shellWords splits a line as a shell does, where 'single' and "double quotes" quote
// and nothing else is special.
func shellWords(line string) (words []string) {
	var word strings.Builder
	var quote rune
	inWord := false
	for _, r := range line {
		switch {
		case r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, inWord = r, true
		case quote == 0 && r == ' ':
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

// onlyLive are tables that the fixtures' host does not have: rtnetlink lists them, or
// they are of the machine whose files these are.
var onlyLive = regexp.MustCompile(`\b(network_addresses|neighbors|routing_rules|nexthops|interface_addresses)\b`)

// answer runs a statement on the fixtures' host and returns the names of its columns.
func answer(t *testing.T, sql string) (names []string) {
	t.Helper()
	args := []string{"query", "--list", "--separator=,", "--log-level=error"}
	if !onlyLive.MatchString(sql) {
		args = append(args, fixtures...)
	}
	code, stdout, stderr := sockets(t, sql, args...)
	if code != 0 || stderr != "" {
		t.Errorf("%s: exit code %d, stderr %q", sql, code, stderr)
	}
	header, _, _ := strings.Cut(stdout, "\n")
	return strings.Split(header, ",")
}

// Every statement of the documents runs, with no word to which no row can answer.
func TestDocumentsStatementsRun(t *testing.T) {
	ran := 0
	blocksOf(t, "sql", func(t *testing.T, b guides.Block) {
		for _, sql := range b.Statements() {
			answer(t, sql)
			ran++
		}
	})
	if ran < 25 {
		t.Errorf("only %d statements", ran)
	}
}

// The phrase book has an answer to what hands type, with the columns that it names.
func TestPhraseBook(t *testing.T) {
	page, err := guides.Page("coming-from-netstat-ss-lsof.md")
	if err != nil {
		t.Fatal(err)
	}
	phrases, err := guides.Phrases(page)
	if err != nil {
		t.Fatal(err)
	}
	programs := make(map[string]int)
	seen := make(map[string]bool)
	for _, p := range phrases {
		for _, command := range p.Commands {
			programs[strings.Fields(command)[0]]++
			if seen[command] {
				t.Errorf("line %d: %s is there twice", p.Line, command)
			}
			seen[command] = true
		}
		if args := shellWords(p.Answer); args[0] == "sockets.ext" {
			code, _, stderr := sockets(t, "", append(slices.Clone(fixtures), args[1:]...)...)
			if code != 0 && !(args[1] == "why" && strings.Contains(stderr, "nothing listens")) {
				t.Errorf("line %d: exit code %d, %s", p.Line, code, stderr)
			}
			continue
		}
		if got, want := answer(t, p.Answer), namesOf(p.Answer); !slices.Equal(got, want) {
			t.Errorf("line %d: the columns are %q, want %q", p.Line, got, want)
		}
	}
	if !strings.Contains(read(t, "../README.md"), fmt.Sprintf("| %d commands", len(seen))) {
		t.Errorf("the README has another number than %d commands", len(seen))
	}
	if len(seen) < 60 || programs["netstat"] < 15 || programs["ss"] < 15 || programs["lsof"] < 10 {
		t.Errorf("%d commands are there: %v", len(seen), programs)
	}
}

// namesOf returns the names that the columns of a statement must have: the name behind
// AS, that of a column, or the expression itself.
func namesOf(sql string) (names []string) {
	list, _, _ := strings.Cut(strings.TrimPrefix(sql, "SELECT "), " FROM ")
	for column := range strings.SplitSeq(strings.TrimPrefix(list, "DISTINCT "), ", ") {
		if i := strings.LastIndexAny(column, " ."); i >= 0 {
			column = column[i+1:]
		}
		names = append(names, column)
	}
	return names
}

// Commands that the documents name, in blocks of sh or between backticks, and their
// flags are there.
func TestDocumentsNameCommands(t *testing.T) {
	n := 0
	for path, text := range pages(t) {
		for _, m := range regexp.MustCompile("(?m)(?:^|`)(?:sudo )?(?:sockets.ext|osquery-sockets) ([^`#>|\n]+)").FindAllStringSubmatch(text, -1) {
			args := shellWords(m[1])
			if strings.Contains(args[0], "SELECT") || args[0] == "SQL" || args[0] == "…" || strings.HasSuffix(args[0], ":") {
				continue // a statement, or an error
			}
			args = asCommand(args)
			c, rest, err := newRoot().Find(args)
			if err != nil || !c.HasParent() && !strings.HasPrefix(rest[0], "--") {
				t.Errorf("%s: %s: there is no such command, %v", path, m[0], err)
				continue
			}
			c.InitDefaultHelpFlag()
			c.InitDefaultVersionFlag()
			for _, arg := range args {
				name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
				if strings.HasPrefix(arg, "--") && name != "" && c.Flag(name) == nil {
					t.Errorf("%s: %s: %s has no flag --%s", path, m[0], c.Name(), name)
				}
			}
			n++
		}
	}
	if n < 30 {
		t.Errorf("only %d commands are named", n)
	}
}

// Files of flags are read without an error.
func TestDocumentsFilesOfFlags(t *testing.T) {
	blocksOf(t, "conf", func(t *testing.T, b guides.Block) {
		flagsFile(t, b.Text)
		if code, _, stderr := sockets(t, "", "query", "SELECT 1"); code != 0 {
			t.Errorf("exit code %d, stderr %q", code, stderr)
		}
	})
}

// A register of approved listeners is read without an error. Other YAML is a list of
// keys.
func TestDocumentsRegisters(t *testing.T) {
	blocksOf(t, "yaml", func(t *testing.T, b guides.Block) {
		if !strings.HasPrefix(b.Text, "listeners:") {
			if err := yaml.Unmarshal([]byte(b.Text), &map[string]any{}); err != nil {
				t.Error(err)
			}
			return
		}
		path := filepath.Join(trustedDir(t), "approved.yaml")
		if err := os.WriteFile(path, []byte(b.Text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := sockets(t, "", "query", "--list", "--header=false", "--register", path, "SELECT line FROM approved_listeners")
		if n := strings.Count(b.Text, "  - "); code != 0 || strings.Count(stdout, "\n") != n {
			t.Errorf("exit code %d, %s%s", code, stdout, stderr)
		}
	})
}

// The programs of the guides are whole: another module that requires this one builds
// them.
func TestDocumentsProgramsBuild(t *testing.T) {
	module, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	gomod := strings.Replace(read(t, "../go.mod"), "module github.com/osquery-sockets/osquery-sockets\n", "module example.com/mine\n", 1) +
		"\nrequire github.com/osquery-sockets/osquery-sockets v0.0.0\n\nreplace github.com/osquery-sockets/osquery-sockets => " + module + "\n"
	for name, text := range map[string]string{"go.mod": gomod, "go.sum": read(t, "../go.sum")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	blocksOf(t, "go", func(t *testing.T, b guides.Block) {
		n++
		formatted, err := format.Source([]byte(b.Text))
		if err != nil || string(formatted) != b.Text {
			t.Errorf("it is not gofmt'ed: %v", err)
		}
		file := fmt.Sprintf("program%d/main.go", n)
		if strings.Contains(b.Text, "(t *testing.T)") {
			file = fmt.Sprintf("program%d/main_test.go", n)
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(b.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if n < 4 {
		t.Errorf("only %d programs", n)
	}
	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		c := exec.CommandContext(t.Context(), "go", args...)
		c.Dir = dir
		c.Env = append(c.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Links of the documents lead to files and headings that are there.
func TestDocumentsLinks(t *testing.T) {
	headings := func(path string) (anchors []string) {
		for line := range strings.Lines(read(t, path)) {
			if strings.HasPrefix(line, "#") {
				title := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
				title = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(title, "")
				anchors = append(anchors, strings.ReplaceAll(title, " ", "-"))
			}
		}
		return anchors
	}
	all := pages(t)
	for _, path := range []string{"../tables/README.md", "../SECURITY.md", "../integration/osquerytest/README.md"} {
		all[path] = read(t, path)
	}
	for path, text := range all {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %s leads nowhere", path, m[1])
			} else if anchor != "" && !slices.Contains(headings(file), anchor) {
				t.Errorf("%s: %s has no heading %s", path, target, anchor)
			}
		}
	}
}

// The README is short, and leads to every guide.
func TestReadmeIsShort(t *testing.T) {
	readme := read(t, "../README.md")
	if n := strings.Count(readme, "\n"); n > 200 {
		t.Errorf("the README has %d lines", n)
	}
	names, err := guides.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(readme, "(integration/guides/"+name) {
			t.Errorf("the README does not lead to %s", name)
		}
	}
}
