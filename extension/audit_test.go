package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The exit code says whether all passes, something fails, something is unknown, or no
// audit was made.
func TestAuditExitCodes(t *testing.T) {
	passes := 0
	if os.Geteuid() != 0 {
		passes = 3
	}
	for _, c := range []struct {
		args   string
		code   int
		stdout string // a part of it
		stderr string
	}{
		{"--list", 0, "approved-listeners", ""},
		{"--list --pack ai", 0, "mcp-servers", ""},
		{"tcp-memory", passes, "TCP has enough memory", ""},
		{"no-sctp", 1, "FAIL     low       Nothing uses SCTP", ""},
		{"no-sctp approved-listeners --register /nosuch/approved.yaml", 1, "UNKNOWN  high      Every listener is approved", ""},
		{"approved-listeners --register /nosuch/approved.yaml", 3, "/nosuch: no such file or directory", ""},
		{"approved-listeners --register audit.go", 3, "UNKNOWN", ""},
		{"nosuch", 2, "", `there is no check "nosuch"`},
		{"--pack nis", 2, "", `there is no pack "nis"`},
		{"--pack cis no-sctp", 2, "", "name checks, or give --pack"},
		{"--format pdf", 2, "", `there is no format "pdf"`},
		{"tcp-memory --output /nosuch/report", 2, "", "/nosuch/report"},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := append([]string{"audit"}, strings.Fields(c.args)...)
			if strings.Contains(c.args, "no-sctp") {
				args = append(args, fixtures...)
			}
			code, stdout, stderr := sockets(t, "", args...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

// A report replaces the file of an earlier one, and only its owner can read it.
func TestAuditOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	for range 2 {
		if code, stdout, stderr := sockets(t, "", append([]string{"audit", "no-sctp", "--format", "json", "--output", path}, fixtures...)...); code != 1 || stdout != "" || stderr != "" {
			t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || !json.Valid([]byte(read(t, path))) {
		t.Errorf("%v, %v: %s", info, err, read(t, path))
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

// A report follows no link that another user could have put beside it, and does not
// take the place of a device or pipe.
func TestAuditOutputReplacesFilesOnly(t *testing.T) {
	dir := t.TempDir()
	path, other, pipe := filepath.Join(dir, "report"), filepath.Join(dir, "other"), filepath.Join(dir, "pipe")
	if err := os.Symlink(other, path+".part"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for _, to := range []string{path, pipe} {
		if code, _, stderr := sockets(t, "", append([]string{"audit", "no-sctp", "--output", to}, fixtures...)...); code != 1 || stderr != "" {
			t.Errorf("%s: exit code %d, stderr %q", to, code, stderr)
		}
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("the link was followed")
	}
	if info, err := os.Stat(pipe); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Fatalf("the pipe is %v, %v", info, err)
	}
	b := make([]byte, 64<<10)
	if n, err := reader.Read(b); err != nil || !strings.Contains(string(b[:n]), "checks: 1") {
		t.Errorf("the pipe has %q, %v", b[:n], err)
	}
}
