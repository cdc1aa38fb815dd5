//go:build documents

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// main, of a build with the tag documents, writes the manual pages and the shells'
// completions of the program below a directory, which has the layout of /usr/share.
// make documents runs it. The program itself has nothing of this linked in.
func main() {
	err := errors.New("give the directory to write to")
	if len(os.Args) == 2 {
		err = writeDocuments(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "documents:", err)
		os.Exit(exitFailed)
	}
}

func writeDocuments(share string) error {
	root := newRoot()
	rename(root, installedName)
	root.DisableAutoGenTag = true
	root.InitDefaultHelpCmd()
	root.InitDefaultVersionFlag()
	manual := filepath.Join(share, "man", "man1")
	if err := os.MkdirAll(manual, 0o755); err != nil {
		return err
	}
	escape(root)
	// The date is SOURCE_DATE_EPOCH's.
	header := &doc.GenManHeader{Section: "1", Source: "osquery-sockets " + version, Manual: "User Commands"}
	if err := doc.GenManTreeFromOpts(root, doc.GenManTreeOptions{Header: header, Path: manual, CommandSeparator: "-"}); err != nil {
		return err
	}
	for path, write := range map[string]func(string) error{
		"bash-completion/completions/" + installedName:         func(path string) error { return root.GenBashCompletionFileV2(path, true) },
		"zsh/site-functions/_" + installedName:                 root.GenZshCompletionFile,
		"fish/vendor_completions.d/" + installedName + ".fish": func(path string) error { return root.GenFishCompletionFile(path, true) },
	} {
		path = filepath.Join(share, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := write(path); err != nil {
			return err
		}
	}
	return nil
}

// escape makes plain text of what the generator of manual pages takes for Markdown.
func escape(c *cobra.Command) {
	c.Long = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "|", `\|`).Replace(c.Long)
	for _, sub := range c.Commands() {
		escape(sub)
	}
}
