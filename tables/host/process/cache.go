package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/osquery-sockets/osquery-sockets/parser/cgroup"
	"github.com/osquery-sockets/osquery-sockets/parser/container"
	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/tables/host/containers"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
	"github.com/osquery-sockets/osquery-sockets/tables/host/units"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// Descriptions is the name of what a Cache reads in a [usage.Log].
const Descriptions = "processes"

// Cache reads each file of a process once. It is for one query in one goroutine.
type Cache struct {
	proc  string
	fs    procfs.FS
	uses  *usage.Log
	use   usage.Usage
	err   error
	known map[int32]*Process

	// Both are nil if proc is not this host's.
	containers *containers.Names
	units      *units.Units

	asked    bool  // whether the following two are known
	live     bool  // proc is a proc filesystem, and no copy of one
	bootTime int64 // seconds since 1970, 0 if it is not known
}

// NewCache returns an empty cache of the processes that a proc filesystem shows. It
// notes in uses how many it has read, and what of them cannot be read.
func NewCache(proc string, uses *usage.Log) *Cache {
	c := &Cache{proc: proc, uses: uses, known: make(map[int32]*Process)}
	c.use.Source = usage.ProcFS
	c.fs, c.err = procfs.NewFS(proc)
	if CheckLocal(proc) == nil {
		c.containers = containers.New("/")
		c.units = units.New("/")
	}
	return c
}

// Get returns a process. Of one that has ended, and of the number 0, which no
// process has, everything is empty. It reads nothing yet.
func (c *Cache) Get(pid int32) *Process {
	p := c.known[pid]
	if p == nil {
		p = &Process{cache: c, pid: pid}
		if pid == 0 {
			p.read = allParts
		}
		c.known[pid] = p
	}
	return p
}

// Err returns the first error of reading that is this program's own: see
// [BlameFor]. Check it after the methods of a [Process]: their last answers may be
// wrong then. The answers are values of columns, which have no errors of their own.
func (c *Cache) Err() error { return c.err }

// ask finds out what proc is.
func (c *Cache) ask() {
	if !c.asked {
		c.asked, c.live = true, isProcFS(c.proc)
		if text, err := readFile(filepath.Join(c.proc, "stat")); err == nil {
			c.bootTime, _ = proc.BootTime([]byte(text))
		}
	}
}

