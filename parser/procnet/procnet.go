// Package procnet decodes lists of /proc/net.
//
// The kernel prints those of TCP and UDP in tcp4_seq_show, tcp6_seq_show, udp4_seq_show and
// udp6_seq_show (net/ipv4/tcp_ipv4.c, net/ipv6/tcp_ipv6.c, net/ipv4/udp.c,
// net/ipv6/udp.c). Columns that a later kernel adds at the end of a line are
// ignored; a line that lacks a known column, or is cut off, is an error: a
// short list must not pass for a whole one.
package procnet

import (
	"bytes"
	"encoding/binary"
	"io"
	"iter"
	"math"
	"net/netip"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// msPerTick is a USER_HZ tick, the unit of tm->when, in milliseconds. USER_HZ
// is 100 wherever osquery runs.
const msPerTick = 10

// TCP streams the sockets of /proc/net/tcp or, for the family INET6,
// /proc/net/tcp6. The addresses in it are printed as words of the host's byte
// order. Errors are of type [*parser.LineError], or the reader's own.
func TCP(r io.Reader, family sock.Family, order binary.ByteOrder) iter.Seq2[sock.TCP, error] {
	return inetList(r, order, false, func(f *fields) (s sock.TCP) {
		s.Inet = f.inet(family, sock.ProtoTCP, &s.Timer, &s.TimerExpires, &s.Retransmits, &s.Probes)
		if s.State == sock.Listen {
			s.NoBacklog = true
		}
		return s
	})
}

// UDP streams the sockets of /proc/net/udp, udplite and their IPv6 siblings.
// See [TCP] for byte order and errors.
func UDP(r io.Reader, family sock.Family, protocol sock.Protocol, order binary.ByteOrder) iter.Seq2[sock.UDP, error] {
	return inetList(r, order, true, func(f *fields) (s sock.UDP) {
		var timer sock.Timer
		var skip uint32
		s.Inet = f.inet(family, protocol, &timer, &skip, &skip, &skip)
		f.next() // reference count
		f.next() // address of struct sock, hidden or hashed
		s.Drops = f.dec("drops", 64)
		return s
	})
}

// inetList decodes a list whose header has a column of drops, or has not: that is
// how the lists of UDP differ from those of TCP. A list with the other header may
// not have lines. gVisor's udp6, which has none, has the header of tcp6
// (pkg/sentry/fsimpl/proc/task_net.go).
func inetList[T any](r io.Reader, order binary.ByteOrder, drops bool, decode func(*fields) T) iter.Seq2[T, error] {
	other := false
	header := func(line []byte) bool {
		other = bytes.Contains(line, []byte(" drops")) != drops
		return bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("sl ")) && bytes.Contains(line, []byte(" inode"))
	}
	return list(r, order, header, func(f *fields) T {
		if other {
			f.fail("it is beneath the header of another list")
		}
		return decode(f)
	})
}

// list decodes a file of lines of fields beneath a header, if it has one. order
// is that of the words of addresses; nil if there are none.
func list[T any](r io.Reader, order binary.ByteOrder, header func(line []byte) bool, decode func(*fields) T) iter.Seq2[T, error] {
	f := fields{big: order != nil && order.Uint16([]byte{0, 1}) == 1}
	more := false // some line had more than is taken
	pad := 0      // length of all lines, if they are padded; -1 if not
	return parser.List[T]{Header: header, Line: func(line parser.Line) (v T, ok bool, err error) {
		f.rest, f.line, f.cut, f.skip = line.Text, line.Number, line.Cut, false
		v = decode(&f)
		switch {
		case !line.Cut:
			more = more || len(f.rest) > 0
			if len(line.Text) < padded || pad != 0 && pad != len(line.Text) || !parser.IsBlank(line.Text[len(line.Text)-1]) {
				pad = -1
			} else {
				pad = len(line.Text)
			}
		case len(line.Text) < pad:
			f.fail("expected a longer line")
		case more:
			f.goesOn()
		}
		if f.reason != "" {
			return v, false, line.Error(f.reason)
		}
		return v, !f.skip, nil
	}}.Decode(r)
}

// padded is the least length to which the kernel pads the lines of some lists
// (seq_setwidth, fs/seq_file.c), those of udp and route. Of tcp it is 149.
const padded = 127

