package host

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/proc"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/endpoint"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/process"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// EndpointFilter says which endpoints are wanted, and what of them. The zero value
// wants those of the whole host, without unix sockets.
type EndpointFilter struct {
	// In narrows the network namespaces to these inode numbers, as text; nil means
	// any.
	In        []string
	Protocols []endpoint.Protocol // nil means any
	Ports     []sock.PortRange    // none means any
	// Unix asks for unix sockets too.
	Unix bool
}

func (f *EndpointFilter) wants(protocols ...endpoint.Protocol) bool {
	return f.Protocols == nil || slices.ContainsFunc(protocols, func(p endpoint.Protocol) bool { return slices.Contains(f.Protocols, p) })
}

// Endpoints streams what the sockets of the whole host take from outside their
// processes: in each network namespace that may be entered, and in the program's
// own without privilege.
func (h *Host) Endpoints(ctx context.Context, f EndpointFilter) iter.Seq2[endpoint.Endpoint, error] {
	return netns.Each(ctx, h.netns, Namespaces{All: true, In: f.In}, func(in *netns.Handle) iter.Seq2[endpoint.Endpoint, error] {
		return func(yield func(endpoint.Endpoint, error) bool) {
			c := endpoint.NewCollector(h.network(ctx, in))
			if err := h.collect(ctx, f, in, c); err != nil {
				yield(endpoint.Endpoint{}, err)
				return
			}
			for _, e := range c.Endpoints() {
				if !yield(e, nil) {
					return
				}
			}
		}
	})
}

// endpointList is the name of what is missing of endpoints in a [usage.Log].
const endpointList = "endpoints"

// collect gives a collector the sockets of a namespace. A list that cannot be read
// is noted, unless that concerns more than this list.
func (h *Host) collect(ctx context.Context, f EndpointFilter, handle *netns.Handle, c *endpoint.Collector) error {
	in := handle.Only()
	wanted, failed := 0, []error(nil)
	multipath := false // whether Multipath TCP may listen
	listeners := InetFilter{Namespaces: in, States: 1 << sock.Listen, LocalPorts: f.Ports, Details: true, ULP: true}
	datagrams := InetFilter{Namespaces: in, LocalPorts: f.Ports}
	if f.Protocols != nil {
		for p, number := range map[endpoint.Protocol]sock.Protocol{endpoint.UDP: sock.ProtoUDP, endpoint.UDPLite: sock.ProtoUDPLite} {
			if f.wants(p) {
				datagrams.Protocols = append(datagrams.Protocols, number)
			}
		}
	}
	for _, list := range []struct {
		wanted bool
		read   func() error
		// only says that only sock_diag has the list: where it does not answer,
		// something may be missing.
		only bool
	}{
		{f.wants(endpoint.TCP), func() error {
			subflow := false
			err := each(h.TCP(ctx, listeners), func(s *sock.TCP) {
				fromDiag := s.Known&sock.KnowsInterface != 0
				subflow = subflow || s.ULP == "mptcp" || !fromDiag
				c.TCP(s)
			})
			multipath = subflow || err != nil
			return err
		}, false},
		// The kernel walks all of its connections for this list: 2 ms for each
		// namespace, whose listeners mostly have no subflow.
		{f.wants(endpoint.TCP), func() error {
			if !multipath {
				return nil
			}
			return each(h.MPTCP(ctx, listeners), c.MPTCP)
		}, true},
		{f.wants(endpoint.UDP, endpoint.UDPLite), func() error {
			return each(h.UDP(ctx, datagrams), func(s *sock.UDP) {
				if s.Local.Port() != 0 {
					c.UDP(s)
				}
			})
		}, false},
		{f.wants(endpoint.Raw, endpoint.ICMP), func() error { return each(h.Raw(ctx, in), c.Raw) }, false},
		{f.wants(endpoint.SCTP), func() error {
			return each(h.SCTP(ctx, SCTPFilter{Namespaces: in}), func(s *sock.SCTP) {
				if !s.IsAssociation && s.State == sock.Listen {
					c.SCTP(s)
				}
			})
		}, false},
		{f.wants(endpoint.Vsock), func() error {
			return each(h.Vsock(ctx, VsockFilter{Namespaces: in, States: 1 << sock.Listen}), c.Vsock)
		}, true},
		{f.Unix && f.wants(endpoint.Unix), func() error {
			return each(h.Unix(ctx, UnixFilter{Namespaces: in, Path: true, Queues: true, Peer: true}), func(s *sock.Unix) {
				if s.State == sock.UnixListening || s.Type == sock.Datagram && s.Path != "" && s.Peer == 0 {
					c.Unix(s)
				}
			})
		}, false},
	} {
		if !list.wanted {
			continue
		}
		wanted++
		err := list.read()
		switch {
		case err == nil:
		case netns.Gone(err), process.BlameFor(err) == process.Ours, handle.Own && !list.only:
			return err
		default:
			failed = append(failed, err)
		}
	}
	if len(failed) == wanted {
		return errors.Join(failed...) // the namespace cannot be read at all
	}
	for _, err := range failed {
		h.uses.Note(endpointList, usage.Usage{Lack: usage.Lack{Why: err.Error()}})
	}
	return nil
}

// each calls take with each socket, up to the first error.
func each[T any](sockets iter.Seq2[*T, error], take func(*T)) error {
	for s, err := range sockets {
		if err != nil {
			return err
		}
		take(s)
	}
	return nil
}

// network returns what the sockets of a namespace are judged by. What of it cannot
// be read is not known.
func (h *Host) network(ctx context.Context, in *netns.Handle) endpoint.Network {
	n := endpoint.Network{Namespace: in.Inode, KnowsAddresses: true}
	for a, err := range h.Addresses(ctx, in.Only()) {
		if err != nil {
			n.KnowsAddresses, n.Addresses = false, nil
			break
		}
		n.Addresses = append(n.Addresses, endpoint.Address{Addr: a.Prefix.Addr(), Interface: a.Interface})
	}
	if h.local() != nil {
		return n // its sysctls would be those of the reader's namespace
	}
	in.Do(func() {
		sysctl := filepath.Join(h.proc, "sys", "net", "ipv4")
		if text, err := os.ReadFile(filepath.Join(sysctl, "ip_local_port_range")); err == nil {
			n.Ephemeral, _ = proc.ParsePortRange(text)
		}
		if text, err := os.ReadFile(filepath.Join(sysctl, "ip_local_reserved_ports")); err == nil {
			n.Reserved, _ = proc.ParsePorts(text)
		}
	})
	return n
}
