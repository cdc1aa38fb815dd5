package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"
	"syscall"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
	"github.com/osquery-sockets/osquery-sockets/tables/host/netns"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// InetFilter says which IP sockets are wanted, and what of them. The zero
// value wants all; a source may return more than are wanted, never less. An
// empty list of ports or addresses is any.
type InetFilter struct {
	Namespaces              Namespaces
	Families                []sock.Family   // nil means any
	Protocols               []sock.Protocol // nil means any
	States                  sock.StateSet   // 0 means any
	LocalPorts, RemotePorts []sock.PortRange
	LocalAddrs, RemoteAddrs []netip.Addr
	// Attempts asks for Retransmits, Probes and MD5Peers of TCP sockets.
	Attempts bool
	// ULP asks for the ULP of TCP sockets, with the Details.
	ULP bool
	// Info asks for the Info of MPTCP sockets.
	Info bool
	// Bound asks for TCP sockets that are bound to a port and neither listen nor
	// connect besides, which Linux lists since 6.8 and /proc does not.
	Bound bool
	// Congestion asks for the Congestion of TCP sockets, and Control for the Control
	// of connections.
	Congestion, Control bool
	// Memory asks for the Memory of sockets, and for the Drops of UDP ones.
	Memory bool
	// TypeOfService asks for TOS and TClass.
	TypeOfService bool
	// Details asks for the other Details of TCP sockets, beside Interface, which
	// take a look at each attribute that sock_diag sends.
	Details bool
}

// wantsList reports whether a socket of the list can match.
func (f *InetFilter) wantsList(list *list) bool {
	of := func(addrs []netip.Addr) bool {
		return len(addrs) == 0 || slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Is4() == (list.family == sock.INET) })
	}
	return (f.Families == nil || slices.Contains(f.Families, list.family)) &&
		(f.Protocols == nil || slices.Contains(f.Protocols, list.protocol)) &&
		of(f.LocalAddrs) && of(f.RemoteAddrs)
}

func (f *InetFilter) wants(s *sock.Inet) bool {
	return f.States == 0 || f.States.Has(s.State)
}

var (
	tcpLists = []*list{
		{"tcp", sock.INET, sock.ProtoTCP, "tcp_diag", source.Failing, noInet},
		{"tcp6", sock.INET6, sock.ProtoTCP, "tcp_diag", source.Empty, noInet},
	}
	udpLists = []*list{
		{"udp", sock.INET, sock.ProtoUDP, "udp_diag", source.Failing, noInet},
		{"udp6", sock.INET6, sock.ProtoUDP, "udp_diag", source.Empty, noInet},
		{"udplite", sock.INET, sock.ProtoUDPLite, "udp_diag", source.Empty, noInet},
		{"udplite6", sock.INET6, sock.ProtoUDPLite, "udp_diag", source.Empty, noInet},
	}
)

// noInet asks for IP sockets in no state.
func noInet(l *list) nlconn.Request {
	return &sockdiag.Request{Family: l.family, Protocol: l.protocol}
}

// TCP streams the TCP sockets of network namespaces. It needs no privilege in
// the program's own.
func (h *Host) TCP(ctx context.Context, f InetFilter) iter.Seq2[*sock.TCP, error] {
	var attributes uint8
	if f.Attempts || f.ULP {
		attributes |= sockdiag.Info
	}
	if f.Congestion {
		attributes |= sockdiag.Congestion
	}
	decode := sockdiag.TCPHeader
	if attributes != 0 || f.Memory || f.TypeOfService || f.Details {
		decode = sockdiag.TCP
	}
	return readInet(ctx, h, f, inetKind[sock.TCP]{
		lists: tcpLists, attributes: attributes,
		inet: func(s *sock.TCP) *sock.Inet { return &s.Inet },
		diag: func(b []byte, _ *list, s *sock.TCP) error { return decode(b, binary.NativeEndian, s) },
		proc: func(file io.Reader, l *list) iter.Seq2[sock.TCP, error] {
			return procnet.TCP(file, l.family, binary.NativeEndian)
		},
	})
}

