package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/osquery-sockets/osquery-sockets/integration/netnstest"
)

const (
	// maxFailures is how often our rows may differ from a netstat that showed
	// the same before and after: a counter may have moved there and back.
	maxFailures = 3
	// maxAttempts bounds the comparisons altogether, also those in which a
	// running timer changed a row.
	maxAttempts = 20
	// maxDrift is what two looks at one timer may differ by.
	maxDrift = 2 * time.Second
)

// column is a property of a socket as text, from our row and from netstat's.
type column struct {
	ours    func(tableRow) string
	netstat func(netnstest.NetstatRow) string
}

// ends are netstat's columns without options.
var ends = []column{
	{plain("proto"), func(r netnstest.NetstatRow) string { return r.Proto }},
	{plain("recv_q"), func(r netnstest.NetstatRow) string { return strconv.FormatUint(r.RecvQ, 10) }},
	{ourSendQueue, netstatSendQueue},
	{address("local"), func(r netnstest.NetstatRow) string { return r.Local.String() }},
	{address("remote"), func(r netnstest.NetstatRow) string { return r.Remote.String() }},
	{plain("state"), func(r netnstest.NetstatRow) string { return r.State }},
}

// owners are what netstat -e adds. Where there is no owner or no inode netstat
// shows 0, we NULL.
var owners = append(slices.Clone(ends),
	column{plain("uid"), func(r netnstest.NetstatRow) string {
		// The kernel keeps no owner without a file, whatever it shows.
		if r.Inode == 0 {
			return ""
		}
		return strconv.FormatUint(uint64(r.UID), 10)
	}},
	column{plain("inode"), func(r netnstest.NetstatRow) string {
		if r.Inode == 0 {
			return ""
		}
		return strconv.FormatUint(r.Inode, 10)
	}},
)

// timers are what netstat -o adds, but for the time that is left.
var timers = append(slices.Clone(ends),
	column{plain("timer"), func(r netnstest.NetstatRow) string { return r.Timer }},
	column{ourRetransmits, netstatRetransmits},
	column{plain("probes"), func(r netnstest.NetstatRow) string { return strconv.FormatUint(r.Probes, 10) }},
)

func plain(name string) func(tableRow) string {
	return func(r tableRow) string {
		if v, ok := r[name]; ok {
			return v
		}
		return "no column " + name
	}
}

// address returns one end of our socket, spelled as netstat does: without the
// prefix of IPv4-mapped addresses. One that is not of proto's family is shown
// quoted, so that it equals nothing.
func address(end string) func(tableRow) string {
	return func(r tableRow) string {
		a, err1 := netip.ParseAddr(r[end+"_address"])
		port, err2 := strconv.ParseUint(r[end+"_port"], 10, 16)
		if err1 != nil || err2 != nil || a.Is4() == strings.HasSuffix(r["proto"], "6") {
			return fmt.Sprintf("%q port %q", r[end+"_address"], r[end+"_port"])
		}
		return netip.AddrPortFrom(a.Unmap(), uint16(port)).String()
	}
}

// The send queue of a listener is the maximum of its backlog; netstat cannot
// know it, so any number will do.
const anyNumber = "any"

func ourSendQueue(r tableRow) string {
	if _, err := strconv.ParseUint(r["send_q"], 10, 32); r["state"] == "LISTEN" && err == nil {
		return anyNumber
	}
	return plain("send_q")(r)
}

// Of a request in SYN_RECV netstat counts timeouts, sock_diag what was sent
// again; with TCP_DEFER_ACCEPT nothing is.
func ourRetransmits(r tableRow) string {
	if _, err := strconv.ParseUint(r["retransmits"], 10, 32); r["state"] == "SYN_RECV" && err == nil {
		return anyNumber
	}
	return plain("retransmits")(r)
}

func netstatRetransmits(r netnstest.NetstatRow) string {
	if r.State == "SYN_RECV" {
		return anyNumber
	}
	return strconv.FormatUint(r.Retransmits, 10)
}

func netstatSendQueue(r netnstest.NetstatRow) string {
	if r.State == "LISTEN" {
		return anyNumber
	}
	return strconv.FormatUint(r.SendQ, 10)
}

// comparison holds a query against netstat.
type comparison struct {
	sql     string
	columns []column
	keep    func(netnstest.NetstatRow) bool // which of netstat's rows the query should give
	clocks  bool                            // compare the time that timers have left, too
}

// run compares until both agree. Sockets move while we look: netstat is asked
// before and after, and either answer will do.
func (c *comparison) run(t *testing.T, ns *netnstest.NS, hidden map[string]bool) {
	t.Helper()
	failures := 0
	var diff string
	for range maxAttempts {
		before := c.netstat(t, ns)
		ours := slices.DeleteFunc(query(t, ns, c.sql), func(r tableRow) bool { return hidden[r["inode"]] })
		after := c.netstat(t, ns)
		if diff = c.diff(before, ours); diff == "" || c.diff(after, ours) == "" {
			return
		}
		if slices.Equal(c.lines(before), c.lines(after)) {
			if failures++; failures == maxFailures {
				break
			}
		}
	}
	t.Errorf("%s\n- netstat\n+ sockets.ext\n%s", c.sql, diff)
}

