package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/services"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Services streams the entries of the services file in its order. Malformed
// lines are skipped, as getservbyname(3) does, and logged.
func (h *Host) Services(ctx context.Context) iter.Seq2[services.Entry, error] {
	return func(yield func(services.Entry, error) bool) {
		file, err := open(h.services)
		if err != nil {
			yield(services.Entry{}, fmt.Errorf("the list of services cannot be read: %w", err))
			return
		}
		defer file.Close()
		malformed := 0
		skipped := func(e *parser.LineError) {
			malformed++
			h.log.Debug("services: a malformed line was skipped", "file", h.services, "error", e)
		}
		n := 0
		for e, err := range services.Decode(file, skipped) {
			if n++; n%256 == 0 && err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(e, fmt.Errorf("%s: %w", h.services, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if n == 0 && malformed > 0 {
			yield(services.Entry{}, fmt.Errorf("%s is no list of services: none of its %d lines is understood", h.services, malformed))
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

// cachedServiceNames is what the file with this identity held.
type cachedServiceNames struct {
	names    ServiceNames
	info     fs.FileInfo
	readTime time.Time
}

// settled is how long a file must have been left alone before its time of
// modification is taken to tell its versions apart.
const settled = 2 * time.Second

// ServiceNames returns the names of the services file, which is read again
// when it has changed. Where the default file is missing no port has a name.
func (h *Host) ServiceNames(ctx context.Context) (ServiceNames, error) {
	info, err := os.Stat(h.services)
	if errors.Is(err, fs.ErrNotExist) && h.servicesMissing {
		return nil, nil
	}
	h.mu.Lock()
	c := h.serviceNames
	h.mu.Unlock()
	if err == nil && c.info != nil && os.SameFile(info, c.info) &&
		info.Size() == c.info.Size() && info.ModTime().Equal(c.info.ModTime()) && c.readTime.Sub(info.ModTime()) > settled {
		return c.names, nil
	}
	names := make(ServiceNames)
	now := time.Now()
	for e, err := range h.Services(ctx) {
		if err != nil {
			return nil, err
		}
		key := servicePort{e.Port, e.Protocol}
		if _, taken := names[key]; !taken {
			names[key] = e.Name
		}
	}
	h.mu.Lock()
	h.serviceNames = cachedServiceNames{names, info, now}
	h.mu.Unlock()
	return names, nil
}
