package tables

import (
	"context"
	"iter"
	"net/netip"
	"strings"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/register"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/endpoint"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// unapprovedRow is a row of unapproved_listeners.
type unapprovedRow struct {
	serviceRow
	file        string // of the nearest entry, "" if none is near
	nearest     *register.Entry
	differences []string
}

// today is the day in UTC.
func today() string { return time.Now().UTC().Format(time.DateOnly) }

// listener returns the row as the register knows it.
func (r *serviceRow) listener() register.Listener {
	port, _ := r.port()
	c := r.container()
	uid, ok := r.user()
	user := ""
	if ok {
		user = r.lookups.users.Name(uid)
	}
	return register.Listener{
		Protocol: string(r.Protocol), Port: port, Address: r.Address, Exposure: r.Exposure.String(),
		Program: r.process().Program(), Exe: r.process().Exe(), User: user, Unit: r.unit(),
		Image: c.Image, Container: c.Name, ContainerID: r.containerID(),
	}
}

// approvable streams the endpoints that a register has to approve: all but unix sockets
// and the sockets of clients. Without protocols those of all.
func approvable(ctx context.Context, h *host.Host, protocols []endpoint.Protocol) iter.Seq2[serviceRow, error] {
	// The same columns for every statement: which endpoints are approved depends on all.
	q := ListeningServices(h).Query(schema.Request{Used: []string{"protocol", "address", "port", "exposure", "role", "program", "exe", "username", "systemd_unit", "container_id", "container_name", "image"}})
	filter := host.EndpointFilter{Protocols: protocols}
	endpoints := func(yield func(serviceRow, error) bool) {
		for e, err := range h.Endpoints(ctx, filter) {
			if err == nil && e.Role == endpoint.Client {
				continue
			}
			if !yield(serviceRow{Endpoint: e}, err) {
				return
			}
		}
	}
	return joinServices(ctx, h, q, filter, endpoints)
}

// unapproved streams the endpoints that no entry approves.
func unapproved(ctx context.Context, h *host.Host, protocols []endpoint.Protocol) iter.Seq2[unapprovedRow, error] {
	return func(yield func(unapprovedRow, error) bool) {
		files, err := h.Register(ctx)
		if err != nil {
			yield(unapprovedRow{}, err)
			return
		}
		var entries []register.Entry
		of := make(map[*register.Entry]string) // its file
		for _, f := range files {
			entries = append(entries, f.Entries...)
		}
		n := 0
		for _, f := range files {
			for range f.Entries {
				of[&entries[n]] = f.Path
				n++
			}
		}
		today := today()
		for r, err := range approvable(ctx, h, protocols) {
			if err != nil {
				yield(unapprovedRow{}, err)
				return
			}
			l := r.listener()
			nearest, differences := register.Nearest(entries, &l, today)
			if nearest != nil && len(differences) == 0 {
				continue
			}
			if !yield(unapprovedRow{r, of[nearest], nearest, differences}, nil) {
				return
			}
		}
	}
}

// UnapprovedListeners is the table unapproved_listeners.
func UnapprovedListeners(h *host.Host) schema.Table {
	text := func(name, doc string, get func(*unapprovedRow) string, options ...schema.Option) schema.AnyColumn[unapprovedRow] {
		return schema.NotNull(name, doc, get, options...)
	}
	protocol := schema.NotNull("protocol", "tcp, udp, udplite, sctp, vsock, raw or icmp, as in listening_services.",
		func(r *unapprovedRow) string { return string(r.Protocol) }, schema.Pushed, words("tcp", "udp", "udplite", "sctp", "raw", "icmp", "vsock"))
	return schema.Bind(schema.TableDef[unapprovedRow]{
		Name: "unapproved_listeners",
		Doc:  "What listens and has no valid entry in approved_listeners, in every network namespace of the host: the endpoints of listening_services without unix sockets and the sockets of clients. All of them if there is no register.",
		Examples: []string{
			"SELECT protocol, address, port, program, differences, nearest_file, nearest_line FROM unapproved_listeners WHERE role = 'server'",
			"SELECT u.port, u.differences, a.why, a.approver FROM unapproved_listeners u LEFT JOIN approved_listeners a ON a.file = u.nearest_file AND a.line = u.nearest_line",
		},
		Columns: []schema.AnyColumn[unapprovedRow]{
			protocol,
			schema.Nullable("address", "IP address: 0.0.0.0 or :: for any. Empty for vsock.",
				func(r *unapprovedRow) (netip.Addr, bool) { return r.Address, r.isIP() }),
			schema.Nullable("port", "Port. NULL for raw and icmp.",
				func(r *unapprovedRow) (uint32, bool) { return r.port() }),
			text("exposure", "How far packets may come from, as in listening_services.",
				func(r *unapprovedRow) string { return r.Exposure.String() }, schema.Words(endpoint.Exposures)),
			text("role", "server or unclear, as in listening_services.",
				func(r *unapprovedRow) string { return r.Role.String() }, schema.Words(endpoint.Roles)),
			text("program", "Name of the owner, as in listening_services. Empty if there is none.",
				func(r *unapprovedRow) string { return r.process().Program() }),
			text("exe", "Path of the owner's executable file. Empty if unknown.",
				func(r *unapprovedRow) string { return r.process().Exe() }),
			schema.Nullable("uid", "User who owns the socket. NULL if there is none.",
				func(r *unapprovedRow) (uint32, bool) { return r.user() }),
			text("username", "Name in this machine's /etc/passwd of that user. Empty if there is no user or no name.",
				func(r *unapprovedRow) string {
					if uid, ok := r.user(); ok {
						return r.lookups.users.Name(uid)
					}
					return ""
				}),
			text("systemd_unit", "Unit of systemd that the owner belongs to. Empty if there is none.",
				func(r *unapprovedRow) string { return r.unit() }),
			text("container_id", "Container that the owner belongs to. Empty if there is none.",
				func(r *unapprovedRow) string { return r.containerID() }),
			text("container_name", "Name of that container. Empty if unknown.",
				func(r *unapprovedRow) string { return r.container().Name }),
			text("image", "Image of that container. Empty if unknown.",
				func(r *unapprovedRow) string { return r.container().Image }),
			text("differences", "In what the endpoint differs from the nearest entry, and from its approval. Empty if no entry has its port or its owner.",
				func(r *unapprovedRow) string { return strings.Join(r.differences, "; ") }),
			text("nearest_file", "File of the nearest entry, which has the fewest differences. Empty if there is none.",
				func(r *unapprovedRow) string { return r.file }),
			schema.Nullable("nearest_line", "Line of that entry. NULL if there is none.",
				func(r *unapprovedRow) (int64, bool) {
					if r.nearest == nil {
						return 0, false
					}
					return int64(r.nearest.Line), true
				}),
			text("incomplete_reason", "What is not known of the endpoint, and why, as in listening_services. Empty if everything is.",
				func(r *unapprovedRow) string { return r.lacks() }),
			text("net_namespace", "Inode number of the network namespace, as in network_namespaces. Empty if the number is not known.",
				func(r *unapprovedRow) string { return namespaceText(r.Namespace) }, schema.Hidden, namespaceNumber()),
			schema.Nullable("pid", "Process that owns the sockets. NULL if there is none.",
				func(r *unapprovedRow) (int32, bool) { return r.owner.PID, r.owner.PID != 0 }, schema.Hidden),
		},
		RowID: func(r *unapprovedRow) int64 { return r.ID() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[unapprovedRow, error] {
			var protocols []endpoint.Protocol
			for _, p := range protocol.Values(q) {
				if p = strings.ToLower(p); p != string(endpoint.Unix) {
					protocols = append(protocols, endpoint.Protocol(p))
				}
			}
			return unapproved(ctx, h, protocols)
		},
	})
}
