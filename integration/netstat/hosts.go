package netstat

import (
	"context"
	"net"
	"strings"
	"time"
)

// Hosts resolves addresses to the names of their hosts, by the hosts file and
// DNS, each once. It is for one goroutine.
type Hosts struct {
	ctx      context.Context
	deadline time.Time
	names    map[string]string
	lookUp   func(ctx context.Context, address string) ([]string, error)
}

const (
	// perAddress is how long one name is waited for, and allAddresses how long
	// all of them are. Addresses without a name by then are shown as numbers.
	perAddress   = 2 * time.Second
	allAddresses = 10 * time.Second
)

// NewHosts returns an empty memory of names. The time for all of them begins with
// the first one asked for.
func NewHosts(ctx context.Context) *Hosts {
	return &Hosts{ctx: ctx, names: make(map[string]string), lookUp: net.DefaultResolver.LookupAddr}
}

// Name returns the name of the host with that address; "" if it has none, or none
// in time.
func (h *Hosts) Name(address string) string {
	name, ok := h.names[address]
	if ok {
		return name
	}
	now := time.Now()
	if h.deadline.IsZero() {
		h.deadline = now.Add(allAddresses)
	}
	if now.Before(h.deadline) {
		ctx, cancel := context.WithTimeout(h.ctx, min(perAddress, h.deadline.Sub(now)))
		if names, err := h.lookUp(ctx, address); err == nil && len(names) > 0 {
			name = strings.TrimSuffix(names[0], ".")
		}
		cancel()
	}
	h.names[address] = name
	return name
}

// Late reports whether names were left out because the time for them was over.
func (h *Hosts) Late() bool { return !h.deadline.IsZero() && !time.Now().Before(h.deadline) }
