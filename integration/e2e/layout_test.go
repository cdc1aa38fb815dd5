package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// Imports point one way: extension -> integration -> tables -> schema and
// host -> parser. The engine in tables/schema knows no sockets but how to
// spell an address and a name.
func TestImportDirections(t *testing.T) {
	const module = "github.com/osquery-sockets/osquery-sockets/"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	// What each part of the module may import of the others.
	may := map[string][]string{
		"extension":                     {"integration/", "tables", "parser/text"},
		"integration":                   {"integration/", "tables", "parser/"},
		"tables":                        {"tables/", "parser/"},
		"tables/host":                   {"parser", "tables/host/"},
		"tables/host/containers":        {"parser/container", "tables/host/regular"},
		"tables/host/endpoint":          {"parser/sock"},
		"tables/host/holders":           {"parser/btf", "parser/proc", "tables/host/process", "tables/host/usage"},
		"tables/host/names":             {"parser", "tables/host/netns", "tables/host/process", "tables/host/regular"},
		"tables/host/netns":             {"parser/proc", "parser/text", "tables/host/process", "tables/host/regular", "tables/host/usage"},
		"tables/host/nlconn":            {"parser/netlink", "tables/host/usage"},
		"tables/host/nlconn/nlconntest": {"parser/netlink", "tables/host/nlconn"},
		"tables/host/process":           {"parser/cgroup", "parser/container", "parser/proc", "tables/host/containers", "tables/host/regular", "tables/host/units", "tables/host/usage"},
		"tables/host/regular":           {},
		"tables/host/routing":           {"parser/", "tables/host/names", "tables/host/netns", "tables/host/nlconn", "tables/host/process", "tables/host/source", "tables/host/usage"},
		"tables/host/source":            {"tables/host/netns", "tables/host/nlconn", "tables/host/usage"},
		"tables/host/tracking":          {"parser/conntrack", "parser/sock", "tables/host/netns", "tables/host/nlconn", "tables/host/process", "tables/host/source", "tables/host/usage"},
		"tables/host/units":             {"parser/sock", "parser/systemd", "tables/host/regular"},
		"tables/host/usage":             {"parser/text"},
		"tables/schema":                 {"parser/sock", "parser/text"},
		"parser":                        {"parser"},
	}
	for line := range strings.Lines(string(out)) {
		packages := strings.Fields(line)
		name := strings.TrimPrefix(packages[0], module)
		part, _, _ := strings.Cut(name, "/")
		if _, ok := may[name]; ok {
			part = name
		} else if strings.HasPrefix(name, "tables/host/") {
			t.Errorf("%s has no entry that says what it may import", name)
		}
		for _, imported := range packages[1:] {
			imported, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			allowed := false
			for _, prefix := range may[part] {
				allowed = allowed || strings.HasPrefix(imported, prefix)
			}
			if !allowed {
				t.Errorf("%s imports %s", name, imported)
			}
		}
	}
}

// cilium/ebpf/rlimit asks the kernel for a BPF map before main begins, which every
// start would pay for, and to load an object file by cilium/ebpf takes 25 ms: only
// tests use it.
func TestStartMakesNoMap(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/osquery-sockets/osquery-sockets/extension").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "cilium/ebpf") {
		t.Error("the program imports cilium/ebpf")
	}
}
