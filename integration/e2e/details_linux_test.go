package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// ssSocket is what ss prints of a socket after the addresses, by the word before
// the colon; words without one are under themselves.
type ssSocket map[string]string

var ssSpaced = regexp.MustCompile(`\b(send|pacing_rate|delivery_rate) (\d)`)

// ssSockets returns the sockets of ss by their cookies, in hexadecimal.
func ssSockets(t *testing.T, ns *netnstest.NS, args ...string) map[string]ssSocket {
	t.Helper()
	out, err := ns.Command(t.Context(), "ss", args...)
	if err != nil {
		t.Fatal(err)
	}
	sockets := make(map[string]ssSocket)
	for line := range strings.Lines(string(out)) {
		line = ssOptions.ReplaceAllStringFunc(line, func(all string) string {
			return "inet-sockopt:" + strings.Join(slices.DeleteFunc(strings.Fields(ssOptions.FindStringSubmatch(all)[1]), func(o string) bool { return o == "is_icsk" }), ",")
		})
		s := ssSocket{}
		for _, word := range strings.Fields(ssSpaced.ReplaceAllString(line, "$1:$2")) {
			key, value, _ := strings.Cut(word, ":")
			s[key] = value
		}
		if s["sk"] == "" {
			t.Fatalf("ss shows no cookie in %q", line)
		}
		sockets[s["sk"]] = s
	}
	return sockets
}

// ssOptions is the list of ss --inet-sockopt, in which is_icsk is no option.
var ssOptions = regexp.MustCompile(`inet-sockopt: \(([^)]*)\)`)

// skmem are the columns of ss's skmem, drops apart.
var skmem = []string{"received_memory_bytes", "receive_buffer_bytes", "sent_memory_bytes", "send_buffer_bytes",
	"forward_memory_bytes", "queued_memory_bytes", "option_memory_bytes", "backlog_memory_bytes"}

var skmemValue = regexp.MustCompile(`^\(r(\d+),rb(\d+),t(\d+),tb(\d+),f(\d+),w(\d+),o(\d+),bl(\d+),d(\d+)\)`)

// checkAgainst compares what ss showed before and after with a row in between:
// what did not change must be equal.
func checkAgainst(t *testing.T, row tableRow, before, after, ours ssSocket) {
	t.Helper()
	for key, value := range ours {
		if before[key] == after[key] && before[key] != value {
			t.Errorf("%s %s:%s %s:%s: %s is %q, ss shows %q", row["state"], row["local_address"], row["local_port"], row["remote_address"], row["remote_port"], key, value, before[key])
		}
	}
}

// kernelRelease returns the two first numbers of the kernel's release.
func kernelRelease(t *testing.T) (numbers [2]int) {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &numbers[0], &numbers[1]); err != nil {
		t.Fatal(err)
	}
	return numbers
}

// Peers with a key for the MD5 signature are those of ss, and no key is shown.
func TestMD5PeersAgainstSS(t *testing.T) {
	s := &seeded{t: t, ns: netnstest.New(t)}
	key := func(fd int) error {
		// struct tcp_md5sig, include/uapi/linux/tcp.h: struct sockaddr_storage, flags,
		// length of the prefix, of the key, interface, key.
		sig := make([]byte, 128+8+80)
		binary.NativeEndian.PutUint16(sig, unix.AF_INET)
		copy(sig[4:], []byte{192, 0, 2, 0})
		sig[128], sig[129] = unix.TCP_MD5SIG_FLAG_PREFIX, 24
		binary.NativeEndian.PutUint16(sig[130:], 6)
		copy(sig[136:], "secret")
		return unix.SetsockoptString(fd, unix.SOL_TCP, unix.TCP_MD5SIG_EXT, string(sig))
	}
	probe, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = key(probe)
	unix.Close(probe)
	if errors.Is(err, unix.ENOPROTOOPT) {
		netnstest.NotInThisKernel(t, "TCP_MD5SIG")
	}
	s.socket(unix.SOCK_STREAM, 0, "127.0.0.1:179", key)
	rows := query(t, s.ns, "SELECT md5_peers FROM tcp_sockets WHERE local_port = 179")
	if diff := cmp.Diff([]tableRow{{"md5_peers": "192.0.2.0/24"}}, rows); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if out := output(t, s.ns, "ss", "-HtlniO"); !strings.Contains(out, "md5keys:192.0.2.0/24=") {
		t.Errorf("ss shows %s", out)
	}
}

