package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// osqueryd passes its extensions --socket, --timeout, --interval and --verbose.
// The other flags come from the environment and from a file of flags.
const (
	// defaultFlags is the file of flags, which may be missing.
	defaultFlags = "/etc/osquery-sockets/flags"
	// flagsVariable names another file, which must be there.
	flagsVariable = "OSQUERY_SOCKETS_FLAGS"
	// allNamespacesVariable is --all-namespaces.
	allNamespacesVariable = "OSQUERY_SOCKETS_ALL_NAMESPACES"

	// maxFlags bounds the file, in bytes.
	maxFlags = 64 << 10
)

// setting is a line of the file of flags.
type setting struct {
	place       string // file:line
	name, value string
}

// settings gives c's flags that the command line leaves alone the values of the
// environment, else of the file of flags.
func settings(c *cobra.Command) error {
	given := make(map[string]bool)
	c.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	if value := os.Getenv(allNamespacesVariable); value != "" {
		switch value {
		case "1", "true", "0", "false":
		default:
			return fmt.Errorf("%s is %q: it takes 1, 0, true or false", allNamespacesVariable, value)
		}
		if !given["all-namespaces"] {
			if err := c.Flags().Set("all-namespaces", value); err != nil {
				return err
			}
			given["all-namespaces"] = true
		}
	}
	path := os.Getenv(flagsVariable) // empty, as unit files leave it, is unset
	named := path != ""
	if !named {
		path = defaultFlags
	}
	file, err := readFlags(path, !named)
	if err != nil {
		return fmt.Errorf("flags file %s: %w", path, err)
	}
	lines, err := parseFlags(path, file)
	if err != nil {
		return err
	}
	set := make(map[string]bool)
	for _, line := range lines {
		f := c.Flags().Lookup(line.name)
		// Lookup takes netstat's flags cut off, too: --list for --listening.
		if f == nil || f.Name != line.name || given[f.Name] || excluded(f, given) {
			continue
		}
		if excluded(f, set) {
			return fmt.Errorf("%s: --%s excludes a flag of a line above", line.place, f.Name)
		}
		if err := c.Flags().Set(line.name, line.value); err != nil {
			return fmt.Errorf("%s: %w", line.place, err)
		}
		set[f.Name] = true
	}
	return nil
}

// excluded reports whether f and another flag that is given exclude each other.
func excluded(f *pflag.Flag, given map[string]bool) bool {
	// This is where MarkFlagsMutuallyExclusive of cobra notes the names.
	for _, group := range f.Annotations["cobra_annotation_mutually_exclusive"] {
		for other := range strings.FieldsSeq(group) {
			if given[other] && other != f.Name {
				return true
			}
		}
	}
	return false
}

// notInFile are the flags that the file cannot have, and why.
var notInFile = map[string]string{
	"socket":  "each osquery passes its own, and a command without it would serve osquery by surprise",
	"help":    "it is for the command line alone",
	"version": "it is for the command line alone",
}

// parseFlags returns what the lines of a file of flags set. It checks all of them,
// also those that the command at hand does not have.
func parseFlags(path string, file []byte) (all []setting, err error) {
	known := everyFlag(newRoot())
	for i, line := range strings.Split(string(file), "\n") {
		place := fmt.Sprintf("%s:%d", path, i+1)
		line = strings.Trim(line, " \t\r")
		if at := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' }); at >= 0 {
			r, _ := utf8.DecodeRuneInString(line[at:])
			return nil, fmt.Errorf("%s: the line has the control character %q", place, r)
		}
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.IndexAny(line+" ", "= \t")
		flag, value := line[:end], strings.Trim(line[end:], " \t")
		name, isFlag := strings.CutPrefix(flag, "--")
		if !isFlag || name == "" {
			return nil, fmt.Errorf("%s: %q is no flag: write --name=value, --name value or --name", place, line)
		}
		if why, refused := notInFile[name]; refused {
			return nil, fmt.Errorf("%s: --%s is not taken from a file: %s", place, name, why)
		}
		args := []string{flag}
		switch {
		case end < len(line) && line[end] == '=':
			args[0] += "=" + strings.Trim(value[1:], " \t")
		case strings.HasPrefix(value, "="):
			return nil, fmt.Errorf("%s: --%s has a blank before its =", place, name)
		case value != "":
			args = append(args, value)
		}
		err := known.ParseAll(args, func(f *pflag.Flag, value string) error {
			all = append(all, setting{place, f.Name, value})
			return known.Set(f.Name, value)
		})
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", place, flagError(err))
		case known.NArg() > 0:
			return nil, fmt.Errorf("%s: --%s takes its value behind a =: --%s=%s", place, name, name, value)
		}
	}
	return all, nil
}

// everyFlag is the flags of a command and of those below it. Of several with one
// name it has the first.
func everyFlag(c *cobra.Command) *pflag.FlagSet {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.SetOutput(io.Discard)
	all.Usage = func() {}
	var add func(*cobra.Command)
	add = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.PersistentFlags(), c.Flags()} {
			set.VisitAll(func(f *pflag.Flag) {
				if f.Hidden || all.Lookup(f.Name) != nil {
					return
				}
				long := *f
				long.Shorthand = "" // may be another's
				all.AddFlag(&long)
			})
		}
		for _, sub := range c.Commands() {
			add(sub)
		}
	}
	add(c)
	return all
}

// readFlags reads a file that only root and the user who runs the program can
// change.
func readFlags(path string, mayBeMissing bool) ([]byte, error) {
	if mayBeMissing {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if !filepath.IsAbs(path) {
		return nil, errors.New("it is no absolute path")
	}
	resolved, err := regular.Trusted(path, regular.Trust{Owner: uint32(os.Geteuid())})
	if err != nil {
		return nil, err
	}
	// Who could put a link there since may do so.
	return regular.ReadFile(resolved, maxFlags)
}