// ends fails unless a file of a process can be read to its end: a copy of a proc
// filesystem may have a pipe in its place.
func (c *Cache) ends(path string) error {
	if c.ask(); c.live {
		return nil
	}
	file, err := regular.Open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// part is a part of a process that is read at once.
type part uint16

const (
	partComm part = 1 << iota
	partCommand
	partExe
	partLinks
	partCWD
	partRoot
	partGroups
	partStatus
	partStat
	partContainer
	partForward
	partUnits
	partSecurity

	allParts part = 1<<16 - 1
)

// Process is a process of a [Cache]. What cannot be read is empty, or not ok.
type Process struct {
	cache *Cache
	pid   int32
	read  part // what was

	comm           string
	args           []string
	exe, cwd, root string
	deleted        bool
	hasLinks       bool
	groups         cgroup.Groups
	status         proc.Status
	stat           proc.Stat
	hasStat        bool
	container      container.Container
	security       string
	forwardID      string
	forward        container.Container
}

// once reads a part of the process from its file of that name, the first time. It
// keeps the first error that is ours, and counts what cannot be read of a process
// that has not ended.
func (p *Process) once(which part, name string, read func(path string) error) {
	c := p.cache
	if p.read&which != 0 || c.err != nil {
		return
	}
	if p.read == 0 {
		c.use.Sockets++
	}
	p.read |= which
	start := time.Now()
	err := read(filepath.Join(Dir(c.proc, p.pid), name))
	c.use.Wait += time.Since(start)
	switch BlameFor(err) {
	case Theirs:
		c.use.Lack.Add("some processes have a file that cannot be read, so that the columns it fills are empty", fmt.Sprintf("process %d: %v", p.pid, err))
	case Ours:
		c.err = fmt.Errorf("process %d: %w", p.pid, err)
	}
	c.uses.Note(Descriptions, c.use)
}

// PID returns the number of the process.
func (p *Process) PID() int32 { return p.pid }

// Comm returns the kernel's name of the process, /proc/PID/comm: 15 bytes of its
// executable's name, unless it has chosen another; of a thread of the kernel up to
// 63.
func (p *Process) Comm() string {
	p.once(partComm, "comm", func(path string) error {
		text, err := readFile(path)
		p.comm = strings.TrimSuffix(text, "\n") // blanks at its ends are its own
		return err
	})
	return p.comm
}

// Args returns the command line, /proc/PID/cmdline.
func (p *Process) Args() []string {
	p.once(partCommand, "cmdline", func(path string) error {
		if err := p.cache.ends(path); err != nil {
			return err
		}
		process, err := p.cache.fs.Proc(int(p.pid))
		if err == nil {
			p.args, err = process.CmdLine()
		}
		return err
	})
	return p.args
}

// Program returns netstat's program name: argv[0], of an absolute path its last
// part, else the kernel's name of the process.
func (p *Process) Program() string {
	args := p.Args()
	switch {
	case len(args) == 0 || args[0] == "":
		return p.Comm()
	case strings.HasPrefix(args[0], "/"):
		return filepath.Base(args[0])
	}
	return args[0]
}

// link reads one of the links of the process.
func (p *Process) link(which part, name string, to *string) string {
	p.once(which, name, func(path string) (err error) {
		*to, err = os.Readlink(path)
		return err
	})
	return *to
}

// Exe returns the path of the executable file, /proc/PID/exe. The kernel writes
// " (deleted)" behind that of a file which is no longer there, and a file may be
// called so: see [Process.ExeDeleted].
func (p *Process) Exe() string { return p.link(partExe, "exe", &p.exe) }

// CWD returns the working directory, /proc/PID/cwd.
func (p *Process) CWD() string { return p.link(partCWD, "cwd", &p.cwd) }

// Root returns the root directory, /proc/PID/root: / unless chroot(2) has changed
// it, also in a mount namespace of its own.
func (p *Process) Root() string { return p.link(partRoot, "root", &p.root) }

// ExeDeleted reports whether no directory has the executable file any more, by the
// number of its links: it was removed, replaced by another, or never had a name, as
// a memfd_create(2). It is not ok if there is none, and where proc is a copy, whose
// links lead to other files.
func (p *Process) ExeDeleted() (deleted, ok bool) {
	p.cache.ask()
	if !p.cache.live {
		return false, false
	}
	p.once(partLinks, "exe", func(path string) error {
		links, err := linksOf(path)
		p.deleted, p.hasLinks = links == 0, err == nil
		return err
	})
	return p.deleted, p.hasLinks
}

// Groups returns the control groups, /proc/PID/cgroup.
func (p *Process) Groups() cgroup.Groups {
	p.once(partGroups, "cgroup", func(path string) error {
		file, err := regular.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		p.groups, err = cgroup.Decode(file)
		return err
	})
	return p.groups
}

// ContainerID returns the container that the process is in: see [cgroup.ContainerID].
func (p *Process) ContainerID() string { return cgroup.ContainerID(p.Groups().Container) }

// Container returns what its runtime calls that container: see
// [containers.Names.Of]. It is empty where proc is not this host's.
func (p *Process) Container() container.Container {
	if p.cache.containers == nil {
		return container.Container{}
	}
	id := p.ContainerID()
	p.once(partContainer, "", func(string) (err error) {
		p.container, err = p.cache.containers.Of(id)
		return err
	})
	return p.container
}

// Forward returns the container that the process forwards to, as Docker's proxy of a
// published port does; "" if it is no such proxy. It is empty as Container.
func (p *Process) Forward() (id string, c container.Container) {
	if p.cache.containers == nil {
		return "", c
	}
	if a, ok := container.ProxyTarget(p.Args()); ok {
		p.once(partForward, "", func(string) (err error) {
			p.forwardID, p.forward, err = p.cache.containers.At(a)
			return err
		})
	}
	return p.forwardID, p.forward
}

// Runtime returns what runs that container: see [cgroup.Runtime].
func (p *Process) Runtime() string { return cgroup.Runtime(p.Groups().Container) }

// PodUID returns the Kubernetes pod that the process is in: see [cgroup.PodUID].
func (p *Process) PodUID() string { return cgroup.PodUID(p.Groups().Container) }

// Unit returns the unit of the system's systemd that the process is in: see
// [cgroup.Unit].
func (p *Process) Unit() string { return cgroup.Unit(p.Groups().Unit) }

// SocketUnit returns the socket unit by which the process, the system's systemd, has
// a socket with that address: see [units.Units.At]. It is "" of another process, and
// as Container.
func (p *Process) SocketUnit(a units.Address) (unit string) {
	if p.cache.units == nil || p.ContainerID() != "" || p.Unit() != "" && p.Unit() != "init.scope" || filepath.Base(p.Exe()) != "systemd" {
		return ""
	}
	unit, err := p.cache.units.At(a)
	if err != nil {
		p.once(partUnits, "", func(string) error { return err })
	}
	return unit
}

// UnitFile returns the path of a unit's file: see [units.Units.File].
func (c *Cache) UnitFile(unit string) string {
	if c.units == nil {
		return ""
	}
	return c.units.File(unit)
}

// Status returns the privileges of the process, /proc/PID/status.
func (p *Process) Status() proc.Status {
	p.once(partStatus, "status", func(path string) error {
		file, err := regular.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		p.status, err = proc.DecodeStatus(file)
		return err
	})
	return p.status
}

// SecurityContext returns what a security module such as SELinux or AppArmor has
// labelled the process with, /proc/PID/attr/current; "" without such a module.
func (p *Process) SecurityContext() string {
	p.once(partSecurity, "attr/current", func(path string) error {
		text, err := readFile(path)
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, fs.ErrNotExist) {
			return nil // there is no module, or it labels no process
		}
		p.security = strings.TrimRight(text, "\n\x00")
		return err
	})
	return p.security
}

