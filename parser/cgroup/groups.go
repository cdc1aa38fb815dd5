package cgroup

import (
	"bytes"
	"io"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
)

// Groups are the control groups of a process: one in each hierarchy of version 1,
// and one in that of version 2.
type Groups struct {
	// Path is the group to show: Container, else Unit, else that of systemd's
	// hierarchy, else that of version 2.
	Path string
	// Container is the group that names a container, else one that names a pod: see
	// [ContainerID], [Runtime] and [PodUID]. Of several it is the deepest. It is
	// empty if there is none.
	Container string
	// Unit is the group that names a unit: see [Unit]. Of several it is the deepest.
	// It is empty if there is none.
	Unit string
}

// Decode reads /proc/PID/cgroup (cgroups(7), proc_cgroup_show of
// kernel/cgroup/cgroup.c), with one line for each hierarchy:
//
//	4:memory:/docker/ID
//	1:name=systemd:/system.slice/ssh.service
//	0::/
//
// Which hierarchy names the container or the unit depends on who manages the
// groups: a runtime uses those that are mounted, and systemd its own. Of groups
// that are as deep as each other systemd's counts first, then that of version 2,
// then the order of the lines. Errors are of type [*parser.LineError], or the
// reader's own.
func Decode(r io.Reader) (g Groups, err error) {
	var systemd, unified bestPath // that are there, whatever they name
	var containers, pods, units bestPath
	list := parser.List[struct{}]{Parts: true, Line: func(line parser.Line) (none struct{}, ok bool, err error) {
		number, rest, _ := bytes.Cut(line.Text, []byte(":"))
		controllers, path, ok := bytes.Cut(rest, []byte(":"))
		if !ok || line.Long || !decimal(number) {
			return none, false, line.Error("expected number:controllers:path")
		}
		p, rank := string(path), 0
		switch {
		case named(controllers):
			rank = 2
			systemd.see(p, rank)
		case string(number) == "0":
			rank = 1
			unified.see(p, rank)
		}
		if ContainerID(p) != "" {
			containers.see(p, rank)
		}
		if PodUID(p) != "" {
			pods.see(p, rank)
		}
		if Unit(p) != "" {
			units.see(p, rank)
		}
		return none, false, nil
	}}
	for _, err := range list.Decode(r) {
		if err != nil {
			return Groups{}, err
		}
	}
	g.Container, g.Unit = containers.path, units.path
	if g.Container == "" {
		g.Container = pods.path
	}
	for _, path := range []string{g.Container, g.Unit, systemd.path, unified.path} {
		if g.Path == "" {
			g.Path = path
		}
	}
	return g, nil
}

// bestPath is the deepest path that was seen, of as deep ones the one of the highest rank.
type bestPath struct {
	path        string
	depth, rank int
}

func (b *bestPath) see(path string, rank int) {
	depth := strings.Count(strings.TrimSuffix(path, "/"), "/")
	if b.path == "" || depth > b.depth || depth == b.depth && rank > b.rank {
		*b = bestPath{path, depth, rank}
	}
}

// named reports whether controllers are those of systemd's hierarchy.
func named(controllers []byte) bool {
	for name := range bytes.SplitSeq(controllers, []byte(",")) {
		if string(name) == "name=systemd" {
			return true
		}
	}
	return false
}

func decimal(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}
