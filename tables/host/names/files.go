package names

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/passwd"
	"github.com/osquery-sockets/osquery-sockets/parser/services"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/regular"
)

// The files of a Linux host.
const (
	DefaultServices  = "/etc/services"
	DefaultProtocols = "/etc/protocols"
	DefaultPasswd    = "/etc/passwd"
)

// Options say which files have the names.
type Options struct {
	// Services is the services(5) file; empty means the default one, which may be
	// missing: no port has a name then.
	Services string
	// Protocols is the protocols(5) file; as for Services.
	Protocols string
	// Passwd is the passwd(5) file; as for Services.
	Passwd string
	// IPRoute are the directories of iproute2's files; nil means DefaultIPRoute.
	IPRoute []string
	// Log gets the malformed lines.
	Log hclog.Logger
}

// Files are the files that have names. Its methods may be called at the same time.
type Files struct {
	services  file[services.Entry, Services]
	protocols file[services.Protocol, Protocols]
	users     file[passwd.User, Users]
	iproute   []string // directories
	log       hclog.Logger
}

// NewFiles returns the files that the options name. It reads nothing yet.
func NewFiles(o Options) *Files {
	f := &Files{iproute: o.IPRoute, log: o.Log}
	if o.IPRoute == nil {
		f.iproute = DefaultIPRoute
	}
	f.services = file[services.Entry, Services]{what: "services", path: o.Services, decode: services.Decode, log: o.Log}
	f.protocols = file[services.Protocol, Protocols]{what: "protocols", path: o.Protocols, decode: services.Protocols, log: o.Log}
	f.users = file[passwd.User, Users]{what: "users", path: o.Passwd, decode: passwd.Decode, log: o.Log}
	if o.Services == "" {
		f.services.path, f.services.optional = DefaultServices, true
	}
	if o.Protocols == "" {
		f.protocols.path, f.protocols.optional = DefaultProtocols, true
	}
	if o.Passwd == "" {
		f.users.path, f.users.optional = DefaultPasswd, true
	}
	return f
}

// Services streams the entries of the services file in its order. Malformed
// lines are skipped, as getservbyname(3) does, and logged.
func (f *Files) Services(ctx context.Context) iter.Seq2[services.Entry, error] {
	return f.services.entries(ctx)
}

// Protocols streams the entries of the protocols file in its order. Malformed
// lines are skipped, as getprotobyname(3) does, and logged.
func (f *Files) Protocols(ctx context.Context) iter.Seq2[services.Protocol, error] {
	return f.protocols.entries(ctx)
}

type servicePort struct {
	port     uint16
	protocol string
}

// Services maps ports to the services that are registered for them.
type Services map[servicePort]string

// Name returns the name of the first service with that port and protocol, or
// "", as getservbyport(3) does.
func (n Services) Name(port uint16, protocol sock.Protocol) string {
	if port == 0 {
		return ""
	}
	return n[servicePort{port, protocol.ServiceName()}]
}

// Protocols maps IP protocols to the names that are registered for them.
type Protocols map[int32]string

// Name returns the first name of the protocol with that number, or "", as
// getprotobynumber(3) does.
func (n Protocols) Name(number uint16) string { return n[int32(number)] }

// Users maps the numbers of users to their names.
type Users map[uint32]string

// Name returns the first name of the user with that number, or "", as getpwuid(3)
// does of the file. It asks neither another database nor the environment: USER may
// name anybody.
func (n Users) Name(uid uint32) string { return n[uid] }

// ServiceNames returns the names of the services file, which is read again
// when it has changed. Where the default file is missing no port has a name.
func (f *Files) ServiceNames(ctx context.Context) (Services, error) {
	return f.services.names(func() (Services, error) {
		names := make(Services)
		for e, err := range f.Services(ctx) {
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
func (f *Files) ProtocolNames(ctx context.Context) (Protocols, error) {
	return f.protocols.names(func() (Protocols, error) {
		names := make(Protocols)
		for p, err := range f.Protocols(ctx) {
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

// Usernames returns the names of the passwd file, which is read again when it has
// changed. Where the default file is missing no user has a name.
func (f *Files) Usernames(ctx context.Context) (Users, error) {
	return f.users.names(func() (Users, error) {
		names := make(Users)
		for u, err := range f.users.entries(ctx) {
			if err != nil {
				return nil, err
			}
			if _, taken := names[u.UID]; !taken {
				names[u.UID] = strings.Clone(u.Name) // and not its line
			}
		}
		return names, nil
	})
}

// file is a list of entries of type E, from which names of type N are made.
type file[E, N any] struct {
	what, path string
	optional   bool // it may be missing
	decode     func(io.Reader, func(*parser.LineError)) iter.Seq2[E, error]
	log        hclog.Logger

	mu    sync.Mutex
	known known[N]
}

// known is what the file with this identity held.
type known[N any] struct {
	names    N
	info     fs.FileInfo
	readTime time.Time
}

// settled is how long a file must have been left alone before its time of
// modification identifies its version.
const settled = 2 * time.Second

// entries streams the file's.
func (f *file[E, N]) entries(ctx context.Context) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		var none E
		opened, err := regular.Open(f.path)
		if err != nil {
			yield(none, fmt.Errorf("the list of %s cannot be read: %w", f.what, err))
			return
		}
		defer opened.Close()
		malformed := 0
		skipped := func(e *parser.LineError) {
			malformed++
			f.log.Debug(f.what+": a malformed line was skipped", "file", f.path, "error", e)
		}
		n := 0
		for e, err := range f.decode(opened, skipped) {
			if n++; n%256 == 0 && err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(e, fmt.Errorf("%s: %w", f.path, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if n == 0 && malformed > 0 {
			yield(none, fmt.Errorf("%s is no list of %s: none of its %d lines is understood", f.path, f.what, malformed))
		}
	}
}

// names returns the file's names: those that are known, if the file is as it was
// when they were read. An optional file that is missing has none.
func (f *file[E, N]) names(read func() (N, error)) (names N, err error) {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) && f.optional {
		return names, nil
	}
	f.mu.Lock()
	k := f.known
	f.mu.Unlock()
	if err == nil && k.info != nil && os.SameFile(info, k.info) &&
		info.Size() == k.info.Size() && info.ModTime().Equal(k.info.ModTime()) && k.readTime.Sub(info.ModTime()) > settled {
		return k.names, nil
	}
	now := time.Now()
	if names, err = read(); err != nil {
		return names, err
	}
	f.mu.Lock()
	f.known = known[N]{names, info, now}
	f.mu.Unlock()
	return names, nil
}
