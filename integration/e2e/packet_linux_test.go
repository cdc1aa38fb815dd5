package e2e

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// on makes a packet socket get frames of a protocol from lo.
func on(protocol uint16) func(fd int) error {
	return func(fd int) error {
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(protocol), Ifindex: 1}))
	}
}

// htons returns a number in the byte order of networks.
func htons(n uint16) uint16 { return n<<8 | n>>8 }

// classic attaches a BPF program of so many instructions.
func classic(instructions int) func(fd int) error {
	return func(fd int) error {
		program := make([]unix.SockFilter, instructions)
		program[instructions-1] = unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0xffff}
		return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(instructions), Filter: &program[0]}))
	}
}

// member asks something of lo.
func member(kind uint16, address ...byte) func(fd int) error {
	return func(fd int) error {
		m := unix.PacketMreq{Ifindex: 1, Type: kind, Alen: uint16(len(address))}
		copy(m.Address[:], address)
		return os.NewSyscallError("setsockopt", unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m))
	}
}

func option(option, value int) func(fd int) error {
	return func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_PACKET, option, value))
	}
}

func all(steps ...func(fd int) error) func(fd int) error {
	return func(fd int) error {
		for _, step := range steps {
			if err := step(fd); err != nil {
				return err
			}
		}
		return nil
	}
}

// packetSockets makes packet sockets of every kind, by inode with what their rows
// must say. None has so much that ss -0 would lose its followers.
func packetSockets(t *testing.T, ns *netnstest.NS) map[string]tableRow {
	t.Helper()
	want := make(map[string]tableRow)
	add := func(kind int, protocol uint16, row tableRow, prepare func(fd int) error) {
		t.Helper()
		_, inode := openIn(t, ns, unix.AF_PACKET, kind, int(htons(protocol)), prepare)
		row["protocol"], row["pid"] = strconv.Itoa(int(protocol)), strconv.Itoa(os.Getpid())
		want[inode] = row
	}
	add(unix.SOCK_RAW, 3, tableRow{"type": "RAW", "protocol_name": "ALL", "interface": "", "interface_index": "0", "running": "1", "filtered": "0", "promiscuous": "0", "memberships": "0"}, nil)
	add(unix.SOCK_DGRAM, 0x806, tableRow{"type": "DGRAM", "protocol_name": "ARP", "interface": "lo", "interface_index": "1", "running": "1"}, on(0x806))
	add(unix.SOCK_RAW, 0x88cc, tableRow{"protocol_name": "LLDP", "uid": "4294967294"}, func(fd int) error { return unix.Fchown(fd, -2, -1) })
	add(unix.SOCK_RAW, 0x1234, tableRow{"protocol_name": "", "interface": ""}, nil)
	add(unix.SOCK_RAW, 0, tableRow{"protocol_name": "", "running": "0"}, nil)
	add(unix.SOCK_PACKET, 3, tableRow{"type": "PACKET", "running": "1"}, nil)
	add(unix.SOCK_RAW, 3, tableRow{"filtered": "1", "promiscuous": "1", "memberships": "3", "filter": strings.Repeat("0x00 0 0 0,", 23) + "0x06 0 0 65535"},
		all(on(3), classic(24), member(unix.PACKET_MR_PROMISC), member(unix.PACKET_MR_PROMISC), member(unix.PACKET_MR_ALLMULTI), member(unix.PACKET_MR_MULTICAST, 1, 0, 0x5e, 0, 0, 1)))
	add(unix.SOCK_RAW, 0x800, tableRow{"rx_ring_bytes": "32768", "rx_ring_frames": "16", "tx_ring_bytes": "", "version": "2", "reserve": "16"},
		all(option(unix.PACKET_VERSION, unix.TPACKET_V2), option(unix.PACKET_RESERVE, 16), func(fd int) error {
			return os.NewSyscallError("setsockopt", unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &unix.TpacketReq{Block_size: 8192, Block_nr: 4, Frame_size: 2048, Frame_nr: 16}))
		}))
	add(unix.SOCK_RAW, 0x86dd, tableRow{"protocol_name": "IPV6", "tx_ring_bytes": "8192", "tx_ring_frames": "4", "rx_ring_bytes": "", "auxdata": "1", "origdev": "1", "loss": "1", "vnet_hdr": "0", "copy_threshold": "1500"},
		all(option(unix.PACKET_AUXDATA, 1), option(unix.PACKET_ORIGDEV, 1), option(unix.PACKET_LOSS, 1), option(unix.PACKET_COPY_THRESH, 1500), func(fd int) error {
			return os.NewSyscallError("setsockopt", unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_TX_RING, &unix.TpacketReq{Block_size: 4096, Block_nr: 2, Frame_size: 2048, Frame_nr: 4}))
		}))
	add(unix.SOCK_RAW, 0x8100, tableRow{"protocol_name": "802.1Q", "vnet_hdr": "1", "loss": "0"}, option(unix.PACKET_VNET_HDR, 1))
	for range 2 {
		add(unix.SOCK_DGRAM, 0x8847, tableRow{"fanout_id": "4711", "fanout_type": "cpu"}, all(on(0x8847), option(unix.PACKET_FANOUT, 4711|unix.PACKET_FANOUT_CPU<<16)))
	}
	// Nobody reads what comes over lo.
	add(unix.SOCK_RAW, 3, tableRow{"receive_buffer_bytes": "2304"}, all(on(3), func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1) }))
	openIn(t, ns, unix.AF_INET, unix.SOCK_DGRAM, 0, func(fd int) error {
		for range 9 {
			if err := unix.Sendto(fd, make([]byte, 600), 0, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
				return os.NewSyscallError("sendto", err)
			}
		}
		return nil
	})
	return want
}

