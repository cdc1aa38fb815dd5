package rtnetlink

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/network"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Sizes of structures and numbers of attributes, FRA_* of
// include/uapi/linux/fib_rules.h.
const (
	ruleSize = 12 // struct fib_rule_hdr

	ruleDst              = 1
	ruleSrc              = 2
	ruleIIF              = 3
	ruleGoto             = 4
	rulePriority         = 6
	ruleMark             = 10
	ruleFlow             = 11
	ruleTunnel           = 12
	ruleSuppressGroup    = 13
	ruleSuppressPrefix   = 14
	ruleTable            = 15
	ruleMask             = 16
	ruleOIF              = 17
	ruleVRF              = 19
	ruleUsers            = 20
	ruleProtocol         = 21
	ruleIPProtocol       = 22
	ruleSourcePorts      = 23
	ruleDestinationPorts = 24

	ruleInverted = 2 // FIB_RULE_INVERT
)

// Rule decodes struct fib_rule_hdr and the attributes behind it. It is false for
// what is no rule of that family, such as what a kernel without it answers in its
// place.
func Rule(kind uint16, b []byte, order binary.ByteOrder, family sock.Family, r *network.Rule) (ok bool, err error) {
	*r = network.Rule{}
	if kind != typeNewRule {
		return false, nil
	}
	if len(b) < ruleSize {
		return false, fmt.Errorf("struct fib_rule_hdr of %d bytes, want %d: %w", len(b), ruleSize, netlink.ErrShort)
	}
	if r.Family = sock.Family(b[0]); r.Family != family {
		return false, nil
	}
	r.TOS, r.Table, r.Action, r.Flags = b[3], uint32(b[4]), network.RuleAction(b[7]), network.RuleFlags(order.Uint32(b[8:]))
	r.Inverted = r.Flags&ruleInverted != 0
	size := addrSize(family)
	a := netlink.NewAttributes(b[ruleSize:], order)
	for a.Next() {
		switch a.Type() {
		case ruleDst:
			r.Destination = rulePrefix(&a, size, b[1])
		case ruleSrc:
			r.Source = rulePrefix(&a, size, b[2])
		case ruleIIF:
			r.Input = a.Text()
		case ruleOIF:
			r.Output = a.Text()
		case ruleGoto:
			r.Goto = a.Uint32()
		case rulePriority:
			r.Priority = a.Uint32()
		case ruleMark:
			r.Mark = a.Uint32()
		case ruleMask:
			r.Mask = a.Uint32()
		case ruleFlow:
			r.Realm = a.Uint32()
		case ruleTunnel:
			if b, ok := a.Struct(8); ok {
				r.TunnelID = binary.BigEndian.Uint64(b)
			}
		case ruleSuppressGroup:
			r.SuppressGroup = a.Uint32()
			r.HasSuppressGroup = r.SuppressGroup != math.MaxUint32
		case ruleSuppressPrefix:
			r.SuppressPrefix = a.Uint32()
			r.HasSuppressPrefix = r.SuppressPrefix != math.MaxUint32
		case ruleTable:
			r.Table = a.Uint32()
		case ruleVRF:
			r.VRF = a.Uint8() != 0
		case ruleUsers:
			if b, ok := a.Struct(8); ok {
				r.HasUsers, r.FirstUser, r.LastUser = true, order.Uint32(b), order.Uint32(b[4:])
			}
		case ruleProtocol:
			r.Protocol = network.Protocol(a.Uint8())
		case ruleIPProtocol:
			r.IPProtocol = a.Uint8()
		case ruleSourcePorts:
			r.SourcePorts = rulePorts(&a)
		case ruleDestinationPorts:
			r.DestinationPorts = rulePorts(&a)
		}
	}
	if err := a.Err(); err != nil {
		return false, fmt.Errorf("a rule: %w", err)
	}
	if r.Action != network.Lookup || r.VRF {
		r.Table = 0
	}
	return true, nil
}

func rulePrefix(a *netlink.Attributes, size int, bits byte) netip.Prefix {
	addr := a.Addr(size)
	p := netip.PrefixFrom(addr, int(bits))
	if addr.IsValid() && !p.IsValid() {
		a.Fail(fmt.Errorf("%v has no prefix of %d bits", addr, bits))
	}
	return p
}

// rulePorts decodes struct fib_rule_port_range.
func rulePorts(a *netlink.Attributes) (r sock.PortRange) {
	if b, ok := a.Struct(4); ok {
		r = sock.PortRange{Low: a.Numbers.Uint16(b), High: a.Numbers.Uint16(b[2:])}
	}
	return r
}
