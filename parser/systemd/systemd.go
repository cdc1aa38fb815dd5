// Package systemd decodes systemd's socket units, systemd.socket(5): what they listen
// on.
package systemd

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Listener is an address that a socket unit listens on: of IP, vsock or a unix
// socket.
type Listener struct {
	Type sock.Type // Stream, Datagram or SeqPacket
	// Protocol is that of SocketProtocol=: udplite, sctp or mptcp; "" if the type
	// says it.
	Protocol string
	// Address is that of IP, without a zone. It is invalid if the unit gives a port
	// alone, which is any address of both versions, and for others.
	Address netip.Addr
	Port    uint32 // of IP and vsock, else 0
	Vsock   bool
	CID     uint32 // of vsock, sock.AnyVsock for any
	Path    string // of a unix socket: a path, or @ and an abstract name
}

// types are the settings that name an address; others name no socket, or one of
// another family.
var types = map[string]sock.Type{"ListenStream": sock.Stream, "ListenDatagram": sock.Datagram, "ListenSequentialPacket": sock.SeqPacket}

// Listeners returns what a socket unit listens on, from its file and its drop-ins in
// their order. Of a template, instance is what is behind the @. An address with a
// specifier other than %i, %I, %t and %% is left out, as is one that is malformed;
// systemd leaves that out too.
func Listeners(instance string, files ...[]byte) (all []Listener, err error) {
	var protocol string
	for _, file := range files {
		options, err := unit.DeserializeOptions(bytes.NewReader(file))
		if err != nil {
			return nil, err
		}
		for _, o := range options {
			t, names := types[o.Name]
			value := strings.TrimSpace(strings.ReplaceAll(o.Value, "\\\n", " ")) // lines that go on
			switch {
			case o.Section != "Socket":
			case o.Name == "SocketProtocol":
				protocol = value
			case !names:
			case value == "":
				all = nil // begins the list of all types anew
			default:
				if l, ok := listener(t, expand(value, instance)); ok {
					all = append(all, l)
				}
			}
		}
	}
	for i := range all {
		if all[i].Path == "" && !all[i].Vsock {
			all[i].Protocol = protocol
		}
	}
	return all, nil
}

// expand replaces the specifiers of a setting; "" if it has one that depends on more
// than the unit's name.
func expand(text, instance string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i++; i == len(text) {
			return ""
		}
		switch text[i] {
		case '%':
			b.WriteByte('%')
		case 'i':
			b.WriteString(instance)
		case 'I':
			b.WriteString(unit.UnitNameUnescape(instance))
		case 't':
			b.WriteString("/run")
		default:
			return ""
		}
	}
	return b.String()
}

func listener(t sock.Type, address string) (l Listener, ok bool) {
	l.Type = t
	if strings.HasPrefix(address, "/") || strings.HasPrefix(address, "@") {
		l.Path = address
		return l, true
	}
	if port, err := strconv.ParseUint(address, 10, 16); err == nil {
		l.Port = uint32(port)
		return l, port != 0
	}
	if rest, ok := strings.CutPrefix(address, "vsock:"); ok {
		cid, port, _ := strings.Cut(rest, ":")
		l.Vsock, l.CID = true, sock.AnyVsock
		if cid != "" {
			n, err := strconv.ParseUint(cid, 10, 32)
			if err != nil {
				return Listener{}, false
			}
			l.CID = uint32(n)
		}
		n, err := strconv.ParseUint(port, 10, 32)
		l.Port = uint32(n)
		return l, err == nil
	}
	// An interface may stand behind the brackets.
	address, _, _ = strings.Cut(address, "%")
	end, err := netip.ParseAddrPort(address)
	l.Address, l.Port = end.Addr(), uint32(end.Port())
	return l, err == nil
}
