package osquerycore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// processRow is a row of processes.
type processRow struct {
	pid    int32
	of     *process.Process
	stat   procfs.ProcStat
	status procfs.ProcStatus
	io     procfs.ProcIO
	hasIO  bool
	group  string
}

// The files of a process that only some columns need.
const (
	needIO schema.Need = 1 << iota
	needGroup
)

// ticks is how many clock ticks a second has in /proc, USER_HZ, on every architecture
// that Go runs on.
const ticks = 100

const deletedSuffix = " (deleted)"

// path returns the path of the executable, without what the kernel writes behind the
// path of a deleted one.
func (r *processRow) path() string {
	if r.onDisk() == 0 {
		return strings.TrimSuffix(r.of.Exe(), deletedSuffix)
	}
	return r.of.Exe()
}

func (r *processRow) onDisk() int32 {
	switch deleted, ok := r.of.ExeDeleted(); {
	case r.of.Exe() == "":
		return -1
	case ok && deleted, !ok && strings.HasSuffix(r.of.Exe(), deletedSuffix):
		return 0
	}
	return 1
}

func processes(m *machine) schema.Table {
	number := func(name, doc string, get func(*processRow) int64, options ...schema.Option) *schema.Column[processRow, int64] {
		return schema.NotNull(name, doc, get, options...)
	}
	// A thread of the kernel has no memory of its own.
	memory := func(get func(*procfs.ProcStatus) uint64) func(*processRow) (int64, bool) {
		return func(r *processRow) (int64, bool) { return int64(get(&r.status)), r.status.VmSize != 0 }
	}
	disk := func(get func(*procfs.ProcIO) int64) func(*processRow) (int64, bool) {
		return func(r *processRow) (int64, bool) { return get(&r.io), r.hasIO }
	}
	pid := number("pid", "Number of the process. A thread's number is answered where it is asked for with =.",
		func(r *processRow) int64 { return int64(r.pid) }, schema.Pushed)
	return schema.Bind(schema.TableDef[processRow]{
		Name: "processes",
		Doc:  "osquery's table of the running processes. on_disk is 0 if the executable was deleted or replaced; osquery says so too of one whose path exists only in a container.",
		Examples: []string{
			"SELECT pid, name, path, cmdline FROM processes WHERE on_disk = 0",
			"SELECT DISTINCT p.name, l.port, l.address FROM processes p JOIN listening_ports l USING (pid) WHERE l.port != 0",
		},
		Columns: []schema.AnyColumn[processRow]{
			pid,
			schema.NotNull("name", "Kernel's name of the process.", func(r *processRow) string { return r.status.Name }),
			schema.NotNull("path", "Path of the executable. Empty if it may not be read.", (*processRow).path),
			schema.NotNull("cmdline", "Command line, with blanks between the arguments.",
				func(r *processRow) string { return strings.TrimSpace(strings.Join(r.of.Args(), " ")) }),
			schema.NotNull("state", "State as a letter, proc_pid_stat(5): R, S, D, Z, T and others.", func(r *processRow) string { return r.stat.State }),
			schema.NotNull("cwd", "Working directory. Empty if it may not be read.", func(r *processRow) string { return r.of.CWD() }),
			schema.NotNull("root", "Root directory. Empty if it may not be read.", func(r *processRow) string { return r.of.Root() }),
			number("uid", "Real user.", func(r *processRow) int64 { return int64(r.status.UIDs[0]) }),
			number("gid", "Real group.", func(r *processRow) int64 { return int64(r.status.GIDs[0]) }),
			number("euid", "Effective user.", func(r *processRow) int64 { return int64(r.status.UIDs[1]) }),
			number("egid", "Effective group.", func(r *processRow) int64 { return int64(r.status.GIDs[1]) }),
			number("suid", "Saved user.", func(r *processRow) int64 { return int64(r.status.UIDs[2]) }),
			number("sgid", "Saved group.", func(r *processRow) int64 { return int64(r.status.GIDs[2]) }),
			schema.NotNull("on_disk", "1 if the executable is on disk, 0 if it was deleted, -1 if that is not known.", (*processRow).onDisk),
			number("wired_size", "0, as in osquery on Linux.", func(*processRow) int64 { return 0 }),
			schema.Nullable("resident_size", "Resident memory, bytes. NULL for a thread of the kernel.", memory(func(s *procfs.ProcStatus) uint64 { return s.VmRSS })),
			schema.Nullable("total_size", "Virtual memory, bytes. NULL for a thread of the kernel.", memory(func(s *procfs.ProcStatus) uint64 { return s.VmSize })),
			number("user_time", "CPU time in user space, milliseconds.", func(r *processRow) int64 { return int64(r.stat.UTime) * 1000 / ticks }),
			number("system_time", "CPU time in the kernel, milliseconds.", func(r *processRow) int64 { return int64(r.stat.STime) * 1000 / ticks }),
			schema.Nullable("disk_bytes_read", "Bytes read from disk. NULL if that may not be read.",
				disk(func(io *procfs.ProcIO) int64 { return int64(io.ReadBytes) }), schema.Needs(needIO)),
			schema.Nullable("disk_bytes_written", "Bytes written to disk. NULL if that may not be read.",
				disk(func(io *procfs.ProcIO) int64 { return int64(io.WriteBytes) - io.CancelledWriteBytes }), schema.Needs(needIO)),
			number("start_time", "When the process started, seconds since 1970. -1 if that is not known.", func(r *processRow) int64 {
				if at, ok := r.of.Started(); ok {
					return at
				}
				return -1
			}),
			number("parent", "Number of the parent.", func(r *processRow) int64 { return int64(r.stat.PPID) }),
			number("pgroup", "Process group.", func(r *processRow) int64 { return int64(r.stat.PGRP) }),
			schema.NotNull("threads", "Number of threads.", func(r *processRow) int32 { return int32(r.stat.NumThreads) }),
			schema.NotNull("nice", "Nice value, -20 to 19.", func(r *processRow) int32 { return int32(r.stat.Nice) }),
			schema.NotNull("cgroup_path", "Control group: the first of /proc/PID/cgroup.", func(r *processRow) string { return r.group }, schema.Needs(needGroup)),
		},
		RowID: func(r *processRow) int64 { return int64(r.pid) },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[processRow, error] {
			return func(yield func(processRow, error) bool) {
				fs, pids, err := m.pids(pid.Values(q))
				if err != nil {
					yield(processRow{}, err)
					return
				}
				cache := m.Processes()
				for _, pid := range pids {
					r := processRow{pid: pid, of: cache.Get(pid)}
					ok, err := r.read(fs, q)
					if err == nil && !ok {
						continue
					}
					if !yield(r, err) || err != nil {
						return
					}
					if err := cache.Err(); err != nil {
						yield(r, err)
						return
					}
				}
			}
		},
	})
}

