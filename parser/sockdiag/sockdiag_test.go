package sockdiag

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// captured returns the sockets of a file that ss -D wrote on a little-endian
// machine.
func captured(t testing.TB, name string) (sockets []sock.TCP) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	done := false
	for m, err := range netlink.Messages(b, binary.LittleEndian) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Done {
			done = true
			continue
		}
		var s sock.TCP
		if err := TCP(m.Payload, binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, s)
	}
	if !done {
		t.Error("the capture has no end")
	}
	return sockets
}

// The captures hold sockets in every state; beside them is what ss prints of
// them (TCPDIAG_FILE=tcp.diag ss -Hatneo).
func TestAgainstSS(t *testing.T) {
	for _, name := range []string{"tcp", "tcp6"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + name + ".ss")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(text)), "\n")
			got := captured(t, name+".diag")
			if len(got) != len(want) {
				t.Fatalf("%d sockets, ss shows %d", len(got), len(want))
			}
			states, orphans := map[sock.State]bool{}, 0
			for i, s := range got {
				if line := ssLine(&s); line != expectation(want[i]) {
					t.Errorf("%s\ngot  %s\nwant %s", want[i], line, expectation(want[i]))
				}
				if s.HasUID == (s.Inode == 0) {
					t.Errorf("%+v: has an owner: %t", s, s.HasUID)
				}
				if s.State == sock.FinWait1 && s.UID == 1000 {
					orphans++
				}
				states[s.State] = true
			}
			if len(states) != 10 || orphans == 0 {
				t.Errorf("sockets in %d states, want all 10; %d orphans", len(states), orphans)
			}
		})
	}
}

// ssStates are ss's names of states.
var ssStates = map[sock.State]string{
	sock.Established: "ESTAB", sock.SynSent: "SYN-SENT", sock.SynRecv: "SYN-RECV", sock.FinWait1: "FIN-WAIT-1", sock.FinWait2: "FIN-WAIT-2",
	sock.TimeWait: "TIME-WAIT", sock.CloseWait: "CLOSE-WAIT", sock.LastAck: "LAST-ACK", sock.Listen: "LISTEN", sock.Closing: "CLOSING",
}

// ssLine writes a socket as expectation does a line of ss.
func ssLine(s *sock.TCP) string {
	end := func(a netip.AddrPort) string {
		if a.Port() == 0 {
			return a.Addr().String() + " *"
		}
		return fmt.Sprint(a.Addr(), " ", a.Port())
	}
	timer := ""
	if s.Timer != sock.TimerOff {
		name := s.Timer.String()
		if s.Timer == sock.TimerProbe {
			name = "persist"
		}
		// ss shows less of longer times.
		expires := s.TimerExpires
		switch {
		case expires >= 3600_000/6:
			expires -= expires % 60_000
		case expires >= 10_000:
			expires -= expires % 1000
		}
		timer = fmt.Sprintf("%s %d", name, expires)
	}
	return fmt.Sprintf("%s %d %d %s %s [%s] uid %d ino %d sk %x", ssStates[s.State], s.RecvQueue, s.SendQueue, end(s.Local), end(s.Remote), timer, s.UID, s.Inode, s.Cookie)
}

var (
	ssTimer = regexp.MustCompile(`timer:\((\w+),(\d+min)?(\d+sec)?((?:\d+\.)?\d+ms)?,\d+\)`)
	ssEnd   = regexp.MustCompile(`^\[?([^\]%]*)(?:%\w+)?\]?(?:%\w+)?:(\*|\d+)$`)
)

