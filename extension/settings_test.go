package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// trustedDir returns a directory to which nobody but root and this user can
// write, nor to those above it, unlike to /tmp.
func trustedDir(t *testing.T) string {
	t.Helper()
	home, _ := os.UserHomeDir()
bases:
	for _, base := range []string{"/run", "/run/user/" + strconv.Itoa(os.Getuid()), home} {
		for dir := base; filepath.IsAbs(dir); dir = filepath.Dir(dir) {
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o022 != 0 {
				continue bases
			}
			if dir == "/" {
				break
			}
		}
		dir, err := os.MkdirTemp(base, "osquery-sockets-test")
		if err != nil {
			continue
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	t.Fatal("neither /run nor the home directory is writable by this user alone")
	return ""
}

// flagsFile writes a file of flags and makes the program read it.
func flagsFile(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(trustedDir(t), "flags")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(flagsVariable, path)
	return path
}

// The fixture's services, and a question about them.
const (
	someServices  = "../tables/testdata/etc/services"
	countServices = "SELECT count(*) FROM well_known_services"
)

func TestFlagsFile(t *testing.T) {
	const format = "--list\n--header=false\n"
	for _, c := range []struct {
		name, file string
		args       []string
	}{
		{"values behind =", "--services=" + someServices + "\n" + format, nil},
		{"values behind a blank", "--services " + someServices + "\n" + format, nil},
		{"values behind a tab", "--services\t" + someServices + "\n" + format, nil},
		{"no newline at the end", format + "--services=" + someServices, nil},
		{"CR LF", strings.ReplaceAll("# with\n\n--services="+someServices+"\n"+format, "\n", "\r\n"), nil},
		{"blanks and comments", "# a comment\n\n \t\n  # another\n\t--services= " + someServices + " \t\n" + format, nil},
		{"the last of two", "--services=/nosuch\n--services=" + someServices + "\n" + format, nil},
		{"flags of other commands", "--max-response=50\n--numeric\n--index\n--services=" + someServices + "\n" + format, nil},
		{"the command line wins", "--services=/nosuch\n" + format, []string{"--services", someServices}},
		{"the command line wins over what it excludes", "--json\n--header=false\n--services=" + someServices, []string{"--list"}},
		{"one twice", "--list\n--services=" + someServices + "\n" + format, nil},
		{"64 KiB", format + "--services=" + someServices + "\n#" + strings.Repeat("x", maxFlags-len(format)-len(someServices)-len("--services=\n#")), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			flagsFile(t, c.file)
			code, stdout, stderr := sockets(t, "", append(append([]string{"query"}, c.args...), countServices)...)
			if code != 0 || stdout != "21\n" || stderr != "" {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

// A flag of one command is not another's that begins so.
func TestFlagsFileKnowsTheCommand(t *testing.T) {
	flagsFile(t, "--list\n")
	if code, stdout, stderr := sockets(t, "", "netstat", "-t", "--sql"); code != 0 || !strings.Contains(stdout, "remote_port <> 0") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestFlagsFileIsRefusedByLine(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"unknown", "--nosuch=1", "unknown flag: --nosuch"},
		{"hidden", "--ax25", "unknown flag: --ax25"},
		{"cut off", "--numeric-p", "unknown flag: --numeric-p"},
		{"value missing", "--services", "needs an argument: --services"},
		{"value empty", "--services=", `invalid argument "" for "--services" flag`},
		{"bad value", "--header=maybe", `invalid argument "maybe" for "--header" flag: it takes true or false`},
		{"bad size", "--memory-limit=180", `invalid argument "180" for "--memory-limit" flag: it takes a size from 32MiB to 1TiB`},
		{"bad value of another command's flag", "--max-response=101", `invalid argument "101" for "--max-response" flag: it takes a whole number from 1 to 100`},
		{"bad value of a flag that the command line has", "--log-level=loud", `invalid argument "loud" for "--log-level" flag`},
		{"bad policy", "--on-loss weep", "neither exit nor reconnect"},
		{"bad prefix", "--table-prefix=A-", "small letters"},
		{"a switch's value behind a blank", "--verbose false", "--verbose takes its value behind a =: --verbose=false"},
		{"blank before =", "--services = " + someServices, "--services has a blank before its ="},
		{"comment behind a value", "--max-queries=2 # two", `invalid argument "2 # two"`},
		{"no flag", "services=x", `"services=x" is no flag`},
		{"one dash", "-v", `"-v" is no flag`},
		{"dashes alone", "--", `"--" is no flag`},
		{"value alone", "--=x", `"--=x" is no flag`},
		{"three dashes", "---services=x", "bad flag syntax"},
		{"NUL", "--services=/a\x00b", `control character '\x00'`},
		{"NUL in a comment", "# \x00", `control character '\x00'`},
		{"CR without LF", "--verbose\r--nosuch", `control character '\r'`},
		{"escape", "\x1b[2J", `control character '\x1b'`},
		{"excluded", "--json\n--csv", "--csv excludes a flag of a line above"},
		{"socket", "--socket=/x", "--socket is not taken from a file"},
		{"help", "--help", "--help is not taken from a file"},
		{"version", "--version", "--version is not taken from a file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for end, text := range map[string]string{"LF": "\n", "CRLF": "\r\n", "none": ""} {
				path := flagsFile(t, "# flags\n\n"+c.line+text)
				code, stdout, stderr := sockets(t, "", "query", "--log-level", "error", "SELECT 1")
				if code != 2 || stdout != "" || !strings.Contains(stderr, fmt.Sprintf("sockets.ext query: %s:%d: ", path, 3+strings.Count(c.line, "\n"))) || !strings.Contains(stderr, c.want) {
					t.Errorf("ended by %s: exit code %d, stdout %q, stderr %q, want %q", end, code, stdout, stderr, c.want)
				}
			}
		})
	}
	t.Run("by every command, and not by help", func(t *testing.T) {
		path := flagsFile(t, "--nosuch")
		for _, args := range [][]string{{"query", "SELECT 1"}, {"netstat", "--sql"}, {"schema"}, {"--socket", "/nosuch"}, {}} {
			if code, stdout, stderr := sockets(t, "", args...); code != 2 || stdout != "" || !strings.Contains(stderr, path+":1: unknown flag: --nosuch") {
				t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
			}
		}
		for _, args := range [][]string{{"--help"}, {"query", "--help"}, {"help"}, {"help", "query"}, {"--version"}} {
			if code, stdout, stderr := sockets(t, "", args...); code != 0 || stdout == "" || stderr != "" {
				t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, stdout, stderr)
			}
		}
	})
}

// A file that others can change, or that is none, is refused and says why; it
// may be missing only by default.
func TestFlagsFileIsTrusted(t *testing.T) {
	do := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string) // path is of a good file
		want string                          // "" if it is taken
	}{
		{"good", func(*testing.T, string) {}, ""},
		{"readable by all", func(t *testing.T, p string) { do(t, os.Chmod(p, 0o644)) }, ""},
		{"group-writable", func(t *testing.T, p string) { do(t, os.Chmod(p, 0o620)) }, "/flags has mode 0620"},
		{"world-writable", func(t *testing.T, p string) { do(t, os.Chmod(p, 0o602)) }, "/flags has mode 0602"},
		{"group-writable directory", func(t *testing.T, p string) { do(t, os.Chmod(filepath.Dir(p), 0o770)) }, "the directory "},
		{"world-writable directory", func(t *testing.T, p string) { do(t, os.Chmod(filepath.Dir(p), 0o777|fs.ModeSticky)) }, "has mode 0777"},
		{"missing", func(t *testing.T, p string) { do(t, os.Remove(p)) }, "no such file"},
		{"directory", func(t *testing.T, p string) { do(t, os.Remove(p)); do(t, os.Mkdir(p, 0o700)) }, "is a directory, not a regular file"},
		{"FIFO", func(t *testing.T, p string) { do(t, os.Remove(p)); do(t, syscall.Mkfifo(p, 0o600)) }, "is a FIFO, not a regular file"},
		{"2 MiB", func(t *testing.T, p string) { do(t, os.WriteFile(p, bytes.Repeat([]byte("#\n"), 1<<20), 0o600)) }, "more than 65536 bytes"},
		{"a file for a directory", func(t *testing.T, p string) { t.Setenv(flagsVariable, p+"/flags") }, "not a directory"},
		{"relative path", func(t *testing.T, p string) { t.Setenv(flagsVariable, "flags") }, "no absolute path"},
		{"dots", func(t *testing.T, p string) {
			t.Setenv(flagsVariable, filepath.Dir(p)+"/./../"+filepath.Base(filepath.Dir(p))+"//flags")
		}, ""},
		{"link", func(t *testing.T, p string) { do(t, os.Rename(p, p+".1")); do(t, os.Symlink("flags.1", p)) }, ""},
		{"absolute link", func(t *testing.T, p string) { do(t, os.Rename(p, p+".1")); do(t, os.Symlink(p+".1", p)) }, ""},
		{"link to a directory on the way", func(t *testing.T, p string) {
			dir := filepath.Dir(p)
			do(t, os.Symlink(dir, dir+"/again"))
			// .. of a link is above its target.
			do(t, os.Symlink(dir, filepath.Dir(dir)+"/again"+filepath.Base(dir)))
			t.Cleanup(func() { os.Remove(filepath.Dir(dir) + "/again" + filepath.Base(dir)) })
			t.Setenv(flagsVariable, dir+"/again/../again"+filepath.Base(dir)+"/flags")
		}, ""},
		{"link to nothing", func(t *testing.T, p string) { do(t, os.Remove(p)); do(t, os.Symlink("nosuch", p)) }, "no such file"},
		{"link to itself", func(t *testing.T, p string) { do(t, os.Remove(p)); do(t, os.Symlink("flags", p)) }, "too many levels"},
		{"link to a group-writable file", func(t *testing.T, p string) {
			do(t, os.Rename(p, p+".1"))
			do(t, os.Chmod(p+".1", 0o660))
			do(t, os.Symlink("flags.1", p))
		}, "/flags.1 has mode 0660"},
		{"link through a world-writable directory", func(t *testing.T, p string) {
			open := filepath.Dir(p) + "/open"
			do(t, os.Mkdir(open, 0o700))
			do(t, os.Chmod(open, 0o777))
			do(t, os.Rename(p, p+".1"))
			do(t, os.Symlink("../flags.1", open+"/flags"))
			do(t, os.Symlink("open/flags", p))
		}, "/open has mode 0777"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.make(t, flagsFile(t, "--list\n"))
			check(t, c.want)
		})
	}
	t.Run("device", func(t *testing.T) {
		// /dev may be anybody's, in which case that is said.
		t.Setenv(flagsVariable, "/dev/null")
		if code, _, stderr := sockets(t, "", "query", "SELECT 1"); code != 2 || !strings.Contains(stderr, "flags file /dev/null: ") {
			t.Errorf("exit code %d, stderr %q", code, stderr)
		}
	})
	t.Run("default", func(t *testing.T) {
		missing := filepath.Join(trustedDir(t), "nosuch", "flags")
		if text, err := readFlags(missing, true); err != nil || len(text) > 0 {
			t.Errorf("a default that is missing: %q, %v", text, err)
		}
		if _, err := readFlags(missing, false); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("one that is named: %v", err)
		}
		path := filepath.Join(filepath.Dir(flagsFile(t, "")), "link")
		do(t, os.Symlink("nosuch", path))
		if _, err := readFlags(path, true); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a default that is a link to nothing: %v", err)
		}
	})
	if os.Geteuid() != 0 {
		return // only root gives files away
	}
	for name, c := range map[string]struct {
		give func(path string) error
		want string
	}{
		"another's file":      {func(p string) error { return os.Chown(p, 12345, -1) }, "the file "},
		"another's directory": {func(p string) error { return os.Chown(filepath.Dir(p), 12345, -1) }, "the directory "},
		"another's link": {func(p string) error {
			return errors.Join(os.Rename(p, p+".1"), os.Symlink("flags.1", p), os.Lchown(p, 12345, -1))
		}, "the symbolic link "},
	} {
		t.Run(name, func(t *testing.T) {
			do(t, c.give(flagsFile(t, "--list\n")))
			check(t, c.want)
			check(t, "belongs to user 12345, and must belong to root")
		})
	}
}

