package osquerytest

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"
)

// MaxMessage is Thrift's limit for a message that osquery reads, in bytes.
//
// Thrift in C++ counts the texts of an answer, the names of the cells and the
// cells, and of these only what lies whole in its read buffer of 512 bytes: most
// short texts, and no long one. An answer of long texts may so be larger.
const MaxMessage = 100 << 20

// maxAnswer bounds what the manager reads, whatever Thrift would count.
const maxAnswer = 1 << 30

// readBuffer is the size of Thrift's buffer in osquery, in bytes.
const readBuffer = 512

// errTooLarge has the words of Thrift in C++. An exception of Thrift is not lost
// in what Thrift in Go wraps around it.
var errTooLarge error = thrift.NewTTransportException(thrift.END_OF_FILE, "MaxMessageSize reached")

// countedTransport knows at which byte of the message its reader is.
type countedTransport struct {
	thrift.TTransport
	read int
}

func (t *countedTransport) Read(p []byte) (int, error) {
	n, err := t.TTransport.Read(p)
	t.read += n
	return n, err
}

// limitedProtocol fails where Thrift in C++ does.
type limitedProtocol struct {
	thrift.TProtocol
	transport *countedTransport
	remaining int
}

// newProtocol reads answers of at most limit bytes, as Thrift counts them.
func newProtocol(transport thrift.TTransport, config *thrift.TConfiguration, limit int) thrift.TProtocol {
	counted := &countedTransport{TTransport: transport}
	return &limitedProtocol{thrift.NewTBinaryProtocolConf(counted, config), counted, limit}
}

// ReadString is TBinaryProtocol::readStringBody and what it calls.
func (p *limitedProtocol) ReadString(ctx context.Context) (string, error) {
	s, err := p.TProtocol.ReadString(ctx)
	if err != nil || s == "" {
		return s, err
	}
	start := p.transport.read - len(s)
	buffered := start%readBuffer != 0 && start/readBuffer == (p.transport.read-1)/readBuffer
	if len(s) > p.remaining {
		return "", errTooLarge
	}
	if buffered {
		p.remaining -= len(s)
	}
	return s, nil
}