// expectation brings a line of ss into the form of ssLine.
func expectation(line string) string {
	f := strings.Fields(line)
	end := func(s string) string {
		m := ssEnd.FindStringSubmatch(s)
		if m[1] == "*" {
			m[1] = "::"
		}
		return m[1] + " " + m[2]
	}
	value := func(key, absent string) string {
		for _, field := range f {
			if v, ok := strings.CutPrefix(field, key+":"); ok {
				return v
			}
		}
		return absent
	}
	timer := ""
	if m := ssTimer.FindStringSubmatch(line); m != nil {
		var ms float64
		for i, unit := range []struct {
			name string
			ms   float64
		}{{"min", 60_000}, {"sec", 1000}, {"ms", 1}} {
			if number, ok := strings.CutSuffix(m[2+i], unit.name); ok {
				n, _ := strconv.ParseFloat(number, 64)
				if strings.Contains(number, ".") {
					unit.ms = 1000 // ss writes 3.856 seconds as 3.856ms
				}
				ms += n * unit.ms
			}
		}
		timer = fmt.Sprintf("%s %d", m[1], int(ms+0.5))
	}
	return fmt.Sprintf("%s %s %s %s %s [%s] uid %s ino %s sk %s", f[0], f[1], f[2], end(f[3]), end(f[4]), timer, value("uid", "0"), value("ino", ""), value("sk", ""))
}

// flagDumpIntr is NLM_F_DUMP_INTR.
const flagDumpIntr = 0x10

// message makes a netlink message with a struct inet_diag_msg and attributes.
func message(order binary.ByteOrder, flags uint16, attributes ...[]byte) []byte {
	b := make([]byte, netlink.HeaderSize+inetMessageSize)
	order.PutUint16(b[4:], typeByFamily)
	order.PutUint16(b[6:], flags)
	order.PutUint32(b[8:], 7)
	m := b[netlink.HeaderSize:]
	m[0], m[1], m[2], m[3] = byte(sock.INET6), byte(sock.Established), byte(sock.TimerProbe), 9
	binary.BigEndian.PutUint16(m[4:], 443)
	binary.BigEndian.PutUint16(m[6:], 50000)
	copy(m[8:], netip.MustParseAddr("::ffff:127.0.0.1").AsSlice())
	copy(m[24:], netip.MustParseAddr("2001:db8::1").AsSlice())
	order.PutUint32(m[40:], 7)
	for i, v := range []uint32{0x01020304, 0x05060708, 1500, 10, 20, 4294967294, 4242} {
		order.PutUint32(m[44+4*i:], v)
	}
	for i, a := range attributes {
		head := make([]byte, netlink.AttributeHeaderSize)
		order.PutUint16(head, uint16(netlink.AttributeHeaderSize+len(a)))
		order.PutUint16(head[2:], []uint16{attrInfo, attrSKMemInfo, 99}[i])
		b = append(append(b, head...), a...)
		b = append(b, make([]byte, netlink.Align(len(a))-len(a))...)
	}
	order.PutUint32(b, uint32(len(b)))
	return b
}

func TestBothByteOrders(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		memory := make([]byte, 36)
		order.PutUint32(memory[32:], 77)
		b := message(order, 0, []byte{1, 0, 3, 4, 5}, memory, []byte("unknown"))
		b = append(b, message(order, flagDumpIntr)...)
		var all []netlink.Message
		for m, err := range netlink.Messages(b, order) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		if len(all) != 2 || all[0].Seq != 7 || all[0].Interrupted || !all[1].Interrupted || all[0].Done {
			t.Fatalf("%v: %+v", order, all)
		}
		want := sock.Inet{
			Family: sock.INET6, Protocol: sock.ProtoTCP, State: sock.Established,
			Local: netip.MustParseAddrPort("[::ffff:127.0.0.1]:443"), Remote: netip.MustParseAddrPort("[2001:db8::1]:50000"),
			RecvQueue: 10, SendQueue: 20, Common: sock.Common{HasUID: true, UID: 4294967294, Inode: 4242, Cookie: 0x0506070801020304},
			Details: sock.Details{Known: sock.KnowsInterface | sock.KnowsMemory, Interface: 7, Memory: sock.Memory{Drops: 77}},
		}
		var s sock.TCP
		if err := TCP(all[0].Payload, order, &s); err != nil || s != (sock.TCP{Inet: want, Timer: sock.TimerProbe, TimerExpires: 1500, Retransmits: 3, Probes: 4}) {
			t.Errorf("%v: %+v, %v", order, s, err)
		}
		bare := want
		bare.Details = sock.Details{Known: sock.KnowsInterface, Interface: 7}
		// Without tcp_info the number of tries is that of the timer.
		if err := TCP(all[1].Payload, order, &s); err != nil || s != (sock.TCP{Inet: bare, Timer: sock.TimerProbe, TimerExpires: 1500, Probes: 9}) {
			t.Errorf("%v: %+v, %v", order, s, err)
		}
		var u sock.UDP
		want.Protocol = sock.ProtoUDPLite
		if err := UDP(all[0].Payload, order, sock.ProtoUDPLite, &u); err != nil || u != (sock.UDP{Inet: want, Drops: 77}) {
			t.Errorf("%v: %+v, %v", order, u, err)
		}
	}
}

