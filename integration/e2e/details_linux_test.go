package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

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

// The hidden columns of IP sockets are those of ss -e, -m and --tos.
func TestDetailsAgainstSS(t *testing.T) {
	ns := netnstest.New(t)
	ns.Populate(t)
	for table, args := range map[string][]string{
		"tcp_sockets": {"-HtanemO", "--tos"},
		"udp_sockets": {"-HuanemO", "--tos"},
	} {
		columns := []string{"state", "local_address", "local_port", "remote_address", "remote_port", "cookie", "uid", "inode", "mark", "tos", "tclass", "v6only", "shutdown", "interface"}
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
			for from, to := range map[string]string{"tos": "tos", "tclass": "tclass", "mark": "fwmark"} {
				if row[from] != "" && (row[from] != "0" || from == "tos" || from == "tclass") {
					n, _ := strconv.Atoi(row[from])
					if ours[to] = "0"; n != 0 {
						ours[to] = fmt.Sprintf("0x%x", n)
					}
				} else {
					ours[to] = ""
				}
			}
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
		}
		if compared < 50 {
			t.Errorf("%s: only %d sockets were compared", table, compared)
		}
		want := []string{"tos0", "tclass0", "v6only0", "shutdown0"}
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
