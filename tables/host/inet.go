package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// InetFilter says which IP sockets are wanted. The zero value wants all; a
// source may return more than are.
type InetFilter struct {
	Families []sock.Family // nil means any
	States   sock.StateSet // 0 means any
}

func (f *InetFilter) wantsFamily(family sock.Family) bool {
	return f.Families == nil || slices.Contains(f.Families, family)
}

func (f *InetFilter) wants(s *sock.Inet) bool {
	return f.States == 0 || f.States.Has(s.State)
}

// TCP streams the TCP sockets of the host's network namespace. It needs no
// privilege.
func (h *Host) TCP(ctx context.Context, f InetFilter) iter.Seq2[sock.TCP, error] {
	return func(yield func(sock.TCP, error) bool) {
		for _, list := range []procList{{"tcp", sock.INET, sock.ProtoTCP, true}, {"tcp6", sock.INET6, sock.ProtoTCP, false}} {
			if !f.wantsFamily(list.family) {
				continue
			}
			more := readProcList(ctx, h, list, func(file *os.File) iter.Seq2[sock.TCP, error] {
				return procnet.TCP(file, list.family, procOrder)
			}, func(s sock.TCP, err error) bool {
				return err == nil && !f.wants(&s.Inet) || yield(s, err)
			})
			if !more {
				return
			}
		}
	}
}

// UDP streams the UDP and UDP-Lite sockets of the host's network namespace. It
// needs no privilege.
func (h *Host) UDP(ctx context.Context, f InetFilter) iter.Seq2[sock.UDP, error] {
	return func(yield func(sock.UDP, error) bool) {
		for _, list := range []procList{
			{"udp", sock.INET, sock.ProtoUDP, true}, {"udp6", sock.INET6, sock.ProtoUDP, false},
			{"udplite", sock.INET, sock.ProtoUDPLite, false}, {"udplite6", sock.INET6, sock.ProtoUDPLite, false},
		} {
			if !f.wantsFamily(list.family) {
				continue
			}
			more := readProcList(ctx, h, list, func(file *os.File) iter.Seq2[sock.UDP, error] {
				return procnet.UDP(file, list.family, list.protocol, procOrder)
			}, func(s sock.UDP, err error) bool {
				return err == nil && !f.wants(&s.Inet) || yield(s, err)
			})
			if !more {
				return
			}
		}
	}
}

// procList is a socket list of /proc/net. One that must not be missing exists
// on every kernel with IPv4; the others are missing where the kernel was built
// or started without IPv6 or UDP-Lite, and so has no such sockets.
type procList struct {
	name     string
	family   sock.Family
	protocol sock.Protocol
	must     bool
}

// readProcList hands the sockets of one list to yield and reports whether it
// wants more. It gives up between sockets when the context ends.
func readProcList[T any](ctx context.Context, h *Host, list procList, decode func(*os.File) iter.Seq2[T, error], yield func(T, error) bool) bool {
	var none T
	dir, err := h.netDir()
	if err != nil {
		return yield(none, err)
	}
	path := filepath.Join(dir, list.name)
	file, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			if !list.must {
				return true
			}
			err = fmt.Errorf("%w: is the proc filesystem mounted there?", err)
		}
		yield(none, err)
		return false
	}
	defer file.Close()
	n := 0
	for s, err := range decode(file) {
		if n++; n%256 == 0 && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(none, fmt.Errorf("%s: %w", path, err))
			return false
		}
		if !yield(s, nil) {
			return false
		}
	}
	return true
}
