package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licence matches the names of files that say how code may be used.
var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|patents|unlicense)([-.].*)?$`)

// linked is a package that is linked into the program, as go list prints it.
type linked struct {
	ImportPath, Dir string
	Standard        bool
	Module          *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// licences returns the texts of the licences of all that is linked into the
// program: its own first, Go's, then those of each module.
func licences(ctx context.Context, module string, program *buildinfo.BuildInfo) ([]byte, error) {
	settings := make(map[string]string)
	for _, s := range program.Settings {
		settings[s.Key] = s.Value
	}
	list := exec.CommandContext(ctx, "go", "list", "-deps", "-json=ImportPath,Dir,Standard,Module", "./extension")
	list.Dir = module
	list.Env = append(os.Environ(), "GOOS="+settings["GOOS"], "GOARCH="+settings["GOARCH"], "CGO_ENABLED=0")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", list, err, stderr.Bytes())
	}
	files := make(map[string][]string) // by module@version
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p linked
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		if p.Standard || p.Module.Main {
			continue
		}
		name := p.Module.Path + "@" + p.Module.Version
		// A package may have a licence of its own, below the module's.
		for dir := p.Dir; strings.HasPrefix(dir, p.Module.Dir); dir = filepath.Dir(dir) {
			found, err := licencesIn(dir)
			if err != nil {
				return nil, err
			}
			for _, path := range found {
				if !slices.Contains(files[name], path) {
					files[name] = append(files[name], path)
				}
			}
		}
	}
	var text bytes.Buffer
	add := func(what string, paths []string) error {
		slices.Sort(paths)
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&text, "%s\n\n%s, %s\n\n%s\n", strings.Repeat("=", 78), what, filepath.Base(path), bytes.TrimSpace(content))
		}
		return nil
	}
	if err := add("osquery-sockets", []string{filepath.Join(module, "LICENSE")}); err != nil {
		return nil, err
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	ofGo, err := licencesIn(strings.TrimSpace(string(root)))
	if err != nil {
		return nil, err
	}
	if err := add("The Go runtime and standard library "+program.GoVersion, ofGo); err != nil {
		return nil, err
	}
	for _, m := range program.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		name := m.Path + "@" + m.Version
		if len(files[name]) == 0 {
			return nil, fmt.Errorf("%s is linked into the program, and its licence was not found", name)
		}
		if err := add(name, files[name]); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// licencesIn returns the files of licences in a directory.
func licencesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if licence.MatchString(e.Name()) && !e.IsDir() && filepath.Ext(e.Name()) != ".go" {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}
