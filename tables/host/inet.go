package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/parser/sockdiag"
)

// InetFilter says which IP sockets are wanted, and what of them. The zero
// value wants all; a source may return more than are wanted, never less. An
// empty list of ports or addresses is any.
type InetFilter struct {
	Families                []sock.Family   // nil means any
	Protocols               []sock.Protocol // nil means any
	States                  sock.StateSet   // 0 means any
	LocalPorts, RemotePorts []sock.PortRange
	LocalAddrs, RemoteAddrs []netip.Addr
	// Attempts asks for Retransmits and Probes of TCP sockets.
	Attempts bool
	// Drops asks for the Drops of UDP sockets.
	Drops bool
}

// wantsList reports whether a socket of the list can match.
func (f *InetFilter) wantsList(list *inetList) bool {
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

// inetList is a list of sockets that the kernel keeps: a file of /proc/net,
// and the family and protocol of sock_diag. One that must not be missing
// exists on every kernel with IPv4; the others are missing where the kernel
// was built or started without IPv6 or UDP-Lite, and so has no such sockets.
type inetList struct {
	name     string
	family   sock.Family
	protocol sock.Protocol
	module   string // that answers for it in sock_diag
	must     bool
}

var (
	tcpLists = []inetList{
		{"tcp", sock.INET, sock.ProtoTCP, "tcp_diag", true},
		{"tcp6", sock.INET6, sock.ProtoTCP, "tcp_diag", false},
	}
	udpLists = []inetList{
		{"udp", sock.INET, sock.ProtoUDP, "udp_diag", true},
		{"udp6", sock.INET6, sock.ProtoUDP, "udp_diag", false},
		{"udplite", sock.INET, sock.ProtoUDPLite, "udp_diag", false},
		{"udplite6", sock.INET6, sock.ProtoUDPLite, "udp_diag", false},
	}
)

// TCP streams the TCP sockets of the host's network namespace. It needs no
// privilege.
func (h *Host) TCP(ctx context.Context, f InetFilter) iter.Seq2[sock.TCP, error] {
	r := inetReader[sock.TCP]{
		host: h, filter: f,
		inet: func(s *sock.TCP) *sock.Inet { return &s.Inet },
		diag: func(b []byte, _ *inetList, s *sock.TCP) error { return sockdiag.TCP(b, binary.NativeEndian, s) },
		proc: func(file io.Reader, list *inetList) iter.Seq2[sock.TCP, error] {
			return procnet.TCP(file, list.family, binary.NativeEndian)
		},
	}
	if f.Attempts {
		r.attributes |= sockdiag.Info
	}
	return r.sockets(ctx, tcpLists)
}

// UDP streams the UDP and UDP-Lite sockets of the host's network namespace. It
// needs no privilege.
func (h *Host) UDP(ctx context.Context, f InetFilter) iter.Seq2[sock.UDP, error] {
	r := inetReader[sock.UDP]{
		host: h, filter: f,
		inet: func(s *sock.UDP) *sock.Inet { return &s.Inet },
		diag: func(b []byte, list *inetList, s *sock.UDP) error {
			return sockdiag.UDP(b, binary.NativeEndian, list.protocol, s)
		},
		proc: func(file io.Reader, list *inetList) iter.Seq2[sock.UDP, error] {
			return procnet.UDP(file, list.family, list.protocol, binary.NativeEndian)
		},
	}
	if f.Drops {
		r.attributes |= sockdiag.MemInfo
	}
	return r.sockets(ctx, udpLists)
}

// inetReader reads sockets of type T from either source.
type inetReader[T any] struct {
	host       *Host
	filter     InetFilter
	attributes uint8 // what sock_diag is asked for besides
	inet       func(*T) *sock.Inet
	diag       func([]byte, *inetList, *T) error
	proc       func(io.Reader, *inetList) iter.Seq2[T, error]
	handed     [256]int64 // sockets that sock_diag handed over, by family
}

// sockets streams lists, one after the other.
func (r *inetReader[T]) sockets(ctx context.Context, lists []inetList) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var wanted []*inetList
		for i := range lists {
			if r.filter.wantsList(&lists[i]) {
				wanted = append(wanted, &lists[i])
			}
		}
		more, err := true, errRefused
		if len(wanted) == 2 && wanted[0].protocol == sock.ProtoTCP {
			more, err = r.bothFamilies(ctx, wanted, yield)
		}
		if errors.Is(err, errRefused) {
			err = nil
			for i := 0; i < len(wanted) && more && err == nil; i++ {
				more, err = r.list(ctx, wanted[i], yield)
			}
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// list hands the sockets of one list to yield, from sock_diag if that answers
// and else from /proc. It reports whether yield wants more.
func (r *inetReader[T]) list(ctx context.Context, list *inetList, yield func(T, error) bool) (more bool, err error) {
	h := r.host
	use := Usage{Source: SockDiag}
	defer func() { h.note(list.name, use) }()
	if use.Reason = h.whyNotDiag(list); use.Reason == "" {
		more, err := r.askDiag(ctx, list, &use, yield)
		if !errors.Is(err, errRefused) {
			if err != nil {
				err = fmt.Errorf("sock_diag of %s: %w", list.name, err)
			}
			return more, err
		}
		use.Reason = err.Error()
	}
	use.Source = ProcFS
	return r.readProc(ctx, list, &use, yield)
}

// bothFamilies hands over the TCP sockets of two lists from one dump, or fails
// with errRefused.
func (r *inetReader[T]) bothFamilies(ctx context.Context, lists []*inetList, yield func(T, error) bool) (more bool, err error) {
	both := *lists[0]
	both.family = sockdiag.AnyFamily
	if r.host.whyNotDiag(&both) != "" {
		return true, errRefused
	}
	use := Usage{Source: SockDiag}
	more, err = r.askDiag(ctx, &both, &use, yield)
	if errors.Is(err, errRefused) {
		return true, err
	}
	for _, list := range lists {
		use.Sockets = r.handed[list.family]
		r.host.note(list.name, use)
	}
	if err != nil {
		err = fmt.Errorf("sock_diag of tcp and tcp6: %w", err)
	}
	return more, err
}

// maxLookUps bounds the look-ups in place of a dump.
const maxLookUps = 64

func (r *inetReader[T]) askDiag(ctx context.Context, list *inetList, use *Usage, yield func(T, error) bool) (more bool, err error) {
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
		return yield(s, nil), nil
	}
	if local, remote, ok := r.filter.connection(); ok && list.protocol == sock.ProtoTCP {
		request := sockdiag.Request{Family: list.family, Protocol: list.protocol, Attributes: r.attributes, Local: local, Remote: remote}
		if found, more, err := r.lookUp(ctx, request, list, use, take); found || err != nil {
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
	// Sockets that are bound and no more are not in /proc either.
	request.States &^= 1 << sock.Bound
	return r.host.dump(ctx, request, use, take)
}

// lookUp asks for the one connection between two ends. More than one socket
// can be it, if they are bound to different interfaces: the kernel is asked as
// for a packet from each. Nothing found may mean that it looked elsewhere, in
// which case only a dump can tell.
func (r *inetReader[T]) lookUp(ctx context.Context, request sockdiag.Request, list *inetList, use *Usage, take func([]byte) (bool, error)) (found, more bool, err error) {
	interfaces, err := net.Interfaces()
	if err != nil || len(interfaces) > maxLookUps {
		return false, true, nil
	}
	seen := make(map[uint64]bool)
	defer func() { use.Sockets = int64(len(seen)) }()
	for _, number := range append([]net.Interface{{Index: 0}}, interfaces...) {
		request.Interface = uint32(number.Index)
		more, err := r.host.lookUp(ctx, request, use, func(payload []byte) (bool, error) {
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
		})
		if isAny(err, refusals) {
			break // a dump will find out
		}
		if err != nil || !more {
			return true, more, err
		}
	}
	return len(seen) > 0, true, nil
}

// readProc reads the file of a list. It gives up between sockets when the
// context ends.
func (r *inetReader[T]) readProc(ctx context.Context, list *inetList, use *Usage, yield func(T, error) bool) (more bool, err error) {
	dir, err := r.host.netDir()
	if err != nil {
		return false, err
	}
	path := filepath.Join(dir, list.name)
	file, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !list.must {
			r.host.log.Debug("no such list: taken for empty", "file", path)
			return true, nil
		}
		return false, fmt.Errorf("%w: is the proc filesystem mounted, or copied, there?", err)
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	var s T // one for all, as it is handed on by its address
	for next, err := range r.proc(&timedReader{file, &use.Wait}, list) {
		s = next
		if use.Sockets++; use.Sockets%256 == 0 && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", path, err)
		}
		if r.filter.wants(r.inet(&s)) && !yield(s, nil) {
			return false, nil
		}
	}
	return true, nil
}

// timedReader adds up the time that is spent in Read.
type timedReader struct {
	io.Reader
	wait *time.Duration
}

func (r *timedReader) Read(b []byte) (int, error) {
	start := time.Now()
	n, err := r.Reader.Read(b)
	*r.wait += time.Since(start)
	return n, err
}