// check runs a query and looks for why the file of flags is refused, or that it
// is taken if want is empty. The file has --list.
func check(t *testing.T, want string) {
	t.Helper()
	code, stdout, stderr := sockets(t, "", "query", "SELECT 1 AS a")
	switch {
	case want == "" && (code != 0 || stdout != "a\n1\n" || stderr != ""):
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	case want != "" && (code != 2 || stdout != "" || !strings.Contains(stderr, "flags file "+os.Getenv(flagsVariable)+": ") || !strings.Contains(stderr, want)):
		t.Errorf("exit code %d, stdout %q, stderr %q, want %q", code, stdout, stderr, want)
	}
}

// The command line comes before the environment, that before the file.
func TestAllNamespacesFlag(t *testing.T) {
	for _, c := range []struct {
		name, args, environment, file string // "" is none
		want                          bool
	}{
		{"nothing", "", "", "", false},
		{"command line", "--all-namespaces", "", "", true},
		{"environment, 1", "", "1", "", true},
		{"environment, true", "", "true", "", true},
		{"environment, 0", "", "0", "", false},
		{"environment, false", "", "false", "", false},
		{"file", "", "", "--all-namespaces", true},
		{"environment over file", "", "0", "--all-namespaces", false},
		{"environment over file that says no", "", "1", "--all-namespaces=false", true},
		{"command line over environment", "--all-namespaces=false", "1", "", false},
		{"command line over file", "--all-namespaces=false", "", "--all-namespaces", false},
		{"command line over both", "--all-namespaces", "0", "--all-namespaces=0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			flagsFile(t, c.file)
			if c.environment != "" {
				t.Setenv(allNamespacesVariable, c.environment)
			}
			query, _, err := newRoot().Find([]string{"query"})
			if err != nil {
				t.Fatal(err)
			}
			if err := query.ParseFlags(strings.Fields(c.args)); err != nil {
				t.Fatal(err)
			}
			if err := settings(query); err != nil {
				t.Fatal(err)
			}
			if got, err := query.Flags().GetBool("all-namespaces"); got != c.want || err != nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	for _, value := range []string{"yes", "2", "TRUE", " 1"} {
		t.Run("environment "+strconv.Quote(value), func(t *testing.T) {
			t.Setenv(allNamespacesVariable, value)
			code, stdout, stderr := sockets(t, "", "query", "--all-namespaces", "SELECT 1")
			if code != 2 || stdout != "" || !strings.Contains(stderr, allNamespacesVariable+" is "+strconv.Quote(value)) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}
