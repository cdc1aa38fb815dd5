package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
	"github.com/osquery-sockets/osquery-sockets/integration/osquery"
	"github.com/osquery-sockets/osquery-sockets/integration/osquerytest"
	"github.com/osquery-sockets/osquery-sockets/integration/sqlite"
	"github.com/osquery-sockets/osquery-sockets/tables"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
)

// patient is a host below a directory of the test, with the extension in it.
func patient(t *testing.T) Options {
	t.Helper()
	root := t.TempDir()
	program := filepath.Join(root, "usr/lib/osquery-sockets/sockets.ext")
	write(t, program, "x", 0o755)
	write(t, filepath.Join(root, daemons[0]), "", 0o755)
	write(t, filepath.Join(root, defaultList), "# others\n/opt/other.ext\n\n /usr/lib/osquery-sockets/sockets.ext \n", 0o644)
	db, err := sqlite.Open(tables.All(host.New(host.Options{})), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return Options{Root: root, Program: program, Version: "v1", DB: db}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// expect wants one finding of a check in a state, with texts in it and its cure, and
// no other of that check that is worse.
func expect(t *testing.T, findings []Finding, want Finding) {
	t.Helper()
	matches := 0
	for _, f := range findings {
		if (f.State == OK) != (f.Cure == "") {
			t.Errorf("%+v: a cure is for what is not ok", f)
		}
		if f.Check != want.Check {
			continue
		}
		if f.State == want.State && strings.Contains(f.Found, want.Found) && strings.Contains(f.Cure, want.Cure) {
			matches++
		} else if want.State == OK || f.State == Broken && want.State == Warning {
			t.Errorf("%+v, want %+v", f, want)
		}
	}
	if matches != 1 {
		t.Errorf("%d findings are as %+v in %+v", matches, want, findings)
	}
}

// What osqueryd refuses is refused here, with the reason and what to do.
func TestFile(t *testing.T) {
	chown := func(t *testing.T, path string) {
		if os.Geteuid() != 0 {
			netnstest.SkipOrFail(t, "chown needs root")
		}
		if err := os.Chown(path, 1234, -1); err != nil {
			t.Fatal(err)
		}
	}
	chmod := func(path string, mode os.FileMode) {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, found, cure string // none for what is as osqueryd wants it
		spoil             func(t *testing.T, path string)
	}{
		{"good", "", "", func(*testing.T, string) {}},
		{"group may write", "", "", func(_ *testing.T, path string) { chmod(path, 0o775) }},
		{"not there", "no such file", "install the extension there", func(t *testing.T, path string) { os.Remove(path) }},
		{"directory", "it is a directory", "name the file", func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o755) }},
		{"sticky", "sticky bit", "/usr/lib/osquery-sockets", func(t *testing.T, path string) { chmod(filepath.Dir(path), 0o777|os.ModeSticky) }},
		{"owner", "belongs to user 1234", "chown root:root", chown},
		{"not executable", "mode is 0644", "chmod 0755", func(_ *testing.T, path string) { chmod(path, 0o644) }},
		{"for everybody", "mode is 0757", "chmod 0755", func(_ *testing.T, path string) { chmod(path, 0o757) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := patient(t)
			c.spoil(t, o.Program)
			findings := Examine(t.Context(), o)
			if safe := osquerytest.CheckFileSafe(o.Program) == nil; safe != (c.found == "") {
				t.Fatalf("osqueryd would take it: %v", safe)
			}
			if c.found == "" {
				expect(t, findings, Finding{Check: "extension", State: OK})
			} else {
				expect(t, findings, Finding{"extension", Broken, c.found, c.cure})
				if !AnyBroken(findings) {
					t.Error("nothing is broken")
				}
			}
		})
	}
	t.Run("suffix", func(t *testing.T) {
		o := patient(t)
		other := strings.TrimSuffix(o.Program, ".ext")
		if err := os.Link(o.Program, other); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(o.Root, defaultList), "/usr/lib/osquery-sockets/sockets\n", 0o644)
		expect(t, Examine(t.Context(), o), Finding{"extension", Broken, "does not end in .ext", "rename"})
	})
	t.Run("two at once", func(t *testing.T) {
		o := patient(t)
		chmod(o.Program, 0o646)
		findings := Examine(t.Context(), o)
		expect(t, findings, Finding{"extension", Broken, "may not execute", "chmod"})
		expect(t, findings, Finding{"extension", Broken, "everybody may write", "chmod"})
		write(t, filepath.Join(o.Root, osqueryFlags), "--allow_unsafe\n", 0o644)
		expect(t, Examine(t.Context(), o), Finding{Check: "extension", State: OK})
	})
}

