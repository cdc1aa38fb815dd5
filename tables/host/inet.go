package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
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
	// Attempts asks for Retransmits and Probes of TCP sockets.
	Attempts bool
	// Info asks for the Info of MPTCP sockets.
	Info bool
	// Bound asks for TCP sockets that are bound to a port and neither listen nor
	// connect besides, which Linux lists since 6.8 and /proc does not.
	Bound bool
	// Congestion asks for the Congestion of TCP sockets.
	Congestion bool
	// Memory asks for the Memory of sockets, and for the Drops of UDP ones.
	Memory bool
	// TypeOfService asks for TOS and TClass.
	TypeOfService bool
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

// connection returns the ends that the filter names if only the connection
// between them can match.
func (f *InetFilter) connection() (local, remote netip.AddrPort, ok bool) {
	one := func(addrs []netip.Addr, ports []sock.PortRange) (end netip.AddrPort, ok bool) {
		if len(addrs) != 1 || len(ports) != 1 || ports[0].Low != ports[0].High || ports[0].Low == 0 {
			return end, false
		}
		return netip.AddrPortFrom(addrs[0], ports[0].Low), true
	}
	local, okLocal := one(f.LocalAddrs, f.LocalPorts)
	remote, okRemote := one(f.RemoteAddrs, f.RemotePorts)
	return local, remote, okLocal && okRemote && local.Addr().Is4() == remote.Addr().Is4()
}

var (
	tcpLists = []list{
		{"tcp", sock.INET, sock.ProtoTCP, "tcp_diag", true, noInet},
		{"tcp6", sock.INET6, sock.ProtoTCP, "tcp_diag", false, noInet},
	}
	udpLists = []list{
		{"udp", sock.INET, sock.ProtoUDP, "udp_diag", true, noInet},
		{"udp6", sock.INET6, sock.ProtoUDP, "udp_diag", false, noInet},
		{"udplite", sock.INET, sock.ProtoUDPLite, "udp_diag", false, noInet},
		{"udplite6", sock.INET6, sock.ProtoUDPLite, "udp_diag", false, noInet},
	}
)

// noInet asks for IP sockets in no state.
func noInet(l *list) request {
	return &sockdiag.Request{Family: l.family, Protocol: l.protocol}
}

// TCP streams the TCP sockets of network namespaces. It needs no privilege in
// the program's own.
func (h *Host) TCP(ctx context.Context, f InetFilter) iter.Seq2[sock.TCP, error] {
	var attributes uint8
	if f.Attempts {
		attributes |= sockdiag.Info
	}
	if f.Congestion {
		attributes |= sockdiag.Congestion
	}
	return readInet(ctx, h, f, tcpLists, attributes,
		func(s *sock.TCP) *sock.Inet { return &s.Inet },
		func(b []byte, _ *list, s *sock.TCP) error { return sockdiag.TCP(b, binary.NativeEndian, s) },
		func(file io.Reader, l *list) iter.Seq2[sock.TCP, error] {
			return procnet.TCP(file, l.family, binary.NativeEndian)
		})
}

