package tables

import (
	"context"
	"iter"
	"math"
	"net/netip"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser/container"
	"github.com/osquery-sockets/osquery-sockets/parser/services"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/endpoint"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/units"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// serviceRow is a row of listening_services.
type serviceRow struct {
	endpoint.Endpoint
	lookups *lookups
	owner   serviceOwner // with needHolders
}

// isIP reports whether the endpoint has an IP address.
func (r *serviceRow) isIP() bool { return r.Address.IsValid() }

// port returns the port of an endpoint that has one.
func (r *serviceRow) port() (port uint32, ok bool) {
	switch r.Protocol {
	case endpoint.Raw, endpoint.ICMP, endpoint.Unix:
		return 0, false
	}
	return r.Port, true
}

// service names what is registered for the port.
func (r *serviceRow) service() string {
	switch r.Protocol {
	case endpoint.Raw, endpoint.ICMP:
		return r.lookups.protocols.Name(uint16(r.Port))
	case endpoint.TCP, endpoint.UDP, endpoint.UDPLite, endpoint.SCTP:
		return r.lookups.services.Name(uint16(r.Port), r.protocol())
	}
	return ""
}

func (r *serviceRow) protocol() sock.Protocol {
	switch r.Protocol {
	case endpoint.UDP:
		return sock.ProtoUDP
	case endpoint.UDPLite:
		return sock.ProtoUDPLite
	case endpoint.SCTP:
		return sock.ProtoSCTP
	}
	return sock.ProtoTCP
}

// whyInsecure returns why the service is insecure, in a sentence.
func (r *serviceRow) whyInsecure() string {
	if port, ok := r.port(); ok && r.isIP() {
		return services.WhyInsecure(uint16(port), r.protocol().ServiceName())
	}
	return ""
}

// versions returns the versions of IP that the endpoint takes.
func (r *serviceRow) versions() string {
	switch {
	case r.IPv4 && r.IPv6:
		return "46"
	case r.IPv6:
		return "6"
	case r.IPv4:
		return "4"
	}
	return ""
}

// sockets counts the sockets, without those that the kernel keeps for Multipath
// TCP.
func (r *serviceRow) sockets() int { return len(r.Sockets) - r.Subflows }

// user returns the user who owns the first socket that has one.
func (r *serviceRow) user() (uid uint32, ok bool) {
	for _, s := range r.Sockets {
		if s.HasUID {
			return s.UID, true
		}
	}
	return 0, false
}

// process is the owner.
func (r *serviceRow) process() *process.Process { return r.lookups.processes.Get(r.owner.PID) }

// unit returns the unit of systemd that the endpoint belongs to.
func (r *serviceRow) unit() string {
	if r.owner.kind == ownerSystemd {
		if unit := r.process().SocketUnit(units.Address{Protocol: string(r.Protocol), IP: r.Address, Port: r.Port, CID: r.CID, Path: r.Path}); unit != "" {
			return unit
		}
	}
	return r.process().Unit()
}

// containerID returns the identity of the container whose service the endpoint is.
func (r *serviceRow) containerID() string {
	if id, _ := r.process().Forward(); id != "" {
		return id
	}
	return r.process().ContainerID()
}

// container returns that container.
func (r *serviceRow) container() container.Container {
	if id, c := r.process().Forward(); id != "" {
		return c
	}
	return r.process().Container()
}

// lacks are the reasons why something of the row is not known.
func (r *serviceRow) lacks() string {
	var reasons []string
	if r.isIP() && r.Address.IsUnspecified() {
		if r.Exposure == endpoint.Any {
			reasons = append(reasons, "the addresses of the network namespace are not known")
		}
		if r.Address.Is6() && !r.KnowsV6Only {
			reasons = append(reasons, "only sock_diag reports whether the socket takes IPv4 too")
		}
	}
	if r.owner.lack != "" {
		reasons = append(reasons, r.owner.lack)
	}
	return strings.Join(reasons, "; ")
}

// ListeningServices is the table listening_services.
func ListeningServices(h *host.Host) schema.Table {
	protocol := schema.NotNull("protocol", "tcp, with Multipath TCP; udp, udplite, sctp, raw, icmp (ping sockets), vsock and unix.",
		func(r *serviceRow) string { return string(r.Protocol) }, schema.Pushed, words("tcp", "udp", "udplite", "sctp", "raw", "icmp", "vsock", "unix"))
	port := schema.Nullable("port", "Port. NULL for raw, icmp and unix.", (*serviceRow).port, schema.Pushed)
	namespace := schema.NotNull("net_namespace", "Inode number of the network namespace, as in network_namespaces. Empty if the number is not known.",
		func(r *serviceRow) string { return namespaceText(r.Namespace) }, schema.Pushed, namespaceNumber())
	path := schema.NotNull("path", "Name of a unix socket: a path, or @ and an abstract name. Empty for others. A statement that uses this column sees unix sockets too; one that does not leaves them out.",
		func(r *serviceRow) string { return r.Path }, schema.Hidden, schema.Scope)
	filter := func(q schema.Query) host.EndpointFilter {
		f := host.EndpointFilter{In: namespace.Values(q), Ports: servicePorts(port, q), Unix: path.Uses(q)}
		for _, p := range protocol.Values(q) {
			f.Protocols = append(f.Protocols, endpoint.Protocol(strings.ToLower(p)))
		}
		return f
	}
	owned := schema.Needs(needHolders | needAllHolders)
	ofOwner := func(get func(*process.Process) string) func(*serviceRow) string {
		return func(r *serviceRow) string { return get(r.process()) }
	}
	return schema.Bind(schema.TableDef[serviceRow]{
		Name: "listening_services",
		Doc:  "Endpoints that accept connections or packets, in every network namespace of the host: one row each, however many sockets and processes serve it.",
		Examples: []string{
			"SELECT protocol, address, port, service, exposure, owner, program FROM listening_services WHERE role = 'server'",
			"SELECT protocol, address, port, program, container_id FROM listening_services WHERE exposure NOT IN ('host_only', 'link') AND role <> 'client'",
			"SELECT path, program FROM listening_services WHERE protocol = 'unix'",
		},
		Columns: append([]schema.AnyColumn[serviceRow]{
			protocol,
			schema.Nullable("address", "IP address: 0.0.0.0 or :: for any. An IPv4-mapped one is spelled as IPv4. Empty for vsock and unix.",
				func(r *serviceRow) (netip.Addr, bool) { return r.Address, r.isIP() }, schema.Pushed),
			port,
			schema.NotNull("service", "Name of the port in the services file, for this protocol; of a raw or icmp socket the name of its IP protocol. Empty if it has none.",
				(*serviceRow).service, schema.Needs(needServices|needProtocols)),
			schema.NotNull("ip_versions", "Versions of IP that the endpoint takes: 4, 6, or 46 for both, such as with one socket at ::. Empty for vsock and unix.",
				(*serviceRow).versions, words("4", "6", "46")),
			schema.Nullable("interface", "Network interface that the sockets are bound to; its number if its name is unknown. Empty if they are bound to none.",
				func(r *serviceRow) (string, bool) {
					if r.Interface == 0 {
						return "", false
					}
					return r.lookups.interfaces.Name(r.Namespace, r.Interface), true
				}, schema.Needs(needInterfaces)),
			schema.NotNull("scope", "Scope of the address: wildcard, loopback, link_local, private, multicast, global. Empty for vsock and unix.",
				func(r *serviceRow) string { return string(sock.ScopeOf(r.Address)) }, scopes()),
			schema.NotNull("exposure", "How far packets may come from, by the endpoint's address: host_only, link, private, public. A wildcard is as exposed as the widest address of its network namespace, or of the interface that it is bound to; any if those are not known. Packet filters and address translation are not looked at.",
				func(r *serviceRow) string { return r.Exposure.String() }, schema.Words(endpoint.Exposures)),
			schema.NotNull("role", "server, client or unclear. Of tcp, sctp, vsock and unix only servers listen. A UDP socket is a client if it is connected to one peer; a server if its port is outside of the ephemeral range or reserved, if it is bound to a multicast group, or if several sockets share the port; else unclear. A raw socket that gets every packet of its protocol is a server, of ICMP unclear.",
				func(r *serviceRow) string { return r.Role.String() }, schema.Words(endpoint.Roles)),
			schema.NotNull("role_reason", "What the role was judged by.",
				func(r *serviceRow) string { return r.Reason }),
			schema.NotNull("owner", "What has the sockets: process; systemd, which waits to start the process; kernel, such as for VXLAN and NFS; not_permitted if this program may not see some process; unknown if none of these is certain.",
				func(r *serviceRow) string { return r.owner.kind }, owned, words(ownerProcess, ownerSystemd, ownerKernel, ownerNotPermitted, ownerUnknown)),
			schema.NotNull("program", "Name of the owner as netstat shows it: argv[0] without the directories of an absolute path, or the kernel's name if there is no argv[0]. Of several processes it is the one with the lowest number that is not systemd. Empty if there is none.",
				ofOwner((*process.Process).Program), owned),
			schema.NotNull("exe", "Path of the owner's executable file. Empty if unknown.",
				ofOwner((*process.Process).Exe), owned),
			schema.Nullable("uid", "User who owns the socket; of several sockets the first that has one. NULL if there is none.",
				(*serviceRow).user),
			schema.Nullable("username", "Name in this machine's /etc/passwd of that user. Empty if there is no user or no name.",
				func(r *serviceRow) (string, bool) {
					uid, ok := r.user()
					if !ok {
						return "", false
					}
					return r.lookups.users.Name(uid), true
				}, schema.Needs(needUsers)),
			schema.NotNull("systemd_unit", "Unit of the system's systemd that the owner belongs to, such as ssh.service; if systemd itself waits at the socket, the socket unit whose file has the address, such as ssh.socket. Empty if there is none.",
				(*serviceRow).unit, owned),
			schema.NotNull("container_id", "Container that the owner's control group belongs to: the identity that Docker, containerd, CRI-O and Podman give it, or the name that LXC and systemd-nspawn give it. If the owner is docker-proxy, the container that it forwards to. Empty if there is none.",
				(*serviceRow).containerID, owned),
			schema.NotNull("insecure", "1 if the registered service of that port and protocol sends secrets in clear text or trusts any client, as in well_known_services; else 0.",
				func(r *serviceRow) bool { return r.whyInsecure() != "" }),
			schema.NotNull("insecure_reason", "Why it is insecure. Empty if it is not.",
				(*serviceRow).whyInsecure),
			namespace,
			schema.NotNull("complete", "1 if everything of the row is known, else 0.",
				func(r *serviceRow) bool { return r.lacks() == "" }, owned),
			schema.NotNull("incomplete_reason", "What is not known, and why. Empty if complete is 1.",
				(*serviceRow).lacks, owned),

			schema.Nullable("v6only", "1 if an IPv6 endpoint takes no IPv4 packets, 0 if it takes both. NULL if unknown, and for others.",
				func(r *serviceRow) (bool, bool) { return r.V6Only, r.KnowsV6Only }, schema.Hidden),
			schema.Nullable("pid", "Process that owns the sockets: see program. NULL if there is none.",
				func(r *serviceRow) (int32, bool) { return r.owner.PID, r.owner.PID != 0 }, schema.Hidden, owned),
			schema.NotNull("cmdline", "The owner's command line, its arguments separated by blanks. Empty if unknown.",
				ofOwner(func(p *process.Process) string { return strings.Join(p.Args(), " ") }), schema.Hidden, owned),
			schema.NotNull("cgroup", "Path of the owner's control group. Empty if unknown.",
				ofOwner(func(p *process.Process) string { return p.Groups().Path }), schema.Hidden, owned),
			schema.NotNull("tunnel", "Network interface for which the kernel takes the packets: a tunnel over UDP such as VXLAN, GENEVE or Bareudp. Empty if there is none.",
				func(r *serviceRow) string { return r.owner.tunnel }, schema.Hidden, owned),
			schema.NotNull("sockets", "Number of the endpoint's sockets.",
				func(r *serviceRow) int32 { return int32(r.sockets()) }, schema.Hidden),
			schema.NotNull("processes", "Number of processes that have one of them open, of those that this program sees.",
				func(r *serviceRow) int32 { return int32(len(r.owner.pids)) }, schema.Hidden, owned),
			schema.NotNull("holders", "Those processes, as PID/program with commas between. Empty if this program sees none.",
				func(r *serviceRow) string { return r.owner.names(r.lookups.processes) }, schema.Hidden, owned),
			schema.Nullable("backlog", "Connections that wait to be accepted, at all sockets. NULL if the endpoint accepts none or the number is unknown.",
				func(r *serviceRow) (int64, bool) { return queue(r.Queue, r.HasQueue) }, schema.Hidden),
			schema.Nullable("backlog_max", "How many connections may wait, at all sockets. NULL as for backlog, and from /proc.",
				func(r *serviceRow) (int64, bool) { return queue(r.QueueMax, r.KnowsQueueMax) }, schema.Hidden),
			schema.Nullable("accept_queue_full", "1 if no more connections may wait at one of the sockets, else 0. NULL as for backlog_max.",
				func(r *serviceRow) (bool, bool) { return r.Full, r.KnowsQueueMax }, schema.Hidden),
			schema.NotNull("mptcp", "1 if Multipath TCP listens there, else 0.",
				func(r *serviceRow) bool { return r.Subflows > 0 }, schema.Hidden),
			schema.Nullable("ip_protocol", "IP protocol of a raw or icmp socket, a number. NULL for others.",
				func(r *serviceRow) (uint16, bool) {
					return uint16(r.Port), r.Protocol == endpoint.Raw || r.Protocol == endpoint.ICMP
				}, schema.Hidden),
			schema.Nullable("cid", "Context identifier of a vsock endpoint, 4294967295 for any. NULL for others.",
				func(r *serviceRow) (uint32, bool) { return r.CID, r.Protocol == endpoint.Vsock }, schema.Hidden),
			path,
		}, append(processColumns((*serviceRow).process, "process_uid", owned),
			containerColumns((*serviceRow).container, "that container", owned)...)...),
		RowID: func(r *serviceRow) int64 { return r.ID() },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[serviceRow, error] {
			return func(yield func(serviceRow, error) bool) {
				for e, err := range h.Endpoints(ctx, filter(q)) {
					if !yield(serviceRow{Endpoint: e}, err) {
						return
					}
				}
			}
		},
		Joined: needLookups,
		Join: func(ctx context.Context, q schema.Query, rows iter.Seq2[serviceRow, error]) iter.Seq2[serviceRow, error] {
			return joinServices(ctx, h, q, filter(q), rows)
		},
	})
}

// queue is a length of a queue as a value of a column.
func queue(n uint64, ok bool) (int64, bool) { return int64(min(n, math.MaxInt64)), ok }

// servicePorts translates the ports that a query allows, for IP; vsock has more.
func servicePorts(c *schema.Column[serviceRow, uint32], q schema.Query) (ranges []sock.PortRange) {
	low, high := c.Range(q)
	low, high = max(low, 0), min(high, math.MaxUint16)
	if in := c.Values(q); in != nil {
		for _, port := range in {
			if low <= int64(port) && int64(port) <= high {
				ranges = append(ranges, sock.PortRange{Low: uint16(port), High: uint16(port)})
			}
		}
	} else if low <= high && (low > 0 || high < math.MaxUint16) {
		ranges = append(ranges, sock.PortRange{Low: uint16(low), High: uint16(high)})
	}
	return ranges
}
