// Package host is the only package that touches the machine: it opens the
// files and sockets of the kernel and hands their bytes to the decoders of
// package parser. It only reads.
package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/tables/host/holders"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// The places where a Linux host keeps what the tables show.
const (
	DefaultProc      = process.DefaultProc
	DefaultServices  = "/etc/services"
	DefaultProtocols = "/etc/protocols"
)

// Options say which host to read. The zero value is this one.
type Options struct {
	// Proc is the proc filesystem, or a saved copy of one. A mount of
	// another host's /proc shows the sockets of its process 1.
	Proc string
	// Services is the services(5) file. The default one may be missing, as
	// it is in small containers: no port has a name then.
	Services string
	// Protocols is the protocols(5) file. The default one may be missing.
	Protocols string
	// AllNamespaces makes every table show the network namespaces of the whole
	// host, as if each statement used its column net_namespace.
	AllNamespaces bool
	// Log gets what is no query's error, such as a malformed services line.
	Log hclog.Logger
}

// Host reads one machine. Its methods may be called at the same time.
type Host struct {
	proc, services, protocols         string
	servicesMissing, protocolsMissing bool // is no error
	allNamespaces                     bool
	log                               hclog.Logger
	uses                              *usage.Log
	holders                           *holders.Finder

	// The kernel, in the place of which tests put another.
	exchange  exchange
	wouldLoad func(module string) bool
	processes func(proc string) ([]int32, error)

	unreadableOnce sync.Once // some processes' namespaces may not be read

	mu            sync.Mutex
	serviceNames  cached[ServiceNames]
	protocolNames cached[ProtocolNames]
	namespaces    []NetNamespace    // as last seen, sorted by inode
	refused       map[uint32]string // namespaces that could not be read, and why
}

// New returns the host that the options describe. It reads nothing yet.
func New(o Options) *Host {
	h := &Host{proc: o.Proc, services: o.Services, protocols: o.Protocols, allNamespaces: o.AllNamespaces, log: o.Log, exchange: converse, wouldLoad: wouldLoad, processes: process.List,
		refused: make(map[uint32]string)}
	if h.proc == "" {
		h.proc = DefaultProc
	}
	h.proc = filepath.Clean(h.proc)
	if path, err := filepath.EvalSymlinks(h.proc); err == nil && path == DefaultProc {
		h.proc = DefaultProc
	}
	if h.services == "" {
		h.services, h.servicesMissing = DefaultServices, true
	}
	if h.protocols == "" {
		h.protocols, h.protocolsMissing = DefaultProtocols, true
	}
	if h.log == nil {
		h.log = hclog.NewNullLogger()
	}
	h.uses = usage.NewLog(h.log)
	h.holders = holders.New(h.proc, h.uses, h.log)
	return h
}

// Holders returns who has sockets open: see [holders.Finder.Find].
func (h *Host) Holders(ctx context.Context, f holders.Filter) ([]holders.Holder, error) {
	return h.holders.Find(ctx, f)
}

// Processes returns an empty cache of the processes that this host shows.
func (h *Host) Processes() *process.Cache { return process.NewCache(h.proc) }

// netDir returns the directory of the network lists. In this host's own /proc
// it is that of the calling thread's namespace; elsewhere "self" would name
// the reader, not the read, and process 1 stands for the host.
func (h *Host) netDir() (string, error) {
	if h.proc == DefaultProc {
		return filepath.Join(h.proc, "thread-self", "net"), nil
	}
	for _, dir := range []string{filepath.Join(h.proc, "1", "net"), filepath.Join(h.proc, "net")} {
		if info, err := os.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return "", fmt.Errorf("%s is a proc filesystem in which this user does not see process 1, which stands for the host", h.proc)
		}
		for _, list := range allLists() {
			_, err := os.Stat(filepath.Join(dir, list.name))
			if err == nil {
				return dir, nil
			}
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
				return "", err
			}
		}
	}
	return "", fmt.Errorf("%s is no proc filesystem nor a copy of one: neither 1/net nor net has a list of sockets, such as tcp", h.proc)
}
