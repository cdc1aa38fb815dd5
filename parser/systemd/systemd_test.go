package systemd

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

func tcp(address string, port uint32) Listener {
	l := Listener{Type: sock.Stream, Port: port}
	if address != "" {
		l.Address = netip.MustParseAddr(address)
	}
	return l
}

func TestListeners(t *testing.T) {
	const ssh = "[Unit]\nDescription=OpenBSD Secure Shell server socket\n\n[Socket]\nListenStream=22\nAccept=no\n\n[Install]\nWantedBy=sockets.target\n"
	for _, c := range []struct {
		name, instance string
		files          []string
		want           []Listener
	}{
		{"a port", "", []string{ssh}, []Listener{tcp("", 22)}},
		{"a drop-in that adds", "", []string{ssh, "[Socket]\nListenStream=[::]:2222\n"}, []Listener{tcp("", 22), tcp("::", 2222)}},
		{"a drop-in that replaces", "", []string{ssh, "[Socket]\nListenStream=\nListenStream=127.0.0.1:2222\n"}, []Listener{tcp("127.0.0.1", 2222)}},
		{"comments and a line that goes on", "", []string{"# x\n[Socket]\n; y\nListenStream=\\\n  80\n"}, []Listener{tcp("", 80)}},
		{"an interface", "", []string{"[Socket]\nListenStream=[fe80::1]:80%%eth0"}, []Listener{tcp("fe80::1", 80)}},
		{"another section", "", []string{"[Service]\nListenStream=80\n"}, nil},
		{"unix sockets", "", []string{"[Socket]\nListenStream=/run/x y\nListenDatagram=@z\nListenSequentialPacket=%t/q\nListenFIFO=/run/f\nListenNetlink=route 1\n"},
			[]Listener{{Type: sock.Stream, Path: "/run/x y"}, {Type: sock.Datagram, Path: "@z"}, {Type: sock.SeqPacket, Path: "/run/q"}}},
		{"vsock", "", []string{"[Socket]\nListenStream=vsock::22\nListenStream=vsock:3:23\n"}, []Listener{{Type: sock.Stream, Vsock: true, CID: sock.AnyVsock, Port: 22}, {Type: sock.Stream, Vsock: true, CID: 3, Port: 23}}},
		{"a protocol", "", []string{"[Socket]\nListenDatagram=53\nListenStream=/x\nSocketProtocol=udplite\n"}, []Listener{{Type: sock.Datagram, Port: 53, Protocol: "udplite"}, {Type: sock.Stream, Path: "/x"}}},
		{"a template", `a\x2db`, []string{"[Socket]\nListenStream=/run/%i\nListenStream=/run/%I\nListenStream=/run/%%\nListenStream=%h/x\nListenStream=/run/%"}, []Listener{{Type: sock.Stream, Path: `/run/a\x2db`}, {Type: sock.Stream, Path: "/run/a-b"}, {Type: sock.Stream, Path: "/run/%"}}},
		{"what is malformed", "", []string{"[Socket]\nListenStream=65536\nListenStream=0\nListenStream=1.2.3:4\nListenStream=vsock:x:1\nListenStream=vsock:1\nListenStream=localhost:80\nListenStream=81\n"}, []Listener{tcp("", 81)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var files [][]byte
			for _, f := range c.files {
				files = append(files, []byte(f))
			}
			got, err := Listeners(c.instance, files...)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
				t.Errorf("%v, want (-), got (+):\n%s", err, diff)
			}
		})
	}
	if _, err := Listeners("", []byte("[Socket\nListenStream=80")); err == nil {
		t.Error("a section without an end: no error")
	}
}

func FuzzListeners(f *testing.F) {
	f.Add("a", []byte("[Socket]\nListenStream=22\nListenDatagram=[::1]:53%lo\nListenStream=vsock::1\nListenStream=%t/%i\nListenStream=\n"))
	f.Fuzz(func(t *testing.T, instance string, file []byte) {
		all, err := Listeners(instance, file, file)
		for _, l := range all {
			if err != nil || l.Path == "" && !l.Vsock && l.Port > 65535 || l.Path != "" && (l.Port != 0 || l.Vsock) {
				t.Errorf("%+v, %v", l, err)
			}
		}
	})
}