// The hidden columns of IP sockets are those of ss -e, -m, --tos and --inet-sockopt.
func TestDetailsAgainstSS(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	s := &seeded{t: t, ns: ns}
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		s.socket(kind, 0, "192.0.2.77:7", sockopt(unix.SOL_IP, unix.IP_FREEBIND, 1), sockopt(unix.SOL_IP, unix.IP_TRANSPARENT, 1),
			sockopt(unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1), sockopt(unix.SOL_SOCKET, unix.SO_PRIORITY, 5))
	}
	for table, args := range map[string][]string{
		"tcp_sockets": {"-HtanemO", "--tos", "--inet-sockopt"},
		"udp_sockets": {"-HuanemO", "--tos", "--inet-sockopt"},
	} {
		columns := []string{"state", "local_address", "local_port", "remote_address", "remote_port", "cookie", "uid", "inode", "mark", "tos", "tclass", "v6only", "shutdown", "interface", "socket_options", "class_id"}
		statement := "SELECT " + strings.Join(append(columns, skmem...), ", ") + " FROM " + table
		before := ssSockets(t, ns, args...)
		rows := query(t, ns, statement)
		after := ssSockets(t, ns, args...)
		compared, values := 0, map[string]bool{}
		for _, row := range rows {
			cookie, _ := strconv.ParseInt(row["cookie"], 10, 64)
			key := strconv.FormatInt(cookie, 16)
			if before[key] == nil || after[key] == nil {
				continue // it came or went
			}
			compared++
			ours := ssSocket{}
			for from, to := range map[string]string{"tos": "tos", "tclass": "tclass", "class_id": "class_id", "mark": "fwmark"} {
				if row[from] != "" && (row[from] != "0" || from != "mark") {
					n, _ := strconv.Atoi(row[from])
					if ours[to] = "0"; n != 0 {
						ours[to] = fmt.Sprintf("0x%x", n)
					}
				} else {
					ours[to] = ""
				}
			}
			ours["inet-sockopt"] = row["socket_options"]
			if row["inode"] != "" {
				if ours["uid"] = row["uid"]; ours["uid"] == "0" {
					ours["uid"] = "" // ss leaves it out
				}
			} else if row["uid"] != "" {
				t.Errorf("%s: nobody has it open, and it belongs to %s", row["local_port"], row["uid"])
			}
			if strings.Contains(row["local_address"], ":") && row["v6only"] != "" {
				ours["v6only"] = row["v6only"]
				if before[key]["v6only"] == "" {
					ours["v6only"] = "" // ss leaves it out of wildcard sockets only
				}
			}
			if row["shutdown"] != "" {
				n, _ := strconv.Atoi(row["shutdown"])
				for i, arrow := range []string{"<->", "-->", "<--", "---"} {
					_, shown := before[key][arrow]
					if shown != (i == n) && before[key][arrow] == after[key][arrow] {
						t.Errorf("%s: shutdown is %d, ss shows %v", row["local_port"], n, before[key])
					}
				}
			}
			if m := skmemValue.FindStringSubmatch(before[key]["skmem"]); m != nil && before[key]["skmem"] == after[key]["skmem"] {
				for i, column := range skmem {
					if row[column] != m[i+1] {
						t.Errorf("%s: %s is %s, ss shows %s", row["local_port"], column, row[column], m[i+1])
					}
				}
			} else if m == nil && row[skmem[0]] != "" {
				t.Errorf("%s %s: has memory, ss shows none", row["state"], row["local_port"])
			}
			checkAgainst(t, row, before[key], after[key], ours)
			for c, v := range row {
				values[c+v] = true
			}
			values["freebind"] = values["freebind"] || strings.HasPrefix(row["socket_options"], "freebind,mc_loop,transparent,mc_all,bind_addr_no_port")
		}
		if compared < 50 {
			t.Errorf("%s: only %d sockets were compared", table, compared)
		}
		want := []string{"tos0", "tclass0", "v6only0", "shutdown0", "class_id5", "class_id0", "freebind"}
		if table == "tcp_sockets" {
			want = append(want, "shutdown2", "tos")
		}
		for _, v := range want {
			if !values[v] {
				t.Errorf("%s: no socket has %s", table, v)
			}
		}
	}
}

// infoKeys are the columns of tcp_info and tcp_congestion by ss's words, with the factor of its unit.
var infoKeys = []struct {
	key, column string
	scale       float64
}{
	{"rto", "rto_us", 1000}, {"ato", "ato_us", 1000}, {"backoff", "backoff", 0}, {"mss", "snd_mss_bytes", 0}, {"pmtu", "pmtu_bytes", 0},
	{"rcvmss", "rcv_mss_bytes", 0}, {"advmss", "advmss_bytes", 0}, {"cwnd", "cwnd", 0}, {"ssthresh", "ssthresh", 0},
	{"bytes_sent", "bytes_sent", 0}, {"bytes_retrans", "bytes_retrans", 0}, {"bytes_acked", "bytes_acked", 0}, {"bytes_received", "bytes_received", 0},
	{"segs_out", "segs_out", 0}, {"segs_in", "segs_in", 0}, {"data_segs_out", "data_segs_out", 0}, {"data_segs_in", "data_segs_in", 0},
	{"delivered", "delivered", 0}, {"unacked", "unacked", 0}, {"lost", "lost", 0}, {"sacked", "sacked", 0}, {"dsack_dups", "dsack_dups", 0},
	{"rcv_rtt", "rcv_rtt_us", 1000}, {"rcv_space", "rcv_space_bytes", 0}, {"rcv_ssthresh", "rcv_ssthresh_bytes", 0}, {"notsent", "notsent_bytes", 0},
	{"minrtt", "min_rtt_us", 1000}, {"snd_wnd", "snd_wnd_bytes", 0}, {"delivery_rate", "delivery_rate_bytes_per_second", 1. / 8},
	{"lastsnd", "last_data_sent_ms", 0}, {"lastrcv", "last_data_recv_ms", 0}, {"lastack", "last_ack_recv_ms", 0},
}

