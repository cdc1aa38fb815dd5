package osquerycore

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/procfs"

	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/schema"
)

// needSpeed is that of an interface, for which ethtool's list is read.
const needSpeed schema.Need = 1 << 2

// promiscuous is IFF_PROMISC of include/uapi/linux/if.h, which the kernel leaves out
// of an interface's flags in rtnetlink where a packet socket asked for it.
const promiscuous = 0x100

// hardwareAddress is the link-layer address in osquery's six bytes.
func hardwareAddress(address []byte) string {
	var b [6]byte
	copy(b[:], address)
	return net.HardwareAddr(b[:]).String()
}

// pciSlot is a part of the path of a device on a PCI bus.
var pciSlot = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`) })

// slot returns the PCI slot of an interface, "" if it has none.
func (m *machine) slot(name string) string {
	path, err := filepath.EvalSymlinks(filepath.Join(m.Root, "sys/class/net", name))
	if err != nil {
		return ""
	}
	slot := ""
	for part := range strings.SplitSeq(path, "/") {
		if pciSlot().MatchString(part) {
			slot = part
		}
	}
	return slot
}

func interfaceDetails(m *machine) schema.Table {
	type row = network.Link
	counter := func(name, doc string, number int) schema.AnyColumn[row] {
		return schema.NotNull(name, doc, func(l *row) int64 { n, _ := l.Counters.Get(number); return n })
	}
	return schema.Bind(schema.TableDef[row]{
		Name: "interface_details",
		Doc:  "osquery's table of the network interfaces of this network namespace. Counters have 64 bits, where osquery's begin again at 2^32. interface_statistics has all counters.",
		Examples: []string{
			"SELECT interface, mac, (flags & 256) > 0 AS promiscuous FROM interface_details",
		},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("interface", "Name of the interface.", func(l *row) string { return l.Name }),
			schema.NotNull("mac", "Link-layer address, of which osquery shows six bytes.", func(l *row) string { return hardwareAddress(l.Address) }),
			schema.NotNull("type", "Lower 8 bits of the kernel's ARPHRD number, as in osquery: 1 Ethernet, 4 loopback (772).", func(l *row) int32 { return int32(l.Type & 0xff) }),
			schema.NotNull("mtu", "Largest packet, bytes.", func(l *row) int64 { return int64(l.MTU) }),
			schema.NotNull("metric", "0, as in osquery: the kernel has none.", func(*row) int32 { return 0 }),
			schema.NotNull("flags", "IFF_* of linux/if.h, as bits.", func(l *row) int64 {
				flags := int64(l.Flags)
				if l.Promiscuity.Value > 0 {
					flags |= promiscuous
				}
				return flags
			}),
			counter("ipackets", "Packets received.", network.RxPackets),
			counter("opackets", "Packets sent.", network.TxPackets),
			counter("ibytes", "Bytes received.", network.RxBytes),
			counter("obytes", "Bytes sent.", network.TxBytes),
			counter("ierrors", "Bad packets received.", network.RxErrors),
			counter("oerrors", "Packets that could not be sent.", network.TxErrors),
			counter("idrops", "Packets received and dropped.", network.RxDropped),
			counter("odrops", "Packets dropped on their way out.", network.TxDropped),
			counter("collisions", "Collisions when sending.", network.Collisions),
			schema.NotNull("last_change", "-1, as in osquery on Linux.", func(*row) int64 { return -1 }),
			schema.NotNull("link_speed", "Speed in Mbit/s; 0 if it is not known.", func(l *row) int64 {
				if l.Speed.Known {
					return int64(l.Speed.Value)
				}
				return 0
			}, schema.Needs(needSpeed)),
			schema.NotNull("pci_slot", "PCI slot of the device. Empty if it has none, where osquery may show -1.", func(l *row) string { return m.slot(l.Name) }),
		},
		RowID: func(l *row) int64 { return int64(l.Index) },
		Rows: func(ctx context.Context, q schema.Query) iter.Seq2[row, error] {
			return m.Links(ctx, host.LinkFilter{Speed: q.Needs(needSpeed)})
		},
	})
}

// interfaceAddressRow is a row of interface_addresses.
type interfaceAddressRow struct {
	network.Address
	names *host.InterfaceNames
}

func (r *interfaceAddressRow) name() string {
	return r.names.Name(r.Namespace, r.Address.Interface)
}

// shown is an address as getnameinfo(3) writes it: of a link with its interface.
func (r *interfaceAddressRow) shown(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	if a.IsLinkLocalUnicast() && a.Is6() {
		a = a.WithZone(r.name())
	}
	return a.String()
}

func interfaceAddresses(m *machine) schema.Table {
	type row = interfaceAddressRow
	return schema.Bind(schema.TableDef[row]{
		Name:     "interface_addresses",
		Doc:      "osquery's table of the IP addresses of the network interfaces of this network namespace. Where an address has no broadcast address or no other end, osquery repeats the address itself; here that is empty.",
		Examples: []string{"SELECT interface, address, mask FROM interface_addresses WHERE interface != 'lo'"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("interface", "Name of the interface.", (*row).name),
			schema.NotNull("address", "IP address; of an IPv6 link-local one with % and the interface.", func(r *row) string { return r.shown(r.Prefix.Addr()) }),
			schema.NotNull("mask", "Netmask as an address.", func(r *row) string { return maskOf(r.Prefix) }),
			schema.NotNull("broadcast", "Broadcast address. Empty if there is none.", func(r *row) string { return r.shown(r.Broadcast) }),
			schema.NotNull("point_to_point", "Address of the other end. Empty if there is none.", func(r *row) string { return r.shown(r.Peer.Addr()) }),
			schema.NotNull("type", "unknown, as in osquery on Linux.", func(*row) string { return "unknown" }),
		},
		RowID: func(r *row) int64 {
			return sock.Hash(uint64(r.Address.Interface)).Addr(r.Prefix.Addr()).Add(uint64(r.Prefix.Bits())).Addr(r.Peer.Addr()).ID()
		},
		Rows: func(ctx context.Context, _ schema.Query) iter.Seq2[row, error] {
			names := m.InterfaceNames()
			return func(yield func(row, error) bool) {
				for a, err := range m.Addresses(ctx, host.Namespaces{}) {
					if !yield(row{a, names}, err) || err != nil {
						return
					}
				}
			}
		},
	})
}

// maskOf returns the netmask of a prefix as an address.
func maskOf(p netip.Prefix) string {
	a, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	return a.String()
}

// hop is one way of a route.
type hop struct {
	network.Route
	at    int
	names *host.InterfaceNames
}

func (h *hop) way() network.NextHop {
	if h.at < len(h.Hops) {
		return h.Hops[h.at]
	}
	return network.NextHop{}
}

func (h *hop) metric(number int) int32 {
	n, _ := h.Metrics.Get(number)
	return int32(n)
}

// routeTypes are osquery's words.
var routeTypes = map[network.RouteType]string{network.Unicast: "gateway", network.Local: "local", network.Broadcast: "broadcast", network.Anycast: "anycast"}

func routes(m *machine) schema.Table {
	address := func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	}
	return schema.Bind(schema.TableDef[hop]{
		Name:     "routes",
		Doc:      "osquery's table of the routes of this network namespace, of every routing table. netmask is 32 or 128 for a host, where osquery says 0 as for the default route. A route with several ways has a row for each; osquery shows none of them.",
		Examples: []string{"SELECT interface, gateway, metric FROM routes WHERE destination IN ('0.0.0.0', '::') AND netmask = 0"},
		Columns: []schema.AnyColumn[hop]{
			schema.NotNull("destination", "Address of the network or host; 0.0.0.0 or :: for the default route.", func(h *hop) string { return address(h.Destination.Addr()) }),
			schema.NotNull("netmask", "Length of the prefix.", func(h *hop) int32 { return int32(h.Destination.Bits()) }),
			schema.NotNull("gateway", "Router. Empty if there is none.", func(h *hop) string { return address(h.way().Gateway) }),
			schema.NotNull("source", "Preferred source address. Empty if there is none.", func(h *hop) string { return address(h.PreferredSource) }),
			schema.NotNull("flags", "Flags of the way, RTNH_F_* of linux/rtnetlink.h.", func(h *hop) int32 { return int32(h.way().Flags) }),
			schema.NotNull("interface", "Name of the interface. Empty if there is none.", func(h *hop) string {
				if h.way().Interface == 0 {
					return h.way().Name
				}
				return h.names.Name(h.Namespace, h.way().Interface)
			}),
			schema.NotNull("mtu", "Largest packet that the route says, bytes; 0 if it says none.", func(h *hop) int32 { return h.metric(network.MetricMTU) }),
			schema.NotNull("metric", "Metric: the lowest wins.", func(h *hop) int64 { return int64(h.Metric) }),
			schema.NotNull("type", "gateway for any unicast route, local, broadcast, anycast or other.", func(h *hop) string {
				if word, ok := routeTypes[h.Type]; ok {
					return word
				}
				return "other"
			}),
			schema.NotNull("hopcount", "Hop limit that the route says; 0 if it says none.", func(h *hop) int32 { return h.metric(network.MetricHopLimit) }),
		},
		RowID: func(h *hop) int64 { return h.ID(h.at) },
		Rows: func(ctx context.Context, _ schema.Query) iter.Seq2[hop, error] {
			names := m.InterfaceNames()
			return func(yield func(hop, error) bool) {
				for r, err := range m.Routes(ctx, host.RouteFilter{}) {
					for i := range max(len(r.Hops), 1) {
						if !yield(hop{r, i, names}, err) || err != nil {
							return
						}
					}
				}
			}
		},
	})
}

func arpCache(m *machine) schema.Table {
	type row = line[procfs.ARPEntry]
	return schema.Bind(schema.TableDef[row]{
		Name:     "arp_cache",
		Doc:      "osquery's table of the neighbours that ARP knows in this network namespace, /proc/net/arp. neighbors has those of IPv6 too.",
		Examples: []string{"SELECT address, mac, interface FROM arp_cache"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("address", "IPv4 address.", func(r *row) string { return r.value.IPAddr.String() }),
			schema.NotNull("mac", "Link-layer address; zeros if it is not known yet.", func(r *row) string { return r.value.HWAddr.String() }),
			schema.NotNull("interface", "Name of the interface.", func(r *row) string { return r.value.Device }),
			schema.NotNull("permanent", "1 if the entry was made by the administrator, else 0, as text.", func(r *row) string {
				if r.value.Flags&procfs.ATFPermanent != 0 {
					return "1"
				}
				return "0"
			}),
		},
		RowID: (*row).id,
		Rows: func(context.Context, schema.Query) iter.Seq2[row, error] {
			return lines(values(func() ([]procfs.ARPEntry, error) {
				// A copy of a proc filesystem shows the network of its process 1.
				of := "1"
				if m.Proc() == host.DefaultProc {
					of = "self"
				}
				fs, err := procfs.NewFS(filepath.Join(m.Proc(), of))
				if err != nil {
					return nil, err
				}
				return fs.GatherARPEntries()
			}))
		},
	})
}

func interfaceIPv6(m *machine) schema.Table {
	type row = network.Link
	// setting reads a number of net.ipv6.conf, -1 if there is none.
	setting := func(of, name string) int32 {
		n, err := strconv.ParseInt(text(m.Proc(), "sys/net/ipv6/conf", of, name), 10, 32)
		if err != nil {
			return -1
		}
		return int32(n)
	}
	return schema.Bind(schema.TableDef[row]{
		Name:     "interface_ipv6",
		Doc:      "osquery's table of the IPv6 settings of the network interfaces of this network namespace, net.ipv6.conf. A setting is -1 if it cannot be read.",
		Examples: []string{"SELECT interface FROM interface_ipv6 WHERE forwarding_enabled = 1"},
		Columns: []schema.AnyColumn[row]{
			schema.NotNull("interface", "Name of the interface.", func(l *row) string { return l.Name }),
			schema.NotNull("hop_limit", "Hop limit of packets.", func(l *row) int32 { return setting(l.Name, "hop_limit") }),
			schema.NotNull("forwarding_enabled", "1 if the host forwards packets from there.", func(l *row) int32 { return setting(l.Name, "forwarding") }),
			schema.NotNull("redirect_accept", "1 if redirects are accepted.", func(l *row) bool {
				all, own := setting("all", "accept_redirects") != 0, setting(l.Name, "accept_redirects") != 0
				if setting(l.Name, "forwarding") != 0 {
					return all && own
				}
				return all || own
			}),
			schema.NotNull("rtadv_accept", "1 if router advertisements are accepted.", func(l *row) bool {
				accept := setting(l.Name, "accept_ra")
				return accept == 2 || accept != 0 && setting(l.Name, "forwarding") == 0
			}),
		},
		RowID: func(l *row) int64 { return int64(l.Index) },
		Rows: func(ctx context.Context, _ schema.Query) iter.Seq2[row, error] {
			return m.Links(ctx, host.LinkFilter{})
		},
	})
}