// read reads the files of a process. It is not ok if the process has ended.
func (r *processRow) read(proc procfs.FS, q schema.Query) (ok bool, err error) {
	p, err := proc.Proc(int(r.pid))
	if err == nil {
		r.stat, err = p.Stat()
	}
	if err == nil {
		r.status, err = p.NewStatus()
	}
	if errors.Is(err, fs.ErrPermission) || process.BlameFor(err) == process.Gone {
		return false, nil // ended, or hidden by hidepid
	} else if err != nil {
		return false, fmt.Errorf("process %d: %w", r.pid, err)
	}
	if q.Needs(needIO) {
		if r.io, err = p.IO(); err != nil && ours(err) != nil {
			return false, err
		}
		r.hasIO = err == nil
	}
	if q.Needs(needGroup) {
		all, err := p.Cgroups()
		if ours(err) != nil {
			return false, err
		}
		if len(all) > 0 {
			r.group = all[0].Path
		}
	}
	return true, nil
}

// item is one of the things that a process has several of.
type item[T any] struct {
	pid   int32
	index int
	value T
}

func (i *item[T]) id() int64 { return sock.Hash(0).Add(uint64(i.pid)).Add(uint64(i.index)).ID() }

// items streams what read gives of each process. What a process may not be asked for it
// has not.
func items[T any](ctx context.Context, m *machine, asked []int64, read func(procfs.Proc) ([]T, error)) iter.Seq2[item[T], error] {
	return func(yield func(item[T], error) bool) {
		fs, pids, err := m.pids(asked)
		if err != nil {
			yield(item[T]{}, err)
			return
		}
		for _, pid := range pids {
			if err := ctx.Err(); err != nil {
				yield(item[T]{}, err)
				return
			}
			var all []T
			p, err := fs.Proc(int(pid))
			if err == nil {
				all, err = read(p)
			}
			if err := ours(err); err != nil {
				yield(item[T]{}, err)
				return
			}
			for i, value := range all {
				if !yield(item[T]{pid, i, value}, nil) {
					return
				}
			}
		}
	}
}

