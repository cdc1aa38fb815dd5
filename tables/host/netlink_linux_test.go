package host

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn/nlconntest"
)

// netlinkMessage makes an answer about a socket: struct netlink_diag_msg and its
// groups.
func netlinkMessage(inode, cookie uint32, groups uint64) []byte {
	o := binary.NativeEndian
	m := make([]byte, 28)
	m[0], m[1] = byte(sock.NETLINK), 3
	o.PutUint32(m[16:], inode)
	o.PutUint32(m[20:], cookie)
	m = netlink.AppendAttribute(m, o, 1, o.AppendUint64(nil, groups))
	return append(netlink.AppendHeader(nil, o, 20, 0, 1, len(m)), m...)
}

// A kernel that answers with nothing, errors or repetitions takes no socket from
// those of /proc; one that answers with part of a list fails the query.
func TestNetlinkDetails(t *testing.T) {
	done := nlconntest.End(0)
	mine, stranger, idle := netlinkMessage(7, 70, 1<<33), netlinkMessage(8, 80, 1), netlinkMessage(9, 90, 0)
	type answers = []answer
	for _, c := range []struct {
		name     string
		answers  answers
		requests int
		want     string // the sockets
		fails    string
	}{
		{"refused", answers{{[][]byte{nlconntest.End(syscall.ENOENT)}, nil}}, 1, "7/0/0x00000002", ""},
		{"empty", answers{{[][]byte{done}, nil}}, 2, "7/0/0x00000002", ""},
		{"all", answers{{[][]byte{mine, stranger, mine, idle, stranger, done}, nil}}, 1, "7/70/0x200000000 8/80/0x00000001", ""},
		{"lost at first", answers{{[][]byte{stranger, done}, nil}, {[][]byte{stranger, mine, done}, nil}}, 2, "7/70/0x200000000 8/80/0x00000001", ""},
		{"no end", answers{{[][]byte{mine}, nil}}, 1, "", "no end"},
		{"cut off", answers{{[][]byte{mine[:40]}, nil}}, 1, "", "too short"},
		{"silence", answers{{nil, os.ErrDeadlineExceeded}}, 1, "", "timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var requests [][]byte
			h := New(Options{})
			h.askBy(kernel(&requests, c.answers...))
			h.wouldLoad = func(string) bool { return false }
			var all netlinkSockets
			all.add(sock.Netlink{Common: sock.Common{Inode: 7}, Groups: sock.NetlinkGroups{2}})
			all.add(sock.Netlink{Common: sock.Common{Inode: 7}}) // /proc may repeat it
			err := h.netlinkDetails(t.Context(), h.netns.Own(), &all)
			var got []string
			for _, s := range all.list {
				got = append(got, fmt.Sprintf("%d/%d/%v", s.Inode, s.Cookie, s.Groups))
			}
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) || len(requests) != c.requests || err == nil && strings.Join(got, " ") != c.want {
				t.Errorf("%v after %d requests, %v; want %s after %d, %q", got, len(requests), err, c.want, c.requests, c.fails)
			}
		})
	}
	h := New(Options{})
	h.wouldLoad = func(module string) bool { return module == "netlink_diag" }
	var requests [][]byte
	h.askBy(kernel(&requests, answer{nil, os.ErrInvalid}))
	if err := h.netlinkDetails(t.Context(), h.netns.Own(), &netlinkSockets{}); err != nil || len(requests) > 0 {
		t.Errorf("where the kernel would load a module: %d requests, %v", len(requests), err)
	}
}
