// Package btf finds functions and members of structures in BTF, the description of
// its own types that a Linux kernel has in /sys/kernel/btf/vmlinux
// (Documentation/bpf/btf.rst, include/uapi/linux/btf.h). It reads no more than is
// asked for: a kernel has 100,000 types, and a full index of them takes longer than
// most of what it is for.
package btf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrNotFound means that the kernel has no function, structure or member of a name.
var ErrNotFound = errors.New("is not in BTF")

// errShort means that something ends before it should.
var errShort = errors.New("BTF ends too early")

// Kinds, BTF_KIND_*.
const (
	kindInt       = 1
	kindPointer   = 2
	kindArray     = 3
	kindStruct    = 4
	kindUnion     = 5
	kindEnum      = 6
	kindTypedef   = 8
	kindVolatile  = 9
	kindConst     = 10
	kindRestrict  = 11
	kindFunc      = 12
	kindPrototype = 13
	kindVariable  = 14
	kindSection   = 15
	kindTag       = 17
	kindTypeTag   = 18
	kindEnum64    = 19
	kindLast      = kindEnum64
)

// behind is the size of what follows struct btf_type of a kind: once, and for each
// of its entries.
var behind = [kindLast + 1]struct{ once, each int }{
	kindInt: {once: 4}, kindArray: {once: 12}, kindStruct: {each: memberSize}, kindUnion: {each: memberSize},
	kindEnum: {each: 8}, kindPrototype: {each: 8}, kindVariable: {once: 4}, kindSection: {each: 12},
	kindTag: {once: 4}, kindEnum64: {each: 12},
}

const (
	magic      = 0xeb9f
	headerSize = 24 // struct btf_header
	typeSize   = 12 // struct btf_type
	memberSize = 12 // struct btf_member
	// maxDepth bounds how deep types are in others.
	maxDepth = 16
	// pointerSize is that of every kernel that runs BPF with types.
	pointerSize = 8
)

// Types are the types of a kernel.
type Types struct {
	order   binary.ByteOrder
	types   []byte
	strings []byte
	offsets []uint32            // in types, by the number of the type; that of void is not used
	named   map[string][]uint32 // numbers of the functions and structures of the names
}

// Parse reads BTF in which the functions and structures of some names will be looked
// for. The bytes must stay as they are while the Types are in use.
func Parse(b []byte, order binary.ByteOrder, names ...string) (*Types, error) {
	if len(b) < headerSize {
		return nil, errShort
	}
	if n := order.Uint16(b); n != magic {
		return nil, fmt.Errorf("BTF begins with %#x", n)
	}
	section := func(at int) ([]byte, error) {
		start := uint64(order.Uint32(b[4:])) + uint64(order.Uint32(b[at:]))
		end := start + uint64(order.Uint32(b[at+4:]))
		if end > uint64(len(b)) {
			return nil, errShort
		}
		return b[start:end], nil
	}
	types, err := section(8)
	if err != nil {
		return nil, err
	}
	texts, err := section(16)
	if err != nil {
		return nil, err
	}
	t := &Types{order: order, types: types, strings: texts, named: make(map[string][]uint32, len(names))}
	t.offsets = append(make([]uint32, 0, len(types)/(2*typeSize)), math.MaxUint32)
	for at := 0; at < len(types); {
		if len(types)-at < typeSize {
			return nil, errShort
		}
		name, info := order.Uint32(types[at:]), order.Uint32(types[at+4:])
		kind := info >> 24 & 0x1f
		if kind > kindLast {
			return nil, fmt.Errorf("BTF has a type of the unknown kind %d", kind)
		}
		if kind == kindFunc || kind == kindStruct {
			for _, wanted := range names {
				if t.is(name, wanted) {
					t.named[wanted] = append(t.named[wanted], uint32(len(t.offsets)))
				}
			}
		}
		t.offsets = append(t.offsets, uint32(at))
		at += typeSize + behind[kind].once + behind[kind].each*int(info&0xffff)
		if at > len(types) {
			return nil, errShort
		}
	}
	return t, nil
}

// is reports whether the text at an offset is a name.
func (t *Types) is(offset uint32, name string) bool {
	if uint64(offset) >= uint64(len(t.strings)) {
		return false
	}
	text := t.strings[offset:]
	return len(text) > len(name) && text[len(name)] == 0 && string(text[:len(name)]) == name
}

// entry is struct btf_type and what follows.
type entry struct {
	kind  uint32
	flag  bool
	n     int    // of its members
	value uint32 // its size, or the type that it is of
	rest  []byte
}

func (t *Types) entry(number uint32) (e entry, ok bool) {
	if number == 0 || uint64(number) >= uint64(len(t.offsets)) {
		return e, false
	}
	b := t.types[t.offsets[number]:]
	info := t.order.Uint32(b[4:])
	return entry{info >> 24 & 0x1f, info>>31 != 0, int(info & 0xffff), t.order.Uint32(b[8:]), b[typeSize:]}, true
}

// Func returns the number of a function, one of the names that were given to Parse.
func (t *Types) Func(name string) (uint32, error) {
	for _, number := range t.named[name] {
		if e, _ := t.entry(number); e.kind == kindFunc {
			return number, nil
		}
	}
	return 0, fmt.Errorf("the function %s %w", name, ErrNotFound)
}

// Member is where a member of a structure is, in bytes.
type Member struct{ Offset, Size uint32 }

// Member finds a member, also one of an anonymous structure or union in the
// structure, whose name was given to Parse. Structures of one name that have the
// member at different places are an error.
func (t *Types) Member(structure, member string) (m Member, err error) {
	found := false
	for _, number := range t.named[structure] {
		e, _ := t.entry(number)
		if e.kind != kindStruct {
			continue
		}
		next, ok := t.member(&e, member, 0)
		if !ok {
			continue
		}
		if found && next != m {
			return m, fmt.Errorf("BTF has several struct %s that differ in %s", structure, member)
		}
		m, found = next, true
	}
	if !found {
		return m, fmt.Errorf("%s of struct %s %w", member, structure, ErrNotFound)
	}
	return m, nil
}

func (t *Types) member(of *entry, name string, depth int) (m Member, ok bool) {
	if depth > maxDepth {
		return m, false
	}
	for b := of.rest[:of.n*memberSize]; len(b) > 0; b = b[memberSize:] {
		text, number, bits := t.order.Uint32(b), t.order.Uint32(b[4:]), t.order.Uint32(b[8:])
		bitField := false
		if of.flag {
			bits, bitField = bits&0xffffff, bits>>24 != 0
		}
		if bitField || bits%8 != 0 {
			continue
		}
		if t.is(text, name) {
			size, ok := t.size(number)
			return Member{bits / 8, size}, ok
		}
		if inner, ok := t.entry(number); ok && t.is(text, "") && (inner.kind == kindStruct || inner.kind == kindUnion) {
			if m, ok := t.member(&inner, name, depth+1); ok {
				m.Offset += bits / 8
				return m, true
			}
		}
	}
	return m, false
}

// size returns the size of a type that a register can hold, in bytes.
func (t *Types) size(number uint32) (uint32, bool) {
	for range maxDepth {
		e, ok := t.entry(number)
		if !ok {
			return 0, false
		}
		switch e.kind {
		case kindInt, kindEnum, kindEnum64:
			return e.value, true
		case kindPointer:
			return pointerSize, true
		case kindTypedef, kindVolatile, kindConst, kindRestrict, kindTypeTag:
			number = e.value
		default:
			return 0, false
		}
	}
	return 0, false
}
