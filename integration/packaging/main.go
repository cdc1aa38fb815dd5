// Command packaging makes the .deb and the .rpm of a built program, an SBOM and
// their checksums. It runs in the module's directory; make package calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer end()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH, the date of what is packaged in seconds since 1970: %w", err)
	}
	p := release{Module: ".", Date: time.Unix(epoch, 0).UTC()}
	flag.StringVar(&p.Program, "program", "bin/sockets.ext", "the program, as make build makes it")
	flag.StringVar(&p.Share, "share", "bin/share", "directory of manual pages and completions, as make documents makes it")
	flag.StringVar(&p.Described, "version", "", "version, as git describe prints it")
	flag.StringVar(&p.Out, "out", "dist", "directory for the packages")
	flag.Parse()
	if p.Described == "" || flag.NArg() > 0 {
		flag.Usage()
		return fmt.Errorf("give the version by -version, and no arguments")
	}
	return p.build(ctx)
}
