package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// release is what packages are made of.
type release struct {
	Module    string    // directory of the module
	Program   string    // as make build makes it
	Share     string    // as make documents makes it
	Described string    // the version, as git describe prints it
	Date      time.Time // of all files
	Out       string    // directory for the packages
}

// build makes the packages, and SHA256SUMS of them.
func (r release) build(ctx context.Context) error {
	info, err := buildinfo.ReadFile(r.Program)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Program, err)
	}
	arch := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "GOOS" && s.Value != "linux":
			return fmt.Errorf("%s is for %s, and the packages are for Linux", r.Program, s.Value)
		case s.Key == "GOARCH":
			arch = s.Value
		}
	}
	stage, err := os.MkdirTemp("", "osquery-sockets-packaging-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	if err := r.stage(ctx, stage, info); err != nil {
		return err
	}
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return err
	}
	out, err := filepath.Abs(r.Out)
	if err != nil {
		return err
	}
	nfpm, err := r.tool(ctx, "nfpm")
	if err != nil {
		return err
	}
	version := packageVersion(r.Described, r.Date)
	made := []string{
		fmt.Sprintf("osquery-sockets_%s_%s.deb", version, arch),
		fmt.Sprintf("osquery-sockets_%s_%s.rpm", version, arch),
		fmt.Sprintf("osquery-sockets_%s_%s.cdx.json", version, arch),
	}
	for _, name := range made[:2] {
		c := exec.CommandContext(ctx, nfpm, "package", "--config", "nfpm.yaml", "--packager", strings.TrimPrefix(filepath.Ext(name), "."), "--target", filepath.Join(out, name))
		c.Dir = stage
		c.Env = append(os.Environ(), "VERSION="+version, "ARCH="+arch, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.Date.Unix()))
		if text, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c, err, text)
		}
	}
	if err := copyFile(filepath.Join(out, made[2]), filepath.Join(stage, "sbom.cdx.json")); err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, name := range made {
		content, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), sums.Bytes(), 0o644)
}

// stage puts what nfpm.yaml names into a directory, with the release's date.
func (r release) stage(ctx context.Context, stage string, info *buildinfo.BuildInfo) error {
	here := filepath.Join(r.Module, "integration", "packaging")
	if err := os.CopyFS(stage, os.DirFS(filepath.Join(here, "scripts"))); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(stage, "share"), os.DirFS(r.Share)); err != nil {
		return err
	}
	for to, from := range map[string]string{
		"sockets.ext": r.Program,
		"nfpm.yaml":   filepath.Join(here, "nfpm.yaml"),
		"flags":       filepath.Join(here, "flags"),
	} {
		if err := copyFile(filepath.Join(stage, to), from); err != nil {
			return err
		}
	}
	text, err := licences(ctx, r.Module, info)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(stage, "copyright"), text, 0o644); err != nil {
		return err
	}
	if err := r.bill(ctx, filepath.Join(stage, "sbom.cdx.json")); err != nil {
		return err
	}
	pages, err := filepath.Glob(filepath.Join(r.Share, "man", "man1", "*.1"))
	if err == nil && len(pages) == 0 {
		err = fmt.Errorf("%s has no manual pages: make documents", r.Share)
	}
	if err != nil {
		return err
	}
	compressed := map[string]string{"CHANGELOG.md.gz": filepath.Join(r.Module, "CHANGELOG.md")}
	for _, page := range pages {
		compressed[filepath.Join("man1", filepath.Base(page)+".gz")] = page
	}
	for to, from := range compressed {
		if err := compress(filepath.Join(stage, to), from); err != nil {
			return err
		}
	}
	return filepath.Walk(stage, func(path string, _ os.FileInfo, err error) error {
		return errors.Join(err, os.Chtimes(path, r.Date, r.Date))
	})
}

// tool returns the path of a program of the Go module of tools.mod. That is not
// the module's own list, which would be several times as long with them.
func (r release) tool(ctx context.Context, name string) (string, error) {
	c := exec.CommandContext(ctx, "go", "tool", "-n", "-modfile=integration/packaging/tools.mod", name)
	c.Dir = r.Module
	c.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -trimpath"), "GOOS=", "GOARCH=")
	out, err := c.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			out = exit.Stderr
		}
		return "", fmt.Errorf("%s: %w: %s", c, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// bill writes what is linked into the program, as CycloneDX has it.
func (r release) bill(ctx context.Context, path string) error {
	tool, err := r.tool(ctx, "cyclonedx-gomod")
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, tool, "bin", "-json", "-noserial", "-notimestamp", "-std", "-version", r.Described, "-output", path, r.Program)
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", c, err, text)
	}
	return nil
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// compress writes a file for gzip, without a name and a date in it.
func compress(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b.Bytes(), 0o644))
}
