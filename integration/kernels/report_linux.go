package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// wantedModules are loaded before the tests, where a kernel has them.
var wantedModules = []string{
	"tcp_diag", "udp_diag", "raw_diag", "unix_diag", "netlink_diag", "packet_diag", "mptcp_diag", "xsk_diag", "tipc_diag", "smc_diag",
	"sctp", "sctp_diag", "dccp", "tipc", "vsock", "vsock_diag", "vsock_loopback",
	"ax25", "netrom", "rose", "x25", "ipx", "appletalk", "bluetooth", "rfcomm",
	"nf_conntrack", "nf_conntrack_netlink", "nf_nat", "nft_nat", "nft_chain_nat", "nft_ct",
	"veth", "dummy", "ifb", "bridge", "bonding", "8021q", "macvlan", "vrf", "tun", "ip_gre", "sit", "vxlan", "wireguard",
	"tls", "tcp_bbr", "tcp_dctcp", "ip6table_filter",
}

// notHere are tests that tell nothing of a kernel, and why they do not run.
var notHere = map[string]string{
	"TestBuild":            "it compiles",
	"TestImportDirections": "it runs go list",
	"TestStartMakesNoMap":  "it runs go list",
	"TestReconnects":       "it waits 50 ms for an answer, which emulation does not hold",
	"TestCoreTables":       "it asks an osqueryi, which is not in the guest",
	// Of osquery and of SQL, which no kernel changes; they take minutes here.
	"TestJoinsAreTheSameEverywhere":   "it asks thousands of statements",
	"TestSameRowsInOsquery":           "it asks hundreds of statements",
	"TestJoinsReadOurTablesAFewTimes": "it asks hundreds of statements",
	"TestFaults":                      "it injects hundreds of errors by strace, which takes hours under emulation",
}

// allowedSkips are the reasons for which a test may be skipped, by its name.
var allowedSkips = map[string]struct{ said, why string }{
	"TestFilesOfThreads":            {"fewer than 2000 files", "the guest has too few files open for the iterator"},
	"TestHoldersByCapabilities":     {"fewer than 2000 files", "the guest has too few files open for the iterator"},
	"TestPacketSockets":             {"packet_diag", "Debian does not build packet_diag"},
	"TestPacketSocketsOfTheVerbose": {"packet_diag", "Debian does not build packet_diag"},
}

// testResult is one test in one kernel.
type testResult struct {
	name   string // with its package
	status string // PASS, FAIL, SKIP
	said   string
}

// judge returns what is to be said besides, and whether the test counts as
// failed: also one that was skipped for a reason that is not allowed.
func (t *testResult) judge() (reason string, failed bool) {
	if t.status != "SKIP" {
		return "", t.status == "FAIL"
	}
	_, name, _ := strings.Cut(t.name, ".")
	if allowed, ok := allowedSkips[name]; ok && regexp.MustCompile(allowed.said).MatchString(t.said) {
		return ": " + allowed.why, false
	}
	return ": this is no allowed reason", true
}

// result is what one kernel gave.
type result struct {
	release string
	run     string
	modules map[string]string
	facts   map[string]string
	tests   []testResult
	errors  []string
	done    bool
	took    time.Duration
}

func (r *result) take(p report) {
	if p.Modules != nil {
		r.modules = p.Modules
	}
	if p.Facts != nil {
		r.facts = p.Facts
	}
	if p.Error != "" {
		r.errors = append(r.errors, p.Error)
	}
	r.done = r.done || p.Done
}

func (r *result) failed() bool {
	return len(r.errors) > 0 || slices.ContainsFunc(r.tests, func(t testResult) bool { _, failed := t.judge(); return failed })
}

// describe prints the table of what differs between the kernels.
func describe(results []*result) string {
	var b strings.Builder
	row := func(name string, value func(*result) string) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, r := range results {
			fmt.Fprintf(&b, " %s |", value(r))
		}
		b.WriteByte('\n')
	}
	b.WriteString("<!-- Printed by make kernels. -->\n# Other kernels\n\nWhat `make kernels` found under Debian's kernels, with every module loaded that the tests want.\n\n")
	row("", func(r *result) string { return "Linux " + r.release })
	row("---", func(*result) string { return "---" })
	for _, status := range []string{"PASS", "SKIP", "FAIL"} {
		row(map[string]string{"PASS": "tests passed", "SKIP": "skipped", "FAIL": "failed"}[status], func(r *result) string {
			n := 0
			for _, t := range r.tests {
				if t.status == status {
					n++
				}
			}
			return fmt.Sprint(n)
		})
	}
	for _, name := range wantedModules {
		row("module `"+name+"`", func(r *result) string { return r.modules[name] })
	}
	names := make(map[string]bool)
	for _, r := range results {
		for name := range r.facts {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		row(name, func(r *result) string { return r.facts[name] })
	}
	return b.String()
}
