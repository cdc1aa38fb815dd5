package osquery

import (
	"context"
	"fmt"
	"maps"
	"net"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/hashicorp/go-hclog"
	"github.com/osquery/osquery-go/gen/osquery"
)

// What is written is what the generated code reads, and what Call returns.
func TestAnswersAreThrift(t *testing.T) {
	many := make([]row, 5000) // several times bufferSize
	for i := range many {
		many[i] = row{id: int64(i) << 40, text: fmt.Sprint("text ", i%7), port: uint16(i), big: -int64(i), none: i%2 == 0}
	}
	broken := NewTablePlugin(fixed(row{text: "x"}))
	broken.MaxResponse = 1
	for name, p := range map[string]*TablePlugin{
		"no rows":  NewTablePlugin(fixed()),
		"one row":  NewTablePlugin(fixed(row{id: 1})),
		"many":     NewTablePlugin(fixed(many...)),
		"an error": broken,
	} {
		for _, request := range []osquery.ExtensionPluginRequest{
			{"action": "generate"}, {"action": "generate", "context": `{"colsUsed":[]}`}, {"action": "columns"}, {"action": "insert"},
		} {
			t.Run(name+" "+request["action"]+request["context"], func(t *testing.T) {
				want := p.Call(t.Context(), request)
				wire := thrift.NewTMemoryBuffer()
				protocol := thrift.NewTBinaryProtocolConf(wire, nil)
				if err := (&osquery.ExtensionCallArgs{Registry: "table", Item: "t", Request: request}).Write(t.Context(), protocol); err != nil {
					t.Fatal(err)
				}
				h := newHandler(hclog.NewNullLogger(), 1, []Plugin{p})
				if ok, err := (caller{h}).Process(t.Context(), 7, protocol, protocol); !ok || err != nil {
					t.Fatal(ok, err)
				}
				method, kind, id, err := protocol.ReadMessageBegin(context.Background())
				if method != "call" || kind != thrift.REPLY || id != 7 || err != nil {
					t.Fatal(method, kind, id, err)
				}
				var result osquery.ExtensionCallResult
				if err := result.Read(t.Context(), protocol); err != nil {
					t.Fatal(err)
				}
				got := result.Success
				if wire.Len() != 0 || *got.Status != *want.Status || len(got.Response) != len(want.Response) {
					t.Fatalf("%d bytes are left, got %v and %d rows, want %v and %d", wire.Len(), got.Status, len(got.Response), want.Status, len(want.Response))
				}
				for i := range got.Response {
					if !maps.Equal(got.Response[i], want.Response[i]) {
						t.Fatalf("row %d: got %v, want %v", i, got.Response[i], want.Response[i])
					}
				}
				other, err := h.Call(t.Context(), "table", "t", request)
				if err != nil || len(other.Response) != len(want.Response) || *other.Status != *want.Status {
					t.Errorf("the handler answers %+v %v", other.Status, err)
				}
			})
		}
	}
}

// A request that is cut short is an exception, and ends the connection.
func TestCallThatIsNoCall(t *testing.T) {
	wire := thrift.NewTMemoryBuffer()
	wire.Write([]byte{thrift.STRING, 0, 1, 0, 0})
	protocol := thrift.NewTBinaryProtocolConf(wire, nil)
	if ok, err := (caller{newHandler(hclog.NewNullLogger(), 1, nil)}).Process(t.Context(), 7, protocol, protocol); ok || err == nil {
		t.Error(ok, err)
	}
	if _, kind, _, err := protocol.ReadMessageBegin(t.Context()); kind != thrift.EXCEPTION || err != nil {
		t.Error(kind, err)
	}
}

// Thrift's check whether the client is still there runs beside a call, and may ask
// after the connection has ended and its buffers serve another.
func TestTransportIsAskedLate(t *testing.T) {
	var l listener
	config := &thrift.TConfiguration{}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ended := l.transport(thrift.NewTSocketFromConnConf(ours, config))
	ours.Close()
	l.putBuffers(ended.buffers)
	if next := l.transport(thrift.NewTSocketFromConnConf(theirs, config)); next.socket == ended.socket {
		t.Error("two connections have one socket")
	}
	ended.IsOpen() // must not panic
}