// Connections streams the TCP sockets that have, or make, a connection and are
// not closed on both sides, with what their connections have seen. Only sock_diag
// tells that: from /proc it has no field. See TCP for privileges.
func (h *Host) Connections(ctx context.Context, f InetFilter) iter.Seq2[sock.Connection, error] {
	if f.States &= connected; f.States == 0 {
		f.States = connected
	}
	all := readInet(ctx, h, f, tcpLists, sockdiag.Info|sockdiag.Congestion|sockdiag.Control,
		func(s *sock.Connection) *sock.Inet { return &s.Inet },
		func(b []byte, _ *list, s *sock.Connection) error {
			return sockdiag.Connection(b, binary.NativeEndian, s)
		},
		func(file io.Reader, l *list) iter.Seq2[sock.Connection, error] {
			return func(yield func(sock.Connection, error) bool) {
				for s, err := range procnet.TCP(file, l.family, binary.NativeEndian) {
					if !yield(sock.Connection{TCP: s}, err) {
						return
					}
				}
			}
		})
	return func(yield func(sock.Connection, error) bool) {
		for s, err := range all {
			// Of one that its program has closed in FIN_WAIT2 the kernel keeps
			// as little as of TIME_WAIT.
			if err == nil && s.Timer == sock.TimerTimeWait {
				continue
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// connected are the states in which a socket keeps struct tcp_info of a
// connection.
const connected sock.StateSet = 1<<sock.Established | 1<<sock.SynSent | 1<<sock.FinWait1 | 1<<sock.FinWait2 |
	1<<sock.CloseWait | 1<<sock.LastAck | 1<<sock.Closing

// UDP streams the UDP and UDP-Lite sockets of network namespaces. It needs no
// privilege in this process's own.
func (h *Host) UDP(ctx context.Context, f InetFilter) iter.Seq2[sock.UDP, error] {
	return readInet(ctx, h, f, udpLists, 0,
		func(s *sock.UDP) *sock.Inet { return &s.Inet },
		func(b []byte, l *list, s *sock.UDP) error {
			return sockdiag.UDP(b, binary.NativeEndian, l.protocol, s)
		},
		func(file io.Reader, l *list) iter.Seq2[sock.UDP, error] {
			return procnet.UDP(file, l.family, l.protocol, binary.NativeEndian)
		})
}

// readInet streams the IP sockets of lists, one after the other.
func readInet[T any](ctx context.Context, h *Host, f InetFilter, lists []list, attributes uint8,
	inet func(*T) *sock.Inet, diag func([]byte, *list, *T) error, proc func(io.Reader, *list) iter.Seq2[T, error]) iter.Seq2[T, error] {
	if f.Memory {
		attributes |= sockdiag.MemInfo
	}
	if f.TypeOfService {
		attributes |= sockdiag.TypeOfService
	}
	r := inetReader[T]{filter: f, attributes: attributes, inet: inet, diag: diag}
	r.reader = reader[T]{
		host: h, ask: r.askDiag, proc: proc,
		wants: func(s *T) bool { return f.wants(inet(s)) },
		mark:  func(s *T, namespace uint32) { inet(s).Namespace = namespace },
	}
	some := wanted(lists, f.wantsList)
	return func(yield func(T, error) bool) {
		inEach(ctx, h, f.Namespaces, yield, func(p *place, yield func(T, error) bool) (more bool, err error) {
			more, err = true, errRefused
			if len(some) == 2 && some[0].protocol == sock.ProtoTCP {
				more, err = r.bothFamilies(ctx, p, some, yield)
			}
			if errors.Is(err, errRefused) {
				err = nil
				for i := 0; i < len(some) && more && err == nil; i++ {
					more, err = r.read(ctx, p, some[i], yield)
				}
			}
			return more, err
		})
	}
}

// inetReader reads IP sockets of type T from either source.
type inetReader[T any] struct {
	reader[T]
	filter     InetFilter
	attributes uint8 // what sock_diag is asked for besides
	inet       func(*T) *sock.Inet
	diag       func([]byte, *list, *T) error
	handed     [256]int64 // sockets that sock_diag handed over, by family
}

// bothFamilies hands over the TCP sockets of two lists from one dump, or fails
// with errRefused.
func (r *inetReader[T]) bothFamilies(ctx context.Context, p *place, lists []*list, yield func(T, error) bool) (more bool, err error) {
	both := *lists[0]
	both.family = sockdiag.AnyFamily
	if r.host.whyNotDiag(&both) != "" {
		return true, errRefused
	}
	use := r.use(lists[0])
	use.Source = usage.SockDiag
	more, err = r.askDiag(ctx, p, &both, use, yield)
	if errors.Is(err, errRefused) {
		return true, err
	}
	for _, list := range lists {
		use.Sockets = r.handed[list.family]
		r.host.uses.Note(list.name, *use)
	}
	if err != nil {
		err = fmt.Errorf("sock_diag of tcp and tcp6: %w", err)
	}
	return more, err
}

// maxLookUps bounds the look-ups in place of a dump.
const maxLookUps = 64

func (r *inetReader[T]) askDiag(ctx context.Context, p *place, list *list, use *usage.Usage, yield func(T, error) bool) (more bool, err error) {
	var s T
	take := func(payload []byte) (bool, error) {
		if err := r.diag(payload, list, &s); err != nil {
			return false, err
		}
		i := r.inet(&s)
		r.handed[i.Family]++
		if !r.filter.wants(i) {
			return true, nil
		}
		i.Namespace = p.inode
		return yield(s, nil), nil
	}
	if local, remote, ok := r.filter.connection(); ok && p.own && list.protocol == sock.ProtoTCP {
		request := sockdiag.Request{Family: list.family, Protocol: list.protocol, Attributes: r.attributes, Local: local, Remote: remote}
		if found, more, err := r.lookUp(ctx, p, request, list, use, take); found || err != nil {
			return more, err
		}
	}
	filter := sockdiag.Filter{
		LocalPorts: r.filter.LocalPorts, RemotePorts: r.filter.RemotePorts,
		LocalAddrs: r.filter.LocalAddrs, RemoteAddrs: r.filter.RemoteAddrs,
	}
	request := sockdiag.Request{
		Family: list.family, Protocol: list.protocol, Attributes: r.attributes,
		States: r.filter.States, Filter: filter.Program(binary.NativeEndian),
	}
	if request.States == 0 {
		request.States = sock.AllStates
	}
	if !r.filter.Bound {
		request.States &^= 1 << sock.Bound
	}
	more, err = r.host.dump(ctx, p, &request, use, take)
	if errors.Is(err, errRefused) && errors.Is(err, syscall.EINVAL) && request.Filter != nil {
		request.Filter = nil // it has an operation that this kernel does not know
		more, err = r.host.dump(ctx, p, &request, use, take)
	}
	return more, err
}

// lookUp asks for the one connection between two ends. More than one socket
// can be it, if they are bound to different interfaces: the kernel is asked as
// for a packet from each. Nothing found may mean that it looked elsewhere, in
// which case only a dump can tell.
func (r *inetReader[T]) lookUp(ctx context.Context, p *place, request sockdiag.Request, list *list, use *usage.Usage, take func([]byte) (bool, error)) (found, more bool, err error) {
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) > maxLookUps {
		return false, true, nil
	}
	seen := make(map[uint64]bool)
	defer func() { use.Sockets = int64(len(seen)) }()
	for _, number := range append([]net.Interface{{Index: 0}}, interfaces...) {
		request.Interface = uint32(number.Index)
		c := conversation{host: r.host, place: p, protocol: netlinkSockDiag, single: true, use: use, take: func(payload []byte) (bool, error) {
			var s T
			if err := r.diag(payload, list, &s); err != nil {
				return false, err
			}
			// Without such a connection the kernel shows who would take it.
			i := r.inet(&s)
			if i.Local != request.Local || i.Remote != request.Remote || seen[i.Cookie] {
				return true, nil
			}
			seen[i.Cookie] = true
			return take(payload)
		}}
		more, err := c.run(ctx, &request)
		if errors.Is(err, syscall.ENOENT) {
			continue // it need not be there
		}
		if isAny(err, refusals) && len(seen) == 0 {
			break // a dump will find out
		}
		if err != nil || !more {
			return true, more, err
		}
	}
	return len(seen) > 0, true, nil
}
