package netlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Attributes decodes the attributes (struct nlattr) that fill a part of a message:
//
//	a := netlink.NewAttributes(b, order)
//	for a.Next() {
//		switch a.Type() {
//		case attrMark:
//			s.Mark = a.Uint32()
//		case attrName:
//			s.Name = a.Text()
//		}
//	}
//	return a.Err()
//
// An attribute that the caller does not decode passes by. One that is shorter than
// what the caller reads of it is an error, one that is longer is not: kernels
// append to structures. The first error ends the attributes and stays in
// [Attributes.Err]; what is read after it is zero.
type Attributes struct {
	// Numbers is the byte order of numbers. [NewAttributes] makes it the host's;
	// netfilter has the network's.
	Numbers binary.ByteOrder

	order binary.ByteOrder // of headers
	rest  []byte
	value []byte
	kind  uint16
	err   error
}

// NewAttributes returns the attributes in b. It copies nothing.
func NewAttributes(b []byte, order binary.ByteOrder) Attributes {
	return Attributes{Numbers: order, order: order, rest: b}
}

// Next goes to the next attribute. It returns false at the end, and after an
// error.
func (a *Attributes) Next() bool {
	b := a.rest
	if a.err != nil || len(b) == 0 {
		return false
	}
	if len(b) < AttributeHeaderSize {
		a.Fail(fmt.Errorf("%d bytes left of an attribute: %w", len(b), ErrShort))
		return false
	}
	size := int(a.order.Uint16(b))
	if size < AttributeHeaderSize || size > len(b) {
		a.Fail(fmt.Errorf("an attribute of %d bytes in %d: %w", size, len(b), ErrShort))
		return false
	}
	a.kind = a.order.Uint16(b[2:]) & typeMask
	a.value, a.rest = b[AttributeHeaderSize:size], b[min(Align(size), len(b)):]
	return true
}

// typeMask leaves out the flags in the upper two bits, NLA_TYPE_MASK.
const typeMask = 0x3fff

// Type returns the number of the attribute.
func (a *Attributes) Type() uint16 { return a.kind }

// Err returns the first error. It wraps [ErrShort] if something ends too early.
func (a *Attributes) Err() error { return a.err }

// Fail keeps the error, if it is the first and not nil, and ends the attributes.
func (a *Attributes) Fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// Bytes returns the whole value, which shares the memory of the message.
func (a *Attributes) Bytes() []byte { return a.value }

// Struct returns the whole value if it has at least size bytes; else it is not ok,
// and an error.
func (a *Attributes) Struct(size int) (b []byte, ok bool) {
	if len(a.value) < size || a.err != nil {
		a.tooShort(size)
		return nil, false
	}
	return a.value, true
}

// tooShort is apart so that the reading of numbers is inlined.
func (a *Attributes) tooShort(size int) {
	a.Fail(fmt.Errorf("the attribute %d of %d bytes, want %d: %w", a.kind, len(a.value), size, ErrShort))
}

// Uint8 returns a number of 8 bits.
func (a *Attributes) Uint8() uint8 {
	if b, ok := a.Struct(1); ok {
		return b[0]
	}
	return 0
}

// Uint16 returns a number of 16 bits.
func (a *Attributes) Uint16() uint16 {
	if b, ok := a.Struct(2); ok {
		return a.Numbers.Uint16(b)
	}
	return 0
}

// Uint32 returns a number of 32 bits.
func (a *Attributes) Uint32() uint32 {
	if b, ok := a.Struct(4); ok {
		return a.Numbers.Uint32(b)
	}
	return 0
}

// Uint64 returns a number of 64 bits.
func (a *Attributes) Uint64() uint64 {
	if b, ok := a.Struct(8); ok {
		return a.Numbers.Uint64(b)
	}
	return 0
}

// Text returns the value up to its first NUL byte, or all of it.
func (a *Attributes) Text() string {
	end := bytes.IndexByte(a.value, 0)
	if end < 0 {
		end = len(a.value)
	}
	return string(a.value[:end])
}

// Addr returns an address of 4 or 16 bytes, as size says. An address of another
// size is an error.
func (a *Attributes) Addr(size int) netip.Addr {
	addr, ok := netip.AddrFromSlice(a.value)
	if !ok || len(a.value) != size {
		a.Fail(fmt.Errorf("the attribute %d is an address of %d bytes, want %d: %w", a.kind, len(a.value), size, ErrShort))
		return netip.Addr{}
	}
	return addr
}

// Nested goes through the attributes that are the value and calls decode at each,
// which reads it from a. Their error has the number of the attribute around them.
func (a *Attributes) Nested(decode func()) { a.Part(a.value, decode) }

// Part goes through the attributes in a part of the value, as [Attributes.Nested]
// does.
func (a *Attributes) Part(b []byte, decode func()) {
	if a.err != nil {
		return
	}
	outer := *a
	a.rest = b
	for a.Next() {
		decode()
	}
	err := a.err
	if *a = outer; err != nil {
		a.err = fmt.Errorf("in the attribute %d: %w", a.kind, err)
	}
}
