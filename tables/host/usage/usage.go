// Package usage remembers where each list of the kernel was last read from.
//
// A list has a name, such as tcp6, and is read from one of several sources. Each
// reading of a list ends with a note in the [Log], which the table
// socket_sources shows.
package usage

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Source is where a list comes from.
type Source string

// The sources.
const (
	SockDiag  Source = "sock_diag" // netlink, NETLINK_SOCK_DIAG
	RTNetlink Source = "rtnetlink" // netlink, NETLINK_ROUTE
	CTNetlink Source = "ctnetlink" // netlink, NETLINK_NETFILTER
	ProcFS    Source = "procfs"    // /proc/net, /proc/PID/fd
	BPF       Source = "bpf"       // the iterator over the files of all tasks
)

// Usage is how a list was read.
type Usage struct {
	// Source is empty where no source has the list.
	Source Source
	// Reason says why it was not the fastest source; empty if it was.
	Reason string
	// Sockets counts what the kernel listed, before anything else narrowed it.
	Sockets int64
	// Wait is the time spent in the kernel.
	Wait time.Duration
	// Interrupted says that the kernel called its list inconsistent.
	Interrupted bool
}

// Log remembers the last usage of each list. Its methods may be called at the
// same time.
type Log struct {
	log  hclog.Logger
	mu   sync.Mutex
	last map[string]Usage // by the list's name
}

// NewLog returns an empty log, which reports changes of a list's source to log.
func NewLog(log hclog.Logger) *Log { return &Log{log: log, last: make(map[string]Usage)} }

// Note remembers how a list was read.
func (l *Log) Note(list string, use Usage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.last[list]; !ok || old.Source != use.Source || old.Reason != use.Reason {
		l.log.Debug("source of sockets", "list", list, "source", use.Source, "reason", use.Reason)
	}
	l.last[list] = use
}

// Last returns how a list was last read; it is not ok if it was not yet.
func (l *Log) Last(list string) (use Usage, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	use, ok = l.last[list]
	return use, ok
}

// String lists the sources, such as "tcp=sock_diag udp=procfs".
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, list := range slices.Sorted(maps.Keys(l.last)) {
		all = append(all, list+"="+string(l.last[list].Source))
	}
	return strings.Join(all, " ")
}

// Query adds up the usages of lists in one query, which may read a list in several
// network namespaces. It is for one goroutine.
type Query struct {
	log  *Log
	uses map[string]*Usage
}

// Query returns an empty Query.
func (l *Log) Query() *Query { return &Query{log: l, uses: make(map[string]*Usage)} }

// Of returns the usage of a list, to be added to.
func (q *Query) Of(list string) *Usage {
	use := q.uses[list]
	if use == nil {
		use = &Usage{}
		q.uses[list] = use
	}
	return use
}

// Note notes the usage of a list in the log.
func (q *Query) Note(list string) { q.log.Note(list, *q.Of(list)) }
