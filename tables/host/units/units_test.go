package units

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// tree makes a root directory with these files; a text that begins with -> is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if len(text) > 2 && text[:2] == "->" {
			err = os.Symlink(text[2:], path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func at(protocol, address string) Address {
	if protocol == "unix" {
		return Address{Protocol: protocol, Path: address}
	}
	end := netip.MustParseAddrPort(address)
	return Address{Protocol: protocol, IP: end.Addr(), Port: uint32(end.Port())}
}

func TestAt(t *testing.T) {
	const etc, usr = "etc/systemd/system/", "usr/lib/systemd/system/"
	u := New(tree(t, map[string]string{
		usr + "ssh.socket":             "[Socket]\nListenStream=22\n",
		etc + "ssh.socket.d/port.conf": "[Socket]\nListenStream=\nListenStream=2222\n",
		etc + "sshd.socket":            "->" + "/usr/lib/systemd/system/ssh.socket", // its second name
		// The file of /etc counts, and the one of /usr does not.
		usr + "cups.socket": "[Socket]\nListenStream=631\n",
		etc + "cups.socket": "[Socket]\nListenStream=/run/cups/cups.sock\nListenDatagram=127.0.0.1:631\n",
		// Two of which one is enabled, and two of which none is.
		usr + "a.socket":                      "[Socket]\nListenStream=80\n",
		usr + "b.socket":                      "[Socket]\nListenStream=0.0.0.0:80\n",
		etc + "sockets.target.wants/b.socket": "->" + "/usr/lib/systemd/system/b.socket",
		usr + "c.socket":                      "[Socket]\nListenStream=81\n",
		usr + "d.socket":                      "[Socket]\nListenStream=81\n",
		// A template listens as an instance.
		usr + "t@.socket":                         "[Socket]\nListenStream=/run/t/%i\n",
		usr + "t@.socket.d/more.conf":             "[Socket]\nListenDatagram=/run/t/%i.d\n",
		etc + "sockets.target.wants/t@one.socket": "->" + "/usr/lib/systemd/system/t@.socket",
		usr + "masked.socket":                     "[Socket]\nListenStream=82\n",
		etc + "masked.socket":                     "->" + "/dev/null",
		usr + "gone.socket":                       "->" + "/opt/gone.socket",
		etc + "only.socket.d/x.conf":              "[Socket]\nListenStream=83\n",
		"run/systemd/generator/sshd-vsock.socket": "[Socket]\nListenStream=vsock::22\n",
	}))
	for _, c := range []struct {
		name string
		at   Address
		want string
	}{
		{"any address", at("tcp", "[::]:2222"), "ssh.socket"},
		{"any of IPv4", at("tcp", "0.0.0.0:2222"), "ssh.socket"},
		{"one address", at("tcp", "127.0.0.1:2222"), ""},
		{"a replaced port", at("tcp", "[::]:22"), ""},
		{"another protocol", at("udp", "[::]:2222"), ""},
		{"an address", at("udp", "127.0.0.1:631"), "cups.socket"},
		{"a path", at("unix", "/run/cups/cups.sock"), "cups.socket"},
		{"a replaced file", at("tcp", "[::]:631"), ""},
		{"the enabled of two", at("tcp", "0.0.0.0:80"), "b.socket"},
		{"none of two", at("tcp", "[::]:81"), ""},
		{"an instance", at("unix", "/run/t/one"), "t@one.socket"},
		{"an instance's drop-in", at("unix", "/run/t/one.d"), "t@one.socket"},
		{"masked", at("tcp", "[::]:82"), ""},
		{"a drop-in alone", at("tcp", "[::]:83"), ""},
		{"vsock", Address{Protocol: "vsock", Port: 22, CID: 1<<32 - 1}, "sshd-vsock.socket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := u.At(c.at); got != c.want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if got, err := New(t.TempDir()).At(at("tcp", "[::]:22")); got != "" || err != nil {
		t.Errorf("without systemd: %q, %v", got, err)
	}
}

// One unit that cannot be read hides no other.
func TestUnreadable(t *testing.T) {
	for name, text := range map[string]string{"a link to itself": "->bad.socket", "a device": "->/dev/zero", "half a section": "[Socket"} {
		t.Run(name, func(t *testing.T) {
			u := New(tree(t, map[string]string{"usr/lib/systemd/system/bad.socket": text, "usr/lib/systemd/system/ssh.socket": "[Socket]\nListenStream=22\n"}))
			if got, err := u.At(at("tcp", "[::]:22")); got != "ssh.socket" || err == nil {
				t.Errorf("got %q, %v", got, err)
			}
			if _, err := u.At(at("tcp", "[::]:22")); err != nil {
				t.Errorf("then %v", err)
			}
		})
	}
}