// tcp_info and tcp_congestion are what ss -i shows, of the same connections and no others.
func TestTCPInfoAgainstSS(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	before := ssSockets(t, ns, "-HtneiO")
	rows := query(t, ns, "SELECT *, i.cookie, last_data_sent_ms, last_data_recv_ms, last_ack_recv_ms FROM tcp_info i JOIN tcp_congestion c USING (cookie)")
	after := ssSockets(t, ns, "-HtneiO")
	compared := 0
	for _, row := range rows {
		cookie, _ := strconv.ParseInt(row["cookie"], 10, 64)
		key := strconv.FormatInt(cookie, 16)
		if before[key] == nil || after[key] == nil {
			continue
		}
		compared++
		ours := ssSocket{}
		for _, k := range infoKeys {
			value := row[k.column]
			if n, err := strconv.ParseFloat(value, 64); err == nil && k.scale != 0 {
				value = strconv.FormatFloat(n/k.scale, 'g', 6, 64)
				if k.scale < 1 {
					value = strconv.FormatFloat(n/k.scale, 'f', 0, 64) + "bps"
				}
			}
			if row[k.column] == "0" && before[key][k.key] == "" {
				value = "" // ss leaves zeros out
			}
			ours[k.key] = value
		}
		if row["snd_wscale"] != "" {
			ours["wscale"] = row["snd_wscale"] + "," + row["rcv_wscale"]
		}
		checkAgainst(t, row, before[key], after[key], ours)
		words := append(strings.Fields(strings.Replace(row["options"], "wscale", "", 1)), row["congestion_algorithm"])
		for _, word := range words {
			if _, ok := before[key][word]; !ok {
				t.Errorf("%s: ss does not show %s: %v", row["local_port"], word, before[key])
			}
		}
		for _, word := range []string{"ts", "sack", "ecn", "ecnseen", "fastopen"} {
			if _, ok := before[key][word]; ok && !slices.Contains(words, word) {
				t.Errorf("%s: ss shows %s, not in %q", row["local_port"], word, words)
			}
		}
	}
	if compared < 40 {
		t.Errorf("only %d connections were compared", compared)
	}
	// ss -t without -a shows connections, those without tcp_info too: they have no
	// round-trip timeout there.
	for key, s := range before {
		if s["rto"] == "" || after[key] == nil {
			continue
		}
		if !slices.ContainsFunc(rows, func(r tableRow) bool {
			cookie, _ := strconv.ParseInt(r["cookie"], 10, 64)
			return strconv.FormatInt(cookie, 16) == key
		}) {
			t.Errorf("the table lacks %v", s)
		}
	}
}

// A socket that is bound and no more is shown to a statement that uses bound_only.
func TestBoundOnly(t *testing.T) {
	ns := netnstest.New(t)
	var want []string
	for _, s := range ns.Populate(t) {
		if s.BoundOnly() && strings.HasPrefix(s.Proto, "tcp") {
			want = append(want, s.Local.String())
		}
	}
	if len(want) == 0 {
		t.Fatal("there is none")
	}
	if release := kernelRelease(t); release[0] < 6 || release[0] == 6 && release[1] < 8 {
		netnstest.NotInThisKernel(t, "TCP_BOUND_INACTIVE")
	}
	for _, statement := range []string{
		"SELECT * FROM tcp_sockets WHERE bound_only = 1",
		"SELECT * FROM tcp_sockets WHERE bound_only <> 0 AND state = 'BOUND'",
		"SELECT * FROM (SELECT *, bound_only FROM tcp_sockets) WHERE state = 'BOUND'",
		"SELECT * FROM tcp_sockets WHERE bound_only LIKE '1' OR bound_only = 1 AND local_port = 1",
	} {
		t.Run(statement, func(t *testing.T) {
			rows := query(t, ns, statement)
			for _, r := range rows {
				if r["state"] != "BOUND" {
					t.Errorf("%v is none", r)
				}
			}
			if len(rows) != len(want) {
				t.Errorf("%d are bound, want %v", len(rows), want)
			}
		})
	}
	// Which rows there are does not depend on how the state is compared.
	for _, where := range []string{"state = 'BOUND'", "state IN ('BOUND', 'x')", "state LIKE 'BOUND'"} {
		if rows := query(t, ns, "SELECT * FROM tcp_sockets WHERE "+where); len(rows) != 0 {
			t.Errorf("%s: %v", where, rows)
		}
	}
}
