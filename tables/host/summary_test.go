package host_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/osquery-sockets/osquery-sockets/parser/procnet"
	"github.com/osquery-sockets/osquery-sockets/parser/sock"
	"github.com/osquery-sockets/osquery-sockets/tables/host"
	"github.com/osquery-sockets/osquery-sockets/tables/host/source"
)

func TestSocketSummaries(t *testing.T) {
	const four = "sockets: used 3\nTCP: inuse 1 orphan 0 tw 0 alloc 2 mem 5\nUDP: inuse 0 mem 0\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		n     int
		want  string // in the error
	}{
		{"both families", map[string]string{"1/net/tcp": "", "1/net/sockstat": four, "1/net/sockstat6": "TCP6: inuse 1\n"}, 4, ""},
		{"no IPv6", map[string]string{"1/net/tcp": "", "1/net/sockstat": four}, 3, ""},
		{"a protocol that is new", map[string]string{"net/tcp": "", "net/sockstat": four + "NEW: inuse 1 more 2\n"}, 4, ""},
		{"missing", map[string]string{"net/tcp": ""}, 0, "sockstat: no such file"},
		{"no total", map[string]string{"net/tcp": "", "net/sockstat": "TCP: inuse 1\n"}, 0, "lacks the number of sockets"},
		{"damaged", map[string]string{"net/tcp": "", "net/sockstat": four + "RAW: inuse x\n"}, 0, "sockstat"},
		{"cut off", map[string]string{"net/tcp": "", "net/sockstat": four, "net/sockstat6": "TCP6: inuse"}, 0, "sockstat6"},
		{"limits", map[string]string{"net/tcp": "", "net/sockstat": four, "sys/net/ipv4/tcp_mem": "1\t2\t3\n"}, 3, ""},
		{"damaged limits", map[string]string{"net/tcp": "", "net/sockstat": four, "sys/net/ipv4/tcp_mem": "1\t2\n"}, 0, "tcp_mem: expected three"},
	} {
		n, err := drain(host.New(host.Options{Proc: write(t, c.files)}).SocketSummaries(t.Context(), host.Namespaces{}))
		if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d summaries, %v; want %d and %q", c.name, n, err, c.n, c.want)
		}
	}
	dir := write(t, map[string]string{"net/tcp": "", "net/x": ""})
	if err := syscall.Mkfifo(filepath.Join(dir, "net", "sockstat"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := drain(host.New(host.Options{Proc: dir}).SocketSummaries(t.Context(), host.Namespaces{})); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe gave %v", err)
	}
}

func TestRecords(t *testing.T) {
	const paired = "Tcp: A B\nTcp: 1 2\n"
	files := []source.File[sock.Statistic]{
		{Name: "snmp", Required: true, Decode: procnet.PairedStatistics},
		{Name: "netstat", Required: true, Decode: procnet.PairedStatistics},
		{Name: "snmp6", Decode: procnet.NamedStatistics},
		{Name: "sctp/snmp", Decode: procnet.NamedStatistics},
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		n     int
		want  string // in the error
	}{
		{"all", map[string]string{"1/net/tcp": "", "1/net/snmp": paired, "1/net/netstat": paired, "1/net/snmp6": "Ip6A 1\n", "1/net/sctp/snmp": "SctpA 1\n"}, 6, ""},
		{"no IPv6, no SCTP", map[string]string{"net/tcp": "", "net/snmp": paired, "net/netstat": paired}, 4, ""},
		{"no snmp", map[string]string{"net/tcp": "", "net/netstat": paired}, 0, "snmp: no such file"},
		{"no netstat", map[string]string{"net/tcp": "", "net/snmp": paired}, 2, "netstat: no such file"},
		{"damaged", map[string]string{"net/tcp": "", "net/snmp": paired, "net/netstat": "Tcp: A\n"}, 2, "netstat: line 1"},
		{"damaged too", map[string]string{"net/tcp": "", "net/snmp": paired, "net/netstat": paired, "net/sctp/snmp": "x 1\n"}, 4, "sctp/snmp: line 1"},
	} {
		n, err := drain(host.Records(t.Context(), host.New(host.Options{Proc: write(t, c.files)}), host.Namespaces{}, files...))
		if n != c.n || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d counters, %v; want %d and %q", c.name, n, err, c.n, c.want)
		}
	}
}