// Stat returns the family of the process, /proc/PID/stat.
func (p *Process) Stat() (s proc.Stat, ok bool) {
	p.once(partStat, "stat", func(path string) error {
		text, err := readFile(path)
		if err == nil {
			p.stat, p.hasStat = proc.ParseStat([]byte(text))
		}
		return err
	})
	return p.stat, p.hasStat
}

// ticks is how many clock ticks of /proc a second has, USER_HZ: 100 on every
// architecture that Go has Linux for (include/asm-generic/param.h).
const ticks = 100

// Started returns when the process began, in seconds since 1970. The kernel counts
// from the start of the host: a clock that is set later moves it.
func (p *Process) Started() (seconds int64, ok bool) {
	s, ok := p.Stat()
	p.cache.ask()
	if !ok || p.cache.bootTime == 0 || s.Started > 1<<62 {
		return 0, false
	}
	return p.cache.bootTime + int64(s.Started/ticks), true
}

// maxParents bounds the chain of parents, whose processes may end while it is read
// and give their numbers to others.
const maxParents = 256

// Parents returns the parent of the process, its parent, and so on up to the first
// process.
func (p *Process) Parents() (all []*Process) {
	for len(all) < maxParents {
		s, ok := p.Stat()
		if !ok || s.Parent == 0 {
			break
		}
		p = p.cache.Get(s.Parent)
		all = append(all, p)
	}
	return all
}
