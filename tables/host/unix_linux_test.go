package host

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host/nlconn/nlconntest"
	"github.com/osquery-sockets/osquery-sockets/tables/host/usage"
)

// unixAnswer is the kernel's message of a unix socket.
func unixAnswer(kind, state byte, inode uint32) []byte {
	order := binary.NativeEndian
	b := make([]byte, headerSize+16)
	order.PutUint32(b, uint32(len(b)))
	order.PutUint16(b[4:], typeByFamily)
	order.PutUint32(b[8:], 1)
	b[headerSize], b[headerSize+1], b[headerSize+2] = byte(sock.UNIX), kind, state
	order.PutUint32(b[headerSize+4:], inode)
	order.PutUint32(b[headerSize+8:], inode) // cookie
	return b
}

// unixOf returns the unix sockets with an inode of a host with that kernel.
func unixOf(t *testing.T, f UnixFilter, answers ...answer) (all []sock.Unix, use usage.Usage, err error) {
	t.Helper()
	var requests [][]byte
	h := New(Options{})
	h.askBy(kernel(&requests, answers...))
	h.wouldLoad = func(string) bool { return false }
	for s, e := range h.Unix(t.Context(), f) {
		if e != nil {
			err = e
			break
		}
		if s.Inode != 0 {
			all = append(all, *s)
		}
	}
	return all, lastUse(h, "unix"), err
}

// What sock_diag tells of and /proc does not has no reference count.
func TestUnixNotInProc(t *testing.T) {
	messages := [][]byte{unixAnswer(1, 10, 1<<32-2), unixAnswer(1, 1, 1<<32-3), unixAnswer(2, 7, 1<<32-4), nlconntest.End(0)}
	for _, c := range []struct {
		filter UnixFilter
		want   string
	}{
		{UnixFilter{}, "STREAM LISTENING, STREAM CONNECTED, DGRAM "},
		{UnixFilter{RefCount: true}, "STREAM LISTENING, STREAM CONNECTED, DGRAM "},
		{UnixFilter{States: 1 << sock.UnixConnecting}, ""},
		{UnixFilter{States: 1 << sock.UnixListening}, "STREAM LISTENING"},
		{UnixFilter{States: 1<<sock.UnixUnconnected | 1<<sock.UnixConnected, RefCount: true}, "STREAM CONNECTED, DGRAM "},
	} {
		t.Run(fmt.Sprintf("%+v", c.filter), func(t *testing.T) {
			got, use, err := unixOf(t, c.filter, answer{messages, nil})
			var words []string
			for _, s := range got {
				words = append(words, s.Type.String()+" "+s.State.String())
				if s.KnownUnix&sock.KnowsRefCount != 0 || s.Namespace == 0 {
					t.Errorf("%+v: %+v", c.filter, s)
				}
			}
			if text := strings.Join(words, ", "); err != nil || text != c.want || use.Source != usage.SockDiag || use.Sockets != 3 {
				t.Errorf("%+v: got %q, %+v, %v; want %q", c.filter, text, use, err, c.want)
			}
		})
	}
}

// Where netlink is refused /proc has the sockets; part of an answer is an error.
func TestUnixFallBack(t *testing.T) {
	listening := UnixFilter{States: 1 << sock.UnixListening}
	for _, f := range []UnixFilter{{}, listening, {RefCount: true, States: 1 << sock.UnixListening}} {
		_, use, err := unixOf(t, f, answer{[][]byte{nlconntest.End(syscall.ENOENT)}, nil})
		if err != nil || use.Source != usage.ProcFS || !strings.Contains(use.Reason, "refused") {
			t.Errorf("%+v: %+v, %v", f, use, err)
		}
	}
	one := unixAnswer(1, 10, 7)
	for name, messages := range map[string][][]byte{
		"half a socket": {slices.Concat(binary.NativeEndian.AppendUint32(nil, headerSize+8), one[4:headerSize+8])},
		"no end":        {one},
		"a refusal":     {one, nlconntest.End(syscall.EPERM)},
	} {
		t.Run(name, func(t *testing.T) {
			for _, f := range []UnixFilter{{}, listening} {
				got, use, err := unixOf(t, f, answer{messages, nil})
				if err == nil || !strings.Contains(err.Error(), "sock_diag of unix: ") || use.Source != usage.SockDiag {
					t.Errorf("%v, %+v, %v", got, use, err)
				}
			}
		})
	}
}