// Peers with a key are told, and the keys are not.
func TestMD5Peers(t *testing.T) {
	sig := func(family sock.Family, length byte, address ...byte) []byte {
		b := make([]byte, 100)
		b[0], b[1], b[2] = byte(family), length, 6
		copy(b[4:], address)
		copy(b[20:], "secret")
		return b
	}
	order := binary.LittleEndian
	for name, c := range map[string]struct {
		value []byte
		want  string
	}{
		"two":            {append(sig(sock.INET, 24, 10, 1, 0, 0), sig(sock.INET6, 128, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7)...), "10.1.0.0/24,2001:db8::7/128"},
		"none":           {nil, ""},
		"cut":            {sig(sock.INET, 32, 10, 1, 0, 1)[:99], ""},
		"any length":     {sig(sock.INET, 33, 10, 1, 0, 1), "10.1.0.1/33"},
		"another family": {sig(7, 0), "invalid IP/0"},
	} {
		t.Run(name, func(t *testing.T) {
			var s sock.TCP
			if err := TCP(netlink.AppendAttribute(message(order, 0)[netlink.HeaderSize:], order, 18, c.value), order, &s); err != nil || s.MD5Peers != c.want {
				t.Errorf("got %q, %v", s.MD5Peers, err)
			}
		})
	}
}

// The attributes beside struct inet_diag_msg, as the kernel writes them.
func TestDetails(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		var mark, cgroup, memory [36]byte
		order.PutUint32(mark[:], 0x01020304)
		order.PutUint64(cgroup[:], 0x0102030405060708)
		for i := range uint32(9) {
			order.PutUint32(memory[4*i:], 10+i)
		}
		attributes := []struct {
			kind  uint16
			value []byte
			field sock.Known
		}{
			{5, []byte{0x10}, sock.KnowsTOS},
			{6, []byte{0x20}, sock.KnowsTClass},
			{7, memory[:], sock.KnowsMemory},
			{8, []byte{3}, sock.KnowsShutdown},
			{11, []byte{1}, sock.KnowsV6Only},
			{15, mark[:4], sock.KnowsMark},
			{17, mark[:4], sock.KnowsClassID},
			{21, cgroup[:8], sock.KnowsCgroupID},
			{22, map[binary.ByteOrder][]byte{binary.LittleEndian: {0x24, 0x09}, binary.BigEndian: {0x24, 0x90}}[order], sock.KnowsOptions},
			{99, nil, 0},
		}
		var all []byte
		for _, a := range attributes {
			all = netlink.AppendAttribute(all, order, a.kind, a.value)
			var s sock.TCP
			one := netlink.AppendAttribute(message(order, 0)[netlink.HeaderSize:], order, a.kind, a.value)
			if err := TCP(one, order, &s); err != nil || s.Known != a.field|sock.KnowsInterface {
				t.Errorf("%v: attribute %d gives the fields %b, %v", order, a.kind, s.Known, err)
			}
			if len(a.value) > 0 && a.kind != 7 {
				short := netlink.AppendAttribute(message(order, 0)[netlink.HeaderSize:], order, a.kind, a.value[1:])
				if err := TCP(short, order, &s); err == nil {
					t.Errorf("%v: attribute %d of %d bytes passes", order, a.kind, len(a.value)-1)
				}
			}
		}
		var s sock.TCP
		if err := TCP(append(message(order, 0)[netlink.HeaderSize:], all...), order, &s); err != nil {
			t.Fatal(err)
		}
		want := sock.Details{
			Known: 1<<10 - 1, Interface: 7, Mark: 0x01020304, ClassID: 0x01020304, Options: 0x0924, CgroupID: 0x0102030405060708, TOS: 0x10, TClass: 0x20, Shutdown: 3, V6Only: true,
			Memory: sock.Memory{Received: 10, ReceiveBuffer: 11, Sent: 12, SendBuffer: 13, Forward: 14, Queued: 15, Options: 16, Backlog: 17, Drops: 18},
		}
		if s.Details != want {
			t.Errorf("%v: got  %+v\nwant %+v", order, s.Details, want)
		}
	}
}

