package osquerytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/osquery/osquery-go/gen/osquery"
)

// callTimeout is osquery's --thrift_timeout.
const callTimeout = 300 * time.Second

// Client is a connection to an extension. It is for one goroutine.
type Client struct {
	*osquery.ExtensionClient
	conn *meteredConn
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Dial connects to an extension; osquery does so for each call.
func (m *Manager) Dial(ctx context.Context, uuid UUID) (*Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", m.ExtensionSocket(uuid))
	if err != nil {
		return nil, err
	}
	limit, perSecond := m.faults.reading()
	metered := &meteredConn{Conn: conn, perSecond: perSecond}
	config := &thrift.TConfiguration{SocketTimeout: callTimeout, MaxMessageSize: 1 << 30}
	transport := thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(metered, config), 1<<16)
	protocol := newProtocol(transport, config, limit)
	return &Client{osquery.NewExtensionClient(thrift.NewTStandardClient(protocol, protocol)), metered}, nil
}

// meteredConn counts what is read, and reads no faster than it may.
type meteredConn struct {
	net.Conn
	read      int
	perSecond int // bytes; 0 for any number
}

func (c *meteredConn) Read(p []byte) (int, error) {
	if c.perSecond > 0 {
		const pause = 10 * time.Millisecond
		time.Sleep(pause)
		p = p[:min(len(p), max(1, c.perSecond*int(pause)/int(time.Second)))]
	}
	n, err := c.Conn.Read(p)
	if c.read += n; c.read > maxAnswer {
		return 0, errTooLarge
	}
	return n, err
}

// ping returns nil if the extension answers in any way, and osquery's error if
// its socket is not there.
func (m *Manager) ping(ctx context.Context, uuid UUID) error {
	unavailable := said("Extension socket not available: " + m.ExtensionSocket(uuid))
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // as osquery
	defer cancel()
	client, err := m.Dial(ctx, uuid)
	if err != nil {
		return unavailable
	}
	defer client.Close()
	deadline, _ := ctx.Deadline()
	client.conn.SetDeadline(deadline)
	if _, err := client.Ping(ctx); err != nil {
		return unavailable
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.extensions[uuid]; e != nil {
		e.answered = true
	}
	return nil
}

// callExtension is osquery::callExtension: a ping, then the call on a
// connection of its own. It also returns the bytes of the answer.
func (m *Manager) callExtension(ctx context.Context, uuid UUID, registry, item string, request osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, int, error) {
	if err := m.ping(ctx, uuid); err != nil {
		return nil, 0, err
	}
	client, err := m.Dial(ctx, uuid)
	if err != nil {
		return nil, 0, said("Extension call failed: " + err.Error())
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	response, err := client.Call(ctx, registry, item, request)
	if err != nil {
		return nil, client.conn.read, said("Extension call failed: " + thriftWords(err))
	}
	if response.Status == nil {
		response.Status = &osquery.ExtensionStatus{}
	}
	return response, client.conn.read, nil
}

// thriftWords are those of Thrift in C++ for an error.
func thriftWords(err error) string {
	switch {
	case errors.Is(err, errTooLarge):
		return errTooLarge.Error()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "THRIFT_EAGAIN (timed out)"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "No more data to read."
	}
	return err.Error()
}

// call is RegistryInterface::call, osquery/registry/registry_interface.cpp.
func (m *Manager) call(ctx context.Context, registry, item string, request osquery.ExtensionPluginRequest) (osquery.ExtensionPluginResponse, error) {
	if registry == "table" && m.core[item] != nil {
		return m.core[item].call(ctx, request)
	}
	if registry == "sql" && item == "sql" && request["action"] == "query" {
		answers, err := m.query(ctx, request["query"])
		var rows osquery.ExtensionPluginResponse
		for _, a := range answers {
			rows = append(rows, a.Maps()...)
		}
		return rows, err
	}
	if !slices.Contains(registries, registry) {
		return nil, said("Unknown registry requested: " + registry)
	}
	m.mu.Lock()
	var uuid UUID
	for u, e := range m.extensions {
		if _, ok := e.registry[registry][item]; ok {
			uuid = u
		}
	}
	m.mu.Unlock()
	if uuid == 0 {
		return nil, said("Cannot call registry item: " + item)
	}
	response, _, err := m.callExtension(ctx, uuid, registry, item, request)
	if err != nil {
		return nil, err
	}
	if response.Status.Code != 0 {
		return nil, errors.New(response.Status.Message)
	}
	return response.Response, nil
}

// Call sends a request to the extension that has the table, and returns its
// answer, whatever its status.
func (m *Manager) Call(ctx context.Context, table string, request osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	m.mu.Lock()
	uuid := m.routes[table]
	m.mu.Unlock()
	if uuid == 0 {
		return nil, said("Cannot call registry item: " + table)
	}
	response, _, err := m.callExtension(ctx, uuid, "table", table, request)
	return response, err
}

// Generate asks the extension that has the table for rows, with osquery's JSON
// of constraints and used columns, such as the Context of a [Call].
func (m *Manager) Generate(ctx context.Context, table, queryContext string) ([]map[string]string, error) {
	response, err := m.Call(ctx, table, osquery.ExtensionPluginRequest{"action": "generate", "context": queryContext})
	if err != nil {
		return nil, err
	}
	if response.Status.Code != 0 {
		return nil, fmt.Errorf("status %d: %s", response.Status.Code, response.Status.Message)
	}
	return response.Response, nil
}