const packetColumns = "SELECT *, filter, interface_index, rx_ring_frames, tx_ring_frames, version, reserve, copy_threshold, auxdata, origdev, vnet_hdr, loss, receive_buffer_bytes, cookie FROM packet_sockets"

func checkRows(t *testing.T, rows []tableRow, want map[string]tableRow) {
	t.Helper()
	if len(rows) != len(want) {
		t.Errorf("%d rows of %d sockets", len(rows), len(want))
	}
	for _, r := range rows {
		for column, value := range want[r["inode"]] {
			if got, ok := r[column]; !ok || got != value {
				t.Errorf("%s is %q, want %q, in %v", column, got, value, r)
			}
		}
	}
}

// needPacketDiag skips a test of what only the kernel's module packet_diag reports.
func needPacketDiag(t *testing.T, ns *netnstest.NS) {
	t.Helper()
	if r := query(t, ns, "SELECT source, reason FROM socket_sources WHERE proto = 'packet'")[0]; r["source"] != "sock_diag" {
		netnstest.NotInThisKernel(t, "packet_diag: "+r["reason"])
	}
}

func TestPacketSockets(t *testing.T) {
	ns := netnstest.New(t)
	needPacketDiag(t, ns)
	want := packetSockets(t, ns)
	rows := query(t, ns, packetColumns)
	checkRows(t, rows, want)
	dropped := false
	for _, r := range rows {
		dropped = dropped || r["drops"] != "0" && r["recv_q"] != "0"
	}
	if !dropped {
		t.Error("no socket has dropped a frame")
	}

	var got []string
	for _, r := range rows {
		got = append(got, packetAsSS(r))
	}
	var ss []string
	for _, line := range command(t, ns, "ss", "-H0anemO") {
		line = strings.Join(strings.Fields(line), " ")
		line = regexp.MustCompile(`(blk_size|blk_nr|frm_size|tmo|features):\w+,?`).ReplaceAllString(line, "")
		line = regexp.MustCompile(`skmem:\(r\d+,rb(\d+),.*,o(\d+),bl\d+,d(\d+)\)`).ReplaceAllStringFunc(line, func(m string) string {
			return regexp.MustCompile(`t\d+,tb\d+,f-?\d+,w\d+,|bl\d+,|r\d+,`).ReplaceAllString(m, "")
		})
		ss = append(ss, strings.NewReplacer(",)", ")", "o0,", "filtered:0,").Replace(regexp.MustCompile(`\bo[1-9]\d*,`).ReplaceAllString(line, "filtered:1,")))
	}
	sameLines(t, "ss -0anem", got, ss)

	got, ss = nil, nil
	for _, r := range rows {
		if r["filter"] != "" {
			got = append(got, r["filter"])
		}
	}
	for _, line := range command(t, ns, "ss", "-H0anbO") {
		if _, program, ok := strings.Cut(line, "): "); ok {
			ss = append(ss, strings.TrimSuffix(strings.ReplaceAll(strings.TrimSpace(program), ", ", ","), ","))
		}
	}
	sameLines(t, "ss -0anb", got, ss)

	// What /proc tells, it tells the same; the rest is not known then.
	fromProc := queries(t, ns, onlyProc, packetColumns, "SELECT last_source FROM socket_sources WHERE proto = 'packet'")
	if fromProc[1][0]["last_source"] != "procfs" {
		t.Fatalf("--proc %s reads %v", onlyProc, fromProc[1])
	}
	same := []string{"type", "protocol", "protocol_name", "interface_index", "recv_q", "running", "uid", "inode"}
	sameLines(t, "the two sources", lines(fromProc[0], same), lines(rows, same))
	for _, r := range fromProc[0] {
		for _, column := range []string{"drops", "promiscuous", "memberships", "filtered", "rx_ring_bytes", "tx_ring_bytes", "fanout_id", "fanout_type", "version", "auxdata", "cookie"} {
			if r[column] != "" {
				t.Errorf("/proc tells %s of %v", column, r)
			}
		}
	}

	number := namespaceNumber(t, ns)
	outside := query(t, netnstest.New(t), fmt.Sprintf("%s WHERE net_namespace = '%s'", packetColumns, number))
	checkRows(t, outside, want)
}

