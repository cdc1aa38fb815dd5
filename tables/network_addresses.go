package tables

import (
	"context"
	"iter"
	"net/netip"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// addressRow is a row of network_addresses.
type addressRow struct {
	network.Address
	names *host.InterfaceNames
}

// NetworkAddresses is the table network_addresses.
func NetworkAddresses(h *host.Host) schema.Table { return addressTable(h, h.Addresses) }

// addressTable is the table of the addresses that read streams.
func addressTable(h *host.Host, read func(context.Context, host.Namespaces) iter.Seq2[network.Address, error]) schema.Table {
	netNamespace := netNamespaceColumn(func(r *addressRow) uint32 { return r.Namespace })
	lifetime := func(get func(*addressRow) time.Duration) func(*addressRow) (int64, bool) {
		return func(r *addressRow) (int64, bool) {
			return int64(get(r) / time.Second), get(r) != network.Forever
		}
	}
	return schema.Bind(schema.TableDef[addressRow]{
		Name: "network_addresses",
		Doc:  "IP addresses of the network interfaces of this network namespace: what ip address shows. Only rtnetlink lists them: the table fails with --proc.",
		Examples: []string{
			"SELECT interface, address, prefix_length, scope, flags FROM network_addresses",
			"SELECT address, interface FROM network_addresses WHERE exposure = 'public'",
			"SELECT interface, address FROM network_addresses WHERE flags LIKE '%dadfailed%'",
		},
		Columns: []schema.AnyColumn[addressRow]{
			schema.NotNull("interface", "Name of the network interface; its number if the name is unknown.",
				func(r *addressRow) string { return r.names.Name(r.Namespace, r.Interface) }, schema.Needs(needInterfaces)),
			schema.NotNull("address", "IP address.", func(r *addressRow) netip.Addr { return r.Prefix.Addr() }),
			schema.NotNull("prefix_length", "Length of the network's prefix in bits; with a peer that of the peer's.",
				func(r *addressRow) uint8 { return uint8(r.Prefix.Bits()) }),
			schema.Nullable("broadcast", "Broadcast address. Empty if there is none, as for IPv6.",
				func(r *addressRow) (netip.Addr, bool) { return r.Broadcast, r.Broadcast.IsValid() }),
			schema.Nullable("peer", "Address of the other end of a point-to-point interface. Empty if there is none.",
				func(r *addressRow) (netip.Addr, bool) { return r.Peer.Addr(), r.Peer.IsValid() }),
			schema.NotNull("scope", "Where the address is valid, as the kernel has it: global, site, link, host, nowhere; a number if the administrator chose another.",
				func(r *addressRow) string { return r.Scope.String() }, namesOf(network.Scope.String)),
			schema.NotNull("exposure", "What the address itself is exposed to: loopback, link_local, private, multicast, global, as local_scope of the socket tables.",
				func(r *addressRow) string { return string(sock.ScopeOf(r.Prefix.Addr())) }, scopes()),
			schema.NotNull("flags", "Flags with commas between: permanent, secondary (IPv4), temporary (IPv6), tentative, deprecated, dadfailed, optimistic, nodad, homeaddress, managetempaddr, noprefixroute, autojoin, stable_privacy. Empty if there are none.",
				func(r *addressRow) string { return r.Flags.Names(r.Family) }),
			schema.Nullable("valid_seconds", "Seconds after which the kernel removes the address. NULL if it never does.",
				lifetime(func(r *addressRow) time.Duration { return r.Valid }), schema.Hidden),
			schema.Nullable("preferred_seconds", "Seconds for which new connections may use the address; 0 if it is deprecated. NULL if there is no limit.",
				lifetime(func(r *addressRow) time.Duration { return r.Preferred }), schema.Hidden),
			schema.NotNull("label", "Label of an IPv4 address, such as eth0:1, by which ifconfig knows it. Empty for IPv6.",
				func(r *addressRow) string { return r.Label }, schema.Hidden),
			schema.Nullable("metric", "Metric of the routes that the kernel made for the address. NULL if none was chosen.",
				func(r *addressRow) (uint32, bool) { return r.Metric, r.Metric != 0 }, schema.Hidden),
			schema.NotNull("protocol", "Who made the address: kernel_lo (the kernel, for the loopback), kernel_ra (a router's advertisement), kernel_ll (the kernel, for the link), or a program's number. Empty if unknown, as before Linux 5.18.",
				func(r *addressRow) string { return network.AddressProtocol(r.Protocol) }, schema.Hidden),
			schema.NotNull("family", "Address family as a number: 2 for IPv4, 10 for IPv6.",
				func(r *addressRow) uint8 { return uint8(r.Family) }, schema.Hidden),
			schema.NotNull("interface_index", "Number of the network interface.",
				func(r *addressRow) uint32 { return r.Address.Interface }, schema.Hidden),
			netNamespace,
		},
		RowID: func(r *addressRow) int64 {
			return sock.Hash(r.Namespace).Add(uint64(r.Address.Interface)).Addr(r.Prefix.Addr()).Add(uint64(r.Prefix.Bits())).Addr(r.Peer.Addr()).ID()
		},
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[addressRow, error] {
			names := h.InterfaceNames()
			return func(yield func(addressRow, error) bool) {
				for a, err := range read(ctx, namespaces(netNamespace, q)) {
					if !yield(addressRow{a, names}, err) {
						return
					}
				}
			}
		},
	})
}
