package netns

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// ListKept is List, with the namespaces that only an open descriptor of a process
// keeps. It reads every link in /proc/PID/fd of every process; the descriptors of
// threads with files of their own are not looked at. Selections do not see what it
// adds.
func (s *Set) ListKept(ctx context.Context) ([]Namespace, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.Clone(all)
	pids, err := s.processes(s.Proc)
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	var use usage.Usage
	kept := make(namespaces)
	for i, pid := range pids {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if s.Proc == process.DefaultProc && int(pid) == os.Getpid() {
			continue // they are of queries
		}
		err := eachDescriptor(process.Dir(s.Proc, pid), func(inode uint32, path string) {
			if ns := kept.get(inode); ns.Descriptor == "" {
				ns.Descriptor = path
			}
		})
		switch process.BlameFor(err) {
		case process.Ours:
			return nil, fmt.Errorf("the descriptors of process %d: %w", pid, err)
		case process.Theirs:
			use.Lack.Add("the descriptors of some processes may not be looked at, so that network namespaces may be missing", fmt.Sprintf("process %d: %v", pid, err))
		}
	}
	for inode, ns := range kept {
		if i, ok := find(all, inode); ok {
			all[i].Descriptor = ns.Descriptor
		} else {
			all = append(all, *ns)
		}
	}
	slices.SortFunc(all, func(a, b Namespace) int { return cmp.Compare(a.Inode, b.Inode) })
	use.Source, use.Sockets = usage.ProcFS, int64(len(all))
	s.Uses.Note(Namespaces, use)
	return all, nil
}

// eachDescriptor visits the descriptors of a process that refer to network
// namespaces, by their paths. The error is the last of those that it met.
func eachDescriptor(dir string, visit func(inode uint32, path string)) error {
	dir = filepath.Join(dir, "fd")
	entries, failed := os.ReadDir(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		link, err := os.Readlink(path)
		if process.BlameFor(err) > process.Gone {
			failed = err
		}
		if inode := proc.NamespaceNumber(link); inode != 0 {
			visit(inode, path)
		}
	}
	return failed
}