func TestList(t *testing.T) {
	const ours = "/usr/lib/osquery-sockets/sockets.ext"
	for _, c := range []struct {
		name, list, flags string
		want              Finding
	}{
		{"listed", ours + "\n", "", Finding{"extensions", OK, defaultList + " has " + ours, ""}},
		{"listed last without an end", "/opt/x.ext\n" + ours, "", Finding{"extensions", OK, ours, ""}},
		{"nothing", "", "", Finding{"extensions", Broken, "no line", "tee -a " + defaultList}},
		{"commented", "#" + ours + "\n;" + ours + "\n", "", Finding{"extensions", Broken, "no line", "tee -a"}},
		{"twice", ours + "\n" + ours + "\n", "", Finding{"extensions", Broken, "2 times", "all but one"}},
		{"another list", ours + "\n", "--extensions_autoload=/etc/osquery/others.load\n", Finding{"extensions", Broken, "/etc/osquery/others.load has no line", "others.load"}},
		{"disabled", ours + "\n", "# x\n--disable_extensions=true\n", Finding{"osquery", Broken, "--disable_extensions", "take that line out"}},
		{"not disabled", ours + "\n", "--disable_extensions=false\n", Finding{"extensions", OK, ours, ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := patient(t)
			write(t, filepath.Join(o.Root, defaultList), c.list, 0o644)
			write(t, filepath.Join(o.Root, osqueryFlags), c.flags, 0o644)
			expect(t, Examine(t.Context(), o), c.want)
		})
	}
	t.Run("no osquery", func(t *testing.T) {
		o := patient(t)
		for _, path := range []string{daemons[0], defaultList} {
			if err := os.Remove(filepath.Join(o.Root, path)); err != nil {
				t.Fatal(err)
			}
		}
		o.Proc = t.TempDir() // where no osqueryd runs
		findings := Examine(t.Context(), o)
		expect(t, findings, Finding{"osquery", Warning, "work without it", "install osquery"})
		expect(t, findings, Finding{"extensions", Warning, "no line", "tee -a"})
		if AnyBroken(findings) {
			t.Errorf("a host without osquery is broken: %+v", findings)
		}
	})
}

func TestSocket(t *testing.T) {
	info := osquerytest.Core(osquerytest.Rows("osquery_info", []osquerytest.Column{{Name: "version", Type: osquerytest.Text}}, map[string]string{"version": "5.23.0"}))
	serve := func(t *testing.T, m *osquerytest.Manager, name, version string) {
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- osquery.Serve(ctx, osquery.Options{Socket: m.Socket(), Name: name, Version: version}) }()
		t.Cleanup(func() { end(); <-ended })
		m.WaitFor(name)
	}
	t.Run("alive", func(t *testing.T) {
		o, m := patient(t), osquerytest.New(t, info)
		o.Socket = m.Socket()
		findings := Examine(t.Context(), o)
		expect(t, findings, Finding{"socket", OK, "osquery 5.23.0 answers at " + o.Socket, ""})
		expect(t, findings, Finding{"registration", Broken, "none of its tables", "--socket " + o.Socket})

		serve(t, m, "mysockets", "v1")
		expect(t, Examine(t.Context(), o), Finding{"registration", OK, "mysockets v1", ""})
		o.Version = "v2"
		expect(t, Examine(t.Context(), o), Finding{"registration", Warning, "of version v1, and this is version v2", "restart osqueryd"})
	})
	t.Run("by osquery's flags", func(t *testing.T) {
		o, m := patient(t), osquerytest.New(t)
		o.Root = filepath.Dir(m.Socket()) // the socket's path is not below the patient's
		write(t, filepath.Join(o.Root, osqueryFlags), "--extensions_socket=/osquery.em\n", 0o644)
		expect(t, Examine(t.Context(), o), Finding{"socket", OK, "of unknown version answers at " + m.Socket(), ""})
	})
	t.Run("frozen", func(t *testing.T) {
		o, m := patient(t), osquerytest.New(t)
		o.Socket = m.Socket()
		defer m.Freeze()()
		expect(t, Examine(t.Context(), o), Finding{"socket", Broken, "answers no ping within 2s", "restart it"})
	})
	t.Run("dead", func(t *testing.T) {
		o, m := patient(t), osquerytest.New(t)
		o.Socket = m.Socket()
		m.Kill()
		expect(t, Examine(t.Context(), o), Finding{"socket", Broken, "nobody listens", "restart osqueryd"})
	})
	t.Run("others", func(t *testing.T) {
		o := patient(t)
		expect(t, Examine(t.Context(), o), Finding{"socket", Warning, "there is no socket " + filepath.Join(o.Root, defaultSocket), "--socket"})
		o.Socket = filepath.Join(o.Root, "missing")
		expect(t, Examine(t.Context(), o), Finding{"socket", Broken, "there is no socket", "--socket"})
		o.Socket = o.Program
		expect(t, Examine(t.Context(), o), Finding{"socket", Broken, "is no socket", ""})
		o.Socket = "/" + strings.Repeat("x", 97)
		expect(t, Examine(t.Context(), o), Finding{"socket", Broken, "98 bytes are too long", ""})
	})
	t.Run("owner", func(t *testing.T) {
		if os.Geteuid() != 0 {
			netnstest.SkipOrFail(t, "chown needs root")
		}
		o, m := patient(t), osquerytest.New(t)
		o.Socket = m.Socket()
		if err := os.Chown(o.Socket, 1234, -1); err != nil {
			t.Fatal(err)
		}
		expect(t, Examine(t.Context(), o), Finding{"socket", Broken, "belongs to user 1234", ""})
	})
}

