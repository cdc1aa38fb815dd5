package endpoint_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/endpoint"
)

// network has an interface for each exposure.
var network = endpoint.Network{
	Namespace: 7,
	Addresses: []endpoint.Address{
		{Addr: netip.MustParseAddr("127.0.0.1"), Interface: 1},
		{Addr: netip.MustParseAddr("::1"), Interface: 1},
		{Addr: netip.MustParseAddr("fe80::1"), Interface: 2},
		{Addr: netip.MustParseAddr("10.1.2.3"), Interface: 3},
		{Addr: netip.MustParseAddr("fd00::1"), Interface: 3},
		{Addr: netip.MustParseAddr("2606:4700::1111"), Interface: 4},
	},
	KnowsAddresses: true,
	Ephemeral:      sock.PortRange{Low: 32768, High: 60999},
	Reserved:       []sock.PortRange{{Low: 40000, High: 40001}},
}

// option changes a socket.
type option func(*sock.Inet)

func on(index uint32) option {
	return func(s *sock.Inet) { s.Interface = index }
}

func v6only(only bool) option {
	return func(s *sock.Inet) { s.V6Only, s.Known = only, s.Known|sock.KnowsV6Only }
}

func to(peer string) option {
	return func(s *sock.Inet) { s.Remote = netip.MustParseAddrPort(peer) }
}

func queued(now, most uint32) option {
	return func(s *sock.Inet) { s.RecvQueue, s.SendQueue = now, most }
}

// inet makes a socket. An IPv6 one takes no IPv4 unless it says so.
func inet(inode uint64, local string, options ...option) sock.Inet {
	s := sock.Inet{Family: sock.INET, Local: netip.MustParseAddrPort(local)}
	s.Remote = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if s.Local.Addr().Is6() {
		s.Family, s.Remote = sock.INET6, netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		v6only(true)(&s)
	}
	s.Own(inode, 1000)
	for _, o := range options {
		o(&s)
	}
	return s
}

// one collects the sockets of a single endpoint.
func one(t *testing.T, n endpoint.Network, collect func(*endpoint.Collector)) endpoint.Endpoint {
	t.Helper()
	c := endpoint.NewCollector(n)
	collect(c)
	all := c.Endpoints()
	if len(all) != 1 {
		t.Fatalf("%d endpoints: %+v", len(all), all)
	}
	return all[0]
}

