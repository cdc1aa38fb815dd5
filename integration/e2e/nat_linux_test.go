package e2e

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

// natRules translate in every way: destinations, sources, a port only, in a zone.
const natRules = `
table ip nat {
	chain out { type nat hook output priority -100;
		tcp dport 8080 dnat to 127.0.0.1:80
		udp dport 53 dnat to 127.0.0.2:5353
		ip daddr 127.0.0.99 dnat to 127.0.0.3
	}
	chain post { type nat hook postrouting priority 100;
		ip saddr 127.0.0.9 snat to 127.0.0.10
		udp dport 9999 snat to 127.0.0.11:4000-4010
	}
}
table ip6 nat {
	chain out { type nat hook output priority -100;
		tcp dport 8080 dnat to [::1]:80
	}
}
table inet marks {
	chain zones { type filter hook output priority -300;
		udp dport 53 ct zone set 7
		udp dport 9999 ct original zone set 9
	}
	chain marks { type filter hook output priority -150;
		tcp dport 8080 ct mark set 0x8000002a
	}
}
`

// translate makes connections that the rules translate, and one that they do
// not.
func translate(t *testing.T, ns *netnstest.NS) {
	t.Helper()
	for _, program := range []string{"nft", "conntrack"} {
		if _, err := exec.LookPath(program); err != nil {
			netnstest.SkipOrFail(t, err.Error())
		}
	}
	rules := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(rules, []byte(natRules), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ns.Command(t.Context(), "nft", "-f", rules); err != nil {
		netnstest.SkipOrFail(t, err.Error()) // the kernel has no NAT
	}
	err := ns.Do(func() error {
		if err := os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_acct", []byte("1"), 0); err != nil {
			return err
		}
		for _, address := range []string{"127.0.0.1:80", "[::1]:80"} {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return err
			}
			t.Cleanup(func() { l.Close() })
		}
		for _, c := range []struct{ network, local, remote string }{
			{"tcp", "", "127.0.0.1:80"},
			{"tcp", "", "127.0.0.1:8080"},
			{"tcp", "", "127.0.0.99:80"},
			{"tcp", "", "[::1]:8080"},
			{"tcp", "127.0.0.9:0", "127.0.0.1:80"},
			{"udp", "", "127.0.0.5:53"},
			{"udp", "", "127.0.0.77:9999"},
		} {
			d := net.Dialer{}
			if c.local != "" {
				local, err := net.ResolveTCPAddr("tcp", c.local)
				if err != nil {
					return err
				}
				d.LocalAddr = local
			}
			if c.remote == "127.0.0.99:80" {
				l, err := net.Listen("tcp", "127.0.0.3:80")
				if err != nil {
					return err
				}
				t.Cleanup(func() { l.Close() })
			}
			conn, err := d.Dial(c.network, c.remote)
			if err == nil {
				t.Cleanup(func() { conn.Close() })
				_, err = conn.Write([]byte("hello"))
			}
			if err != nil {
				return fmt.Errorf("%v: %w", c, err)
			}
		}
		return ping("127.0.0.99")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// ping sends an echo request.
func ping(address string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Type 8, the checksum of what follows, identity 4242, number 1.
	echo := []byte{8, 0, 0xe7, 0x6c, 0x10, 0x92, 0, 1}
	return unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: [4]byte(net.ParseIP(address).To4())})
}

// tracked are the connections that conntrack shows, all or those whose answers are
// not simply the other way round, as lines of words, with their timeouts.
func tracked(t *testing.T, ns *netnstest.NS, every bool) map[string]int {
	t.Helper()
	out, err := ns.Command(t.Context(), "conntrack", "-L", "-o", "extended")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		timeout, err := strconv.Atoi(words[4])
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ends := [2]map[string]string{{}, {}}
		mark, zone, direction := "0", "0", -1
		for _, word := range words[5:] {
			key, value, _ := strings.Cut(word, "=")
			switch {
			case key == "mark":
				mark = value
			case key == "zone" || key == "zone-orig":
				zone = value
			case key == "src":
				direction++
				fallthrough
			case direction >= 0 && ends[direction][key] == "":
				ends[direction][key] = value
			}
		}
		o, r := ends[0], ends[1]
		source := o["src"] != r["dst"] || o["sport"] != r["dport"] || o["id"] != r["id"]
		destination := o["dst"] != r["src"] || o["dport"] != r["sport"]
		if !source && !destination && !every {
			continue
		}
		state := ""
		if words[3] == "6" {
			state = words[5]
		}
		all[strings.Join([]string{words[1], words[3], state, o["src"], o["sport"], o["dst"], o["dport"], r["src"], r["sport"], r["dst"], r["dport"],
			truth(source), truth(destination), truth(!strings.Contains(line, "[UNREPLIED]")), truth(strings.Contains(line, "[ASSURED]")),
			o["packets"], o["bytes"], r["packets"], r["bytes"], mark, zone, o["id"], r["id"]}, " ")] = timeout
	}
	return all
}

