package e2e

import (
	"bytes"
	"context"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The Makefile's program needs nothing else to run, and two builds of it, in
// different directories, are the same file.
func TestBuild(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Fatal(err)
	}
	var programs [2][]byte
	for i := range programs {
		ctx, cancel := context.WithTimeout(t.Context(), buildTimeout)
		defer cancel()
		dir := t.TempDir()
		source := filepath.Join(dir, "source")
		if out, err := exec.CommandContext(ctx, "cp", "-R", "../..", source).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		build := exec.CommandContext(ctx, "make", "-s", "build", "VERSION=test", "COMMIT=test")
		build.Dir = source
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		path := filepath.Join(source, "bin", "sockets.ext")
		var err error
		if programs[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		f, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("the program is not static: %v", p.Type)
			}
		}
		f.Close()
	}
	if !bytes.Equal(programs[0], programs[1]) {
		t.Error("two builds of the program differ")
	}
}