// Connections streams the TCP sockets that have, or make, a connection and are
// not closed on both sides, with what their connections have seen. Only sock_diag
// tells that: from /proc it has no field. See TCP for privileges.
func (h *Host) Connections(ctx context.Context, f InetFilter) iter.Seq2[*sock.Connection, error] {
	if f.States &= connected; f.States == 0 {
		f.States = connected
	}
	attributes := sockdiag.Info
	if f.Congestion {
		attributes |= sockdiag.Congestion
	}
	if f.Control {
		attributes |= sockdiag.Control
	}
	all := readInet(ctx, h, f, inetKind[sock.Connection]{
		lists: tcpLists, attributes: attributes,
		inet: func(s *sock.Connection) *sock.Inet { return &s.Inet },
		diag: func(b []byte, _ *list, s *sock.Connection) error {
			return sockdiag.Connection(b, binary.NativeEndian, s)
		},
		proc: func(file io.Reader, l *list) iter.Seq2[sock.Connection, error] {
			return func(yield func(sock.Connection, error) bool) {
				for s, err := range procnet.TCP(file, l.family, binary.NativeEndian) {
					if !yield(sock.Connection{TCP: s}, err) {
						return
					}
				}
			}
		},
	})
	return func(yield func(*sock.Connection, error) bool) {
		for s, err := range all {
			// The kernel keeps no tcp_info of a connection request, nor of a
			// connection in FIN_WAIT2 that its program has closed: those have the
			// timer of TIME_WAIT.
			if err == nil && (s.Timer == sock.TimerTimeWait || s.State == sock.SynRecv && s.Inode == 0) {
				continue
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// connected are the states in which a socket keeps struct tcp_info of a
// connection. In SYN_RECV it does after both ends began to connect at once; most
// that the kernel lists there are requests, which are no sockets yet and have no
// inode.
const connected sock.StateSet = 1<<sock.Established | 1<<sock.SynSent | 1<<sock.SynRecv | 1<<sock.FinWait1 | 1<<sock.FinWait2 |
	1<<sock.CloseWait | 1<<sock.LastAck | 1<<sock.Closing

// UDP streams the UDP and UDP-Lite sockets of network namespaces. It needs no
// privilege in this process's own.
func (h *Host) UDP(ctx context.Context, f InetFilter) iter.Seq2[*sock.UDP, error] {
	return readInet(ctx, h, f, inetKind[sock.UDP]{
		lists: udpLists,
		inet:  func(s *sock.UDP) *sock.Inet { return &s.Inet },
		diag: func(b []byte, l *list, s *sock.UDP) error {
			return sockdiag.UDP(b, binary.NativeEndian, l.protocol, s)
		},
		proc: func(file io.Reader, l *list) iter.Seq2[sock.UDP, error] {
			return procnet.UDP(file, l.family, l.protocol, binary.NativeEndian)
		},
	})
}

// inetKind is a kind of IP sockets, which are of type T.
type inetKind[T any] struct {
	lists      []*list
	attributes uint8 // what sock_diag is asked for besides
	inet       func(*T) *sock.Inet
	diag       func([]byte, *list, *T) error              // decodes a message of sock_diag
	proc       func(io.Reader, *list) iter.Seq2[T, error] // decodes a file; nil if there is none
}

// readInet streams IP sockets, one list after the other.
func readInet[T any](ctx context.Context, h *Host, f InetFilter, kind inetKind[T]) iter.Seq2[*T, error] {
	if f.Memory {
		kind.attributes |= sockdiag.MemInfo
	}
	if f.TypeOfService {
		kind.attributes |= sockdiag.TypeOfService
	}
	r := inetReader[T]{filter: f, kind: kind}
	r.reader = reader[T]{host: h, uses: h.uses.Query(), diag: r.ask, decode: kind.proc, keep: r.keep}
	var lists []*list
	for _, l := range kind.lists {
		if f.wantsList(l) {
			lists = append(lists, l)
		}
	}
	if len(lists) != 2 || lists[0].protocol != sock.ProtoTCP {
		return r.each(ctx, f.Namespaces, lists)
	}
	return netns.Each(ctx, h.netns, f.Namespaces, func(in *netns.Handle) iter.Seq2[*T, error] { return r.bothFamilies(ctx, in, lists) })
}

// inetReader reads IP sockets of type T from either source.
type inetReader[T any] struct {
	reader[T]
	filter   InetFilter
	kind     inetKind[T]
	received [256]int64 // sockets of sock_diag, by family
}

// keep notes in which namespace a socket is, and reports whether the query may
// want it.
func (r *inetReader[T]) keep(s *T, in *netns.Handle) bool {
	i := r.kind.inet(s)
	i.Namespace = in.Inode
	return r.filter.wants(i)
}

// bothFamilies streams the TCP sockets of two lists, from one dump if sock_diag
// answers.
func (r *inetReader[T]) bothFamilies(ctx context.Context, in *netns.Handle, lists []*list) iter.Seq2[*T, error] {
	both := *lists[0]
	both.family = sockdiag.AnyFamily
	each := func(l *list) iter.Seq2[*T, error] { return r.read(ctx, in, l) }
	if r.host.diagAvailable(&both) != nil {
		return source.Concat(lists, each)
	}
	return func(yield func(*T, error) bool) {
		use := r.uses.Of(lists[0].name)
		use.Source, use.Reason = usage.SockDiag, ""
		refused := false
		defer func() {
			for i := 0; i < len(lists) && !refused; i++ {
				use.Sockets = r.received[lists[i].family]
				r.host.uses.Note(lists[i].name, *use)
			}
		}()
		for s, err := range r.ask(ctx, in, &both, use) {
			if err != nil {
				if refused = errors.Is(err, nlconn.ErrRefused); !refused {
					yield(nil, fmt.Errorf("sock_diag of tcp and tcp6: %w", err))
				}
				break
			}
			if !yield(s, nil) {
				return
			}
		}
		if refused {
			source.Concat(lists, each)(yield)
		}
	}
}

// ask streams the sockets of a list from sock_diag.
func (r *inetReader[T]) ask(ctx context.Context, in *netns.Handle, l *list, use *usage.Usage) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		request := sockdiag.Request{Family: l.family, Protocol: l.protocol, Attributes: r.kind.attributes}
		filter := sockdiag.Filter{
			LocalPorts: r.filter.LocalPorts, RemotePorts: r.filter.RemotePorts,
			LocalAddrs: r.filter.LocalAddrs, RemoteAddrs: r.filter.RemoteAddrs,
		}
		request.States, request.Filter = r.filter.States, filter.Program(binary.NativeEndian)
		if request.States == 0 {
			request.States = sock.AllStates
		}
		if !r.filter.Bound {
			request.States &^= 1 << sock.Bound
		}
		var s T
		for again := true; again; {
			again = false
			for m, err := range r.host.diag.Dump(ctx, in, &request, use) {
				if err == nil {
					err = r.kind.diag(m.Payload, l, &s)
				}
				if err != nil {
					again = request.Filter != nil && errors.Is(err, nlconn.ErrRefused) && errors.Is(err, syscall.EINVAL)
					if !again {
						yield(nil, err)
						return
					}
					request.Filter = nil // it has an operation that this kernel does not know
					break
				}
				r.received[r.kind.inet(&s).Family]++
				if r.keep(&s, in) && !yield(&s, nil) {
					return
				}
			}
		}
	}
}
