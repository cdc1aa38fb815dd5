package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/reeflective/readline"
	"golang.org/x/term"
)

// The prompts: of a statement, and of its further lines.
const (
	prompt       = "sockets> "
	continuation = "    ...> "
)

// errGivenUp is the error of an input that Ctrl-C gave up.
var errGivenUp = errors.New("given up")

// reader reads one input, a command or SQL: io.EOF is the end of all.
type reader interface {
	read(context.Context) (string, error)
}

// editor reads lines that are edited as they are typed.
type editor struct {
	fd       int
	readline *readline.Shell
}

// newEditor makes an editor of the terminal. The words of completion come from v;
// colours may be nil.
func newEditor(in *os.File, h *history, v *Vocabulary, colours *highlighter) *editor {
	e := &editor{fd: int(in.Fd()), readline: readline.NewShell()}
	rl := e.readline
	rl.Prompt.Primary(func() string { return room(rl, e.fd) + prompt })
	rl.Prompt.Secondary(func() string { return continuation })
	rl.AcceptMultiline = func(line []rune) bool { return complete(string(line)) }
	rl.History.Add("history", h)
	if colours != nil {
		rl.SyntaxHighlighter = func(line []rune) string { return colours.colour(string(line)) }
	}
	rl.Completer = func(line []rune, cursor int) readline.Completions { return v.shown(line, cursor) }
	// No program is run but the pager.
	nothing := func() {}
	rl.Keymap.Register(map[string]func(){
		"edit-and-execute-command": nothing, "edit-command-line": nothing, "vi-edit-and-execute-command": nothing, "vi-edit-command-line": nothing,
	})
	for name, value := range map[string]any{
		"completion-ignore-case": true, "multiline-column": colours != nil, "menu-complete-display-prefix": true,
		// To ask the terminal for the cursor, at each key, would lose what is typed
		// meanwhile.
		"cursor-position-probe":   false,
		"echo-control-characters": false, "bell-style": "none", "history-autosuggest": false,
	} {
		rl.Config.Set(name, value)
	}
	if colours == nil {
		rl.Config.Set("completion-selection-style", "\x1b[7m")
	}
	return e
}

// room is a sequence that makes the terminal scroll unless there is a line below the
// input. The editor moves there and back, and does not ask where the end of
// the terminal is.
func room(rl *readline.Shell, fd int) string {
	width, height, err := term.GetSize(fd)
	if err != nil || width < 1 || height < 2 {
		return ""
	}
	rows := 0
	for line := range strings.SplitSeq(string(*rl.Line()), "\n") {
		rows += 1 + (len(prompt)+runewidth.StringWidth(line))/width
	}
	rows = min(rows, height-1)
	return strings.Repeat("\x1bD", rows) + fmt.Sprintf("\x1b[%dA", rows)
}

// shown returns the candidates as the editor shows them.
func (v *Vocabulary) shown(line []rune, cursor int) readline.Completions {
	prefix, all := v.Complete(string(line), len(string(line[:cursor])))
	var values []readline.Completion
	for _, c := range all {
		values = append(values, readline.Completion{Value: c.Text, Display: c.Text, Description: c.Doc, Tag: c.Kind})
	}
	shown := readline.CompleteRaw(values).NoSort()
	shown.PREFIX = prefix
	return shown
}

func (e *editor) read(ctx context.Context) (string, error) {
	state, err := term.GetState(e.fd)
	if err != nil {
		return "", err
	}
	type input struct {
		text string
		err  error
	}
	e.readline.Line().Set() // room measures it before the editor empties it
	read := make(chan input, 1)
	go func() {
		text, err := e.readline.Readline()
		read <- input{text, err}
	}()
	select {
	case in := <-read:
		if errors.Is(in.err, readline.ErrInterrupt) {
			in.err = errGivenUp
		}
		return in.text, in.err
	case <-ctx.Done():
		term.Restore(e.fd, state)
		fmt.Println()
		return "", context.Cause(ctx)
	}
}

// lines reads lines as they are.
type lines struct {
	in          *bufio.Reader
	prompts     io.Writer // nil prints none
	interrupted <-chan os.Signal
	next        chan line // that is being read
	inputs      inputs
	ended       bool
}

type line struct {
	text string
	err  error
}

// maxLine bounds a line that is read from something else than a terminal, in bytes.
const maxLine = 16 << 20

func (l *lines) read(ctx context.Context) (string, error) {
	for {
		if l.ended {
			return "", io.EOF
		}
		if l.prompts != nil {
			p := prompt
			if !l.inputs.idle() {
				p = continuation
			}
			io.WriteString(l.prompts, p)
		}
		text, err := l.line(ctx)
		if errors.Is(err, errGivenUp) {
			l.inputs.rest()
			io.WriteString(l.prompts, "\n")
			return "", err
		}
		if err == io.EOF {
			l.ended = true
			if l.prompts != nil {
				io.WriteString(l.prompts, "\n")
			}
			if done := l.inputs.add(text); done != "" {
				return done, nil
			}
			if rest := l.inputs.rest(); strings.TrimSpace(rest) != "" {
				return rest, nil
			}
			return "", io.EOF
		}
		if err != nil {
			return "", err
		}
		if done := l.inputs.add(text); done != "" {
			return done, nil
		}
		if l.inputs.sql.Len() > maxLine {
			return "", fmt.Errorf("a statement has more than %d bytes", maxLine)
		}
	}
}

// line reads a line without its end. A line that Ctrl-C gave up before is still read
// for the next call.
func (l *lines) line(ctx context.Context) (string, error) {
	select {
	case <-l.interrupted: // it was for the statement before
	default:
	}
	if l.next == nil {
		next := make(chan line, 1)
		l.next = next
		go func() {
			text, err := readLine(l.in)
			next <- line{text, err}
		}()
	}
	select {
	case got := <-l.next:
		l.next = nil
		return got.text, got.err
	case <-l.interrupted:
		return "", errGivenUp
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func readLine(in *bufio.Reader) (string, error) {
	var b []byte
	for {
		part, err := in.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case err == bufio.ErrBufferFull && len(b) <= maxLine:
		case err == bufio.ErrBufferFull:
			return "", fmt.Errorf("a line has more than %d bytes", maxLine)
		default:
			return strings.TrimRight(string(b), "\r\n"), err
		}
	}
}
