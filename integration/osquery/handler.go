package osquery

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/gen/osquery"

	"github.com/osquery-sockets/osquery-sockets/integration/memlimit"
	"github.com/osquery-sockets/osquery-sockets/integration/snapshot"
)

// handler answers osquery's calls; it implements osquery.Extension of
// osquery.thrift.
type handler struct {
	log     hclog.Logger
	plugins map[string]map[string]Plugin // by registry and name
	memory  *memlimit.Limit
	turns   turns
	// shutdown is closed when osquery asks us to end.
	shutdown chan struct{}
	once     sync.Once
}

func newHandler(log hclog.Logger, maxCalls int, plugins []Plugin) *handler {
	h := &handler{log: log, plugins: make(map[string]map[string]Plugin), turns: turns{most: maxCalls}, shutdown: make(chan struct{})}
	memory := snapshot.NewMemory(maxSnapshots)
	for _, p := range plugins {
		if t, ok := p.(*TablePlugin); ok {
			t.bursts.memory = memory
		}
		if h.plugins[p.RegistryName()] == nil {
			h.plugins[p.RegistryName()] = make(map[string]Plugin)
		}
		h.plugins[p.RegistryName()][p.Name()] = p
	}
	return h
}

// processor answers osquery's calls by the handler.
func (h *handler) processor() thrift.TProcessor {
	p := osquery.NewExtensionProcessor(h)
	p.AddToProcessorMap("call", caller{h})
	return p
}

// registry lists the plugins for osquery.
func (h *handler) registry() osquery.ExtensionRegistry {
	registry := make(osquery.ExtensionRegistry)
	for name, plugins := range h.plugins {
		routes := make(osquery.ExtensionRouteTable)
		for _, p := range plugins {
			routes[p.Name()] = p.Routes()
		}
		registry[name] = routes
	}
	return registry
}

// Ping tells osquery that we are well.
func (h *handler) Ping(context.Context) (*osquery.ExtensionStatus, error) {
	return &osquery.ExtensionStatus{Code: 0, Message: "OK"}, nil
}

// Call hands a request to its plugin.
func (h *handler) Call(ctx context.Context, registry, item string, request osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	response, rows := h.call(ctx, registry, item, request)
	if rows != nil {
		response.Response = rows.maps()
	}
	return response, nil
}

// call is Call, with the rows of a table apart.
func (h *handler) call(ctx context.Context, registry, item string, request osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, *answer) {
	start := time.Now()
	response, rows := h.ask(ctx, registry, item, request)
	failed := response.Status.Code != 0
	if failed || h.log.IsDebug() {
		n := len(response.Response)
		if rows != nil {
			n = rows.rows
		}
		log := h.log.With("registry", cut(registry), "item", cut(item), "action", cut(request["action"]), "rows", n, "took", time.Since(start))
		if failed {
			log.Warn("a call failed", "error", cut(response.Status.Message))
		} else {
			log.Debug("answered")
		}
	}
	return response, rows
}

// maxLogged bounds a text in the log, in bytes.
const maxLogged = 1024

// cut returns the begin of a text that others chose.
func cut(s string) string {
	if len(s) <= maxLogged {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:maxLogged], ""), len(s))
}

// ask waits for the call's turn and asks the plugin.
func (h *handler) ask(ctx context.Context, registry, item string, request osquery.ExtensionPluginRequest) (response *osquery.ExtensionResponse, rows *answer) {
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("a plugin panicked", "registry", registry, "item", item, "panic", p, "stack", string(debug.Stack()))
			response, rows = failure("%s %s: panic: %v", registry, item, p), nil
		}
	}()
	p, ok := h.plugins[registry][item]
	if !ok {
		return failure("this extension has no %s %q", registry, item), nil
	}
	t, overListener := ctx.Value(turnKey{}).(*turn)
	if !overListener {
		t = &turn{}
		defer t.end()
	}
	if err := h.turns.take(ctx, t); err != nil {
		return failure("%s %s: %v", registry, item, err), nil
	}
	ctx, unguard := h.memory.Guard(ctx)
	defer unguard()
	var r osquery.ExtensionResponse
	// Exactly this type: one that embeds it may have a Call of its own.
	if t, ok := p.(*TablePlugin); ok {
		r, rows = t.answer(ctx, request)
	} else {
		r = p.Call(ctx, request)
	}
	if r.Status == nil {
		r.Status = &osquery.ExtensionStatus{Code: 1, Message: fmt.Sprintf("%s %s: the plugin gave no status", registry, item)}
	}
	return &r, rows
}

func failure(format string, args ...any) *osquery.ExtensionResponse {
	return &osquery.ExtensionResponse{Status: &osquery.ExtensionStatus{Code: 1, Message: fmt.Sprintf(format, args...)}}
}

// Shutdown ends Serve after this call is answered.
func (h *handler) Shutdown(context.Context) error {
	h.once.Do(func() { close(h.shutdown) })
	return nil
}
