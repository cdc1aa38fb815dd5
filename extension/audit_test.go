package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
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
