package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// What shells ask at a Tab key is answered, whatever the file of flags has.
func TestComplete(t *testing.T) {
	t.Setenv(flagsVariable, filepath.Join(t.TempDir(), "missing"))
	for _, c := range []struct {
		words string // of the line, separated by blanks
		want  string // a line of the answer
	}{
		{"liste", "listening"},
		{"schema tcp_s", "tcp_sockets"},
		{"query --memory", "--memory-limit"},
		{"SELECT ", ":0"},
	} {
		code, stdout, _ := sockets(t, "", append([]string{cobra.ShellCompNoDescRequestCmd}, strings.Split(c.words, " ")...)...)
		if code != exitOK || !strings.Contains("\n"+stdout, "\n"+c.want+"\n") {
			t.Errorf("%q: exit code %d, answer %q, want %q in it", c.words, code, stdout, c.want)
		}
	}
}

// documents writes the manual pages and completions and returns their directory.
func documents(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), "go", "run", "-tags", "documents", ".", dir)
	c.Env = append(c.Environ(), "SOURCE_DATE_EPOCH=1000000000")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func TestDocuments(t *testing.T) {
	dir := documents(t)
	t.Run("manual", func(t *testing.T) {
		pages := 0
		var check func(c *cobra.Command)
		check = func(c *cobra.Command) {
			name := strings.ReplaceAll(c.CommandPath(), " ", "-")
			page := strings.ReplaceAll(read(t, filepath.Join(dir, "man/man1", name+".1")), `\-`, "-")
			for _, part := range []string{`"Sep 2001"`, ".SH NAME\n" + name + " - " + c.Short, ".SH SYNOPSIS"} {
				if !strings.Contains(page, part) {
					t.Errorf("the page of %s lacks %q", name, part)
				}
			}
			c.Flags().VisitAll(func(f *pflag.Flag) {
				if !f.Hidden && !strings.Contains(page, `\fB--`+f.Name+`\fP`) {
					t.Errorf("the page of %s lacks --%s", name, f.Name)
				}
			})
			if strings.Contains(page, "\n"+extensionName+" ") || strings.Contains(page, "sudo "+extensionName) {
				t.Errorf("the page of %s has the name %s", name, extensionName)
			}
			pages++
			for _, sub := range c.Commands() {
				check(sub)
			}
		}
		root := newRoot()
		rename(root, installedName)
		check(root)
		if files, err := filepath.Glob(filepath.Join(dir, "man/man1/*")); err != nil || len(files) != pages {
			t.Errorf("%d files, %d commands, %v", len(files), pages, err)
		}
	})

	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, installedName), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Each prints what the shell proposes for the start of a line.
	for _, c := range []struct{ shell, file, script string }{
		{"fish", "fish/vendor_completions.d/" + installedName + ".fish", `source %[1]s; complete -C "osquery-sockets liste"; complete -C "osquery-sockets schema tcp_s"`},
		{"bash", "bash-completion/completions/" + installedName, `. /usr/share/bash-completion/bash_completion && . %[1]s
			try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=(); __start_osquery-sockets; printf '%%s\n' "${COMPREPLY[@]}"; }
			try osquery-sockets liste; try osquery-sockets schema tcp_s`},
		// zsh completes on a terminal only: here it parses the functions and has the program asked.
		{"zsh", "zsh/site-functions/_" + installedName, `compdef() { :; }; . %[1]s && whence -w _osquery-sockets && osquery-sockets __complete liste 2>/dev/null && osquery-sockets __complete schema tcp_s 2>/dev/null`},
	} {
		t.Run(c.shell, func(t *testing.T) {
			needs := []string{c.shell}
			if c.shell == "bash" {
				needs = append(needs, "/usr/share/bash-completion/bash_completion")
			}
			for _, need := range needs {
				if _, err := exec.LookPath(need); errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
					netnstest.SkipOrFail(t, need+" is not installed")
				}
			}
			shell := exec.CommandContext(t.Context(), c.shell, "-c", fmt.Sprintf(c.script, filepath.Join(dir, c.file)))
			shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
			out, err := shell.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "listening") || !strings.Contains(string(out), "tcp_sockets") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// The command that packages install calls itself by its own name.
func TestRename(t *testing.T) {
	root := newRoot()
	rename(root, installedName)
	root.SetArgs([]string{"why", "--help"})
	var out strings.Builder
	root.SetOut(&out)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if help := out.String(); strings.Contains(help, extensionName) || !strings.Contains(help, "osquery-sockets why 22") || !strings.Contains(help, "  osquery-sockets why PORT") {
		t.Errorf("the help is\n%s", help)
	}
}
