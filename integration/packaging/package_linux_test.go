//go:build !race

// What these tests run are other programs, which no race detector sees.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
)

// command runs a command and returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// content is a file's, "" without one.
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// need skips a test without a program.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			netnstest.SkipOrFail(t, program+" is not installed")
		}
	}
}

// scratch is a root directory that packages are installed in, and how.
type scratch struct {
	root                   string
	install, remove, purge func(t *testing.T, file string) // purge is nil where there is none
}

const line = "/usr/lib/osquery-sockets/sockets.ext\n"

// life installs, upgrades, downgrades, removes and purges.
func (s scratch) life(t *testing.T, old, upgrade string) {
	at := func(path string) string { return filepath.Join(s.root, path) }
	list, flags := at("etc/osquery/extensions.load"), at("etc/osquery-sockets/flags")
	lines := func(when, want string) {
		t.Helper()
		if got := content(t, list); got != want {
			t.Errorf("%s, extensions.load is %q, want %q", when, got, want)
		}
	}
	version := func(when, want string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), at("usr/bin/osquery-sockets"), "--version").CombinedOutput()
		if want += "\n"; err != nil || string(out) != "osquery-sockets "+want {
			t.Errorf("%s, the command is %q, %v, want version %q", when, out, err, want)
		}
	}

	s.install(t, old)
	lines("installed alone", line)
	version("installed", "v1.0.0")
	if err := osquerytest.CheckFileSafe(at("usr/lib/osquery-sockets/sockets.ext")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(list); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("extensions.load: %v, %v", info, err)
	}

	// The administrator's own lines, the last of them without an end, and flags.
	const others, without = "# ours\n/opt/one.ext\n" + line + " /opt/two.ext", "# ours\n/opt/one.ext\n /opt/two.ext"
	write(t, list, others)
	if err := os.Chmod(list, 0o640); err != nil {
		t.Fatal(err)
	}
	write(t, flags, "--all-namespaces\n")
	s.install(t, upgrade)
	lines("upgraded", others)
	version("upgraded", "v1.1.0")
	if got := content(t, flags); got != "--all-namespaces\n" {
		t.Errorf("upgraded, the flags are %q", got)
	}
	s.install(t, old)
	version("downgraded", "v1.0.0")
	lines("downgraded", others)

	// What the administrator took out stays out.
	write(t, list, without)
	s.install(t, upgrade)
	lines("upgraded after the line was taken out", without)

	write(t, list, others)
	s.remove(t, upgrade)
	lines("removed", without+"\n")
	if info, err := os.Stat(list); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("extensions.load, changed: %v, %v", info, err)
	}
	for _, path := range []string{"usr/lib/osquery-sockets", "usr/bin/osquery-sockets", "usr/share/man/man1/osquery-sockets.1.gz"} {
		if _, err := os.Lstat(at(path)); !os.IsNotExist(err) {
			t.Errorf("removed, %s: %v", path, err)
		}
	}

	s.install(t, upgrade)
	lines("installed again", without+"\n"+line)
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	write(t, list, line)
	s.remove(t, upgrade)
	if _, err := os.Stat(filepath.Dir(list)); !os.IsNotExist(err) {
		t.Errorf("removed, etc/osquery of this package alone: %v", err)
	}
	if s.purge == nil {
		return
	}
	if got := content(t, flags); got != "--all-namespaces\n" {
		t.Errorf("removed, the flags are %q", got)
	}
	s.purge(t, upgrade)
	for _, path := range []string{"etc/osquery-sockets", "var/lib/osquery-sockets"} {
		if _, err := os.Stat(at(path)); !os.IsNotExist(err) {
			t.Errorf("purged, %s: %v", path, err)
		}
	}
}

// debianEnv names the environment variable with the directory of a Debian that
// debootstrap has made. The packages are installed there too, and purged.
const debianEnv = "SOCKETS_DEBIAN_ROOT"

// debianRoot is that Debian, in which dpkg runs the scripts.
func debianRoot(*testing.T) scratch { return dpkgIn(os.Getenv(debianEnv)) }

// dpkgRoot is a root directory for dpkg, which runs the scripts outside of it.
func dpkgRoot(t *testing.T) scratch {
	root := t.TempDir()
	for _, file := range []string{"status", "available"} {
		write(t, filepath.Join(root, "var/lib/dpkg", file), "")
	}
	for _, dir := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dpkgIn(root, "--force-script-chrootless")
}

