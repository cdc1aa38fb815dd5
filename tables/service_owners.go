package tables

import (
	"context"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/endpoint"
	"github.com/osquery-sockets/osquery-sockets/tables/host/holders"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// serviceOwner is what has the sockets of an endpoint.
type serviceOwner struct {
	kind string // the column owner
	PID  int32  // the owner, 0 if there is none
	pids []int32
	lack string // why the owner is not certain
	// tunnel is the network interface for which the kernel takes the packets, "" if
	// there is none.
	tunnel string
}

// The kinds of owners.
const (
	ownerProcess      = "process"
	ownerSystemd      = "systemd"
	ownerKernel       = "kernel"
	ownerNotPermitted = "not_permitted"
	ownerUnknown      = "unknown"
)

// names returns the processes as PID/program.
func (o *serviceOwner) names(processes *process.Cache) string {
	var b strings.Builder
	for i, pid := range o.pids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(int(pid)) + "/" + processes.Get(pid).Program())
	}
	return b.String()
}

// joinServices completes rows of listening_services with the lookups that the
// query's columns need. filter is that of the rows.
func joinServices(ctx context.Context, h *host.Host, q schema.Query, filter host.EndpointFilter, rows iter.Seq2[serviceRow, error]) iter.Seq2[serviceRow, error] {
	return func(yield func(serviceRow, error) bool) {
		l, err := newLookups(ctx, h, q)
		if err != nil {
			yield(serviceRow{}, err)
			return
		}
		var all []serviceRow
		for r, err := range rows {
			if err != nil {
				yield(serviceRow{}, err)
				return
			}
			r.lookups = l
			all = append(all, r)
		}
		if q.Needs(needHolders) {
			if all, err = findOwners(ctx, h, filter, all); err != nil {
				yield(serviceRow{}, err)
				return
			}
		}
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
			if l.processes != nil && l.processes.Err() != nil {
				yield(serviceRow{}, l.processes.Err())
				return
			}
		}
	}
}

// findOwners finds what has the sockets of each row. It leaves out endpoints that
// have ended meanwhile.
func findOwners(ctx context.Context, h *host.Host, filter host.EndpointFilter, rows []serviceRow) ([]serviceRow, error) {
	found, err := h.SearchHolders(ctx, holders.Filter{Inodes: serviceInodes(rows)})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, nil
	}
	rows[0].lookups.holders = found.Holders
	var without []uint32 // namespaces of endpoints without a process
	for i := range rows {
		if !rows[i].findOwner() {
			without = append(without, rows[i].Namespace)
		}
	}
	if len(without) == 0 {
		return rows, nil
	}
	// Its process may have ended between the two lists, and the endpoint with it.
	filter.In = []string{}
	slices.Sort(without)
	for _, inode := range slices.Compact(without) {
		filter.In = append(filter.In, namespaceText(inode))
	}
	there := make(map[uint64]bool)
	for e, err := range h.Endpoints(ctx, filter) {
		if err != nil {
			return nil, err
		}
		for _, s := range e.Sockets {
			there[s.Inode] = true
		}
	}
	rows = slices.DeleteFunc(rows, func(r serviceRow) bool {
		return r.owner.PID == 0 && !slices.ContainsFunc(r.Sockets, func(s endpoint.Socket) bool { return there[s.Inode] })
	})
	tunnels, err := tunnelsOf(ctx, h, filter.In)
	if err != nil {
		return nil, err
	}
	seesAll := h.SeesAllProcesses()
	for i := range rows {
		r := &rows[i]
		if r.owner.PID != 0 {
			continue
		}
		r.owner = ownerOf(r, found.Lack.Why, seesAll)
		if name := tunnels[tunnel{r.Namespace, r.Port}]; name != "" && r.Protocol == endpoint.UDP && r.ownedByRoot() {
			r.owner = serviceOwner{kind: ownerKernel, tunnel: name}
		}
	}
	return rows, nil
}

// tunnel is where the kernel takes the packets of a tunnel over UDP.
type tunnel struct{ namespace, port uint32 }

// tunnelsOf returns the interfaces of tunnels in network namespaces by their ports; a
// namespace that cannot be read has none.
func tunnelsOf(ctx context.Context, h *host.Host, namespaces []string) (map[tunnel]string, error) {
	names := make(map[tunnel]string)
	for l, err := range h.Links(ctx, host.LinkFilter{Namespaces: host.Namespaces{All: true, In: namespaces}}) {
		if err != nil {
			if process.BlameFor(err) == process.Ours {
				return nil, err
			}
			break
		}
		// The socket of an interface that was moved is where it was made.
		if at := (tunnel{l.Namespace, uint32(l.UDPPort)}); l.UDPPort != 0 && !l.LowerElsewhere && names[at] == "" {
			names[at] = l.Name
		}
	}
	return names, nil
}

// findOwner chooses the owner among the processes that have the sockets. It is
// false if there are none.
func (r *serviceRow) findOwner() bool {
	for _, s := range r.Sockets {
		i, ok := r.lookups.first(s.Inode)
		for ; ok && i < len(r.lookups.holders) && r.lookups.holders[i].Inode == s.Inode; i++ {
			r.owner.pids = append(r.owner.pids, r.lookups.holders[i].PID)
		}
	}
	if len(r.owner.pids) == 0 {
		return false
	}
	slices.Sort(r.owner.pids)
	r.owner.pids = slices.Compact(r.owner.pids)
	r.owner.kind, r.owner.PID = ownerSystemd, r.owner.pids[0]
	for _, pid := range r.owner.pids {
		if filepath.Base(r.lookups.processes.Get(pid).Exe()) != "systemd" {
			r.owner.kind, r.owner.PID = ownerProcess, pid
			break
		}
	}
	return true
}

// ownedByRoot reports whether the socket belongs to root, as the kernel's own do, or
// to an unknown user.
func (r *serviceRow) ownedByRoot() bool {
	uid, ok := r.user()
	return !ok || uid == 0
}

// ownerOf judges an endpoint that no visible process has.
func ownerOf(r *serviceRow, lack string, seesAll bool) serviceOwner {
	switch {
	case lack != "":
		return serviceOwner{kind: ownerNotPermitted, lack: lack}
	case !seesAll:
		return serviceOwner{kind: ownerUnknown, lack: "this /proc does not show the processes of the whole host"}
	case !r.ownedByRoot():
		return serviceOwner{kind: ownerUnknown, lack: "no process has the socket of this user"}
	}
	return serviceOwner{kind: ownerKernel}
}

func serviceInodes(rows []serviceRow) []uint64 {
	all := []uint64{}
	for i := range rows {
		for _, s := range rows[i].Sockets {
			if s.Inode != 0 {
				all = append(all, s.Inode)
			}
		}
	}
	return all
}
