// Package guides holds the pages for people, and takes pages of Markdown apart for
// the tests that run what they show.
package guides

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed *.md
var pages embed.FS

// Page returns the text of a page, such as command.md.
func Page(name string) (string, error) {
	b, err := pages.ReadFile(name)
	return string(b), err
}

// Names returns the names of the pages, sorted.
func Names() ([]string, error) { return fs.Glob(pages, "*.md") }

// Block is a fenced block of code.
type Block struct {
	Line     int // in the page, of the opening fence
	Language string
	Options  string // what follows the language
	Text     string
}

// Blocks returns the blocks of a page in their order.
func Blocks(page string) (blocks []Block, err error) {
	const fence = "```"
	var b *Block
	for i, line := range strings.SplitAfter(page, "\n") {
		switch {
		case b != nil && strings.TrimSpace(line) == fence:
			blocks = append(blocks, *b)
			b = nil
		case b != nil:
			b.Text += line
		case strings.HasPrefix(line, fence):
			b = &Block{Line: i + 1}
			b.Language, b.Options, _ = strings.Cut(strings.TrimSpace(line[len(fence):]), " ")
		}
	}
	if b != nil {
		return nil, fmt.Errorf("line %d: the block is not closed", b.Line)
	}
	return blocks, nil
}

// Example is a command of a block and what it prints.
type Example struct {
	Command string
	Output  string
}

// Examples returns the commands of a block, which stand behind a $.
func (b Block) Examples() (examples []Example) {
	for line := range strings.Lines(b.Text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			examples = append(examples, Example{Command: strings.TrimSpace(command)})
		} else if n := len(examples); n > 0 {
			examples[n-1].Output += line
		}
	}
	return examples
}

// Statements returns the SQL statements of a block, each of which ends with a
// semicolon at the end of a line or with the block. Lines of comments are left out.
func (b Block) Statements() (statements []string) {
	var sql string
	for line := range strings.Lines(b.Text) {
		if !strings.HasPrefix(line, "--") {
			sql += line
		}
		if strings.HasSuffix(strings.TrimSpace(line), ";") {
			statements, sql = append(statements, strings.TrimSpace(sql)), ""
		}
	}
	if sql = strings.TrimSpace(sql); sql != "" {
		statements = append(statements, sql)
	}
	return statements
}

// Phrase is a row of coming-from-netstat-ss-lsof.md.
type Phrase struct {
	Line     int
	Commands []string // of netstat, ss, lsof and others
	Answer   string   // a statement, or a command that begins with sockets.ext
}

// Phrases returns the rows of the tables of a page whose first cell has commands and
// whose last one has the answer.
func Phrases(page string) (phrases []Phrase, err error) {
	for i, line := range strings.Split(page, "\n") {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "| "), " | ")
		p := Phrase{Line: i + 1}
		for j, code := range strings.Split(strings.ReplaceAll(cells[0], "\x00", "|"), "`") {
			if j%2 == 1 {
				p.Commands = append(p.Commands, code)
			}
		}
		p.Answer = strings.ReplaceAll(strings.Trim(cells[len(cells)-1], "`"), "\x00", "|")
		if len(cells) != 2 || len(p.Commands) == 0 || strings.Contains(p.Answer, "`") {
			return nil, fmt.Errorf("line %d: the row has not commands and one answer", i+1)
		}
		phrases = append(phrases, p)
	}
	return phrases, nil
}
