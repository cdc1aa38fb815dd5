// Command generate writes the packs into the directory that it is given.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/osquery-sockets/osquery-sockets/integration/checks"
	"github.com/osquery-sockets/osquery-sockets/integration/packs"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("give the directory of the packs")
	}
	all, err := checks.All()
	if err != nil {
		return err
	}
	files, err := packs.Files(all)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(args[0], filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
