package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show writes what is read of each attribute: of 1 to 4 a number of 8, 16, 32 or
// 64 bits, of 5 a text, of 6 an address, of 7 a structure of 3 bytes, of 8 the
// same of what is nested.
func show(a *Attributes, b *strings.Builder) {
	switch a.Type() {
	case 1:
		fmt.Fprintf(b, "%#x ", a.Uint8())
	case 2:
		fmt.Fprintf(b, "%#x ", a.Uint16())
	case 3:
		fmt.Fprintf(b, "%#x ", a.Uint32())
	case 4:
		fmt.Fprintf(b, "%#x ", a.Uint64())
	case 5:
		fmt.Fprintf(b, "%q ", a.Text())
	case 6:
		fmt.Fprintf(b, "%v ", a.Addr(4))
	case 7:
		if value, ok := a.Struct(3); ok {
			fmt.Fprintf(b, "%x ", value)
		}
	case 8:
		b.WriteString("[ ")
		a.Nested(func() { show(a, b) })
		b.WriteString("] ")
	}
}

func shown(b []byte, numbers binary.ByteOrder) (string, error) {
	a := NewAttributes(b, binary.LittleEndian)
	a.Numbers = numbers
	var text strings.Builder
	for a.Next() {
		show(&a, &text)
	}
	return strings.TrimSpace(text.String()), a.Err()
}

func TestAttributes(t *testing.T) {
	order := binary.LittleEndian
	attribute := func(kind uint16, value ...byte) []byte { return AppendAttribute(nil, order, kind, value) }
	join := func(all ...[]byte) (b []byte) {
		for _, a := range all {
			b = append(b, a...)
		}
		return b
	}
	for _, c := range []struct {
		name, want, fails string
		in                []byte
	}{
		{"none", "", "", nil},
		{"numbers", "0x1 0x102 0x1020304 0x102030405060708", "", join(attribute(1, 1), attribute(2, 1, 2), attribute(3, 1, 2, 3, 4), attribute(4, 1, 2, 3, 4, 5, 6, 7, 8))},
		{"longer ones", "0x1 0x102 aabbccdd", "", join(attribute(1, 1, 2, 3), attribute(2, 1, 2, 3), attribute(7, 0xaa, 0xbb, 0xcc, 0xdd))},
		{"texts", `"" "ab" "cd"`, "", join(attribute(5), attribute(5, 'a', 'b', 0, 'x'), attribute(5, 'c', 'd'))},
		{"an address", "1.2.3.4", "", attribute(6, 1, 2, 3, 4)},
		{"unknown ones", "0x1", "", join(attribute(99, 1, 2), attribute(1, 1), attribute(98))},
		{"flags of the number", "0x1", "", attribute(1|0xc000, 1)},
		{"nested", "[ 0x2 [ ] 0x3 ] 0x1", "", join(attribute(8, join(attribute(1, 2), attribute(8), attribute(1, 3))...), attribute(1, 1))},
		{"without zeros behind the last", "0x1", "", attribute(1, 1)[:5]},
		{"a short number", "0x1 0x0", "the attribute 3 of 3 bytes, want 4", join(attribute(1, 1), attribute(3, 1, 2, 3), attribute(1, 2))},
		{"a short structure", "", "the attribute 7 of 2 bytes, want 3", attribute(7, 1, 2)},
		{"another address", "invalid IP", "the attribute 6 is an address of 16 bytes, want 4", attribute(6, make([]byte, 16)...)},
		{"a short nested number", "[ 0x0 ]", "in the attribute 8: the attribute 2 of 1 bytes, want 2", join(attribute(8, attribute(2, 1)...), attribute(1, 1))},
		{"half a header", "0x1", "3 bytes left of an attribute", join(attribute(1, 1), []byte{5, 0, 1})},
		{"a length beyond the end", "", "an attribute of 6 bytes in 5", []byte{6, 0, 1, 0, 1}},
		{"a length below a header", "", "an attribute of 3 bytes in 5", []byte{3, 0, 1, 0, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := shown(c.in, binary.BigEndian)
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if (err == nil) != (c.fails == "") || err != nil && (!strings.HasPrefix(err.Error(), c.fails) || !errors.Is(err, ErrShort)) {
				t.Errorf("got the error %v, want %q", err, c.fails)
			}
		})
	}
	t.Run("the first error stays", func(t *testing.T) {
		a := NewAttributes(attribute(3, 1), order)
		a.Next()
		first := errors.New("first")
		a.Fail(nil)
		a.Fail(first)
		if n := a.Uint32(); n != 0 || a.Next() || a.Err() != first {
			t.Errorf("got %d, %v", n, a.Err())
		}
	})
	t.Run("allocates nothing", func(t *testing.T) {
		in := join(attribute(3, 1, 2, 3, 4), attribute(8, attribute(1, 2)...))
		var sum uint32
		if n := testing.AllocsPerRun(100, func() {
			a := NewAttributes(in, order)
			for a.Next() {
				switch a.Type() {
				case 3:
					sum += a.Uint32()
				case 8:
					a.Nested(func() { sum += uint32(a.Uint8()) })
				}
			}
			if a.Err() != nil {
				t.Fatal(a.Err())
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzAttributes holds that what is decoded was there, and that a cut is found.
func FuzzAttributes(f *testing.F) {
	f.Add(AppendAttribute(nil, binary.LittleEndian, 8, AppendAttribute(nil, binary.LittleEndian, 3, []byte{1, 2, 3, 4})))
	f.Add(AppendAttribute(nil, binary.LittleEndian, 6, []byte{1, 2, 3, 4}))
	f.Fuzz(func(t *testing.T, b []byte) {
		shown(b, binary.BigEndian)
		part := NewAttributes(b, binary.LittleEndian)
		for part.Next() {
			part.Part(part.Bytes()[len(part.Bytes())/2:], func() { show(&part, new(strings.Builder)) })
		}
		a := NewAttributes(b, binary.LittleEndian)
		size := 0
		for a.Next() {
			size += AttributeHeaderSize + Align(len(a.Bytes()))
		}
		if left := len(b) - size; a.Err() == nil && (left > 0 || left <= -AttributeHeaderSize) {
			t.Errorf("%d bytes of attributes in %d", size, len(b))
		}
	})
}

// FuzzMessages holds that messages lie within what was received.
func FuzzMessages(f *testing.F) {
	f.Add(append(AppendHeader(nil, binary.LittleEndian, minType, 0, 1, 4), 1, 2, 3, 4))
	f.Add(append(AppendHeader(nil, binary.LittleEndian, typeDone, flagDumpIntr, 1, 4), 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		for m, err := range Messages(b, binary.LittleEndian) {
			if err != nil {
				return
			}
			size += HeaderSize + len(m.Payload)
		}
		if size > len(b) {
			t.Errorf("%d bytes of messages in %d", size, len(b))
		}
	})
}
