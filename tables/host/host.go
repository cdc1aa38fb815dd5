package host

import (
	"context"
	"iter"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/tables/host/holders"
	"github.com/osquery-sockets/osquery-sockets/tables/host/names"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/routing"
	"github.com/osquery-sockets/osquery-sockets/tables/host/tracking"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// The places where a Linux host keeps what the tables show.
const (
	DefaultProc      = process.DefaultProc
	DefaultServices  = names.DefaultServices
	DefaultProtocols = names.DefaultProtocols
	// DefaultRegister is a register of approved listeners.
	DefaultRegister = "/etc/osquery-sockets/approved.yaml"
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
	// Register is the file of approved listeners; with it go the files *.yaml of the
	// directory whose name ends in .d instead of .yaml. The default one may be missing:
	// nothing is approved then.
	Register string
	// RegisterOwner is who may own these files besides root.
	RegisterOwner uint32
	// AllNamespaces makes every table show the network namespaces of the whole
	// host, as if each statement used its column net_namespace.
	AllNamespaces bool
	// Log gets what is no query's error, such as a malformed services line.
	Log hclog.Logger
}

// Host reads one machine. Its methods may be called at the same time.
type Host struct {
	proc    string
	log     hclog.Logger
	uses    *usage.Log
	holders *holders.Finder
	netns   *netns.Set
	files   *names.Files

	register      string
	registerOwner uint32

	// The kernel, in the place of which tests put another.
	diag, route, netfilter, generic *nlconn.Conn
	wouldLoad                       func(module string) bool
}

// New returns the host that the options describe. It reads nothing yet.
func New(o Options) *Host {
	h := &Host{proc: o.Proc, log: o.Log, register: o.Register, registerOwner: o.RegisterOwner, wouldLoad: nlconn.WouldLoad}
	if h.proc == "" {
		h.proc = DefaultProc
	}
	h.proc = filepath.Clean(h.proc)
	if path, err := filepath.EvalSymlinks(h.proc); err == nil && path == DefaultProc {
		h.proc = DefaultProc
	}
	if h.log == nil {
		h.log = hclog.NewNullLogger()
	}
	h.uses = usage.NewLog(h.log)
	h.holders = holders.New(h.proc, h.uses)
	h.files = names.NewFiles(names.Options{Services: o.Services, Protocols: o.Protocols, Log: h.log})
	h.askBy(nlconn.Kernel)
	var lists []string
	for _, l := range allLists() {
		lists = append(lists, l.name)
	}
	h.netns = netns.New(netns.Options{Proc: h.proc, All: o.AllNamespaces, Lists: lists, Uses: h.uses, Log: h.log})
	return h
}

// askBy makes netlink ask by an exchange.
func (h *Host) askBy(exchange nlconn.Exchange) {
	h.diag = nlconn.New(nlconn.SockDiag, usage.SockDiag, exchange)
	h.route = nlconn.New(nlconn.Route, usage.RTNetlink, exchange)
	h.netfilter = nlconn.New(nlconn.Netfilter, usage.CTNetlink, exchange)
	h.generic = nlconn.New(nlconn.Generic, usage.Ethtool, exchange)
}

// RouteFilter says which routes are wanted, and what of them.
type RouteFilter = routing.RouteFilter

// LinkFilter says which interfaces are wanted.
type LinkFilter = routing.LinkFilter

// Routes streams routes: see [routing.Lists.Routes].
func (h *Host) Routes(ctx context.Context, f RouteFilter) iter.Seq2[network.Route, error] {
	return h.routing().Routes(ctx, f)
}

// Links streams network interfaces: see [routing.Lists.Links].
func (h *Host) Links(ctx context.Context, f LinkFilter) iter.Seq2[network.Link, error] {
	return h.routing().Links(ctx, f)
}

// Addresses streams addresses of interfaces: see [routing.Lists.Addresses].
func (h *Host) Addresses(ctx context.Context, namespaces Namespaces) iter.Seq2[network.Address, error] {
	return h.routing().Addresses(ctx, namespaces)
}

// Neighbors streams what ARP and NDP know: see [routing.Lists.Neighbors].
func (h *Host) Neighbors(ctx context.Context, namespaces Namespaces) iter.Seq2[network.Neighbor, error] {
	return h.routing().Neighbors(ctx, namespaces)
}

// Rules streams policy rules: see [routing.Lists.Rules].
func (h *Host) Rules(ctx context.Context, namespaces Namespaces) iter.Seq2[network.Rule, error] {
	return h.routing().Rules(ctx, namespaces)
}

// NextHops streams nexthop objects: see [routing.Lists.NextHops].
func (h *Host) NextHops(ctx context.Context, namespaces Namespaces) iter.Seq2[network.NextHopObject, error] {
	return h.routing().NextHops(ctx, namespaces)
}

// Connection is a connection that netfilter keeps track of.
type Connection = tracking.Connection

// TrackedConnections streams what netfilter keeps track of: see
// [tracking.Lists.Connections].
func (h *Host) TrackedConnections(ctx context.Context, namespaces Namespaces) iter.Seq2[Connection, error] {
	return h.tracking().Connections(ctx, namespaces)
}

func (h *Host) tracking() *tracking.Lists {
	return &tracking.Lists{Proc: h.proc, Namespaces: h.netns, Netlink: h.netfilter, Uses: h.uses, Usable: h.local, WouldLoad: h.wouldLoad}
}

// VRFs are the names of VRFs by their tables.
type VRFs = routing.VRFs

// VRFs returns the VRFs of network namespaces: see [routing.Lists.VRFs].
func (h *Host) VRFs(ctx context.Context, namespaces Namespaces) (VRFs, error) {
	return h.routing().VRFs(ctx, namespaces)
}

func (h *Host) routing() *routing.Lists {
	return &routing.Lists{Namespaces: h.netns, Netlink: h.route, Generic: h.generic, Uses: h.uses, Usable: h.local}
}

// Holders returns who has sockets open: see [holders.Finder.Find].
func (h *Host) Holders(ctx context.Context, f holders.Filter) ([]holders.Holder, error) {
	return h.holders.Find(ctx, f)
}

// SearchHolders is Holders, and says what may not be read.
func (h *Host) SearchHolders(ctx context.Context, f holders.Filter) (holders.Found, error) {
	return h.holders.Search(ctx, f)
}

// SeesAllProcesses reports whether proc shows the processes of the whole host: it
// does not in the PID namespace of a container.
func (h *Host) SeesAllProcesses() bool { return process.SeesAll(h.proc) }

// Processes returns an empty cache of the processes that this host shows.
func (h *Host) Processes() *process.Cache { return process.NewCache(h.proc, h.uses) }

// NetNamespace is a network namespace.
type NetNamespace = netns.Namespace

// Namespaces selects the network namespaces in which a list is read.
type Namespaces = netns.Selection

// NetNamespaces returns the network namespaces of the processes and the mounts
// that we see, sorted by their inodes. It looks at each process once.
func (h *Host) NetNamespaces(ctx context.Context) ([]NetNamespace, error) { return h.netns.List(ctx) }

// KeptNetNamespaces is NetNamespaces, with those that only an open descriptor of a
// process keeps: see [netns.Set.ListKept].
func (h *Host) KeptNetNamespaces(ctx context.Context) ([]NetNamespace, error) {
	return h.netns.ListKept(ctx)
}

// MayEnter reports whether this process may enter a namespace, by entering it in
// a thread of its own, which costs a system call or two. It may not enter one of
// another host, whose /proc is read.
func (h *Host) MayEnter(ns *NetNamespace) bool { return h.netns.MayEnter(ns) }

// Proc returns the proc filesystem that the host reads.
func (h *Host) Proc() string { return h.proc }