// What ends too early is an error, never a socket; what is longer is not.
func TestShortAndLong(t *testing.T) {
	order := binary.LittleEndian
	whole := message(order, 0, []byte{1, 0, 3, 4, 5, 0, 0, 0})
	for n := 1; n < len(whole); n++ {
		for m, err := range netlink.Messages(whole[:n], order) {
			if err == nil {
				t.Errorf("%d bytes of %d pass for a message: %+v", n, len(whole), m)
			}
		}
		var s sock.TCP
		if n < netlink.HeaderSize {
			continue
		}
		if err := TCP(whole[netlink.HeaderSize:n], order, &s); err == nil && n != netlink.HeaderSize+inetMessageSize {
			t.Errorf("%d bytes of %d pass for a socket: %+v", n, len(whole), s)
		}
	}
	var s sock.TCP
	odd := slices.Clone(whole[netlink.HeaderSize:])
	odd[0] = 1
	if err := TCP(odd, order, &s); err == nil || !strings.Contains(err.Error(), "address family 1") {
		t.Errorf("another family gave %v", err)
	}
	var u sock.UDP
	if err := UDP(message(order, 0, nil, []byte{1})[netlink.HeaderSize:], order, sock.ProtoUDP, &u); err != nil || u.Drops != 0 {
		t.Errorf("short memory information: %v, %+v", err, u)
	}
}

func FuzzMessages(f *testing.F) {
	for _, name := range []string{"tcp.diag", "tcp6.diag"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:2000], false)
	}
	f.Add(message(binary.BigEndian, flagDumpIntr, []byte{1, 2, 3, 4}, make([]byte, 36)), true)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		total := 0
		for m, err := range netlink.Messages(b, order) {
			if err != nil {
				return
			}
			total += netlink.HeaderSize + len(m.Payload)
			if !m.Done {
				var s, header sock.TCP
				var u sock.UDP
				if err := TCPHeader(m.Payload, order, &header); TCP(m.Payload, order, &s) == nil {
					s.Retransmits, s.Probes, s.Congestion, s.MD5Peers, s.Details = header.Retransmits, header.Probes, "", "", header.Details
					if err != nil || s != header {
						t.Errorf("the header alone: %+v, %v, want %+v", header, err, s)
					}
				}
				if (TCP(m.Payload, order, &s) == nil) != s.Local.IsValid() && len(m.Payload) < inetMessageSize {
					t.Errorf("a socket of %d bytes", len(m.Payload))
				}
				UDP(m.Payload, order, sock.ProtoUDP, &u)
			}
		}
		if total > len(b) {
			t.Errorf("%d bytes of messages in %d", total, len(b))
		}
	})
}

