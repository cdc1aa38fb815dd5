package host

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn/nlconntest"
)

// links returns the messages of a capture of interfaces, without its end.
func links(t testing.TB) [][]byte { return captured(t, "rtnetlink/testdata/link.rtnl") }

// devices returns the interfaces that /proc/net/dev lists.
func devices(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, strings.TrimLeft(name, " "))
		}
	}
	return names
}

// A list is handed over once it is whole, however often that takes; what is left
// of one is an error.
func TestLists(t *testing.T) {
	all := links(t)
	done, interrupted := nlconntest.End(0), nlconntest.Interrupted()
	list := append(append([][]byte{}, all...), done)
	broken := append(append([][]byte{}, all...), interrupted)
	n := len(all)
	for _, c := range []struct {
		name     string
		answers  []answer
		n        int
		requests int
		want     string // in the error
	}{
		{"a list", []answer{{list, nil}}, n, 1, ""},
		{"nothing", []answer{{[][]byte{done}, nil}}, 0, 1, ""},
		{"interrupted once", []answer{{broken, nil}, {list, nil}}, n, 2, ""},
		{"interrupted twice", []answer{{broken, nil}, {broken, nil}, {list, nil}}, n, 3, ""},
		{"interrupted for ever", []answer{{broken, nil}}, 0, 3, "ask again"},
		{"no end", []answer{{all, nil}}, 0, 1, "no end"},
		{"an error at the end", []answer{{append(append([][]byte{}, all...), nlconntest.End(syscall.ENOMEM)), nil}}, 0, 1, "cannot allocate"},
		{"a refusal in the middle", []answer{{[][]byte{all[0], nlconntest.End(syscall.EPERM)}, nil}}, 0, 1, "not permitted"},
		{"an object too large", []answer{{append(append([][]byte{}, all...), nlconntest.End(syscall.EMSGSIZE)), nil}}, n, 1, ""},
		{"lost messages", []answer{{all, syscall.ENOBUFS}}, 0, 1, "no buffer space"},
		{"half an interface", []answer{{[][]byte{all[0][:40], done}, nil}}, 0, 1, "too short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var requests [][]byte
			h := New(Options{})
			h.askBy(kernel(&requests, c.answers...))
			var err error
			listed := make(map[string]bool)
			got, fromProc := 0, 0
			for l, e := range h.Links(t.Context(), LinkFilter{}) {
				switch err = e; {
				case e != nil:
				case l.FromProc:
					fromProc++
				default:
					listed[l.Name] = true
					got++
				}
			}
			// What /proc has besides is shown, after one more look whether it is new.
			beside := 0
			for _, name := range devices(t) {
				if c.want == "" && !listed[name] {
					beside++
				}
			}
			if fromProc != beside {
				t.Errorf("%d interfaces as /proc has them, want %d", fromProc, beside)
			}
			if beside > 0 {
				c.requests++
			}
			if got != c.n || len(requests) != c.requests || (err == nil) != (c.want == "") || err != nil && !(strings.Contains(err.Error(), c.want) && strings.Contains(err.Error(), "rtnetlink of dev")) {
				t.Errorf("%d interfaces after %d requests, %v; want %d after %d, %q", got, len(requests), err, c.n, c.requests, c.want)
			}
		})
	}
}

// Where rtnetlink is refused /proc tells what it can.
func TestRTNetlinkRefused(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.EPROTONOSUPPORT, syscall.EAFNOSUPPORT, syscall.ENOSYS} {
		t.Run(fmt.Sprint(errno), func(t *testing.T) {
			var requests [][]byte
			h := New(Options{})
			h.askBy(kernel(&requests, answer{nil, os.NewSyscallError("socket", errno)}))
			n := 0
			for l, err := range h.Links(t.Context(), LinkFilter{}) {
				if err != nil || !l.FromProc || l.Name == "" {
					t.Fatalf("%+v, %v", l, err)
				}
				n++
			}
			for r, err := range h.Routes(t.Context(), RouteFilter{Kernel: true}) {
				if err != nil || !r.FromProc {
					t.Fatalf("%+v, %v", r, err)
				}
			}
			if n == 0 || len(requests) != 3 || !strings.Contains(lastUse(h, "dev").Reason, errno.Error()) {
				t.Errorf("%d interfaces after %d requests, %+v", n, len(requests), lastUse(h, "dev"))
			}
			if got := h.SourcesInUse(); got != "dev=procfs ipv6_route=procfs route=procfs" {
				t.Errorf("%s", got)
			}
		})
	}
}

// A copy of /proc/net/dev that is damaged is an error that names the line.
func TestDamagedNetDev(t *testing.T) {
	whole, err := os.ReadFile("../testdata/proc/1/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	last := strings.LastIndexByte(strings.TrimRight(string(whole), "\n"), '\n') + 1
	end := strings.LastIndexByte(string(whole), ' ') // a cut in the last number cannot be told
	contents := map[string]string{"empty": "", "one header": "x\n", "no colon": string(whole) + "eth0 1 2 3\n", "few numbers": string(whole) + "eth0: 1 2 3\n"}
	for cut := last + 1; cut <= end; cut++ {
		contents[fmt.Sprint("cut at ", cut)] = string(whole[:cut])
	}
	for name, content := range contents {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "net"), 0o755); err != nil {
				t.Fatal(err)
			}
			for file, text := range map[string]string{"tcp": "", "dev": content} {
				if err := os.WriteFile(filepath.Join(dir, "net", file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var last error
			for _, err := range New(Options{Proc: dir}).Links(t.Context(), LinkFilter{}) {
				if last = err; err == nil {
					t.Error("an interface")
				}
			}
			if last == nil || !strings.Contains(last.Error(), "dev: line ") {
				t.Errorf("got %v", last)
			}
		})
	}
}

// The tables of VRFs have their names, by namespace.
func TestVRFs(t *testing.T) {
	order := binary.NativeEndian
	link := func(index byte, name, kind string, table uint32) []byte {
		data := netlink.AppendAttribute(nil, order, 1, order.AppendUint32(nil, table)) // IFLA_VRF_TABLE
		info := netlink.AppendAttribute(nil, order, 1, append([]byte(kind), 0))        // IFLA_INFO_KIND
		info = netlink.AppendAttribute(info, order, 2, data)                           // IFLA_INFO_DATA
		body := make([]byte, 16)
		order.PutUint32(body[4:], uint32(index))
		body = netlink.AppendAttribute(body, order, 3, append([]byte(name), 0)) // IFLA_IFNAME
		body = netlink.AppendAttribute(body, order, 18, info)                   // IFLA_LINKINFO
		return append(netlink.AppendHeader(nil, order, 16, 2, 1, len(body)), body...)
	}
	h := New(Options{})
	var requests [][]byte
	h.askBy(kernel(&requests, answer{[][]byte{link(2, "blue", "vrf", 77), link(3, "red", "vrf", 70000), link(4, "other", "vlan", 78), nlconntest.End(0)}, nil}))
	vrfs, err := h.VRFs(t.Context(), Namespaces{})
	if err != nil {
		t.Fatal(err)
	}
	own := h.netns.Own().Inode
	for _, c := range []struct {
		namespace, table uint32
		want             string
	}{{own, 77, "blue"}, {own, 70000, "red"}, {own, 78, ""}, {own + 1, 77, ""}} {
		if got := vrfs.Name(c.namespace, c.table); got != c.want {
			t.Errorf("table %d of %d: got %q, want %q", c.table, c.namespace, got, c.want)
		}
	}
}
