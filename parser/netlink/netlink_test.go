package netlink

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
)

func TestEnds(t *testing.T) {
	order := binary.LittleEndian
	end := func(kind uint16, payload ...byte) []byte {
		b := make([]byte, HeaderSize, HeaderSize+len(payload))
		b = append(b, payload...)
		order.PutUint32(b, uint32(len(b)))
		order.PutUint16(b[4:], kind)
		return b
	}
	for _, c := range []struct {
		b     []byte
		errno syscall.Errno
		bad   bool
	}{
		{end(typeDone), 0, false},
		{end(typeDone, 0, 0, 0, 0), 0, false},
		{end(typeDone, 0xff, 0xff, 0xff, 0xff), syscall.EPERM, false},
		{end(typeError, 0xfe, 0xff, 0xff, 0xff, 1, 2, 3, 4), syscall.ENOENT, false},
		{end(typeError, 0, 0, 0, 0), 0, false},
		{end(typeError, 0xff), 0, true},
	} {
		t.Run(fmt.Sprintf("%x", c.b), func(t *testing.T) {
			n := 0
			for m, err := range Messages(c.b, order) {
				n++
				if (err != nil) != c.bad || !m.Done || m.Errno != c.errno {
					t.Errorf("%+v, %v", m, err)
				}
			}
			if n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
	// Types that are not known pass by.
	for m, err := range Messages(end(1), order) {
		t.Errorf("a message of type 1: %+v, %v", m, err)
	}
}
