package osquerytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/osquery/osquery-go/gen/osquery"
)

// Real is an osqueryi that runs for a test: the judge of the manager.
type Real struct {
	t      T
	socket string
	log    bytes.Buffer
	ended  chan struct{}
}

// nullMark is what NULL looks like in the answers of a [Real].
const nullMark = "\x01NULL\x01"

// StartReal starts the osqueryi at this path, with more flags if need be, until
// the end of the test. Tests find the path in the environment variable OSQUERYI
// by convention.
func StartReal(t T, osqueryi string, flags ...string) *Real {
	t.Helper()
	dir, err := os.MkdirTemp("", "osq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &Real{t: t, socket: filepath.Join(dir, "osquery.em"), ended: make(chan struct{})}
	flags = append([]string{
		"--nodisable_extensions", "--extensions_socket", r.socket, "--nullvalue", nullMark, "--disable_database",
		"--config_path", filepath.Join(dir, "none.conf"), "--extensions_autoload", filepath.Join(dir, "none.load"),
	}, flags...)
	cmd := exec.Command(osqueryi, flags...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	cmd.Stdout, cmd.Stderr = &r.log, &r.log
	input, err := cmd.StdinPipe() // at its end osqueryi ends
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		input.Close()
		select {
		case <-r.ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-r.ended
		}
	})
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(10 * time.Millisecond) {
		if c, err := dialManager(r.socket); err == nil {
			c.Close()
			return r
		}
		select {
		case <-r.ended:
			t.Fatalf("%s has ended: %s", osqueryi, &r.log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen within %v", osqueryi, waitTimeout)
		}
	}
}

// Socket returns the path of its socket.
func (r *Real) Socket() string { return r.socket }

// WaitFor waits until the named extension is registered and answers a ping. It
// fails the test after 30 seconds.
func (r *Real) WaitFor(name string) UUID {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	uuid, err := r.waitFor(ctx, name)
	if err != nil {
		r.t.Fatal(err)
	}
	return uuid
}

func (r *Real) waitFor(ctx context.Context, name string) (UUID, error) {
	client, err := dialManager(r.socket)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	for {
		list, err := client.thrift.Extensions(ctx)
		if err != nil {
			return 0, err
		}
		for uuid, e := range list {
			if e.Name == name {
				if c, err := dialManager(fmt.Sprintf("%s.%d", r.socket, uuid)); err == nil {
					c.Close()
					return uuid, nil
				}
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("the extension %s does not register: %w", name, ctx.Err())
		}
	}
}

// Query runs SQL through osquery's Thrift call query. Columns of one name, which
// the call does not tell apart, are an error.
func (r *Real) Query(ctx context.Context, sql string) (*Answer, error) {
	client, err := dialManager(r.socket)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	defer context.AfterFunc(ctx, client.Close)()
	columns, err := rowsOf(client.thrift.GetQueryColumns(ctx, sql))
	if err != nil {
		return nil, err
	}
	rows, err := rowsOf(client.thrift.Query(ctx, sql))
	if err != nil {
		return nil, err
	}
	a := &Answer{}
	seen := make(map[string]bool)
	for _, c := range columns {
		for name := range c {
			if seen[name] {
				return nil, fmt.Errorf("two columns are called %s: name one of them with AS", name)
			}
			seen[name] = true
			a.Columns = append(a.Columns, name)
		}
	}
	for _, row := range rows {
		var cells []Cell
		for _, name := range a.Columns {
			if text := row[name]; text == nullMark {
				cells = append(cells, Cell{Null: true})
			} else {
				cells = append(cells, Cell{Text: text})
			}
		}
		a.Rows = append(a.Rows, cells)
	}
	return a, nil
}

func rowsOf(response *osquery.ExtensionResponse, err error) ([]map[string]string, error) {
	if err != nil {
		return nil, err
	}
	if response.Status.Code != 0 {
		return nil, errors.New(response.Status.Message)
	}
	return response.Response, nil
}