// Real processes that are called as the extension is.
func TestCopies(t *testing.T) {
	o := patient(t)
	socket := filepath.Join(o.Root, "osquery.em")
	var pids []string
	for i, args := range [][]string{{"--socket", socket}, {"--timeout", "3", "--socket=" + socket}, {"--socket", socket + "2"}, {"doctor", "--socket", socket}} {
		c := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", "read x", "sh"}, args...)...)
		c.Args[0] = o.Program
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); c.Wait() })
		if i < 3 {
			pids = append(pids, fmt.Sprint(c.Process.Pid))
		}
	}
	findings := Examine(t.Context(), o)
	broken := fmt.Sprintf("the processes %s %s all serve %s", pids[0], pids[1], socket)
	var found []string
	for _, f := range findings {
		if f.Check == "copies" && strings.Contains(f.Found, o.Root) {
			found = append(found, string(f.State)+" "+f.Found)
		}
	}
	if len(found) != 2 || !strings.HasPrefix(found[0], "broken "+broken) || found[1] != fmt.Sprintf("ok process %s serves %s2", pids[2], socket) {
		t.Errorf("got %q, want %q", found, broken)
	}
}

func TestMachine(t *testing.T) {
	o := patient(t)
	o.Proc = t.TempDir()
	put := func(name, content string) { write(t, filepath.Join(o.Proc, name), content, 0o644) }
	link := func(inode string) {
		t.Helper()
		path := filepath.Join(o.Proc, "1/ns/pid")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		if err := os.Symlink("pid:["+inode+"]", path); err != nil {
			t.Fatal(err)
		}
	}
	put("self/status", "Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n")
	put("self/mountinfo", "22 28 0:21 / "+o.Proc+" rw,nosuid shared:13 - proc proc rw,hidepid=invisible\n")
	link("4026531836")
	findings := Examine(t.Context(), o)
	expect(t, findings, Finding{"privileges", OK, "all capabilities", ""})
	expect(t, findings, Finding{"container", OK, "the host's processes", ""})
	for _, f := range findings {
		if f.Check == "processes" {
			t.Errorf("%+v: root sees them all", f)
		}
	}

	put("self/status", "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000201000\n")
	link("4026532999")
	findings = Examine(t.Context(), o)
	expect(t, findings, Finding{"privileges", Warning, "CAP_SYS_PTRACE other users' sockets have no pid", "as root"})
	expect(t, findings, Finding{"processes", Warning, "hidepid=invisible", "as root"})
	expect(t, findings, Finding{"container", Warning, "of a container", "--proc"})

	put("self/mountinfo", "22 28 0:21 / "+o.Proc+" rw,nosuid shared:13 - proc proc rw,hidepid=off\n")
	for _, f := range Examine(t.Context(), o) {
		if f.Check == "processes" {
			t.Errorf("%+v: it hides nothing", f)
		}
	}
	o.Proc = filepath.Join(o.Proc, "missing")
	expect(t, Examine(t.Context(), o), Finding{"processes", Broken, "no such file", "mount"})
}

func TestFlags(t *testing.T) {
	o := patient(t)
	expect(t, Examine(t.Context(), o), Finding{Check: "flags", State: OK})
	o.Flags = fmt.Errorf("flags:3: unknown flag: --nosuch")
	expect(t, Examine(t.Context(), o), Finding{"flags", Broken, "flags:3: unknown flag: --nosuch", "correct"})
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	err := Print(&out, []Finding{{"flags", OK, "good", ""}, {"extension", Broken, "bad \x1b[31m", "do"}})
	const want = "ok       flags        good\nbroken   extension    bad \\x1b[31m\n                      cure: do\n"
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
}
