package sockdiag

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/netlink"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
)

// payloads returns the sockets' messages of a file that ss -D wrote.
func payloads(t testing.TB, name string) (all [][]byte) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range netlink.Messages(b, binary.LittleEndian) {
		if err != nil {
			t.Fatal(err)
		}
		if !m.Done {
			all = append(all, m.Payload)
		}
	}
	return all
}

// The captures hold connections of the algorithms cubic, reno and bbr, busy, idle
// and limited in several ways; beside them is what ss prints of them
// (TCPDIAG_FILE=info.diag ss -HtnoeimO).
func TestConnectionAgainstSS(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"info", "info6"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + name + ".ss")
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			all := payloads(t, name+".diag")
			if len(all) != len(lines) {
				t.Fatalf("%d sockets, ss shows %d", len(all), len(lines))
			}
			for i, payload := range all {
				var s sock.Connection
				if err := Connection(payload, binary.LittleEndian, &s); err != nil {
					t.Fatal(err)
				}
				got := ssDetails(&s)
				want := strings.Fields(lines[i])[5:]
				// ss writes a value apart from the words send, pacing_rate and
				// delivery_rate; send is its own sum.
				for j := 0; j < len(want); j++ {
					switch key, _, _ := strings.Cut(want[j], ":"); {
					case key == "timer" || key == "cgroup":
						want = slices.Delete(want, j, j+1)
						j--
					case key == "send":
						want = slices.Delete(want, j, j+2)
						j--
					case key == "pacing_rate" || key == "delivery_rate":
						want[j] += " " + want[j+1]
						want = slices.Delete(want, j+1, j+2)
					}
				}
				for _, word := range want {
					key, _, _ := strings.Cut(word, ":")
					seen[key] = true
				}
				slices.Sort(want)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("%s\ngot  %s\nwant %s", lines[i], strings.Join(got, " "), strings.Join(want, " "))
				}
			}
		})
	}
	for _, key := range []string{"bbr", "cubic", "reno", "rwnd_limited", "backoff", "retrans", "ssthresh", "fwmark", "notsent", "delivered", "-->", "minrtt", "unacked"} {
		t.Run(key, func(t *testing.T) {
			if !seen[key] {
				t.Errorf("the captures show no %s", key)
			}
		})
	}
}

