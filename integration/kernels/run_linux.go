package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const qemu = "qemu-system-x86_64"

// job is what the guest does.
type job struct {
	dir      string // with the programs
	packages []testPackage
	run      string
	limit    time.Duration
}

// testPackage is a package whose tests run in the guest.
type testPackage struct {
	Name    string // below the module
	Dir     string
	Program string // the name of the compiled tests
}

// compile builds the program and the tests of every package that has some for
// Linux alone into dir.
func compile(ctx context.Context, dir string) ([]testPackage, error) {
	out, err := output(exec.CommandContext(ctx, "go", "list", "-f", `{{$p := .}}{{range .TestGoFiles}}{{.}} {{end}}{{range .XTestGoFiles}}{{.}} {{end}}{{"\t"}}{{.ImportPath}}{{"\t"}}{{.Module.Path}}{{"\t"}}{{.Dir}}`, "./..."))
	if err != nil {
		return nil, err
	}
	var packages []testPackage
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if !strings.Contains(f[0], "_linux_test.go ") {
			continue
		}
		p := testPackage{Name: strings.TrimPrefix(f[1], f[2]+"/"), Dir: f[3]}
		p.Program = path.Base(p.Name) + ".test" // as go test names it
		if err := goBuild(ctx, "test", "-c", "-o", filepath.Join(dir, p.Program), f[1]); err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	for name, source := range map[string]string{guestProgram: "./integration/kernels", "sockets.ext": "./extension"} {
		if err := goBuild(ctx, "build", "-o", filepath.Join(dir, name), source); err != nil {
			return nil, err
		}
	}
	return packages, nil
}

func goBuild(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0") // the initial RAM disk has no libraries
	_, err := output(cmd)
	return err
}

// order is what the guest reads: the file order.json of the job.
type order struct {
	Modules  string // the directory of the kernel's modules
	Packages []testPackage
	Run      string
}

// report is what the guest writes in lines of its own between those of the tests.
type report struct {
	Release string            `json:",omitempty"`
	Package string            `json:",omitempty"` // whose tests follow
	Exit    string            `json:",omitempty"` // how the tests ended
	Modules map[string]string `json:",omitempty"`
	Facts   map[string]string `json:",omitempty"`
	Error   string            `json:",omitempty"`
	Done    bool              `json:",omitempty"`
}

// reportMark begins such a line.
const reportMark = "@kernels "

// runIn boots a kernel, runs the job and shows how it goes.
func runIn(ctx context.Context, i image, j job) (*result, error) {
	ctx, cancel := context.WithTimeout(ctx, j.limit)
	defer cancel()
	initrd := filepath.Join(j.dir, "initrd")
	if err := i.initrd(ctx, filepath.Join(j.dir, guestProgram), initrd); err != nil {
		return nil, err
	}
	defer os.Remove(initrd)
	text, err := json.Marshal(order{Modules: i.modules(), Packages: j.packages, Run: j.run})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(j.dir, "order.json"), text, 0o644); err != nil {
		return nil, err
	}
	console := filepath.Join(j.dir, "console")
	defer os.Remove(console)
	// The kernel's console is the first serial port, what the tests say the second.
	cmd := exec.CommandContext(ctx, qemu, "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "3072", "-smp", "2", "-no-reboot",
		"-display", "none", "-monitor", "none", "-nic", "none", "-serial", "file:"+console, "-serial", "stdio",
		"-kernel", i.kernel(), "-initrd", initrd, "-append", "console=ttyS0 loglevel=4 mitigations=off panic=-1 "+jobParameter+j.dir,
		"-virtfs", "local,path=/,mount_tag="+rootTag+",security_model=none,readonly=on,multidevs=remap")
	cmd.WaitDelay = 10 * time.Second
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r := &result{release: i.release, run: j.run}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	follow(stdout, r)
	err = cmd.Wait()
	r.took = time.Since(begin)
	if !r.done {
		last, _ := os.ReadFile(console)
		return nil, fmt.Errorf("it did not come to its end in %v: %w: %s\n%s", r.took.Round(time.Second), errors.Join(err, ctx.Err()), complaints.Bytes(), last[max(0, len(last)-8000):])
	}
	return r, nil
}

var (
	resultLine = regexp.MustCompile(`^--- (PASS|FAIL|SKIP): (\S+) \((.*)\)$`)
	beginLine  = regexp.MustCompile(`^=== RUN +[^/]+$`)
)

// follow reads what the guest writes and prints each test's result, and what the
// failed ones say.
func follow(stdout io.Reader, r *result) {
	lines := bufio.NewReader(stdout)
	var said []string // by the test that runs
	packageName := ""
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if text, ok := strings.CutPrefix(line, reportMark); ok {
			var p report
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				p.Error = fmt.Sprintf("%q: %v", text, err)
			}
			r.take(p)
			switch {
			case p.Package != "":
				packageName, said = p.Package, nil
				fmt.Printf("%s: %s\n", r.release, packageName)
			case p.Exit != "" && !r.failed():
				// As when TestMain fails, or the time is up.
				p.Error = packageName + ": " + p.Exit
				r.errors = append(r.errors, p.Error)
			}
			if p.Error != "" {
				fmt.Printf("%s: FAIL %s\n%s\n", r.release, p.Error, strings.Join(said, "\n"))
			}
			continue
		}
		m := resultLine.FindStringSubmatch(line)
		switch {
		case beginLine.MatchString(line):
			said = nil
		case m == nil:
			said = append(said, line)
		default:
			t := testResult{name: packageName + "." + m[2], status: m[1], said: strings.Join(said, "\n")}
			r.tests = append(r.tests, t)
			reason, failed := t.judge()
			fmt.Printf("%s: %-4s %s (%s)%s\n", r.release, t.status, m[2], m[3], reason)
			if failed {
				fmt.Println(t.said)
			}
		}
	}
}