// dpkgIn is a root directory for dpkg with these options.
func dpkgIn(root string, options ...string) scratch {
	options = append(options, "--root="+root, "--force-confold", "--force-downgrade")
	dpkg := func(t *testing.T, args ...string) {
		t.Helper()
		out := command(t, "dpkg", slices.Concat(options, args)...)
		if audit := command(t, "dpkg", "--root="+root, "--audit"); audit != "" {
			t.Errorf("dpkg %s: %s%s", strings.Join(args, " "), out, audit)
		}
	}
	return scratch{
		root:    root,
		install: func(t *testing.T, file string) { t.Helper(); dpkg(t, "--install", file+".deb") },
		remove:  func(t *testing.T, _ string) { t.Helper(); dpkg(t, "--remove", "osquery-sockets") },
		purge:   func(t *testing.T, _ string) { t.Helper(); dpkg(t, "--purge", "osquery-sockets") },
	}
}

// rpmRoot is a root directory for rpm, with the programs that the scripts use.
func rpmRoot(t *testing.T) scratch {
	root := t.TempDir()
	write(t, filepath.Join(root, "dev/null"), "")
	for _, name := range []string{"sh", "cat", "chmod", "cp", "grep", "mkdir", "mv", "readlink", "rm", "rmdir", "tail"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{path: filepath.Join("bin", name)}
		for _, word := range strings.Fields(command(t, "ldd", path)) {
			if filepath.IsAbs(word) {
				files[word] = word
			}
		}
		for from, to := range files {
			to = filepath.Join(root, to)
			write(t, to, content(t, from))
			if err := os.Chmod(to, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	rpm := func(t *testing.T, args ...string) {
		t.Helper()
		if out := command(t, "rpm", append([]string{"--root", root, "--force-debian", "--nodeps"}, args...)...); strings.Contains(out, "warning") && !strings.Contains(out, "rpmsave") {
			t.Errorf("rpm %s: %s", strings.Join(args, " "), out)
		}
	}
	return scratch{
		root:    root,
		install: func(t *testing.T, file string) { t.Helper(); rpm(t, "--upgrade", "--oldpackage", file+".rpm") },
		remove:  func(t *testing.T, _ string) { t.Helper(); rpm(t, "--erase", "osquery-sockets") },
	}
}

func TestPackages(t *testing.T) {
	dir := t.TempDir()
	made := release{Module: "../..", Share: filepath.Join(dir, "share"), Date: time.Unix(1_700_000_000, 0).UTC(), Out: filepath.Join(dir, "dist")}
	make := func(described, out string) {
		t.Helper()
		made.Program, made.Described, made.Out = filepath.Join(dir, described), described, filepath.Join(dir, out)
		command(t, "go", "build", "-C", made.Module, "-trimpath", "-ldflags", "-s -w -X main.version="+described, "-o", made.Program, "./extension")
		if err := made.build(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	command(t, "go", "run", "-C", made.Module, "-tags", "documents", "./extension", made.Share)
	make("v1.0.0", "dist")
	arch := strings.TrimSpace(command(t, "go", "env", "GOARCH"))
	names := []string{"osquery-sockets_1.0.0_" + arch + ".deb", "osquery-sockets_1.0.0_" + arch + ".rpm", "osquery-sockets_1.0.0_" + arch + ".cdx.json"}

	t.Run("reproducible", func(t *testing.T) {
		make("v1.0.0", "again")
		var sums strings.Builder
		for _, name := range names {
			one, two := content(t, filepath.Join(dir, "dist", name)), content(t, filepath.Join(dir, "again", name))
			if one == "" || one != two {
				t.Errorf("%s differs", name)
			}
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256([]byte(one)), name)
		}
		if got := content(t, filepath.Join(dir, "dist/SHA256SUMS")); got != sums.String() {
			t.Errorf("SHA256SUMS is\n%swant\n%s", got, sums.String())
		}
	})

	t.Run("what is linked in", func(t *testing.T) {
		var bill struct {
			BOMFormat  string
			Components []struct{ Name, Version, Purl string }
		}
		if err := json.Unmarshal([]byte(content(t, filepath.Join(dir, "dist", names[2]))), &bill); err != nil || bill.BOMFormat != "CycloneDX" {
			t.Fatalf("%+v, %v", bill, err)
		}
		text := command(t, "sh", "-c", `dpkg-deb --fsys-tarfile "$0" | tar --extract --to-stdout ./usr/share/doc/osquery-sockets/copyright`, filepath.Join(dir, "dist", names[0]))
		deps := 0
		for l := range strings.Lines(command(t, "go", "version", "-m", made.Program)) {
			words := strings.Fields(l)
			if len(words) < 3 || words[0] != "dep" {
				continue
			}
			deps++
			if !slices.ContainsFunc(bill.Components, func(c struct{ Name, Version, Purl string }) bool {
				return c.Name == words[1] && c.Version == words[2] && strings.HasPrefix(c.Purl, "pkg:golang/"+words[1]+"@"+words[2])
			}) {
				t.Errorf("the SBOM lacks %s %s", words[1], words[2])
			}
			if !strings.Contains(text, "\n"+words[1]+"@"+words[2]+", ") {
				t.Errorf("the licence of %s is missing", words[1])
			}
		}
		if deps < 10 || !strings.HasPrefix(text, strings.Repeat("=", 78)+"\n\nosquery-sockets, LICENSE\n") || !strings.Contains(text, "The Go Authors") {
			t.Errorf("%d modules; the licences begin with %.200s", deps, text)
		}
	})

	make("v1.1.0", "dist")
	old, upgrade := filepath.Join(dir, "dist/osquery-sockets_1.0.0_"+arch), filepath.Join(dir, "dist/osquery-sockets_1.1.0_"+arch)
	roots := map[string]func(*testing.T) scratch{"dpkg": dpkgRoot, "rpm": rpmRoot}
	if os.Getenv(debianEnv) != "" {
		roots["debian"] = debianRoot
	}
	for name, root := range roots {
		t.Run(name, func(t *testing.T) {
			if name != "debian" {
				need(t, name)
			}
			if os.Geteuid() != 0 {
				netnstest.SkipOrFail(t, name+" needs root")
			}
			root(t).life(t, old, upgrade)
		})
	}
}

// make install puts what make uninstall takes away.
func TestInstall(t *testing.T) {
	need(t, "make")
	dir := t.TempDir()
	other := filepath.Join(dir, "opt/x/lib/others/file")
	write(t, other, "")
	targets := func(target string) {
		t.Helper()
		command(t, "make", "-C", "../..", target, "DESTDIR="+dir, "PREFIX=/opt/x")
	}
	targets("build") // of this source
	targets("documents")
	targets("install")
	out := command(t, filepath.Join(dir, "opt/x/bin/osquery-sockets"), "why", "--help")
	if !strings.Contains(out, "osquery-sockets why") {
		t.Errorf("the installed command prints %s", out)
	}
	for _, path := range []string{"share/man/man1/osquery-sockets-why.1", "share/bash-completion/completions/osquery-sockets", "share/zsh/site-functions/_osquery-sockets", "share/fish/vendor_completions.d/osquery-sockets.fish"} {
		if content(t, filepath.Join(dir, "opt/x", path)) == "" {
			t.Errorf("%s is missing", path)
		}
	}
	targets("uninstall")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != other {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// make release tags a clean tree with the notes of its version, and nothing else.
func TestRelease(t *testing.T) {
	need(t, "make", "git")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Makefile"), content(t, "../../Makefile"))
	write(t, filepath.Join(dir, "CHANGELOG.md"), "# Changelog\n\n## Unreleased\n\n- later\n\n## 1.2.0\n\n- `two`: \"it's\" $here\n- three\n\n## 1.1.0\n\n- one\n")
	git := func(args ...string) string {
		t.Helper()
		return command(t, "git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)...)
	}
	git("init", "-q")
	git("config", "user.name", "x")
	git("config", "user.email", "x@example.org")
	release := func(version string) error {
		c := exec.CommandContext(t.Context(), "make", "-C", dir, "release", "VERSION="+version)
		out, err := c.CombinedOutput()
		t.Logf("%s: %s", version, out)
		return err
	}
	if release("v1.2.0") == nil {
		t.Error("a tree with files that are not committed was tagged")
	}
	git("add", "-A")
	git("commit", "-q", "-m", "x")
	for _, version := range []string{"v1.3.0", "1.2.0", "v1.2", "Unreleased"} {
		if release(version) == nil {
			t.Errorf("%s was tagged", version)
		}
	}
	if err := release("v1.2.0"); err != nil {
		t.Fatal(err)
	}
	if notes := git("for-each-ref", "--format=%(refname:short)|%(contents)", "refs/tags"); notes != "v1.2.0|- `two`: \"it's\" $here\n- three\n\n" {
		t.Errorf("the tags are %q", notes)
	}
	if release("v1.2.0") == nil {
		t.Error("one version was tagged twice")
	}
}

// Scripts of packages are read by whatever sh there is.
func TestScriptsParse(t *testing.T) {
	scripts, err := filepath.Glob("scripts/*")
	if err != nil || len(scripts) < 6 {
		t.Fatal(scripts, err)
	}
	for _, script := range scripts {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", script).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
}
