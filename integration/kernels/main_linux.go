// Command kernels runs the module's Linux tests under other kernels: Debian's,
// of the releases that its arguments name.
//
//	go run ./integration/kernels 6.1 6.12
//
// Each kernel boots in qemu under software emulation. Its root is this machine's
// own, read-only over 9p, under a layer in memory that takes what is written.
// The packages are unpacked into a cache and never installed.
//
// The program is its own guest: it is the initial RAM disk's init, which loads
// modules and runs the tests. It needs root, apt, Go, qemu-system-x86_64, modprobe,
// depmod and xz.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// allTests matches the name of every test.
const allTests = "."

func main() {
	if os.Getpid() == 1 {
		boot()
	}
	if len(os.Args) == 2 && os.Args[1] == guestRole {
		guest()
		return
	}
	if err := kernels(); err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

func kernels() error {
	run := flag.String("run", allTests, "run only the tests that match this regular expression")
	report := flag.String("report", "", "write the table of what differs to this file, if all tests run")
	limit := flag.Duration("timeout", 90*time.Minute, "fail a kernel that takes longer")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: kernels [flags] RELEASE... (such as 6.12)")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	for _, program := range []struct{ name, is string }{
		{"apt-get", "apt"}, {"dpkg-deb", "dpkg"}, {qemu, "qemu-system-x86"}, {"depmod", "kmod"}, {"modprobe", "kmod"}, {"xz", "xz-utils"},
	} {
		if _, err := exec.LookPath(program.name); err != nil {
			return fmt.Errorf("%w: install the package %s", err, program.is)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "kernels-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	packages, err := compile(ctx, dir)
	if err != nil {
		return err
	}
	images := debian{dir: filepath.Join(cache, "osquery-sockets", "kernels")}
	var results []*result
	failed := false
	for _, release := range flag.Args() {
		image, err := images.get(ctx, release)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", release, err)
		}
		r, err := runIn(ctx, image, job{dir: dir, packages: packages, run: *run, limit: *limit})
		if err != nil {
			return fmt.Errorf("kernel %s: %w", release, err)
		}
		results = append(results, r)
		failed = failed || r.failed()
	}
	table := describe(results)
	fmt.Print("\n", table)
	if *report != "" && *run == allTests {
		if err := os.WriteFile(*report, []byte(table), 0o644); err != nil {
			return err
		}
	}
	if failed {
		return errors.New("tests fail")
	}
	return nil
}