// netstat returns its rows that the query should give, in the order of their lines.
func (c *comparison) netstat(t *testing.T, ns *netnstest.NS) []netnstest.NetstatRow {
	t.Helper()
	rows := slices.DeleteFunc(ns.Netstat(t), func(r netnstest.NetstatRow) bool { return !c.keep(r) })
	slices.SortFunc(rows, func(a, b netnstest.NetstatRow) int {
		return strings.Compare(c.netstatLine(a), c.netstatLine(b))
	})
	return rows
}

func (c *comparison) netstatLine(r netnstest.NetstatRow) string {
	return c.line(func(col column) string { return col.netstat(r) })
}

func (c *comparison) ourLine(r tableRow) string {
	return c.line(func(col column) string { return col.ours(r) })
}

func (c *comparison) line(text func(column) string) string {
	var b strings.Builder
	for _, col := range c.columns {
		fmt.Fprintf(&b, "%-6s ", text(col))
	}
	return b.String()
}

func (c *comparison) lines(rows []netnstest.NetstatRow) []string {
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = c.netstatLine(r)
	}
	return lines
}

// diff returns the lines that only one side has, of as many equal ones those
// too many; it is empty if there are none.
func (c *comparison) diff(netstat []netnstest.NetstatRow, ours []tableRow) string {
	slices.SortFunc(ours, func(a, b tableRow) int { return strings.Compare(c.ourLine(a), c.ourLine(b)) })
	var b strings.Builder
	i, j := 0, 0
	for i < len(netstat) || j < len(ours) {
		order := 0
		switch {
		case i == len(netstat):
			order = 1
		case j == len(ours):
			order = -1
		default:
			order = strings.Compare(c.netstatLine(netstat[i]), c.ourLine(ours[j]))
		}
		switch {
		case order < 0:
			fmt.Fprintf(&b, "- %s\n", c.netstatLine(netstat[i]))
			i++
		case order > 0:
			fmt.Fprintf(&b, "+ %s\n", c.ourLine(ours[j]))
			j++
		default:
			if c.clocks && !sameClock(netstat[i], ours[j]) {
				fmt.Fprintf(&b, "  %s expires in %v, we say %q ms\n", c.ourLine(ours[j]), netstat[i].TimerExpires, ours[j]["timer_expires_ms"])
			}
			i++
			j++
		}
	}
	return b.String()
}

// sameClock reports whether both give a timer about the same time; one that is
// off has none.
func sameClock(netstat netnstest.NetstatRow, ours tableRow) bool {
	text := ours["timer_expires_ms"]
	if netstat.Timer == "off" {
		return text == ""
	}
	ms, err := strconv.ParseUint(text, 10, 32)
	drift := time.Duration(ms)*time.Millisecond - netstat.TimerExpires
	return err == nil && drift.Abs() <= maxDrift
}

func isTCP(r netnstest.NetstatRow) bool { return strings.HasPrefix(r.Proto, "tcp") }

func TestSameAsNetstat(t *testing.T) {
	ns := netnstest.New(t)
	// hidden are inodes that netstat cannot show, see BoundOnly.
	hidden := map[string]bool{}
	for _, s := range ns.Populate(t) {
		if s.BoundOnly() {
			hidden[strconv.FormatUint(s.Inode, 10)] = true
		}
	}
	requireEveryState(t, ns)

	test := func(name string, c comparison) {
		t.Run(name, func(t *testing.T) { c.run(t, ns, hidden) })
	}
	isUDP := func(r netnstest.NetstatRow) bool { return !isTCP(r) }
	test("tcp", comparison{sql: "SELECT * FROM tcp_sockets", columns: ends, keep: isTCP})
	test("udp", comparison{sql: "SELECT * FROM udp_sockets", columns: ends, keep: isUDP})
	test("tcp owners", comparison{sql: "SELECT * FROM tcp_sockets", columns: owners, keep: isTCP})
	test("udp owners", comparison{sql: "SELECT * FROM udp_sockets", columns: owners, keep: isUDP})
	test("timers", comparison{sql: "SELECT *, timer_expires_ms FROM tcp_sockets", columns: timers, keep: isTCP, clocks: true})
	// CLOSE has no rows, and none must be shown.
	for _, state := range append(netnstest.States(), "CLOSE") {
		test("tcp "+state, comparison{
			sql:     fmt.Sprintf("SELECT * FROM tcp_sockets WHERE state = '%s'", state),
			columns: ends,
			keep:    func(r netnstest.NetstatRow) bool { return isTCP(r) && r.State == state },
		})
	}
	for _, state := range []string{"ESTABLISHED", ""} {
		test("udp '"+state+"'", comparison{
			sql:     fmt.Sprintf("SELECT * FROM udp_sockets WHERE state = '%s'", state),
			columns: ends,
			keep:    func(r netnstest.NetstatRow) bool { return isUDP(r) && r.State == state },
		})
	}
	requireEveryState(t, ns)
}

// requireEveryState fails the test if netstat lacks a state of either family:
// a comparison without rows proves nothing. CLOSE is not among them, since no
// TCP socket in it is in the lists that /proc is made of.
func requireEveryState(t *testing.T, ns *netnstest.NS) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range ns.Netstat(t) {
		seen[r.Proto+" "+r.State] = true
	}
	for _, proto := range []string{"tcp", "tcp6"} {
		for _, state := range netnstest.States() {
			if !seen[proto+" "+state] {
				t.Errorf("netstat shows no %s socket in %s", proto, state)
			}
		}
	}
}