func BenchmarkTCP(b *testing.B) {
	m := message(binary.NativeEndian, 0)[netlink.HeaderSize:]
	var s sock.TCP
	b.ReportAllocs()
	for b.Loop() {
		if err := TCP(m, binary.NativeEndian, &s); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRequest(t *testing.T) {
	order := binary.BigEndian
	r := Request{Family: sock.INET, Protocol: sock.ProtoTCP, States: 1 << sock.Listen, Attributes: Info, Filter: []byte("code")}
	b := r.Append([]byte("before"), order, 5)
	b = bytes.TrimPrefix(b, []byte("before"))
	if len(b) != 80 || order.Uint32(b) != 80 || order.Uint16(b[4:]) != 20 || order.Uint16(b[6:]) != 0x301 || order.Uint32(b[8:]) != 5 ||
		b[16] != 2 || b[17] != 6 || b[18] != 2 || order.Uint32(b[20:]) != 1<<10 || order.Uint32(b[64:]) != 1<<32-1 || order.Uint32(b[68:]) != 1<<32-1 ||
		order.Uint16(b[72:]) != 8 || order.Uint16(b[74:]) != 1 || string(b[76:]) != "code" {
		t.Errorf("%x", b)
	}
	r = Request{Protocol: sock.ProtoTCP, States: 1 << sock.Listen, Attributes: Info, Filter: []byte("code")}
	b = r.Append(nil, order, 5)
	if len(b) != 84 || order.Uint32(b) != 84 || order.Uint16(b[4:]) != 18 || order.Uint16(b[6:]) != 0x301 || b[16] != 0 || b[19] != 2 ||
		order.Uint32(b[60:]) != 1<<32-1 || order.Uint32(b[68:]) != 1<<10 || order.Uint16(b[76:]) != 8 || string(b[80:]) != "code" {
		t.Errorf("%x", b)
	}
}

// endpoint is what inet diag bytecode looks at (struct inet_diag_entry).
type endpoint struct {
	family      sock.Family
	local, peer netip.AddrPort
}

// kernelRun is a reading of the kernel's inet_diag_bc_audit and
// inet_diag_bc_run, to run programs without one.
func kernelRun(t testing.TB, program []byte, order binary.ByteOrder, e endpoint) bool {
	t.Helper()
	audit(t, program, order)
	at := 0
	for at < len(program) {
		op, yes, no := program[at], int(program[at+1]), int(order.Uint16(program[at+2:]))
		holds := false
		operand := func() uint16 { return order.Uint16(program[at+6:]) }
		address := func(a netip.Addr) bool {
			family, prefix := sock.Family(program[at+4]), int(program[at+5])
			if order.Uint32(program[at+8:]) != 1<<32-1 {
				t.Fatal("the condition compares a port")
			}
			want := program[at+12 : at+yes]
			if family == sock.INET && e.family == sock.INET6 {
				if !a.Is4In6() {
					return false
				}
				a = a.Unmap()
			} else if family != e.family {
				return false
			}
			if prefix != a.BitLen() {
				t.Fatalf("a prefix of %d bits", prefix)
			}
			return bytes.Equal(want, a.AsSlice())
		}
		switch op {
		case opJump:
		case opLocalGE:
			holds = e.local.Port() >= operand()
		case opLocalLE:
			holds = e.local.Port() <= operand()
		case opRemoteGE:
			holds = e.peer.Port() >= operand()
		case opRemoteLE:
			holds = e.peer.Port() <= operand()
		case opLocalIs:
			holds = address(e.local.Addr())
		case opRemoteIs:
			holds = address(e.peer.Addr())
		default:
			t.Fatalf("operation %d", op)
		}
		if holds {
			at += yes
		} else {
			at += no
		}
	}
	return at == len(program)
}

// audit refuses what the kernel would.
func audit(t testing.TB, program []byte, order binary.ByteOrder) {
	t.Helper()
	starts := map[int]bool{len(program): true}
	for at := 0; at < len(program); at += int(program[at+1]) {
		starts[at] = true
	}
	for at := 0; at < len(program); at += int(program[at+1]) {
		op, yes, no, left := program[at], int(program[at+1]), int(order.Uint16(program[at+2:])), len(program)-at
		least := 4
		switch op {
		case opLocalGE, opLocalLE, opRemoteGE, opRemoteLE:
			least = 8
		case opLocalIs, opRemoteIs:
			least = 12 + map[byte]int{2: 4, 10: 16}[program[at+4]]
		}
		if no < least || no > left+4 || no&3 != 0 || yes < least || yes > left+4 || yes&3 != 0 || no < left && !starts[at+no] {
			t.Fatalf("the kernel refuses the operation at %d of %x", at, program)
		}
	}
}

func TestFilterPrograms(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	addrs := []netip.Addr{
		netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("192.0.2.1"),
		netip.MustParseAddr("::1"), netip.MustParseAddr("::"), netip.MustParseAddr("::ffff:127.0.0.1"),
	}
	ports := []uint16{0, 1, 22, 80, 443, 65534, 65535}
	pickPorts := func() (ranges []sock.PortRange) {
		for range random.IntN(4) {
			a, b := ports[random.IntN(len(ports))], ports[random.IntN(len(ports))]
			ranges = append(ranges, sock.PortRange{Low: min(a, b), High: max(a, b)})
		}
		return ranges
	}
	pickAddrs := func() (list []netip.Addr) {
		for range random.IntN(3) {
			list = append(list, addrs[random.IntN(len(addrs))])
		}
		return list
	}
	inPorts := func(list []sock.PortRange, p uint16) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(r sock.PortRange) bool { return r.Low <= p && p <= r.High })
	}
	inAddrs := func(list []netip.Addr, a netip.Addr) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(w netip.Addr) bool { return w == a || w.Is4() && w == a.Unmap() })
	}
	passed := 0
	for range 20_000 {
		f := Filter{pickPorts(), pickPorts(), pickAddrs(), pickAddrs()}
		a, b := addrs[random.IntN(len(addrs))], addrs[random.IntN(len(addrs))]
		if a.Is4() != b.Is4() {
			continue
		}
		e := endpoint{sock.INET6, netip.AddrPortFrom(a, ports[random.IntN(len(ports))]), netip.AddrPortFrom(b, ports[random.IntN(len(ports))])}
		if a.Is4() {
			e.family = sock.INET
		}
		var order binary.ByteOrder = binary.LittleEndian
		if random.IntN(2) == 0 {
			order = binary.BigEndian
		}
		want := inPorts(f.LocalPorts, e.local.Port()) && inPorts(f.RemotePorts, e.peer.Port()) && inAddrs(f.LocalAddrs, a) && inAddrs(f.RemoteAddrs, b)
		if got := kernelRun(t, f.Program(order), order, e); got != want {
			t.Fatalf("%+v of %+v: %v, want %v", f, e, got, want)
		}
		if want {
			passed++
		}
	}
	if passed < 1000 {
		t.Errorf("only %d sockets passed", passed)
	}
}

