package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// payloads returns the messages of testdata/conntrack.netlink, the answer to
// Request{} on a little-endian machine.
func payloads(t testing.TB) (all [][]byte) {
	t.Helper()
	for m, err := range netlink.Messages(file(t, "conntrack.netlink"), binary.LittleEndian) {
		if err != nil || m.Errno != 0 {
			t.Fatal(m, err)
		}
		if !m.Done {
			all = append(all, m.Payload)
		}
	}
	return all
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func decodeAll(t testing.TB) (all []Connection) {
	t.Helper()
	for _, b := range payloads(t) {
		var c Connection
		if err := Decode(b, binary.LittleEndian, &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// line writes a connection as conntrack -L -o extended does, without its last
// word.
func line(c Connection) string {
	var b strings.Builder
	name, ok := map[sock.Protocol]string{6: "tcp", 17: "udp", sock.ProtoICMP: "icmp", ProtoGRE: "gre", sock.ProtoICMPv6: "icmpv6"}[c.Protocol]
	if !ok {
		name = "unknown"
	}
	fmt.Fprintf(&b, "ipv%d %d %s %d %d ", map[sock.Family]int{2: 4, 10: 6}[c.Family], c.Family, name, c.Protocol, c.Timeout)
	if c.State != "" {
		b.WriteString(c.State + " ")
	}
	direction := func(d Direction, zone string) {
		fmt.Fprintf(&b, "src=%s dst=%s ", d.Source, d.Destination)
		switch {
		case c.HasPorts():
			fmt.Fprintf(&b, "sport=%d dport=%d ", d.SourcePort, d.DestinationPort)
		case c.Protocol == ProtoGRE:
			fmt.Fprintf(&b, "srckey=0x%x dstkey=0x%x ", d.SourcePort, d.DestinationPort)
		case c.Protocol == sock.ProtoICMP || c.Protocol == sock.ProtoICMPv6:
			fmt.Fprintf(&b, "type=%d code=%d id=%d ", d.ICMPType, d.ICMPCode, d.ICMPID)
		}
		if d.Zone != 0 && c.Original.Zone != c.Reply.Zone {
			fmt.Fprintf(&b, "%s=%d ", zone, d.Zone)
		}
		if d.Counted {
			fmt.Fprintf(&b, "packets=%d bytes=%d ", d.Packets, d.Bytes)
		}
	}
	direction(c.Original, "zone-orig")
	if !c.Replied {
		b.WriteString("[UNREPLIED] ")
	}
	direction(c.Reply, "zone-reply")
	if c.Assured {
		b.WriteString("[ASSURED] ")
	}
	if c.MarkKnown {
		fmt.Fprintf(&b, "mark=%d ", c.Mark)
	}
	if c.Original.Zone != 0 && c.Original.Zone == c.Reply.Zone {
		fmt.Fprintf(&b, "zone=%d ", c.Original.Zone)
	}
	return strings.TrimSpace(b.String())
}

// golden are the lines of conntrack -L -o extended, of the same instant as the
// other files of testdata.
func golden(t *testing.T) (lines []string) {
	t.Helper()
	for l := range strings.Lines(string(file(t, "conntrack.txt"))) {
		words := strings.Fields(l)
		lines = append(lines, strings.Join(words[:len(words)-1], " "))
	}
	slices.Sort(lines)
	return lines
}

func same(t *testing.T, got []Connection) {
	t.Helper()
	var lines []string
	for _, c := range got {
		lines = append(lines, line(c))
	}
	slices.Sort(lines)
	if want := golden(t); !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestDecode(t *testing.T) { same(t, decodeAll(t)) }

func TestProc(t *testing.T) {
	var got []Connection
	for c, err := range Proc(iotest.OneByteReader(strings.NewReader(string(file(t, "nf_conntrack"))))) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	same(t, got)
}

// What is translated is what the kernel's status says, IPS_SRC_NAT and
// IPS_DST_NAT, which it sets when it changes one.
func TestNAT(t *testing.T) {
	seen := map[string]int{}
	for _, b := range payloads(t) {
		var c Connection
		if err := Decode(b, binary.LittleEndian, &c); err != nil {
			t.Fatal(err)
		}
		var status uint32
		a := netlink.NewAttributes(b[nfGenericSize:], binary.LittleEndian)
		a.Numbers = binary.BigEndian
		for a.Next() {
			if a.Type() == attrStatus {
				status = a.Uint32()
			}
		}
		if err := a.Err(); err != nil {
			t.Fatal(err)
		}
		if source, destination := status&(1<<4) != 0, status&(1<<5) != 0; c.SourceNAT() != source || c.DestinationNAT() != destination {
			t.Errorf("%s: %v, %v; the kernel says %v, %v", line(c), c.SourceNAT(), c.DestinationNAT(), source, destination)
		}
		seen[fmt.Sprint(c.SourceNAT(), c.DestinationNAT())]++
	}
	if seen["true false"] != 2 || seen["false true"] != 6 || seen["false false"] != 3 {
		t.Errorf("%v", seen)
	}
	snat := Connection{Original: Direction{ICMPID: 1}, Reply: Direction{ICMPID: 2}}
	if !snat.SourceNAT() || snat.DestinationNAT() {
		t.Error("another identity of an echo is no translated source")
	}
}

// attribute is one of a message: its number, and bytes or more attributes.
type attribute struct {
	kind  uint16
	value any // []byte or []attribute
}

func build(b []byte, order binary.ByteOrder, attributes ...attribute) []byte {
	for _, a := range attributes {
		switch v := a.value.(type) {
		case []byte:
			b = netlink.AppendAttribute(b, order, a.kind, v)
		case []attribute:
			b = netlink.AppendAttribute(b, order, a.kind|1<<15, build(nil, order, v...))
		}
	}
	return b
}

func tupleOf(protocol byte) []attribute {
	return []attribute{
		{attrTupleIP, []attribute{{attrSource4, []byte{1, 2, 3, 4}}, {attrDestination4, []byte{5, 6, 7, 8}}}},
		{attrTupleProtocol, []attribute{{attrProtocolNumber, []byte{protocol}}, {attrSourcePort, []byte{1, 2}}, {attrDestinationPort, []byte{3, 4}}}},
		{attrTupleZone, []byte{0, 5}},
	}
}

// The structures of a big-endian machine, with what the capture lacks.
func TestDecodeBigEndian(t *testing.T) {
	order := binary.BigEndian
	status := func(bits uint32) attribute {
		return attribute{attrStatus, binary.BigEndian.AppendUint32(nil, bits)}
	}
	for _, c := range []struct {
		name     string
		protocol byte
		more     []attribute
		want     func(*Connection)
	}{
		{"plain", 6, nil, func(*Connection) {}},
		{"offloaded", 6, []attribute{status(statusOffload | statusReplied)}, func(c *Connection) { c.Offloaded, c.Replied = true, true }},
		{"offloaded to hardware", 6, []attribute{status(statusHardware)}, func(c *Connection) { c.Offloaded = true }},
		{"SCTP", 132, []attribute{{attrProtocolInfo, []attribute{{attrInfoSCTP, []attribute{{attrState, []byte{4}}}}}}}, func(c *Connection) { c.State = "ESTABLISHED" }},
		{"DCCP", 33, []attribute{{attrProtocolInfo, []attribute{{attrInfoDCCP, []attribute{{attrState, []byte{4}}}}}}}, func(c *Connection) { c.State = "OPEN" }},
		{"a new state", 6, []attribute{{attrProtocolInfo, []attribute{{attrInfoTCP, []attribute{{attrState, []byte{77}}, {9, nil}}}, {9, []byte{1}}}}}, func(c *Connection) { c.State = "77" }},
		{"counters of 32 bits", 6, []attribute{{attrCountersOriginal, []attribute{{attrPackets32, []byte{0, 0, 1, 0}}, {attrBytes32, []byte{0, 1, 0, 0}}}}}, func(c *Connection) {
			c.Original.Packets, c.Original.Bytes, c.Original.Counted = 256, 65536, true
		}},
		{"counters", 6, []attribute{{attrCountersReply, []attribute{{attrPackets, []byte{0, 0, 0, 1, 0, 0, 0, 0}}, {attrBytes, []byte{255, 255, 255, 255, 255, 255, 255, 255}}}}}, func(c *Connection) {
			c.Reply.Packets, c.Reply.Bytes, c.Reply.Counted = 1<<32, 1<<64-1, true
		}},
		{"zone", 6, []attribute{{attrZone, []byte{0, 7}}}, func(c *Connection) { c.Original.Zone, c.Reply.Zone = 7, 7 }},
		{"unknown attributes", 6, []attribute{{99, []byte{1, 2, 3}}, {attrMark, []byte{0, 0, 0, 9, 9}}}, func(c *Connection) { c.Mark, c.MarkKnown = 9, true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := build([]byte{2, 0, 0, 0}, order, append([]attribute{{attrTupleOriginal, tupleOf(c.protocol)}, {attrTupleReply, tupleOf(c.protocol)}}, c.more...)...)
			var want, got Connection
			want.Family, want.Protocol = sock.INET, sock.Protocol(c.protocol)
			want.Original = Direction{Source: ip("1.2.3.4"), Destination: ip("5.6.7.8"), SourcePort: 0x102, DestinationPort: 0x304, Zone: 5}
			want.Reply = want.Original
			c.want(&want)
			if err := Decode(b, order, &got); err != nil || got != want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	order := binary.LittleEndian
	head := []byte{2, 0, 0, 0}
	both := []attribute{{attrTupleOriginal, tupleOf(6)}, {attrTupleReply, tupleOf(6)}}
	for name, b := range map[string][]byte{
		"nothing":               nil,
		"no attributes":         head,
		"another family":        build([]byte{7, 0, 0, 0}, order, both...),
		"one direction":         build(head, order, both[0]),
		"two protocols":         build(head, order, both[0], attribute{attrTupleReply, tupleOf(17)}),
		"an address of IPv6":    build([]byte{10, 0, 0, 0}, order, both...),
		"no destination":        build(head, order, attribute{attrTupleOriginal, []attribute{{attrTupleIP, []attribute{{attrSource4, []byte{1, 2, 3, 4}}}}}}, both[1]),
		"a short address":       build(head, order, attribute{attrTupleOriginal, []attribute{{attrTupleIP, []attribute{{attrSource4, []byte{1, 2, 3}}}}}}, both[1]),
		"a short status":        build(head, order, append(both, attribute{attrStatus, []byte{1, 2}})...),
		"a short mark":          build(head, order, append(both, attribute{attrMark, []byte{}})...),
		"a short timeout":       build(head, order, append(both, attribute{attrTimeout, []byte{1, 2, 3}})...),
		"a short zone":          build(head, order, append(both, attribute{attrZone, []byte{1}})...),
		"short counters":        build(head, order, append(both, attribute{attrCountersReply, []attribute{{attrBytes, []byte{1}}}})...),
		"a short state":         build(head, order, append(both, attribute{attrProtocolInfo, []attribute{{attrInfoTCP, []attribute{{attrState, []byte{}}}}}})...),
		"half of an attribute":  append(build(head, order, both...), 1, 2),
		"a too long attribute":  append(build(head, order, both...), 200, 0, 1, 0),
		"a too short attribute": append(build(head, order, both...), 1, 0, 1, 0),
	} {
		t.Run(name, func(t *testing.T) {
			var c Connection
			if err := Decode(b, order, &c); err == nil {
				t.Errorf("%+v", c)
			}
		})
	}
	// A capture that is cut off anywhere is an error, or has lost whole attributes.
	for _, b := range payloads(t) {
		var whole, c Connection
		if err := Decode(b, order, &whole); err != nil {
			t.Fatal(err)
		}
		for n := range b {
			if err := Decode(b[:n], order, &c); err == nil && (c.Original.Source != whole.Original.Source || c.Protocol != whole.Protocol) {
				t.Errorf("of %d bytes: %+v", n, c)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	// What conntrack -L sends: nlmsghdr, nfgenmsg.
	want := []byte{20, 0, 0, 0, 1, 1, 1, 3, 5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0}
	if got := (&Request{Family: sock.INET}).Append(nil, binary.LittleEndian, 5); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestProcLines(t *testing.T) {
	parse := func(in string) (Connection, error) {
		for c, err := range Proc(strings.NewReader(in)) {
			return c, err
		}
		return Connection{}, errors.New("no line")
	}
	const tuple = "src=1.2.3.4 dst=5.6.7.8 sport=1 dport=2 "
	// The lines of older kernels, and of entries that are offloaded.
	for in, want := range map[string]string{
		"ipv4     2 tcp      6 7 SYN_SENT " + tuple + "[UNREPLIED] " + tuple + "use=2\n":                            "ipv4 2 tcp 6 7 SYN_SENT " + tuple + "[UNREPLIED] " + strings.TrimSpace(tuple),
		"ipv4     2 tcp      6 " + tuple + tuple + "[OFFLOAD] mark=3 use=2\n":                                       "ipv4 2 tcp 6 0 " + tuple + tuple + "mark=3",
		"ipv4     2 udp      17 " + tuple + tuple + "[HW_OFFLOAD] use=2\n":                                          "ipv4 2 udp 17 0 " + tuple + strings.TrimSpace(tuple),
		"ipv4     2 tcp      6 7 CLOSE " + tuple + tuple + "mark=0 secmark=0 secctx=a:b:c zone=3 more=x use=2\n":    "ipv4 2 tcp 6 7 CLOSE " + tuple + tuple + "mark=0 zone=3",
		"ipv4     2 tcp      6 7 77 " + tuple + tuple + "zone-reply=4 packets=18446744073709551615 bytes=1 use=2\n": "ipv4 2 tcp 6 7 77 " + tuple + tuple + "zone-reply=4 packets=18446744073709551615 bytes=1",
	} {
		t.Run(in, func(t *testing.T) {
			c, err := parse(in)
			if err != nil || line(c) != want || c.Offloaded != strings.Contains(in, "OFFLOAD") {
				t.Errorf("got %q, %v", line(c), err)
			}
		})
	}
	for in, reason := range map[string]string{
		"\n":                                                           "expected a family",
		"ipv4 2 tcp 6\n":                                               "expected a family",
		"ipv4 x tcp 6 7 " + tuple + tuple + "\n":                       "numbers of an IP address family",
		"ipv4 7 tcp 6 7 " + tuple + tuple + "\n":                       "numbers of an IP address family",
		"ipv4 2 tcp 256 7 " + tuple + tuple + "\n":                     "numbers of an IP address family",
		"ipv4 2 tcp 6 x " + tuple + tuple + "\n":                       "a timeout",
		"ipv4 2 tcp 6 " + tuple + tuple + "\n":                         "a timeout",
		"ipv4 2 tcp 6 7 CLOSE " + tuple + "\n":                         "two directions",
		"ipv4 2 tcp 6 7 CLOSE src=1.2.3.4 src=1.2.3.4 dst=1.2.3.4\n":   "two directions",
		"ipv4 2 tcp 6 7 CLOSE " + tuple + tuple + tuple + "\n":         "third direction",
		"ipv4 2 tcp 6 7 CLOSE src=::1 dst=::1 " + tuple + "\n":         "src: expected",
		"ipv4 2 tcp 6 7 CLOSE src=1.2.3 " + tuple + "\n":               "src: expected",
		"ipv6 10 tcp 6 7 CLOSE src=fe80::1%eth0 dst=::1 " + "\n":       "src: expected",
		"ipv4 2 tcp 6 7 CLOSE " + tuple + tuple + "mark=-1\n":          "mark: expected",
		"ipv4 2 tcp 6 7 CLOSE " + tuple + tuple + "zone=65536\n":       "zone: expected",
		"ipv4 2 tcp 6 7 CLOSE sport=1 src=1.2.3.4 dst=x" + "\n":        "dst: expected",
		"ipv4 2 tcp 6 7 CLOSE " + tuple + tuple + "mark=0":             "middle of a line",
		"ipv4 2 tcp 6 7 " + strings.Repeat(" ", parser.MaxLine) + "\n": "too long",
	} {
		t.Run(reason, func(t *testing.T) {
			_, err := parse("ipv4     2 udp      17 29 " + tuple + tuple + "\n" + in)
			if err != nil {
				t.Errorf("the first line: %v", err)
			}
			_, err = parse(in)
			var bad *parser.LineError
			if !errors.As(err, &bad) || bad.Line != 1 || !strings.Contains(bad.Reason, reason) {
				t.Errorf("%.100q: got %v, want %s", in, err, reason)
			}
		})
	}
	broken := errors.New("broken")
	for _, err := range Proc(iotest.ErrReader(broken)) {
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range payloads(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			var c Connection
			if Decode(b, order, &c) == nil {
				valid(t, c)
			}
		}
	})
}

func FuzzProc(f *testing.F) {
	f.Add(string(file(f, "nf_conntrack")))
	f.Fuzz(func(t *testing.T, in string) {
		for c, err := range Proc(strings.NewReader(in)) {
			if err == nil {
				valid(t, c)
			}
		}
	})
}

// valid reports what no connection can be.
func valid(t *testing.T, c Connection) {
	t.Helper()
	for _, d := range []Direction{c.Original, c.Reply} {
		if d.Source.Is4() != (c.Family == sock.INET) || d.Destination.Is4() != (c.Family == sock.INET) {
			t.Errorf("%+v", c)
		}
	}
}