// itemTable declares a table of items.
func itemTable[T any](m *machine, t schema.TableDef[item[T]], read func(procfs.Proc) ([]T, error)) schema.Table {
	pid := schema.NotNull("pid", "Number of the process. A thread's number is answered where it is asked for with =.",
		func(r *item[T]) int32 { return r.pid }, schema.Pushed)
	t.Columns = append([]schema.AnyColumn[item[T]]{pid}, t.Columns...)
	t.RowID = (*item[T]).id
	t.Rows = func(ctx context.Context, q schema.Query) iter.Seq2[item[T], error] {
		return items(ctx, m, widened(pid.Values(q)), read)
	}
	return schema.Bind(t)
}

func processEnvs(m *machine) schema.Table {
	return itemTable(m, schema.TableDef[item[string]]{
		Name:     "process_envs",
		Doc:      "osquery's table of the environment variables with which processes were started.",
		Examples: []string{"SELECT pid, key, value FROM process_envs WHERE key = 'LD_PRELOAD'"},
		Columns: []schema.AnyColumn[item[string]]{
			schema.NotNull("key", "Name of the variable.", func(r *item[string]) string { key, _, _ := strings.Cut(r.value, "="); return key }),
			schema.NotNull("value", "Value of the variable.", func(r *item[string]) string {
				_, value, ok := strings.Cut(r.value, "=")
				if !ok {
					return r.value
				}
				return value
			}),
		},
	}, func(p procfs.Proc) (all []string, err error) {
		text, err := p.Environ()
		for _, v := range text {
			if v == "" {
				break // as osquery: what follows an empty one is no environment
			}
			all = append(all, v)
		}
		return all, err
	})
}

func processMemoryMap(m *machine) schema.Table {
	type row = item[*procfs.ProcMap]
	return itemTable(m, schema.TableDef[row]{
		Name:     "process_memory_map",
		Doc:      "osquery's table of the memory that processes have mapped. A path with blanks is whole; osquery cuts it at the first.",
		Examples: []string{"SELECT DISTINCT path FROM process_memory_map WHERE pid = 1 AND permissions LIKE '__x_' AND pseudo = 0"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("start", "First address, in hexadecimal.", func(r *row) string { return fmt.Sprintf("0x%08x", uint64(r.value.StartAddr)) }),
			schema.NotNull("end", "Address behind the last, in hexadecimal.", func(r *row) string { return fmt.Sprintf("0x%08x", uint64(r.value.EndAddr)) }),
			schema.NotNull("permissions", "r, w, x, and p for private or s for shared; - for those that it lacks.", func(r *row) string {
				b := []byte("---p")
				for i, set := range []bool{r.value.Perms.Read, r.value.Perms.Write, r.value.Perms.Execute} {
					if set {
						b[i] = "rwx"[i]
					}
				}
				if r.value.Perms.Shared {
					b[3] = 's'
				}
				return string(b)
			}),
			schema.NotNull("offset", "Offset into the file, bytes.", func(r *row) int64 { return r.value.Offset }),
			schema.NotNull("device", "Device of the file, major:minor in hexadecimal.", func(r *row) string { return device(r.value.Dev) }),
			schema.NotNull("inode", "Inode of the file; 0 if there is none.", func(r *row) int64 { return int64(r.value.Inode) }),
			schema.NotNull("path", "Path of the file, or what it is in brackets, such as [heap].", func(r *row) string { return r.value.Pathname }),
			schema.NotNull("pseudo", "1 if the path is no file's, else 0.", func(r *row) bool { return r.value.Inode == 0 && r.value.Pathname != "" }),
		},
	}, procfs.Proc.ProcMaps)
}

