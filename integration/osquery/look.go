package osquery

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Core is what an osquery says of itself.
type Core struct {
	Process    int32             // 0 if our PID namespace does not have it
	Version    string            // empty if it does not say
	Extensions map[string]string // the version of each, by its name
}

// Look asks the osquery whose extension socket this is, and registers nothing. It
// trusts the sockets that [Serve] trusts.
func Look(ctx context.Context, socket string, timeout time.Duration) (Core, error) {
	if n := len(socket); n > maxSocketPath {
		return Core{}, fmt.Errorf("socket path %s: %d bytes are too long, the kernel's limit leaves %d for it", socket, n, maxSocketPath)
	}
	if err := trusted(socket); err != nil {
		return Core{}, err
	}
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		return Core{}, err
	}
	process, err := ownPeer(conn)
	if err != nil {
		conn.Close()
		return Core{}, fmt.Errorf("%s: %w", socket, err)
	}
	client := newCoreClient(conn, timeout)
	defer client.Close()
	status, err := client.Ping(ctx)
	if err == nil && status.Code != 0 {
		err = fmt.Errorf("%d: %s", status.Code, status.Message)
	}
	if err != nil {
		return Core{}, fmt.Errorf("the osquery at %s answers no ping within %v: %w", socket, timeout, err)
	}
	extensions, err := client.Extensions(ctx)
	if err != nil {
		return Core{}, fmt.Errorf("the osquery at %s does not list its extensions: %w", socket, err)
	}
	c := Core{Process: process, Extensions: make(map[string]string)}
	for _, e := range extensions {
		c.Extensions[e.Name] = e.Version
	}
	answer, err := client.Query(ctx, "SELECT version FROM osquery_info")
	if err != nil {
		return Core{}, fmt.Errorf("the osquery at %s does not say its version: %w", socket, err)
	}
	if len(answer.Response) == 1 { // it has the table unless it is disabled
		c.Version = answer.Response[0]["version"]
	}
	return c, nil
}
