package conntrack

import (
	"bytes"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// Proc streams the connections of /proc/net/nf_conntrack, which ct_seq_show
// prints (net/netfilter/nf_conntrack_standalone.c):
//
//	ipv4     2 tcp      6 431999 ESTABLISHED src=127.0.0.9 dst=127.0.0.1 sport=56805 dport=80 packets=3 bytes=169
//	src=127.0.0.1 dst=127.0.0.10 sport=80 dport=56805 packets=2 bytes=112 [ASSURED] mark=0 use=2
//
// each in one line. Errors are of type [*parser.LineError], or the reader's own.
func Proc(r io.Reader) iter.Seq2[Connection, error] {
	return parser.List[Connection]{Line: func(line parser.Line) (c Connection, ok bool, err error) {
		reason := c.parse(string(line.Text))
		if reason == "" && line.Cut && !bytes.Contains(line.Text, []byte(" use=")) {
			reason = "expected more of the line"
		}
		if reason != "" {
			return c, false, line.Error(reason)
		}
		return c, true, nil
	}}.Decode(r)
}

// parse fills in a connection. It returns what was expected of a malformed line,
// or nothing.
func (c *Connection) parse(line string) (reason string) {
	words := slices.Collect(parser.Fields(line))
	if len(words) < 5 {
		return "expected a family, a protocol and two directions"
	}
	family, err1 := strconv.ParseUint(words[1], 10, 8)
	protocol, err2 := strconv.ParseUint(words[3], 10, 8)
	c.Family, c.Protocol = sock.Family(family), sock.Protocol(protocol)
	if err1 != nil || err2 != nil || c.Family != sock.INET && c.Family != sock.INET6 {
		return "expected the numbers of an IP address family and of a protocol"
	}
	words = words[4:]
	// Entries of a flow table have neither a timeout nor a state.
	if n, err := strconv.ParseUint(words[0], 10, 32); err == nil {
		c.Timeout = uint32(n)
		words = words[1:]
	} else if !strings.HasPrefix(words[0], "src=") {
		return "expected a timeout, or the source of an entry that is offloaded"
	} else {
		c.Offloaded = true
	}
	if len(words) > 0 && strings.Trim(words[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == "" {
		c.State = words[0]
	}
	c.Replied = true
	directions := 0
	var d *Direction
	offloaded := false
	for _, word := range words {
		switch word {
		case "[UNREPLIED]":
			c.Replied = false
		case "[ASSURED]":
			c.Assured = true
		case "[OFFLOAD]", "[HW_OFFLOAD]":
			offloaded = true
		}
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			continue
		}
		if key == "src" {
			switch directions++; directions {
			case 1:
				d = &c.Original
			case 2:
				d = &c.Reply
			default:
				return "there is a third direction"
			}
		}
		if d == nil {
			continue // the timeouts of GRE
		}
		if !c.set(d, key, value) {
			return key + ": expected another value"
		}
	}
	for _, d := range []*Direction{&c.Original, &c.Reply} {
		if !d.Source.IsValid() || !d.Destination.IsValid() {
			return "expected the source and the destination of two directions"
		}
	}
	if c.Offloaded && !offloaded {
		return "expected a timeout"
	}
	c.Offloaded = offloaded
	return ""
}

// set takes what a line says by key=value, and reports whether that makes sense.
func (c *Connection) set(d *Direction, key, value string) bool {
	var err error
	number := func(bits int) uint64 {
		var n uint64
		n, err = strconv.ParseUint(value, 10, bits)
		return n
	}
	switch key {
	case "src", "dst":
		to := &d.Source
		if key == "dst" {
			to = &d.Destination
		}
		*to, err = netip.ParseAddr(value)
		return err == nil && to.Is4() == (c.Family == sock.INET) && to.Zone() == ""
	case "sport":
		d.SourcePort = uint16(number(16))
	case "dport":
		d.DestinationPort = uint16(number(16))
	case "srckey", "dstkey":
		to := &d.SourcePort
		if key == "dstkey" {
			to = &d.DestinationPort
		}
		var n uint64
		n, err = strconv.ParseUint(strings.TrimPrefix(value, "0x"), 16, 16)
		*to = uint16(n)
	case "type":
		d.ICMPType = uint8(number(8))
	case "code":
		d.ICMPCode = uint8(number(8))
	case "id":
		d.ICMPID = uint16(number(16))
	case "packets":
		d.Packets, d.Counted = number(64), true
	case "bytes":
		d.Bytes = number(64)
	case "mark":
		c.Mark, c.MarkKnown = uint32(number(32)), true
	case "zone":
		c.Original.Zone = uint16(number(16))
		c.Reply.Zone = c.Original.Zone
	case "zone-orig":
		c.Original.Zone = uint16(number(16))
	case "zone-reply":
		c.Reply.Zone = uint16(number(16))
	}
	return err == nil
}