// ssDetails writes what is known of a connection as ss does.
func ssDetails(s *sock.Connection) (words []string) {
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	get := func(f sock.InfoField) int64 { v, _ := s.Info.Get(f); return v }
	ms := func(us int64) string { return strconv.FormatFloat(float64(us)/1000, 'g', 6, 64) }
	if s.UID != 0 {
		add("uid:%d", s.UID)
	}
	add("ino:%d", s.Inode)
	add("sk:%x", s.Cookie)
	if s.Mark != 0 {
		add("fwmark:0x%x", s.Mark)
	}
	if s.V6Only {
		add("v6only:1")
	}
	add("%s", []string{"<->", "-->", "<--", "---"}[s.Shutdown&3])
	m := s.Memory
	add("skmem:(r%d,rb%d,t%d,tb%d,f%d,w%d,o%d,bl%d,d%d)", m.Received, m.ReceiveBuffer, m.Sent, m.SendBuffer, m.Forward, m.Queued, m.Options, m.Backlog, m.Drops)
	for _, option := range strings.Fields(s.Info.Options()) {
		if option != "wscale" {
			add("%s", option)
		}
	}
	add("%s", s.Congestion)
	if send, ok := s.Info.SendScale(); ok {
		receive, _ := s.Info.ReceiveScale()
		add("wscale:%d,%d", send, receive)
	}
	if v := get(sock.InfoRTO); v != 3_000_000 { // TCP_TIMEOUT_INIT of old
		add("rto:%s", ms(v))
	}
	if v := get(sock.InfoRTT); v != 0 {
		add("rtt:%s/%s", ms(v), ms(get(sock.InfoRTTVar)))
	}
	for _, c := range []struct {
		key   string
		field sock.InfoField
	}{
		{"backoff", sock.InfoBackoff}, {"mss", sock.InfoSendMSS}, {"pmtu", sock.InfoPMTU}, {"rcvmss", sock.InfoReceiveMSS}, {"advmss", sock.InfoAdvMSS},
		{"cwnd", sock.InfoCwnd}, {"ssthresh", sock.InfoSSThresh}, {"bytes_sent", sock.InfoBytesSent}, {"bytes_retrans", sock.InfoBytesRetrans},
		{"bytes_acked", sock.InfoBytesAcked}, {"bytes_received", sock.InfoBytesReceived}, {"segs_out", sock.InfoSegsOut}, {"segs_in", sock.InfoSegsIn},
		{"data_segs_out", sock.InfoDataSegsOut}, {"data_segs_in", sock.InfoDataSegsIn}, {"lastsnd", sock.InfoLastDataSentMillis},
		{"lastrcv", sock.InfoLastDataRecvMillis}, {"lastack", sock.InfoLastAckRecvMillis}, {"delivered", sock.InfoDelivered}, {"delivered_ce", sock.InfoDeliveredCE},
		{"unacked", sock.InfoUnacked}, {"lost", sock.InfoLost}, {"sacked", sock.InfoSacked}, {"dsack_dups", sock.InfoDSACKDups}, {"reord_seen", sock.InfoReorderingSeen},
		{"rcv_space", sock.InfoReceiveSpace}, {"rcv_ssthresh", sock.InfoReceiveSSThresh}, {"notsent", sock.InfoNotSentBytes},
		{"rcv_ooopack", sock.InfoReceiveOutOfOrder}, {"snd_wnd", sock.InfoSendWindow},
	} {
		if v, ok := s.Info.Get(c.field); ok && v != 0 {
			add("%s:%d", c.key, v)
		}
	}
	for _, c := range []struct {
		key   string
		field sock.InfoField
	}{{"ato", sock.InfoATO}, {"rcv_rtt", sock.InfoReceiveRTT}, {"minrtt", sock.InfoMinRTT}} {
		if v, ok := s.Info.Get(c.field); ok && v != 0 {
			add("%s:%s", c.key, ms(v))
		}
	}
	busy := get(sock.InfoBusyTime)
	if busy != 0 {
		add("busy:%dms", busy/1000)
	}
	if v := get(sock.InfoRwndLimited); v != 0 {
		add("rwnd_limited:%dms(%.1f%%)", v/1000, 100*float64(v)/float64(busy))
	}
	if v := get(sock.InfoSndbufLimited); v != 0 {
		add("sndbuf_limited:%dms(%.1f%%)", v/1000, 100*float64(v)/float64(busy))
	}
	if now, total := get(sock.InfoRetrans), get(sock.InfoTotalRetrans); now != 0 || total != 0 {
		add("retrans:%d/%d", now, total)
	}
	if v := get(sock.InfoReordering); v != 3 {
		add("reordering:%d", v)
	}
	if v, ok := s.Info.Get(sock.InfoPacingRate); ok && v != 0 {
		rate := fmt.Sprintf("%dbps", 8*v)
		if limit, ok := s.Info.Get(sock.InfoMaxPacingRate); ok {
			rate += fmt.Sprintf("/%dbps", 8*limit)
		}
		add("pacing_rate %s", rate)
	}
	if v := get(sock.InfoDeliveryRate); v != 0 {
		add("delivery_rate %dbps", 8*v)
	}
	if limited, _ := s.Info.AppLimited(); limited {
		add("app_limited")
	}
	if b := s.Control.BBR; b != nil {
		text := fmt.Sprintf("bbr:(bw:%dbps,mrtt:%s", 8*b.Bandwidth, ms(int64(b.MinRTT)))
		if b.PacingGain != 0 {
			text += ",pacing_gain:" + strconv.FormatFloat(b.PacingGain, 'g', 6, 64)
		}
		if b.CwndGain != 0 {
			text += ",cwnd_gain:" + strconv.FormatFloat(b.CwndGain, 'g', 6, 64)
		}
		add("%s)", text)
	}
	return words
}