// namespaceKinds are those that osquery shows.
var namespaceKinds = [...]string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"}

// namespaces are inode numbers in the order of namespaceKinds, 0 if one cannot be read.
type namespaces [len(namespaceKinds)]uint32

func processNamespaces(m *machine) schema.Table {
	type row = item[namespaces]
	t := schema.TableDef[row]{
		Name:     "process_namespaces",
		Doc:      "osquery's table of the namespaces of processes, by their inode numbers. A number is empty if it may not be read, and of a process that has ended and waits for its parent.",
		Examples: []string{"SELECT net_namespace, count(*) FROM process_namespaces GROUP BY net_namespace"},
	}
	for i, kind := range namespaceKinds {
		t.Columns = append(t.Columns, schema.NotNull(kind+"_namespace", "Inode number of the process's "+kind+" namespace, as text.", func(r *row) string {
			if r.value[i] == 0 {
				return ""
			}
			return digits(uint64(r.value[i]))
		}))
	}
	return itemTable(m, t, func(p procfs.Proc) ([]namespaces, error) {
		var all namespaces
		dir := process.Dir(m.Proc(), int32(p.PID))
		for i, kind := range namespaceKinds {
			target, err := os.Readlink(filepath.Join(dir, "ns", kind))
			if err := ours(err); err != nil {
				return nil, err
			}
			all[i] = proc.NamespaceOf(kind, target)
		}
		if !isDir(dir) {
			return nil, nil // ended meanwhile
		}
		return []namespaces{all}, nil
	})
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// openFile is a file that a process has open.
type openFile struct {
	fd   int64
	path string
}

func processOpenFiles(m *machine) schema.Table {
	type row = item[openFile]
	pid := schema.NotNull("pid", "Number of the process. A thread's number is answered where it is asked for with =.",
		func(r *row) int64 { return int64(r.pid) }, schema.Pushed)
	return schema.Bind(schema.TableDef[row]{
		Name:     "process_open_files",
		Doc:      "osquery's table of the files that processes have open. As in osquery sockets, pipes and anonymous inodes are not among them.",
		Examples: []string{"SELECT pid, fd, path FROM process_open_files WHERE path LIKE '% (deleted)'"},
		Columns: []schema.AnyColumn[row]{
			pid,
			schema.NotNull("fd", "Number of the file descriptor.", func(r *row) int64 { return r.value.fd }),
			schema.NotNull("path", "Path of the file.", func(r *row) string { return r.value.path }),
		},
		RowID: func(r *row) int64 { return sock.Hash(0).Add(uint64(r.pid)).Add(uint64(r.value.fd)).ID() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[row, error] {
			return items(ctx, m, pid.Values(q), func(p procfs.Proc) ([]openFile, error) {
				return openFiles(filepath.Join(process.Dir(m.Proc(), int32(p.PID)), "fd"))
			})
		},
	})
}

// openFiles reads a directory of the links to open files.
func openFiles(dir string) (all []openFile, err error) {
	d, err := regular.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		fd, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			continue
		}
		path, err := os.Readlink(filepath.Join(dir, name))
		if err != nil {
			if err := ours(err); err != nil {
				return nil, err
			}
			continue // closed meanwhile
		}
		if strings.Contains(path, "socket:") || strings.Contains(path, "anon_inode:") || strings.Contains(path, "pipe:") {
			continue
		}
		all = append(all, openFile{fd, path})
	}
	return all, nil
}

// device writes a device's number as /proc/PID/maps does.
func device(n uint64) string { return fmt.Sprintf("%02x:%02x", unix.Major(n), unix.Minor(n)) }