// packetAsSS writes a row as ss shows the socket, without the numbers that make
// up a ring and most of its memory.
func packetAsSS(r tableRow) string {
	kind := map[string]string{"RAW": "p_raw"}[r["type"]]
	if kind == "" {
		kind = "p_dgr"
	}
	protocol, device := "["+r["protocol"]+"]", r["interface"]
	if r["protocol"] == "3" {
		protocol = "*"
	}
	if device == "" {
		device = "*"
	}
	line := fmt.Sprintf("%s UNCONN %s 0 %s:%s *", kind, r["recv_q"], protocol, device)
	if r["uid"] != "0" {
		line += " uid:" + r["uid"]
	}
	cookie, _ := strconv.ParseUint(r["cookie"], 10, 64)
	version, _ := strconv.Atoi(r["version"])
	line += fmt.Sprintf(" ino:%s sk:%x ver:%d cpy_thresh:%s flags(", r["inode"], cookie, version-1, r["copy_threshold"])
	flags := ""
	for _, column := range []string{"running", "auxdata", "origdev", "vnet_hdr", "loss"} {
		if r[column] == "1" {
			flags += " " + strings.ReplaceAll(column, "vnet_hdr", "vnethdr")
		}
	}
	if flags == "" {
		flags = " 0"
	}
	line += flags + " )"
	for _, ring := range []string{"rx", "tx"} {
		if frames := r[ring+"_ring_frames"]; frames != "" {
			line += fmt.Sprintf(" ring_%s(frm_nr:%s)", ring, frames)
		}
	}
	if r["fanout_id"] != "" {
		line += fmt.Sprintf(" fanout(id:%s,type:%s)", r["fanout_id"], r["fanout_type"])
	}
	return line + fmt.Sprintf(" skmem:(rb%s,filtered:%s,d%s)", r["receive_buffer_bytes"], r["filtered"], r["drops"])
}

