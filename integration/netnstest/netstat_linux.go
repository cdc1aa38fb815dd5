package netnstest

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// NetstatRow is one socket as netstat prints it.
type NetstatRow struct {
	// Proto is netstat's word, except that udpl is spelled out as udplite.
	Proto        string
	RecvQ, SendQ uint64
	// Local and Remote show an IPv4-mapped address as the IPv4 address; a
	// missing port, which netstat prints as *, is 0.
	Local, Remote netip.AddrPort
	State         string // empty where netstat prints none
	UID           uint32
	Inode         uint64
	Timer         string        // off, on, keepalive, timewait, probe
	TimerExpires  time.Duration // in steps of 10 ms
	Retransmits   uint64
	Probes        uint64
}

// Netstat returns what netstat shows of TCP, UDP and UDP-Lite in the
// namespace. Where netstat is not installed the test is skipped, see
// [SkipOrFail].
func (ns *NS) Netstat(t testing.TB) []NetstatRow {
	t.Helper()
	if _, err := exec.LookPath("netstat"); err != nil {
		SkipOrFail(t, err.Error())
	}
	out, err := ns.Command(t.Context(), "netstat", "-atuUneo", "--wide")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := parseNetstat(string(out))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// parseNetstat takes the output of netstat -neo apart: two lines of headings,
// then one line a socket.
func parseNetstat(out string) ([]NetstatRow, error) {
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) < 2 || !strings.HasPrefix(lines[1], "Proto ") {
		return nil, fmt.Errorf("netstat: no headings in %q", out)
	}
	var rows []NetstatRow
	for _, line := range lines[2:] {
		r, err := parseNetstatLine(strings.Fields(line))
		if err != nil {
			return nil, fmt.Errorf("netstat: %w in %q", err, line)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// parseNetstatLine decodes Proto Recv-Q Send-Q Local Foreign State User Inode
// Timer, where State may be missing and Timer is such as "on (0.20/1/0)".
func parseNetstatLine(f []string) (r NetstatRow, err error) {
	switch len(f) {
	case 9:
		f = append(append(f[:5:5], ""), f[5:]...)
	case 10:
	default:
		return r, fmt.Errorf("%d fields", len(f))
	}
	number := func(s string) uint64 {
		n, e := strconv.ParseUint(s, 10, 64)
		if e != nil && err == nil {
			err = e
		}
		return n
	}
	end := func(s string) netip.AddrPort {
		colon := strings.LastIndexByte(s, ':')
		if colon < 0 {
			err = fmt.Errorf("no port")
			return netip.AddrPort{}
		}
		a, e := netip.ParseAddr(s[:colon])
		if e != nil && err == nil {
			err = e
		}
		if s[colon+1:] == "*" {
			return netip.AddrPortFrom(a, 0)
		}
		return netip.AddrPortFrom(a, uint16(number(s[colon+1:])))
	}
	r.Proto = f[0]
	if v6, ok := strings.CutPrefix(f[0], "udpl"); ok {
		r.Proto = "udplite" + v6
	}
	r.RecvQ, r.SendQ = number(f[1]), number(f[2])
	r.Local, r.Remote = end(f[3]), end(f[4])
	r.State = f[5]
	// netstat prints a user above 2^31-1 as a negative number.
	uid, e := strconv.ParseInt(f[6], 10, 64)
	if e != nil {
		return r, e
	}
	r.UID = uint32(uid)
	r.Inode = number(f[7])
	r.Timer = f[8]
	timer := strings.Split(strings.Trim(f[9], "()"), "/")
	if len(timer) != 3 {
		return r, fmt.Errorf("timer %q", f[9])
	}
	seconds, e := strconv.ParseFloat(timer[0], 64)
	if e != nil {
		return r, e
	}
	r.TimerExpires = time.Duration(seconds * float64(time.Second)).Round(10 * time.Millisecond)
	r.Retransmits, r.Probes = number(timer[1]), number(timer[2])
	return r, err
}
