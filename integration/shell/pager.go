package shell

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/term"
)

// errPagerQuit is the error of output that nobody reads to its end.
var errPagerQuit = errors.New("the pager has ended")

// size returns the columns and lines of a terminal.
func size(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// pagerCommand returns the pager for long output as git chooses it: $PAGER, else less if it
// is there. "" is none.
func pagerCommand(getenv func(string) string) string {
	command := getenv("PAGER")
	if command == "" {
		if _, err := exec.LookPath("less"); err == nil {
			command = "less"
		}
	}
	if command == "cat" || getenv("TERM") == "dumb" {
		return ""
	}
	return command
}

// pager is output that goes to a pager if it does not fit on the terminal.
type pager struct {
	out     *os.File
	command string
	less    string // the pager's $LESS
	width   int
	height  int

	held  bytes.Buffer // what may still fit
	lines int          // in held
	cmd   *exec.Cmd
	pipe  io.WriteCloser
	quit  bool
}

func newPager(out *os.File, command string, getenv func(string) string) *pager {
	p := &pager{out: out, command: command, less: cmp.Or(getenv("LESS"), "FRX")}
	p.width, p.height = size(out)
	return p
}

func (p *pager) Write(b []byte) (int, error) {
	if p.quit {
		return 0, errPagerQuit
	}
	if p.pipe == nil && p.command != "" {
		p.held.Write(b)
		for line := range bytes.Lines(b) {
			p.lines += 1 + max(len([]rune(string(line)))-2, 0)/p.width
		}
		if p.lines < p.height {
			return len(b), nil
		}
		if p.start() == nil {
			_, err := p.page(p.held.Bytes())
			p.held.Reset()
			return len(b), err
		}
		p.command = "" // cannot be started
		if _, err := p.out.Write(p.held.Bytes()); err != nil {
			return 0, err
		}
		p.held.Reset()
		return len(b), nil
	}
	if p.pipe != nil {
		return p.page(b)
	}
	return p.out.Write(b)
}

// page writes to the pager.
func (p *pager) page(b []byte) (int, error) {
	n, err := p.pipe.Write(b)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
		p.quit = true
		return n, errPagerQuit
	}
	return n, err
}

func (p *pager) start() error {
	cmd := exec.Command("sh", "-c", p.command)
	cmd.Stdout, cmd.Stderr = p.out, os.Stderr
	cmd.Env = append(os.Environ(), "LESS="+p.less)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.cmd, p.pipe = cmd, pipe
	return nil
}

// end prints what is held and waits for the pager, unless the context ends by
// something else than Ctrl-C, which is for the pager as well.
func (p *pager) end(ctx context.Context) error {
	if p.pipe == nil {
		_, err := p.out.Write(p.held.Bytes())
		return err
	}
	p.pipe.Close()
	ended := make(chan struct{})
	go func() {
		p.cmd.Wait() // what its exit code means is its own
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		if context.Cause(ctx) == errInterrupted {
			<-ended
		}
	}
	return nil
}