func truth(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

var natColumns = []string{"family", "protocol", "state", "original_source_address", "original_source_port", "original_destination_address", "original_destination_port",
	"reply_source_address", "reply_source_port", "reply_destination_address", "reply_destination_port", "source_nat", "destination_nat", "replied", "assured",
	"original_packets", "original_bytes", "reply_packets", "reply_bytes", "mark", "zone", "original_icmp_id", "reply_icmp_id"}

// natLines are our rows as tracked writes its own.
func natLines(rows []tableRow) map[string]string {
	all := make(map[string]string)
	for _, r := range rows {
		var words []string
		for _, c := range natColumns {
			words = append(words, r[c])
		}
		all[strings.Join(words, " ")] = r["timeout_s"]
	}
	return all
}

// The same connections come from ctnetlink, from /proc and from outside of the
// namespace, and conntrack shows them so.
func TestNAT(t *testing.T) {
	ns := netnstest.New(t)
	translate(t, ns)
	holdSockets(t, ns) // a process by which it is found
	statement := "SELECT timeout_s, " + strings.Join(natColumns, ", ") + " FROM masqueraded_connections"
	const source = "SELECT last_source FROM socket_sources WHERE proto = 'conntrack'"
	var before, after map[string]int
	var netlink, proc [][]tableRow
	var from []tableRow
	for range maxAttempts { // an acknowledgement may still come
		before = tracked(t, ns, false)
		netlink, proc = queries(t, ns, "/proc", statement, source), queries(t, ns, onlyProc, statement, source)
		from = outside(t, statement+" WHERE net_namespace = '"+inodeOf(t, ns)+"'")
		if after = tracked(t, ns, false); slices.Equal(slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after))) {
			break
		}
	}
	if len(before) != 7 {
		t.Errorf("conntrack shows %d connections, want 7", len(before))
	}
	for name, rows := range map[string][]tableRow{"ctnetlink": netlink[0], "/proc": proc[0], "outside": from} {
		ours := natLines(rows)
		if len(ours) != len(rows) || len(ours) != len(before) {
			t.Errorf("%s: %d rows, of which %d differ; want %d", name, len(rows), len(ours), len(before))
		}
		for line, text := range ours {
			most, ok := before[line]
			timeout, err := strconv.Atoi(text)
			if !ok || err != nil || timeout > most || timeout < after[line] {
				t.Errorf("%s: unasked: %s %q, conntrack has %d, %d", name, line, text, most, after[line])
			}
		}
		for line := range before {
			if _, ok := ours[line]; !ok {
				t.Errorf("%s: missing: %s", name, line)
			}
		}
	}
	if a, b := netlink[1][0]["last_source"], proc[1][0]["last_source"]; a != "ctnetlink" || b != "procfs" {
		t.Errorf("read from %q and %q", a, b)
	}
	var names []string
	for _, r := range query(t, ns, "SELECT DISTINCT proto FROM masqueraded_connections ORDER BY proto") {
		names = append(names, r["proto"])
	}
	if want := []string{"icmp", "tcp", "tcp6", "udp"}; !slices.Equal(names, want) {
		t.Errorf("protocols %v, want %v", names, want)
	}
}

// A namespace in which nothing is translated has none, whatever is elsewhere.
func TestNoNAT(t *testing.T) {
	ns, other := netnstest.New(t), netnstest.New(t)
	translate(t, other)
	if rows := query(t, ns, "SELECT * FROM masqueraded_connections"); len(rows) != 0 {
		t.Errorf("got %v", rows)
	}
}

// All connections are those that conntrack shows, translated or not.
func TestTrackedConnections(t *testing.T) {
	ns := netnstest.New(t)
	translate(t, ns)
	const all = "SELECT *, assured, timeout_s, original_icmp_id, reply_icmp_id, family, protocol, nat FROM tracked_connections"
	lines := func(of map[string]int) (lines []string) {
		for line := range of {
			lines = append(lines, line)
		}
		slices.Sort(lines)
		return lines
	}
	agree(t, "conntrack -L", func() []string { return lines(tracked(t, ns, true)) }, func() []string {
		return slices.Sorted(maps.Keys(natLines(query(t, ns, all))))
	})
	nat := slices.Sorted(maps.Keys(natLines(query(t, ns, all+" WHERE nat = 1"))))
	if diff := cmp.Diff(lines(tracked(t, ns, false)), nat); diff != "" {
		t.Errorf("translated: want (-), got (+):\n%s", diff)
	}
	if every := tracked(t, ns, true); len(every) <= len(nat) {
		t.Errorf("%d connections, of which %d are translated", len(every), len(nat))
	}
}