// Connections that are part of an MPTCP one; beside the capture is what ss prints
// of that (TCPDIAG_FILE=subflow.diag ss -HtniO).
func TestSubflowAgainstSS(t *testing.T) {
	text, err := os.ReadFile("testdata/subflow.ss")
	if err != nil {
		t.Fatal(err)
	}
	// ss's letters of MPTCP_SUBFLOW_FLAG_*, in the order of the bits.
	const letters = "MmJjBbecv"
	var got []string
	for _, payload := range payloads(t, "subflow.diag") {
		var s sock.Connection
		if err := Connection(payload, binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		f := s.ULP.MPTCP
		if f == nil {
			t.Fatalf("%+v is no subflow", s.ULP)
		}
		flags := ""
		for bit, letter := range letters {
			if f.Flags&(1<<bit) != 0 {
				flags += string(letter)
			}
		}
		got = append(got, fmt.Sprintf("tcp-ulp-%s flags:%s token:%04x(id:%d)/%x(id:%d)", s.ULP.Name, flags, f.RemoteToken, f.RemoteID, f.LocalToken, f.LocalID))
	}
	var want []string
	for line := range strings.Lines(string(text)) {
		want = append(want, strings.Join(strings.Fields(line)[:3], " "))
	}
	for i := range want {
		// ss leaves the letters' order to itself.
		sorted := func(s string) string {
			fields := strings.Fields(s)
			letters := []byte(fields[1])
			slices.Sort(letters)
			fields[1] = string(letters)
			return strings.Join(fields, " ")
		}
		want[i] = sorted(want[i])
		if i < len(got) {
			got[i] = sorted(got[i])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// attribute makes one.
func attribute(order binary.ByteOrder, kind uint16, value ...byte) []byte {
	return netlink.AppendAttribute(nil, order, kind, value)
}

// This kernel has no TLS, nor DCTCP and Vegas: their bytes are made here as
// tls_get_info (net/tls/tls_main.c), dctcp_get_info and tcp_vegas_get_info write
// them.
func TestMadeAttributes(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		short := func(v uint16) []byte {
			b := make([]byte, 2)
			order.PutUint16(b, v)
			return b
		}
		var inner []byte
		for kind, v := range map[uint16]uint16{1: 0x0304, 2: 52, 3: 2, 4: 3} {
			inner = append(inner, attribute(order, kind, short(v)...)...)
		}
		inner = append(inner, attribute(order, 5)...)
		nested := append(attribute(order, 1, []byte("tls\x00")...), attribute(order, 2|0x8000, inner...)...)
		words := make([]byte, 20)
		for i, v := range []uint32{1, 20, 30, 40, 50} {
			order.PutUint32(words[4*i:], v)
		}
		dctcp := append(append(short(1), short(1)...), words[4:16]...)
		b := message(order, 0)[netlink.HeaderSize:]
		b = append(b, attribute(order, attrULPInfo, nested...)...)
		b = append(b, attribute(order, attrDCTCPInfo, dctcp...)...)
		b = append(b, attribute(order, attrVegasInfo, words[:16]...)...)
		b = append(b, attribute(order, attrBBRInfo, words...)...)
		var s sock.Connection
		if err := Connection(b, order, &s); err != nil {
			t.Fatal(err)
		}
		if s.ULP.Name != "tls" || s.ULP.TLS == nil || *s.ULP.TLS != (sock.TLS{Version: "1.3", Cipher: "aes-gcm-256", Send: "sw", Receive: "hw"}) {
			t.Errorf("%v: %+v", order, s.ULP)
		}
		c := s.Control
		if *c.DCTCP != (sock.DCTCP{Enabled: true, CEState: true, Alpha: 20, ECNBytes: 30, TotalBytes: 40}) ||
			*c.Vegas != (sock.Vegas{Enabled: true, RTTCount: 20, RTT: 30, MinRTT: 40}) ||
			*c.BBR != (sock.BBR{Bandwidth: 20<<32 | 1, MinRTT: 30, PacingGain: 40. / 256, CwndGain: 50. / 256}) {
			t.Errorf("%v: %+v %+v %+v", order, c.DCTCP, c.Vegas, c.BBR)
		}
		for kind, size := range map[uint16]int{attrDCTCPInfo: 16, attrVegasInfo: 16, attrBBRInfo: 20} {
			b := append(message(order, 0)[netlink.HeaderSize:], attribute(order, kind, make([]byte, size-1)...)...)
			if err := Connection(b, order, &s); err == nil {
				t.Errorf("attribute %d of %d bytes passes", kind, size-1)
			}
		}
		// What the last socket had does not stay.
		if err := Connection(message(order, 0)[netlink.HeaderSize:], order, &s); err != nil || s.Control != (sock.Control{}) || s.ULP != (sock.ULP{}) || s.Info != (sock.TCPInfo{}) {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

func FuzzConnection(f *testing.F) {
	for _, name := range []string{"info.diag", "subflow.diag"} {
		for _, payload := range payloads(f, name)[:2] {
			f.Add(payload, false)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		var s sock.Connection
		if Connection(b, order, &s) == nil {
			ssDetails(&s)
		}
	})
}