// fields takes a line apart. The first thing that is wrong stays in reason.
type fields struct {
	rest   []byte
	line   int  // its number
	big    bool // the words of an address are big-endian
	cut    bool // the file ends without a newline after it
	skip   bool // the line has no record
	reason string
}

func (f *fields) fail(reason string) {
	if f.reason == "" {
		f.reason = reason
	}
}

// goesOn fails if the file ends where the line goes on: the field before it may be
// cut off. It is for a place where lines of the kernel have more.
func (f *fields) goesOn() {
	if f.cut && len(f.rest) == 0 {
		f.fail("expected more of the line")
	}
}

// blanks separate fields: see [parser.IsBlank].
const blanks = " \t"

// next returns the next blank-separated field; it is empty at the line's end.
func (f *fields) next() []byte {
	b := f.rest
	i := 0
	for i < len(b) && parser.IsBlank(b[i]) {
		i++
	}
	start := i
	for i < len(b) && !parser.IsBlank(b[i]) {
		i++
	}
	f.rest = b[i:]
	return b[start:i]
}

// inet decodes the columns up to inode, which all the lists have:
//
//	sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
func (f *fields) inet(family sock.Family, protocol sock.Protocol, timer *sock.Timer, expires, retransmits, probes *uint32) sock.Inet {
	s := sock.Inet{Family: family, Protocol: protocol}
	if sl := f.next(); len(sl) < 2 || sl[len(sl)-1] != ':' {
		f.fail("expected a slot number and a colon")
	}
	s.Local = f.addrPort(family)
	s.Remote = f.addrPort(family)
	s.State = sock.State(f.hex(f.next(), 8, "state"))
	tx, rx := f.pair("queues")
	s.SendQueue, s.RecvQueue = uint32(f.hex(tx, 32, "tx_queue")), uint32(f.hex(rx, 32, "rx_queue"))
	tr, when := f.pair("timer")
	*timer = sock.Timer(f.hex(tr, 8, "timer"))
	*expires = uint32(min(f.hex(when, 64, "tm->when"), math.MaxUint32/msPerTick) * msPerTick)
	*retransmits = uint32(f.hex(f.next(), 32, "retrnsmt"))
	uid := uint32(f.dec("uid", 32))
	*probes = uint32(f.dec("timeout", 32))
	s.Own(f.dec("inode", 64), uid)
	f.goesOn()
	return s
}

// pair splits a field at its colon.
func (f *fields) pair(name string) (left, right []byte) {
	b := f.next()
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		f.fail(name + ": expected two hexadecimal numbers with a colon between")
		return nil, nil
	}
	return b[:i], b[i+1:]
}

// addrPort decodes an address of one or four words of the host's byte order,
// a colon, and a port.
func (f *fields) addrPort(family sock.Family) netip.AddrPort {
	words := 1
	if family == sock.INET6 {
		words = 4
	}
	addr, port := f.pair("address")
	return netip.AddrPortFrom(f.addr(addr, words, "address"), uint16(f.hex(port, 16, "port")))
}

// hex decodes a hexadecimal number of at most width bits.
func (f *fields) hex(b []byte, width uint, name string) uint64 {
	if len(b) == 0 || len(b) > 16 {
		f.fail(name + ": expected a hexadecimal number")
		return 0
	}
	var v uint64
	for _, c := range b {
		d := hexDigits[c]
		if d == 0xff {
			f.fail(name + ": expected a hexadecimal number")
			return 0
		}
		v = v<<4 | uint64(d)
	}
	if width < 64 && v>>width != 0 {
		f.fail(name + ": the number is too large")
	}
	return v
}

// dec decodes the next field as a decimal number of at most width bits.
func (f *fields) dec(name string, width uint) uint64 {
	b := f.next()
	if len(b) == 0 {
		f.fail(name + ": expected a decimal number")
		return 0
	}
	var v uint64
	for _, c := range b {
		d := uint64(c) - '0'
		if d > 9 {
			f.fail(name + ": expected a decimal number")
			return 0
		}
		if v > (math.MaxUint64-d)/10 {
			f.fail(name + ": the number is too large")
			return 0
		}
		v = v*10 + d
	}
	if width < 64 && v>>width != 0 {
		f.fail(name + ": the number is too large")
	}
	return v
}

// hexDigits maps a byte to the hexadecimal digit it is, or to 0xff.
var hexDigits = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()
