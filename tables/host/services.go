package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/services"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// Services streams the entries of the services file in its order. Malformed
// lines are skipped, as getservbyname(3) does, and logged.
func (h *Host) Services(ctx context.Context) iter.Seq2[services.Entry, error] {
	return entries(ctx, h, "services", h.services, services.Decode)
}

// Protocols streams the entries of the protocols file in its order. Malformed
// lines are skipped, as getprotobyname(3) does, and logged.
func (h *Host) Protocols(ctx context.Context) iter.Seq2[services.Protocol, error] {
	return entries(ctx, h, "protocols", h.protocols, services.Protocols)
}

// entries streams those of a file that is a list of something.
func entries[T any](ctx context.Context, h *Host, what, path string, decode func(io.Reader, func(*parser.LineError)) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		file, err := regular.Open(path)
		if err != nil {
			yield(none, fmt.Errorf("the list of %s cannot be read: %w", what, err))
			return
		}
		defer file.Close()
		malformed := 0
		skipped := func(e *parser.LineError) {
			malformed++
			h.log.Debug(what+": a malformed line was skipped", "file", path, "error", e)
		}
		n := 0
		for e, err := range decode(file, skipped) {
			if n++; n%256 == 0 && err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(e, fmt.Errorf("%s: %w", path, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if n == 0 && malformed > 0 {
			yield(none, fmt.Errorf("%s is no list of %s: none of its %d lines is understood", path, what, malformed))
		}
	}
}

type servicePort struct {
	port     uint16
	protocol string
}

// ServiceNames maps ports to the services that are registered for them.
type ServiceNames map[servicePort]string

// Name returns the name of the first service with that port and protocol, or
// "", as getservbyport(3) does.
func (n ServiceNames) Name(port uint16, protocol sock.Protocol) string {
	if port == 0 {
		return ""
	}
	return n[servicePort{port, protocol.ServiceName()}]
}

// ProtocolNames maps IP protocols to the names that are registered for them.
type ProtocolNames map[int32]string

// Name returns the first name of the protocol with that number, or "", as
// getprotobynumber(3) does.
func (n ProtocolNames) Name(number uint16) string { return n[int32(number)] }

// cached is what the file with this identity held.
type cached[T any] struct {
	content  T
	info     fs.FileInfo
	readTime time.Time
}

// settled is how long a file must have been left alone before its time of
// modification is taken to tell its versions apart.
const settled = 2 * time.Second

// ServiceNames returns the names of the services file, which is read again
// when it has changed. Where the default file is missing no port has a name.
func (h *Host) ServiceNames(ctx context.Context) (ServiceNames, error) {
	return readCached(h, &h.serviceNames, h.services, h.servicesMissing, func() (ServiceNames, error) {
		names := make(ServiceNames)
		for e, err := range h.Services(ctx) {
			if err != nil {
				return nil, err
			}
			key := servicePort{e.Port, e.Protocol}
			if _, taken := names[key]; !taken {
				names[key] = e.Name
			}
		}
		return names, nil
	})
}

// ProtocolNames returns the names of the protocols file, which is read again
// when it has changed. Where the default file is missing no protocol has a name.
func (h *Host) ProtocolNames(ctx context.Context) (ProtocolNames, error) {
	return readCached(h, &h.protocolNames, h.protocols, h.protocolsMissing, func() (ProtocolNames, error) {
		names := make(ProtocolNames)
		for p, err := range h.Protocols(ctx) {
			if err != nil {
				return nil, err
			}
			if _, taken := names[p.Number]; !taken {
				names[p.Number] = p.Name
			}
		}
		return names, nil
	})
}

// readCached returns what a file holds: as it is cached, if the file is as it was then.
// One that may be missing holds nothing if it is.
func readCached[T any](h *Host, cache *cached[T], path string, mayMiss bool, parse func() (T, error)) (content T, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && mayMiss {
		return content, nil
	}
	h.mu.Lock()
	c := *cache
	h.mu.Unlock()
	if err == nil && c.info != nil && os.SameFile(info, c.info) &&
		info.Size() == c.info.Size() && info.ModTime().Equal(c.info.ModTime()) && c.readTime.Sub(info.ModTime()) > settled {
		return c.content, nil
	}
	now := time.Now()
	if content, err = parse(); err != nil {
		return content, err
	}
	h.mu.Lock()
	*cache = cached[T]{content, info, now}
	h.mu.Unlock()
	return content, nil
}