// Lists that do not fit into a program are left out.
func TestLongLists(t *testing.T) {
	var many []sock.PortRange
	for i := range maxAlternatives + 1 {
		many = append(many, sock.PortRange{Low: uint16(i), High: uint16(i)})
	}
	f := Filter{LocalPorts: many, RemotePorts: []sock.PortRange{{Low: 5, High: 5}}}
	program := f.Program(binary.LittleEndian)
	e := endpoint{sock.INET, netip.MustParseAddrPort("127.0.0.1:9999"), netip.MustParseAddrPort("127.0.0.1:5")}
	if !kernelRun(t, program, binary.LittleEndian, e) {
		t.Error("a socket that the long list excludes is not shown")
	}
	f.LocalPorts = many[:maxAlternatives]
	if program := f.Program(binary.LittleEndian); len(program) < 8*maxAlternatives || kernelRun(t, program, binary.LittleEndian, e) {
		t.Errorf("a list of %d is left out", maxAlternatives)
	}
	addrs := make([]netip.Addr, maxAlternatives)
	for i := range addrs {
		addrs[i] = netip.AddrFrom16([16]byte{15: byte(i), 14: byte(i >> 8)})
	}
	f = Filter{LocalPorts: many[:512], RemotePorts: many[:512], LocalAddrs: addrs, RemoteAddrs: addrs}
	if program := f.Program(binary.LittleEndian); len(program) > 1<<16-5 {
		t.Errorf("a program of %d bytes", len(program))
	}
}
