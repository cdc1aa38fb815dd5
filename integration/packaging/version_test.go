package main

import (
	"os/exec"
	"testing"
	"time"
)

// Versions sort as the commits that they are of, by dpkg's own order.
func TestPackageVersion(t *testing.T) {
	date := time.Date(2026, 11, 27, 4, 39, 0, 0, time.UTC)
	ordered := []struct{ described, version string }{
		{"c1b8295", "0.0.0~20261127043900.c1b8295"},
		{"v1.2.3-rc1", "1.2.3~rc1"},
		{"v1.2.3-rc1-2-gabcdef0", "1.2.3~rc1+2.gabcdef0"},
		{"v1.2.3", "1.2.3"},
		{"v1.2.3-4-gabcdef0", "1.2.3+4.gabcdef0"},
		{"v1.2.3-14-g0bcdef0", "1.2.3+14.g0bcdef0"},
		{"v1.2.4-dirty", "1.2.4+dirty"},
	}
	for i, c := range ordered {
		if got := packageVersion(c.described, date); got != c.version {
			t.Errorf("%s is version %s, want %s", c.described, got, c.version)
		}
		if i == 0 {
			continue
		}
		before := ordered[i-1].version
		if _, err := exec.LookPath("dpkg"); err != nil {
			continue // the test of the packages wants it
		}
		if err := exec.CommandContext(t.Context(), "dpkg", "--compare-versions", before, "lt", c.version).Run(); err != nil {
			t.Errorf("dpkg does not have %s before %s: %v", before, c.version, err)
		}
	}
	if got := packageVersion("unknown-dirty", date); got != "0.0.0~20261127043900.unknown.dirty" {
		t.Errorf("got %s", got)
	}
}
