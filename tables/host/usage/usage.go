// Package usage remembers where each list of the kernel was last read from.
//
// A list has a name, such as tcp6, and is read from one of several sources. Each
// reading of a list ends with a note in the [Log], which the table
// socket_sources shows.
package usage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser/text"
)

// Source is where a list comes from.
type Source string

// The sources.
const (
	SockDiag  Source = "sock_diag" // netlink, NETLINK_SOCK_DIAG
	RTNetlink Source = "rtnetlink" // netlink, NETLINK_ROUTE
	CTNetlink Source = "ctnetlink" // netlink, NETLINK_NETFILTER
	Ethtool   Source = "ethtool"   // netlink, NETLINK_GENERIC
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
	// Lack is what could not be read.
	Lack Lack
}

// Lack is what a reading left out since it could not be read, such as the files of
// other users' processes. The zero value is that of a whole answer.
type Lack struct {
	Why     string // the reasons, each once, sorted, with semicolons between them
	Number  int64  // of the things that were left out; 0 if that is not known
	Example string // one of them with its error; empty if none is known
}

// Add adds one thing that was left out.
func (l *Lack) Add(why, example string) {
	l.AddAll(Lack{why, 1, example})
}

// AddAll adds what another reading left out.
func (l *Lack) AddAll(other Lack) {
	if other.Why == "" {
		return
	}
	if l.Why == "" {
		*l = other
		return
	}
	l.Number += other.Number
	if l.Example == "" {
		l.Example = other.Example
	}
	if l.Why == other.Why {
		return
	}
	reasons := append(strings.Split(l.Why, "; "), strings.Split(other.Why, "; ")...)
	slices.Sort(reasons)
	l.Why = strings.Join(slices.Compact(reasons), "; ")
}

// String describes the lack; it is empty if there is none.
func (l Lack) String() string {
	s := l.Why
	if l.Number > 0 {
		s += fmt.Sprintf(" (%d", l.Number)
		if l.Example != "" {
			s += ", such as " + l.Example
		}
		s += ")"
	}
	return s
}

// Log remembers the last usage of each list. Its methods may be called at the
// same time.
type Log struct {
	log  hclog.Logger
	mu   sync.Mutex
	last map[string]Usage // by the list's name
	lack map[string]Lack  // the last of each list that was not empty
}

// NewLog returns an empty log, which reports changes of a list's source to log.
func NewLog(log hclog.Logger) *Log {
	return &Log{log: log, last: make(map[string]Usage), lack: make(map[string]Lack)}
}

// Note remembers how a list was read. It warns of what the list lacks, and again
// only when the reason is another.
func (l *Log) Note(list string, use Usage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, ok := l.last[list]; !ok || old.Source != use.Source || old.Reason != use.Reason {
		l.log.Debug("source of sockets", "list", list, "source", use.Source, "reason", use.Reason)
	}
	l.last[list] = use
	if use.Lack.Why == "" {
		return
	}
	if l.lack[list].Why != use.Lack.Why {
		l.log.Warn(text.Printable(use.Lack.Why), "list", list, "number", use.Lack.Number, "example", text.Printable(use.Lack.Example))
	}
	l.lack[list] = use.Lack
}

// Lacks describes what any reading up to now left out: see [Lack].
func (l *Log) Lacks() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, list := range slices.Sorted(maps.Keys(l.lack)) {
		all = append(all, list+": "+l.lack[list].String())
	}
	return all
}

// Last returns how a list was last read; it is not ok if it was not yet.
func (l *Log) Last(list string) (use Usage, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	use, ok = l.last[list]
	return use, ok
}

// Lists returns the names of the lists that were read, sorted.
func (l *Log) Lists() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.last))
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
