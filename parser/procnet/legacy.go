package procnet

import (
	"bytes"
	"io"
	"iter"
	"slices"
	"strconv"

	"github.com/osquery-sockets/osquery-sockets/parser"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// legacyFormat says which words of a list's lines mean what, counted from 1; 0
// means that the list does not tell.
type legacyFormat struct {
	proto  string
	header string // its words; none if the list has no header
	words  int    // of a line, at least
	local, remote, localCall, remoteCall, device,
	state, send, receive, uid, inode int
	hex    bool     // state and queues are hexadecimal
	states []string // by their numbers, as netstat names them; nil for TCP's
}

var (
	ax25States   = []string{"LISTENING", "SABM SENT", "DISC SENT", "ESTABLISHED", "RECOVERY"}
	netromStates = []string{"LISTENING", "CONN SENT", "DISC SENT", "ESTABLISHED"}
	x25States    = []string{"LISTENING", "SABM_SENT", "DISC_SENT", "ESTABLISHED", "RECOVERY"}
)

// legacyFormats are those of ax25_info_show, net/ax25/af_ax25.c; nr_info_show,
// net/netrom/af_netrom.c; rose_info_show, net/rose/af_rose.c; x25_seq_socket_show,
// net/x25/x25_proc.c; ipx_seq_socket_show, net/ipx/ipx_proc.c (until Linux 4.17),
// with two headers; atalk_seq_socket_show, net/appletalk/atalk_proc.c; and of
// bt_seq_show, net/bluetooth/af_bluetooth.c, which had addresses for some time.
var legacyFormats = []legacyFormat{
	{proto: "ax25", words: 24, device: 2, local: 3, remote: 4, state: 5, send: 22, receive: 23, inode: 24, states: ax25States},
	{proto: "netrom", header: "user_addr dest_node src_node dev my your st vs vr va t1 t2 t4 idle n2 wnd Snd-Q Rcv-Q inode", words: 19,
		localCall: 1, remote: 2, local: 3, device: 4, state: 7, send: 17, receive: 18, inode: 19, states: netromStates},
	{proto: "rose", header: "dest_addr dest_call src_addr src_call dev lci neigh st vs vr va t t1 t2 t3 hb idle Snd-Q Rcv-Q inode", words: 20,
		remote: 1, remoteCall: 2, local: 3, localCall: 4, device: 5, state: 8, send: 18, receive: 19, inode: 20, states: netromStates},
	{proto: "x25", header: "dest_addr src_addr dev lci st vs vr va t t2 t21 t22 t23 Snd-Q Rcv-Q inode", words: 16,
		remote: 1, local: 2, device: 3, state: 5, send: 14, receive: 15, inode: 16, states: x25States},
	{proto: "ipx", header: "Local_Address Remote_Address Tx_Queue Rx_Queue State Uid", words: 6,
		local: 1, remote: 2, send: 3, receive: 4, state: 5, uid: 6, hex: true},
	{proto: "atalk", header: "Type Local_addr Remote_addr Tx_queue Rx_queue St UID", words: 6,
		local: 2, remote: 3, send: 4, receive: 4, state: 5, uid: 6, hex: true},
	bluetooth("l2cap"), bluetoothAddresses("l2cap"),
	bluetooth("rfcomm"), bluetoothAddresses("rfcomm"),
	bluetooth("sco"), bluetoothAddresses("sco"),
}

func bluetooth(proto string) legacyFormat {
	return legacyFormat{proto: proto, header: "sk RefCnt Rmem Wmem User Inode Parent", words: 7, receive: 3, send: 4, uid: 5, inode: 6}
}

func bluetoothAddresses(proto string) legacyFormat {
	f := bluetooth(proto)
	f.header, f.words, f.local, f.remote = "sk RefCnt Rmem Wmem User Inode Src Dst Parent", 9, 7, 8
	return f
}

// Legacy streams the sockets of a list of an old family or of Bluetooth: ax25,
// netrom, rose, x25, ipx, atalk, l2cap, rfcomm or sco. Errors are of type
// [*parser.LineError], or the reader's own.
func Legacy(r io.Reader, proto string) iter.Seq2[sock.Legacy, error] {
	var format *legacyFormat
	header := func(line []byte) bool {
		format = formatOf(proto, line)
		return format != nil
	}
	if format = formatOf(proto, nil); format != nil {
		header = nil
	}
	return list(r, nil, header, func(f *fields) sock.Legacy { return format.decode(f) })
}

// formatOf returns the format of a list with that header, nil if it has none.
func formatOf(proto string, header []byte) *legacyFormat {
	for i := range legacyFormats {
		format := &legacyFormats[i]
		if format.proto == proto && (header == nil) == (format.header == "") && (header == nil || parser.Words(format.header)(header)) {
			return format
		}
	}
	return nil
}

func (l *legacyFormat) decode(f *fields) sock.Legacy {
	s := sock.Legacy{Proto: l.proto, Line: f.line}
	words := slices.Collect(parser.Fields(f.rest))
	if len(words) < l.words {
		f.fail("expected " + strconv.Itoa(l.words) + " words")
		return s
	}
	// A word is absent if the list has none, or says that it does not know.
	word := func(position int, unknown string) []byte {
		if position == 0 || string(words[position-1]) == unknown {
			return nil
		}
		return words[position-1]
	}
	number := func(b []byte, hex bool, width uint, name string) uint64 {
		if hex {
			return f.hex(b, width, name)
		}
		f.rest = b
		return f.dec(name, width)
	}
	s.Local = string(word(l.local, ""))
	remote, digipeaters, _ := bytes.Cut(word(l.remote, ""), []byte(","))
	s.Remote, s.Digipeaters = string(remote), string(digipeaters)
	s.LocalCall, s.RemoteCall = string(word(l.localCall, "??????-?")), string(word(l.remoteCall, ""))
	s.Device = string(word(l.device, "???"))
	if b := word(l.state, ""); b != nil {
		switch n := number(b, l.hex, 8, "state"); {
		case l.states == nil && sock.State(n) != sock.Close:
			s.State = sock.State(n).String()
		case l.states != nil && n < uint64(len(l.states)):
			s.State = l.states[n]
		case l.states != nil:
			s.State = strconv.FormatUint(n, 10)
		}
	}
	// AX.25 has asterisks where a connection has no socket.
	send, receive := word(l.send, "*"), word(l.receive, "*")
	if l.send == l.receive && send != nil {
		var colon bool
		if send, receive, colon = bytes.Cut(send, []byte(":")); !colon {
			f.fail("queues: expected two numbers with a colon between")
		}
	}
	if send != nil || receive != nil {
		s.Queues = true
		s.SendQueue, s.RecvQueue = uint32(number(send, l.hex, 32, "send queue")), uint32(number(receive, l.hex, 32, "receive queue"))
	}
	if b := word(l.uid, ""); b != nil {
		s.HasUID, s.UID = true, uint32(number(b, false, 32, "uid"))
	}
	if b := word(l.inode, "*"); b != nil {
		s.Inode = number(b, false, 64, "inode")
	}
	return s
}
