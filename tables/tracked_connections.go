package tables

import (
	"context"
	"iter"
	"math"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/conntrack"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// connectionProto returns netstat's name of the connection's protocol, or its
// number.
func connectionProto(c *conntrack.Connection) (name string) {
	switch c.Protocol {
	case sock.ProtoICMP:
		return "icmp"
	case sock.ProtoICMPv6:
		return "icmp6"
	case conntrack.ProtoGRE:
		return "gre"
	case sock.ProtoSCTP:
		name = "sctp"
	case sock.ProtoDCCP:
		name = "dccp"
	default:
		return sock.Proto(c.Family, c.Protocol)
	}
	if c.Family == sock.INET6 {
		name += "6"
	}
	return name
}

// TrackedConnections is the table tracked_connections.
func TrackedConnections(h *host.Host) schema.Table {
	return trackedTable(schema.TableDef[host.Connection]{
		Name: "tracked_connections",
		Doc:  "Connections that netfilter tracks, of this host and through it, translated (NAT) or not: what conntrack -L shows. It needs CAP_NET_ADMIN. The list comes from ctnetlink, else from /proc/net/nf_conntrack, which may lack some connections while it changes. Without the module nf_conntrack there are none, and socket_sources says so.",
		Examples: []string{
			"SELECT proto, state, original_source_address, original_destination_address, original_destination_port, nat, replied FROM tracked_connections",
			"SELECT original_destination_port AS port, count(*) AS connections, sum(reply_bytes) AS bytes FROM tracked_connections GROUP BY 1 ORDER BY 2 DESC",
			"SELECT original_source_address, count(*) AS unanswered FROM tracked_connections WHERE replied = 0 GROUP BY 1 ORDER BY 2 DESC",
		},
	}, h.TrackedConnections)
}

// MasqueradedConnections is the table masqueraded_connections.
func MasqueradedConnections(h *host.Host) schema.Table {
	return trackedTable(schema.TableDef[host.Connection]{
		Name: "masqueraded_connections",
		Doc:  "Connections whose addresses or ports netfilter translates (NAT, masquerading): what netstat -M showed, the rows of tracked_connections where nat is 1.",
		Examples: []string{
			"SELECT proto, state, original_source_address, original_source_port, original_destination_address, original_destination_port, reply_destination_address FROM masqueraded_connections WHERE source_nat = 1",
			"SELECT proto, original_destination_address, original_destination_port, reply_source_address, reply_source_port, count(*) AS connections FROM masqueraded_connections WHERE destination_nat = 1 GROUP BY 1, 2, 3, 4, 5",
		},
	}, func(ctx context.Context, namespaces host.Namespaces) iter.Seq2[host.Connection, error] {
		return func(yield func(host.Connection, error) bool) {
			for c, err := range h.TrackedConnections(ctx, namespaces) {
				if err == nil && !isNAT(&c) {
					continue
				}
				if !yield(c, err) {
					return
				}
			}
		}
	})
}

// isNAT reports whether a connection is translated.
func isNAT(c *host.Connection) bool { return c.SourceNAT() || c.DestinationNAT() }

// trackedTable completes a table of the connections that read streams.
func trackedTable(t schema.TableDef[host.Connection], read func(context.Context, host.Namespaces) iter.Seq2[host.Connection, error]) schema.Table {
	netNamespace := netNamespaceColumn(func(c *host.Connection) uint32 { return c.Namespace })
	t.Columns = append(trackedColumns(), netNamespace)
	t.RowID = trackedID
	t.Rows = func(ctx context.Context, q schema.Query) iter.Seq2[host.Connection, error] {
		return read(ctx, namespaces(netNamespace, q))
	}
	return schema.Bind(t)
}

// trackedID returns an identity of a connection: a hash of its namespace,
// protocol, zones and ends.
func trackedID(c *host.Connection) int64 {
	h, o := sock.Hash(0).Add(uint64(c.Namespace)).Add(uint64(c.Protocol)), &c.Original
	for _, n := range [...]uint16{o.SourcePort, o.DestinationPort, o.ICMPID, uint16(o.ICMPType), uint16(o.ICMPCode), o.Zone, c.Reply.Zone} {
		h = h.Add(uint64(n))
	}
	return h.Addr(o.Source).Addr(o.Destination).ID()
}

// trackedColumns are the columns of tracked connections.
func trackedColumns() []schema.AnyColumn[host.Connection] {
	port := func(get func(*host.Connection) uint16) func(*host.Connection) (uint16, bool) {
		return func(c *host.Connection) (uint16, bool) { return get(c), c.HasPorts() }
	}
	echo := func(get func(*host.Connection) uint16) func(*host.Connection) (uint16, bool) {
		return func(c *host.Connection) (uint16, bool) {
			return get(c), c.Protocol == sock.ProtoICMP || c.Protocol == sock.ProtoICMPv6
		}
	}
	count := func(direction func(*host.Connection) *conntrack.Direction, get func(*conntrack.Direction) uint64) func(*host.Connection) (int64, bool) {
		return func(c *host.Connection) (int64, bool) {
			d := direction(c)
			return int64(get(d)), d.Counted && get(d) <= math.MaxInt64
		}
	}
	original := func(c *host.Connection) *conntrack.Direction { return &c.Original }
	reply := func(c *host.Connection) *conntrack.Direction { return &c.Reply }
	packets := func(d *conntrack.Direction) uint64 { return d.Packets }
	bytes := func(d *conntrack.Direction) uint64 { return d.Bytes }
	const notCounted = " NULL if they are not counted, see net.netfilter.nf_conntrack_acct."
	return []schema.AnyColumn[host.Connection]{
		schema.NotNull("proto", "Protocol as netstat names it: tcp, tcp6, udp, udp6, sctp, dccp, udplite and their 6, icmp, icmp6, gre; its number if it is another.",
			func(c *host.Connection) string { return connectionProto(&c.Connection) }),
		schema.NotNull("state", "The kernel's name of the tracked connection's state, for TCP, SCTP and DCCP: ESTABLISHED, SYN_SENT, FIN_WAIT, … Empty for other protocols, and if offloaded.",
			func(c *host.Connection) string { return c.State }),
		schema.Nullable("timeout_s", "Seconds after which the kernel forgets the connection unless packets come. NULL if offloaded.",
			func(c *host.Connection) (uint32, bool) { return c.Timeout, !c.Offloaded }, schema.Hidden),
		schema.NotNull("original_source_address", "The client's address.",
			func(c *host.Connection) netip.Addr { return c.Original.Source }),
		schema.Nullable("original_source_port", "The client's port. NULL for protocols without ports.",
			port(func(c *host.Connection) uint16 { return c.Original.SourcePort })),
		schema.NotNull("original_destination_address", "Address that the client contacts.",
			func(c *host.Connection) netip.Addr { return c.Original.Destination }),
		schema.Nullable("original_destination_port", "Port that the client contacts. NULL for protocols without ports.",
			port(func(c *host.Connection) uint16 { return c.Original.DestinationPort })),
		schema.NotNull("reply_source_address", "Address that answers: it differs from original_destination_address if destination_nat is 1.",
			func(c *host.Connection) netip.Addr { return c.Reply.Source }),
		schema.Nullable("reply_source_port", "Port that answers. NULL for protocols without ports.",
			port(func(c *host.Connection) uint16 { return c.Reply.SourcePort })),
		schema.NotNull("reply_destination_address", "Address that the answers go to: it differs from original_source_address if source_nat is 1.",
			func(c *host.Connection) netip.Addr { return c.Reply.Destination }),
		schema.Nullable("reply_destination_port", "Port that the answers go to. NULL for protocols without ports.",
			port(func(c *host.Connection) uint16 { return c.Reply.DestinationPort })),
		schema.NotNull("nat", "1 if the source or the destination is translated, else 0.",
			isNAT, schema.Hidden),
		schema.NotNull("source_nat", "1 if the source is translated (SNAT, MASQUERADE), else 0.",
			func(c *host.Connection) bool { return c.SourceNAT() }),
		schema.NotNull("destination_nat", "1 if the destination is translated (DNAT, REDIRECT), else 0.",
			func(c *host.Connection) bool { return c.DestinationNAT() }),
		schema.NotNull("replied", "1 if packets came both ways, else 0.",
			func(c *host.Connection) bool { return c.Replied }),
		schema.Nullable("original_packets", "Packets that the client sent."+notCounted, count(original, packets)),
		schema.Nullable("original_bytes", "Bytes of these packets."+notCounted, count(original, bytes)),
		schema.Nullable("reply_packets", "Packets that answered."+notCounted, count(reply, packets)),
		schema.Nullable("reply_bytes", "Bytes of these packets."+notCounted, count(reply, bytes)),
		schema.Nullable("mark", "Mark of the connection, connmark. NULL if the kernel has none.",
			func(c *host.Connection) (uint32, bool) { return c.Mark, c.MarkKnown }),
		schema.NotNull("zone", "Conntrack zone of the original direction; 0 is the default zone.",
			func(c *host.Connection) uint16 { return c.Original.Zone }),
		schema.NotNull("reply_zone", "Conntrack zone of the reply direction; 0 is the default zone.",
			func(c *host.Connection) uint16 { return c.Reply.Zone }, schema.Hidden),
		schema.Nullable("assured", "1 if the kernel keeps the connection when the table is full, else 0. NULL if offloaded.",
			func(c *host.Connection) (bool, bool) { return c.Assured, !c.Offloaded }, schema.Hidden),
		schema.NotNull("offloaded", "1 if its packets go by a flow table, past the rest of the kernel, else 0.",
			func(c *host.Connection) bool { return c.Offloaded }, schema.Hidden),
		schema.Nullable("original_icmp_id", "Identifier of an ICMP echo. NULL for other protocols.",
			echo(func(c *host.Connection) uint16 { return c.Original.ICMPID }), schema.Hidden),
		schema.Nullable("reply_icmp_id", "Identifier in its answer: it differs from original_icmp_id if NAT translates it. NULL for other protocols.",
			echo(func(c *host.Connection) uint16 { return c.Reply.ICMPID }), schema.Hidden),
		schema.NotNull("family", "Address family as a number: 2 for IPv4, 10 for IPv6.",
			func(c *host.Connection) uint8 { return uint8(c.Family) }, schema.Hidden, schema.Shared),
		schema.NotNull("protocol", "IP protocol as a number: 6 for TCP, 17 for UDP, 1 for ICMP.",
			func(c *host.Connection) uint8 { return uint8(c.Protocol) }, schema.Hidden),
	}
}
