package osquerytest

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	osquerygo "github.com/osquery/osquery-go"
	"github.com/osquery/osquery-go/gen/osquery"
)

// Served is an extension that runs in the test's own process.
type Served struct {
	// Name that it registered, and the UUID that it got.
	Name string
	UUID UUID

	server *osquerygo.ExtensionManagerServer
	client *managerClient
	ended  chan error
}

// served counts the extensions, each of which needs a name of its own.
var served atomic.Int64

// Serve registers the plugins as one extension, through the server of osquery-go
// and Thrift, and returns when osquery can call them. The extension ends with
// the test.
func Serve(t T, o Osquery, plugins ...osquerygo.OsqueryPlugin) *Served {
	t.Helper()
	s := &Served{Name: fmt.Sprint("served_", served.Add(1)), ended: make(chan error, 1)}
	var err error
	if s.client, err = dialManager(o.Socket()); err != nil {
		t.Fatal(err)
	}
	// With a client of ours the server does not wait 200 ms for the socket.
	s.server, err = osquerygo.NewExtensionManagerServer(s.Name, o.Socket(), osquerygo.WithClient(s.client),
		osquerygo.WithTransportFactory(thrift.NewTBufferedTransportFactory(1<<16)))
	if err != nil {
		t.Fatal(err)
	}
	s.server.RegisterPlugin(plugins...)
	go func() { s.ended <- s.server.Start() }()
	t.Cleanup(s.Stop)
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	go func() {
		err := <-s.ended
		s.ended <- err
		cancel()
	}()
	if s.UUID, err = o.waitFor(ctx, s.Name); err != nil {
		select {
		case err = <-s.ended:
			s.ended <- err
		default:
		}
		t.Fatalf("the extension does not start: %v", err)
	}
	return s
}

// Stop deregisters the extension and ends it.
func (s *Served) Stop() {
	s.server.Shutdown(context.Background())
	s.client.Close()
	// osquery-go's server ends when no connection is open.
	select {
	case err := <-s.ended:
		s.ended <- err
	case <-time.After(waitTimeout):
	}
}

// managerClient is an extension's connection to osquery, as osquery-go wants it.
type managerClient struct {
	thrift *osquery.ExtensionManagerClient
	conn   net.Conn
}

// One call at a time may use the connection, which osquery-go's server sees to.

func (c *managerClient) Close() { c.conn.Close() }
func (c *managerClient) Ping() (*osquery.ExtensionStatus, error) {
	return c.thrift.Ping(context.Background())
}
func (c *managerClient) Call(registry, item string, request osquery.ExtensionPluginRequest) (*osquery.ExtensionResponse, error) {
	return c.thrift.Call(context.Background(), registry, item, request)
}
func (c *managerClient) Extensions() (osquery.InternalExtensionList, error) {
	return c.thrift.Extensions(context.Background())
}
func (c *managerClient) RegisterExtension(info *osquery.InternalExtensionInfo, registry osquery.ExtensionRegistry) (*osquery.ExtensionStatus, error) {
	return c.thrift.RegisterExtension(context.Background(), info, registry)
}
func (c *managerClient) DeregisterExtension(uuid osquery.ExtensionRouteUUID) (*osquery.ExtensionStatus, error) {
	return c.thrift.DeregisterExtension(context.Background(), uuid)
}
func (c *managerClient) Options() (osquery.InternalOptionList, error) {
	return c.thrift.Options(context.Background())
}
func (c *managerClient) Query(sql string) (*osquery.ExtensionResponse, error) {
	return c.thrift.Query(context.Background(), sql)
}
func (c *managerClient) GetQueryColumns(sql string) (*osquery.ExtensionResponse, error) {
	return c.thrift.GetQueryColumns(context.Background(), sql)
}

func dialManager(socket string) (*managerClient, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	config := &thrift.TConfiguration{SocketTimeout: callTimeout, MaxMessageSize: 1 << 30}
	transport := thrift.NewTBufferedTransport(thrift.NewTSocketFromConnConf(conn, config), 1<<16)
	return &managerClient{osquery.NewExtensionManagerClientFactory(transport, thrift.NewTBinaryProtocolFactoryConf(config)), conn}, nil
}
