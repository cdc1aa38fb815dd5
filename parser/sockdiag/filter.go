package sockdiag

import (
	"encoding/binary"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Filter says which sockets the kernel shall show. Of each list any may match,
// an empty one allows all; the lists must hold together.
type Filter struct {
	LocalPorts, RemotePorts []sock.PortRange
	LocalAddrs, RemoteAddrs []netip.Addr
}

// maxAlternatives bounds a list in a program. A longer one is left out: the
// sockets that it excludes are shown too.
const maxAlternatives = 512

// The operations of inet_diag bytecode, INET_DIAG_BC_*.
const (
	opJump     = 1
	opLocalGE  = 2
	opLocalLE  = 3
	opRemoteGE = 4
	opRemoteLE = 5
	opLocalIs  = 7
	opRemoteIs = 8

	opSize = 4 // struct inet_diag_bc_op
)

// Program translates the filter to inet_diag bytecode; nil passes every
// socket. A listed IPv4 address also passes the IPv6 sockets that are mapped
// to it.
//
// The code is a row of operations, each a conditional jump forward: by "yes",
// its own length, if it holds, else by "no". A socket passes if the jumps lead
// exactly to the end of the program (inet_diag_bc_run, net/ipv4/inet_diag.c).
func (f *Filter) Program(order binary.ByteOrder) []byte {
	var lists [][]alternative
	add := func(list []alternative) {
		if len(list) > 0 && len(list) <= maxAlternatives {
			lists = append(lists, list)
		}
	}
	add(ports(order, f.LocalPorts, opLocalGE, opLocalLE))
	add(ports(order, f.RemotePorts, opRemoteGE, opRemoteLE))
	add(addrs(order, f.LocalAddrs, opLocalIs))
	add(addrs(order, f.RemoteAddrs, opRemoteIs))

	size := 0
	for _, list := range lists {
		size += listSize(list)
	}
	if size > netlink.MaxAttributeSize-netlink.AttributeHeaderSize {
		return nil
	}
	var code []byte
	jump := func(at, to int) { order.PutUint16(code[at+2:], uint16(to-at)) }
	for _, list := range lists {
		listEnd := len(code) + listSize(list)
		for i, operations := range list {
			// Where this alternative fails the next begins; the last one's
			// failure leads past the end.
			next := size + opSize
			if i < len(list)-1 {
				next = len(code) + operations.size() + opSize
			}
			for _, operation := range operations {
				at := len(code)
				code = append(code, operation...)
				jump(at, next)
			}
			if i < len(list)-1 {
				at := len(code)
				code = append(code, opJump, opSize, 0, 0)
				jump(at, listEnd)
			}
		}
	}
	return code
}

// alternative is operations that must all hold.
type alternative [][]byte

func (a alternative) size() (n int) {
	for _, operation := range a {
		n += len(operation)
	}
	return n
}

// listSize is the code of all alternatives with a jump behind each but the last.
func listSize(list []alternative) int {
	n := opSize * (len(list) - 1)
	for _, a := range list {
		n += a.size()
	}
	return n
}

// ports compares a port, by two operations that every kernel knows. The
// operand is the second half of another struct inet_diag_bc_op.
func ports(order binary.ByteOrder, ranges []sock.PortRange, ge, le byte) (list []alternative) {
	compare := func(op byte, port uint16) []byte {
		code := []byte{op, 2 * opSize, 0, 0, 0, 0, 0, 0}
		order.PutUint16(code[opSize+2:], port)
		return code
	}
	for _, r := range ranges {
		var a alternative
		if r.Low > 0 {
			a = append(a, compare(ge, r.Low))
		}
		if r.High < 1<<16-1 || a == nil {
			a = append(a, compare(le, r.High))
		}
		list = append(list, a)
	}
	return list
}

// addrs compares an address with struct inet_diag_hostcond: family, length of
// the prefix, port (-1 is any), address.
func addrs(order binary.ByteOrder, addrs []netip.Addr, op byte) (list []alternative) {
	for _, addr := range addrs {
		family := sock.INET6
		if addr.Is4() {
			family = sock.INET
		}
		size := opSize + 8 + addr.BitLen()/8
		code := make([]byte, size)
		code[0], code[1] = op, byte(size)
		code[opSize], code[opSize+1] = byte(family), byte(addr.BitLen())
		order.PutUint32(code[opSize+4:], 1<<32-1)
		copy(code[opSize+8:], addr.AsSlice())
		list = append(list, alternative{code})
	}
	return list
}
