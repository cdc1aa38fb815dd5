package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/integration/doctor"
)

func TestDoctor(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	code, stdout, stderr := sockets(t, "", "doctor", "--socket", missing)
	if code != exitFailed || stderr != "" || !strings.Contains(stdout, "broken   socket       there is no socket "+missing) {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}

	// A mistake in the file of flags is a finding, not the end.
	file := filepath.Join(t.TempDir(), "flags")
	if err := os.WriteFile(file, []byte("--nosuch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv(flagsVariable, file)
	code, stdout, stderr = sockets(t, "", "doctor", "--json", "--socket", missing)
	var findings []doctor.Finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil || code != exitFailed || stderr != "" {
		t.Fatalf("exit code %d, %v, stdout %q, stderr %q", code, err, stdout, stderr)
	}
	if !slices.ContainsFunc(findings, func(f doctor.Finding) bool {
		return f.Check == "flags" && f.State == doctor.Broken && f.Cure != "" && strings.Contains(f.Found, file)
	}) {
		t.Errorf("got %+v", findings)
	}
}