func TestExposure(t *testing.T) {
	var nowhere, alone endpoint.Network
	alone.KnowsAddresses, alone.Addresses = true, network.Addresses[:2]
	for _, test := range []struct {
		name  string
		n     endpoint.Network
		local string
		with  []option
		want  string
	}{
		{"loopback", network, "127.1.2.3:80", nil, "host_only"},
		{"loopback of IPv6", network, "[::1]:80", nil, "host_only"},
		{"mapped loopback", network, "[::ffff:127.0.0.1]:80", nil, "host_only"},
		{"link-local", network, "[fe80::1]:80", []option{on(2)}, "link"},
		{"link-local of IPv4", network, "169.254.1.1:80", nil, "link"},
		{"private", network, "10.1.2.3:80", nil, "private"},
		{"carrier's", network, "100.64.0.1:80", nil, "private"},
		{"unique local", network, "[fd00::1]:80", nil, "private"},
		{"public", network, "192.0.3.1:80", nil, "public"},
		{"public of IPv6", network, "[2606:4700::1111]:80", nil, "public"},
		{"wildcard of IPv4", network, "0.0.0.0:80", nil, "private"},
		{"wildcard of IPv6", network, "[::]:80", nil, "public"},
		{"wildcard of both", network, "[::]:80", []option{v6only(false)}, "public"},
		{"wildcard of one interface", network, "[::]:80", []option{on(2)}, "link"},
		{"wildcard of both on one interface", network, "[::]:80", []option{on(3), v6only(false)}, "private"},
		{"wildcard of an interface without such an address", network, "0.0.0.0:80", []option{on(4)}, "host_only"},
		{"wildcard in a namespace without a network", alone, "[::]:80", []option{v6only(false)}, "host_only"},
		{"wildcard among unknown addresses", nowhere, "0.0.0.0:80", nil, "any"},
		{"address of the link's group", network, "224.0.0.251:80", nil, "link"},
		{"broadcast", network, "255.255.255.255:80", nil, "link"},
		{"address of the site's group", network, "239.1.2.3:80", nil, "private"},
		{"address of a global group", network, "232.1.2.3:80", nil, "public"},
		{"group of the interface", network, "[ff01::1]:80", nil, "host_only"},
		{"group of the link", network, "[ff02::fb]:80", nil, "link"},
		{"group of the site", network, "[ff05::2]:80", nil, "private"},
		{"global group", network, "[ff0e::2]:80", nil, "public"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := one(t, test.n, func(c *endpoint.Collector) { c.TCP(&sock.TCP{Inet: inet(1, test.local, test.with...)}) })
			if got := e.Exposure.String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRoleOfUDP(t *testing.T) {
	var unknown endpoint.Network
	for _, test := range []struct {
		name         string
		n            endpoint.Network
		sockets      []sock.Inet
		role, reason string
	}{
		{"low port", network, []sock.Inet{inet(1, "0.0.0.0:53")}, "server", "the port is not ephemeral"},
		{"high port", network, []sock.Inet{inet(1, "0.0.0.0:61000")}, "server", "the port is not ephemeral"},
		{"last ephemeral port", network, []sock.Inet{inet(1, "0.0.0.0:60999")}, "unclear", "not connected, on an ephemeral port"},
		{"first ephemeral port", network, []sock.Inet{inet(1, "[::]:32768")}, "unclear", "not connected, on an ephemeral port"},
		{"reserved port", network, []sock.Inet{inet(1, "0.0.0.0:40001")}, "server", "the port is not ephemeral"},
		{"connected", network, []sock.Inet{inet(1, "10.1.2.3:53", to("10.1.2.4:53"))}, "client", "connected to one peer"},
		{"shared", network, []sock.Inet{inet(1, "0.0.0.0:50000"), inet(2, "0.0.0.0:50000")}, "server", "several sockets share the port"},
		{"server with connected sockets", network, []sock.Inet{inet(1, "10.1.2.3:53", to("10.1.2.4:53")), inet(2, "10.1.2.3:53")}, "server", "the port is not ephemeral"},
		{"client with connected sockets", network, []sock.Inet{inet(1, "10.1.2.3:50000", to("10.1.2.4:53")), inet(2, "10.1.2.3:50000")}, "unclear", "not connected, on an ephemeral port"},
		{"group", network, []sock.Inet{inet(1, "224.0.0.251:50000")}, "server", "bound to a multicast group"},
		{"unknown range", unknown, []sock.Inet{inet(1, "0.0.0.0:53")}, "unclear", "the range of ephemeral ports is not known"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := one(t, test.n, func(c *endpoint.Collector) {
				for _, s := range test.sockets {
					s.Protocol = sock.ProtoUDP
					c.UDP(&sock.UDP{Inet: s})
				}
			})
			if diff := cmp.Diff([]string{test.role, test.reason}, []string{e.Role.String(), e.Reason}); diff != "" {
				t.Error(diff)
			}
			if len(e.Sockets) != len(test.sockets) || e.Protocol != endpoint.UDP {
				t.Errorf("%d sockets of %s", len(e.Sockets), e.Protocol)
			}
		})
	}
}

func TestRoleOfRaw(t *testing.T) {
	for _, test := range []struct {
		name         string
		s            sock.RawIP
		role, reason string
	}{
		{"OSPF", sock.RawIP{Inet: inet(1, "0.0.0.0:0"), IPProtocol: 89}, "server", "gets every packet of IP protocol 89"},
		{"ICMP", sock.RawIP{Inet: inet(1, "0.0.0.0:0"), IPProtocol: 1}, "unclear", "gets every ICMP packet, as ping and routing daemons do"},
		{"ICMPv6", sock.RawIP{Inet: inet(1, "[::]:0"), IPProtocol: 58}, "unclear", "gets every ICMP packet, as ping and routing daemons do"},
		{"connected", sock.RawIP{Inet: inet(1, "0.0.0.0:0", to("10.1.2.4:0")), IPProtocol: 89}, "client", "connected to one peer"},
		{"IPPROTO_RAW", sock.RawIP{Inet: inet(1, "0.0.0.0:0"), IPProtocol: 255}, "client", "only sends"},
		{"ping", sock.RawIP{Inet: inet(1, "0.0.0.0:0"), IPProtocol: 1, Ping: true, Identifier: 77}, "client", "gets only the answers to its own requests"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := one(t, network, func(c *endpoint.Collector) { c.Raw(&test.s) })
			if diff := cmp.Diff([]string{test.role, test.reason}, []string{e.Role.String(), e.Reason}); diff != "" {
				t.Error(diff)
			}
			if e.Port != uint32(test.s.IPProtocol) {
				t.Errorf("IP protocol %d, want %d", e.Port, test.s.IPProtocol)
			}
		})
	}
}

// shape is what the merging of sockets decides.
type shape struct {
	Key
	IPv4, IPv6, V6Only, KnowsV6Only bool
	Sockets, Subflows               int
	Queue, QueueMax                 uint64
	Full                            bool
}

type Key = endpoint.Key

func TestSocketsOfAnEndpoint(t *testing.T) {
	wild4, wild6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	tcp := func(all ...sock.Inet) func(*endpoint.Collector) {
		return func(c *endpoint.Collector) {
			for _, s := range all {
				c.TCP(&sock.TCP{Inet: s})
			}
		}
	}
	for _, test := range []struct {
		name    string
		collect func(*endpoint.Collector)
		want    []shape
	}{
		{"workers", tcp(inet(1, "0.0.0.0:80", queued(1, 128)), inet(2, "0.0.0.0:80", queued(129, 128)), inet(3, "0.0.0.0:80", queued(0, 128))),
			[]shape{{Key: Key{Protocol: "tcp", Address: wild4, Port: 80}, IPv4: true, Sockets: 3, Queue: 130, QueueMax: 384, Full: true}}},
		{"a queue that is not full", tcp(inet(1, "0.0.0.0:80", queued(128, 128))),
			[]shape{{Key: Key{Protocol: "tcp", Address: wild4, Port: 80}, IPv4: true, Sockets: 1, Queue: 128, QueueMax: 128}}},
		{"dual stack", tcp(inet(1, "[::]:80", v6only(false))),
			[]shape{{Key: Key{Protocol: "tcp", Address: wild6, Port: 80}, IPv4: true, IPv6: true, KnowsV6Only: true, Sockets: 1}}},
		{"two families apart", tcp(inet(1, "[::]:80"), inet(2, "0.0.0.0:80")),
			[]shape{{Key: Key{Protocol: "tcp", Address: wild4, Port: 80}, IPv4: true, Sockets: 1},
				{Key: Key{Protocol: "tcp", Address: wild6, Port: 80}, IPv6: true, V6Only: true, KnowsV6Only: true, Sockets: 1}}},
		{"one of each kind on a port", tcp(inet(1, "[::]:80"), inet(2, "[::]:80", v6only(false))),
			[]shape{{Key: Key{Protocol: "tcp", Address: wild6, Port: 80}, IPv4: true, IPv6: true, KnowsV6Only: true, Sockets: 2}}},
		{"not known whether dual", tcp(inet(1, "[::]:80", func(s *sock.Inet) { s.Known = 0 })),
			[]shape{{Key: Key{Protocol: "tcp", Address: wild6, Port: 80}, IPv4: true, IPv6: true, Sockets: 1}}},
		{"mapped and IPv4", tcp(inet(1, "[::ffff:10.1.2.3]:80"), inet(2, "10.1.2.3:80")),
			[]shape{{Key: Key{Protocol: "tcp", Address: netip.MustParseAddr("10.1.2.3"), Port: 80}, IPv4: true, Sockets: 2}}},
		{"on two interfaces", tcp(inet(1, "0.0.0.0:80", on(3)), inet(2, "0.0.0.0:80", on(4))),
			[]shape{{Key: Key{Protocol: "tcp", Address: wild4, Port: 80, Interface: 3}, IPv4: true, Sockets: 1},
				{Key: Key{Protocol: "tcp", Address: wild4, Port: 80, Interface: 4}, IPv4: true, Sockets: 1}}},
		{"Multipath TCP", func(c *endpoint.Collector) {
			tcp(inet(1, "0.0.0.0:80"))(c)
			c.MPTCP(&sock.MPTCP{Inet: inet(2, "0.0.0.0:80")})
			c.MPTCP(&sock.MPTCP{Inet: inet(3, "0.0.0.0:81")}) // whose own has ended
		}, []shape{{Key: Key{Protocol: "tcp", Address: wild4, Port: 80}, IPv4: true, Sockets: 2, Subflows: 1}}},
		{"addresses of SCTP", func(c *endpoint.Collector) {
			c.SCTP(&sock.SCTP{Inet: inet(1, "10.1.2.3:80"), LocalAddrs: []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.2.4")}})
		}, []shape{{Key: Key{Protocol: "sctp", Address: netip.MustParseAddr("10.1.2.3"), Port: 80}, IPv4: true, Sockets: 1},
			{Key: Key{Protocol: "sctp", Address: netip.MustParseAddr("10.1.2.4"), Port: 80}, IPv4: true, Sockets: 1}}},
		{"UDP-Lite beside UDP", func(c *endpoint.Collector) {
			udp, lite := inet(1, "0.0.0.0:80"), inet(2, "0.0.0.0:80")
			udp.Protocol, lite.Protocol = sock.ProtoUDP, sock.ProtoUDPLite
			c.UDP(&sock.UDP{Inet: udp})
			c.UDP(&sock.UDP{Inet: lite})
		}, []shape{{Key: Key{Protocol: "udp", Address: wild4, Port: 80}, IPv4: true, Sockets: 1},
			{Key: Key{Protocol: "udplite", Address: wild4, Port: 80}, IPv4: true, Sockets: 1}}},
		{"vsock and unix", func(c *endpoint.Collector) {
			c.Vsock(&sock.Vsock{LocalCID: sock.AnyVsock, LocalPort: 1 << 20})
			c.Unix(&sock.Unix{Path: "/run/x", State: sock.UnixListening, KnownUnix: sock.KnowsQueues, RecvQueue: 5, SendQueue: 4})
			c.Unix(&sock.Unix{Path: "@y"})
		}, []shape{{Key: Key{Protocol: "unix", Path: "/run/x"}, Sockets: 1, Queue: 5, QueueMax: 4, Full: true},
			{Key: Key{Protocol: "unix", Path: "@y"}, Sockets: 1},
			{Key: Key{Protocol: "vsock", CID: sock.AnyVsock, Port: 1 << 20}, Sockets: 1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := endpoint.NewCollector(network)
			test.collect(c)
			var got []shape
			ids := make(map[int64]bool)
			for _, e := range c.Endpoints() {
				got = append(got, shape{e.Key, e.IPv4, e.IPv6, e.V6Only, e.KnowsV6Only, len(e.Sockets), e.Subflows, e.Queue, e.QueueMax, e.Full})
				ids[e.ID()] = true
				if e.Namespace != network.Namespace {
					t.Errorf("namespace %d", e.Namespace)
				}
			}
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			if len(ids) != len(got) {
				t.Errorf("%d identities of %d endpoints", len(ids), len(got))
			}
		})
	}
}