// The kernel ends its list of packet sockets early, without a word, at one with a
// long filter or many memberships, if it is asked for these: ss -0 then lacks the
// sockets behind it. No row may be missing here.
func TestPacketSocketsOfTheVerbose(t *testing.T) {
	ns := netnstest.New(t)
	needPacketDiag(t, ns)
	want := make(map[string]tableRow)
	add := func(row tableRow, steps ...func(fd int) error) {
		t.Helper()
		_, inode := openIn(t, ns, unix.AF_PACKET, unix.SOCK_RAW, int(htons(3)), all(steps...))
		want[inode] = row
	}
	longest := func(fd int) error {
		err := classic(unix.BPF_MAXINSNS)(fd)
		if errors.Is(err, unix.ENOMEM) { // before Linux 6.7 a socket's options may have 20 KiB
			err = classic(2000)(fd)
		}
		return err
	}
	add(tableRow{"filtered": "0", "memberships": "0"})
	add(tableRow{"filtered": "1", "memberships": "1"}, longest, member(unix.PACKET_MR_PROMISC))
	add(tableRow{"filtered": "1"}, extended(t))
	groups := func(n int) (steps []func(fd int) error) {
		for i := range n {
			steps = append(steps, member(unix.PACKET_MR_MULTICAST, 1, 0, 0x5e, 0, byte(i>>8), byte(i)))
		}
		return steps
	}
	// The kernel's messages grow with what we take at once, up to 32 KiB.
	add(tableRow{"filtered": "0", "memberships": "200"}, groups(200)...)
	add(tableRow{"filtered": "0", "memberships": ""}, groups(1000)...)
	for range 50 {
		add(tableRow{"filtered": "0", "memberships": ""})
	}
	checkRows(t, query(t, ns, packetColumns), want)
	if shown := len(command(t, ns, "ss", "-H0an")); shown >= len(want) {
		t.Errorf("ss shows %d of %d sockets: the kernel's list is whole now", shown, len(want))
	}
}

// extended attaches an eBPF program that takes everything.
func extended(t *testing.T) func(fd int) error {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "MIT", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R0, -1), asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, program.FD()))
	}
}

// A socket whose interface is gone, or down, gets nothing.
func TestPacketSocketWithoutInterface(t *testing.T) {
	ns := netnstest.New(t)
	if _, err := ns.Command(t.Context(), "ip", "link", "add", "gone0", "type", "ifb"); err != nil {
		netnstest.SkipOrFail(t, err.Error())
	}
	command(t, ns, "ip", "link", "set", "gone0", "up")
	var index int
	link := command(t, ns, "ip", "-o", "link", "show", "gone0")[0]
	if _, err := fmt.Sscanf(link, "%d:", &index); err != nil {
		t.Fatal(err)
	}
	openIn(t, ns, unix.AF_PACKET, unix.SOCK_RAW, int(htons(3)), func(fd int) error {
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(3), Ifindex: index})
	})
	for _, step := range []struct {
		args []string
		want tableRow
	}{
		{nil, tableRow{"interface": "gone0", "interface_index": strconv.Itoa(index), "running": "1"}},
		{[]string{"link", "set", "gone0", "down"}, tableRow{"interface": "gone0", "interface_index": strconv.Itoa(index), "running": "0"}},
		{[]string{"link", "del", "gone0"}, tableRow{"interface": "", "interface_index": "", "running": "0"}},
	} {
		if step.args != nil {
			command(t, ns, "ip", step.args...)
		}
		for _, proc := range []string{"/proc", onlyProc} {
			r := queries(t, ns, proc, packetColumns)[0]
			if proc == onlyProc && step.want["interface"] != "" {
				step.want["interface"] = strconv.Itoa(index) // the names are not asked for
			}
			checkRows(t, r, map[string]tableRow{r[0]["inode"]: step.want})
		}
	}
}
